"""Fifty clients at once on `nlpmtl serve`, with batching and without, every answer compared with the right one.

    python benchmarks/serving.py MODEL [DATA_DIR] [--seconds 120] [--clients 50]

Texts are those of the shipped support corpus, or of all `*.jsonl` and `*.jsonl.gz` in DATA_DIR. What is right is
computed beforehand, one text at a time. Each client keeps its connection and asks for all tasks of one random text
after another. The server is a process of its own, started twice: as it comes, and with `--max-batch 1`. The table is
written to benchmarks/results/, or to --output.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from nlpmtl.inference.predictor import Predictor

ROOT = Path(__file__).parents[1]
SUPPORT = ROOT / "task_configs" / "support"
RESULTS = ROOT / "benchmarks" / "results"
CLOSE = 1e-5
MOST_TEXTS = 5000
MODES = {"batching": [], "one request at a time": ["--max-batch", "1"]}


def read_texts(folder: Path) -> list[str]:
    texts: dict[str, None] = {}
    for path in sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.gz")]):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                value = row.get("text", row.get("tokens", row.get("sentence", row.get("sentence1"))))
                texts[" ".join(value) if isinstance(value, list) else value] = None
    return random.Random(0).sample(list(texts), min(len(texts), MOST_TEXTS))


def same(found: Any, expected: Any) -> bool:
    """Whether two answers differ by no more than the last digits of their numbers."""
    if isinstance(expected, dict):
        alike = isinstance(found, dict) and found.keys() == expected.keys()
        return alike and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return isinstance(found, float) and abs(found - expected) <= CLOSE * max(1.0, abs(expected))
    return bool(found == expected)


@dataclass
class Measured:
    """What the clients saw, and what the server took."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    cpu: float = 0.0
    batch: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return 1000 * sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, path: str, body: bytes | None) -> bytes:
    """One request on a connection that is kept; raises unless the answer is 200."""
    said = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is not None:
        said += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{said}\r\n".encode() + (body or b""))
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head)
    assert length, head
    answer = await reader.readexactly(int(length[1]))
    if not head.startswith("HTTP/1.1 200 "):
        raise RuntimeError(f"{head.splitlines()[0]}: {answer.decode()}")
    return answer


async def client(port: int, number: int, *, right: Sequence[tuple[str, Any]], end: float, measured: Measured) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    source = random.Random(number)
    while time.perf_counter() < end:
        text, expected = source.choice(right)
        start = time.perf_counter()
        found = await ask(reader, writer, path="/predict", body=json.dumps({"inputs": text}).encode())
        measured.seconds.append(time.perf_counter() - start)
        if not same(json.loads(found), expected):
            measured.wrong.append(text)
    writer.close()
    await writer.wait_closed()


def resident(process: int) -> float:
    """The resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu_seconds(process: int) -> float:
    """What a process has computed for, all threads together."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watch(process: int, *, seconds: float, measured: Measured) -> None:
    measured.memory["start"] = resident(process)
    for mark in (30, 60):
        if mark < seconds:
            await asyncio.sleep(mark - (30 if mark == 60 else 0))
            measured.memory[f"{mark} s"] = resident(process)


async def measure(port: int, process: int, *, right: Sequence[tuple[str, Any]], args: argparse.Namespace) -> Measured:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for text, _ in right[:50]:  # the first forwards of a process are slow
        await ask(reader, writer, path="/predict", body=json.dumps({"inputs": text}).encode())
    before = await batches(reader, writer)
    measured, cpu, start = Measured(), cpu_seconds(process), time.perf_counter()
    clients = [
        client(port, number, right=right, end=start + args.seconds, measured=measured) for number in range(args.clients)
    ]
    await asyncio.gather(watch(process, seconds=args.seconds, measured=measured), *clients)
    measured.wall, measured.cpu = time.perf_counter() - start, cpu_seconds(process) - cpu
    measured.memory["end"] = resident(process)
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)  # the first was idle for too long
    after = await batches(reader, writer)
    measured.batch = (after[0] - before[0]) / (after[1] - before[1])
    writer.close()
    return measured


async def batches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, int]:
    """How many inputs were computed, in how many batches."""
    told = (await ask(reader, writer, path="/metrics", body=None)).decode()
    inputs, count = (re.search(rf"^nlpmtl_batch_inputs_{what} (\d+)$", told, re.MULTILINE) for what in ("sum", "count"))
    assert inputs
    assert count
    return int(inputs[1]), int(count[1])


@contextmanager
def serving(model: str, options: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The port and the id of a server's process."""
    command = [sys.executable, "-m", "nlpmtl", "serve", model, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://[^:]+:(\d+) ", said)
        if found is None:
            sys.exit(said + process.stderr.read())
        try:
            yield int(found[1]), process.pid
        finally:
            process.terminate()


def report(all_measured: dict[str, Measured], *, texts: int, args: argparse.Namespace) -> str:
    columns = [
        {
            "requests": f"{len(one.seconds):,}",
            "requests / s": f"{one.rate:.1f}",
            "p50, ms": f"{one.percentile(0.5):.0f}",
            "p99, ms": f"{one.percentile(0.99):.0f}",
            "the server's CPU time, ms a request": f"{1000 * one.cpu / len(one.seconds):.1f}",
            "inputs computed together, mean": f"{one.batch:.1f}",
            "wrong or crossed answers": str(len(one.wrong)),
            **{f"resident memory, {mark}, MiB": f"{size:.0f}" for mark, size in one.memory.items()},
        }
        for one in all_measured.values()
    ]
    lines = [
        f"# `nlpmtl serve` under {args.clients} clients",
        "",
        f"{args.seconds:g} s each, {texts} texts, all tasks of each. {platform.machine()}, {os.cpu_count()} cores for "
        f"server and clients, Python {platform.python_version()}, torch {torch.__version__}, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}.",
        "",
        f"    python benchmarks/serving.py {' '.join(sys.argv[1:])}",
        "",
        f"| | {' | '.join(all_measured)} |",
        f"|---|{'---|' * len(all_measured)}",
        *(f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path, nargs="?", default=SUPPORT)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--output", type=Path, default=RESULTS / f"serving_{os.cpu_count()}core_{date.today()}.md")
    args = parser.parse_args()
    predictor = Predictor.from_pretrained(args.model)
    texts = read_texts(args.data)
    right = [(text, json.loads(json.dumps(predictor.predict_all(text)))) for text in texts]
    print(f"{len(right)} texts; their answers are known", file=sys.stderr)
    measured = {}
    for mode, options in MODES.items():
        with serving(args.model, options) as (port, process):
            measured[mode] = asyncio.run(measure(port, process, right=right, args=args))
        print(f"{mode}: {measured[mode].rate:.1f} requests/s, {len(measured[mode].wrong)} wrong", file=sys.stderr)
    table = report(measured, texts=len(right), args=args)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(table, encoding="utf-8")
    print(table)
    if any(one.wrong for one in measured.values()):
        sys.exit(f"wrong: {measured['batching'].wrong[:3]}")


if __name__ == "__main__":
    main()
