"""Load test of `nlpmtl serve` with 50 clients, with and without batching, every response checked.

    python -m benchmarks.serving MODEL [DATA_DIR] [--seconds 120] [--clients 50] [--output FILE.md]

Texts are those of the shipped support corpus, or of all `*.jsonl` and `*.jsonl.gz` in DATA_DIR. Expected predictions
are computed beforehand, one text at a time. Each client keeps its connection and requests all tasks of one random text
after another. The server is a separate process, started twice: with default options, and with `--max-batch 1`.
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
from pathlib import Path
from typing import Any

import torch

from benchmarks.tables import ROOT, make_parser, write_report
from nlpmtl.inference.predictor import Predictor

SUPPORT = ROOT / "task_configs" / "support"
CLOSE = 1e-5
MAX_TEXTS = 5000
MODES = {"batching": [], "one request at a time": ["--max-batch", "1"]}


def read_texts(folder: Path) -> list[str]:
    texts: dict[str, None] = {}
    for path in sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.gz")]):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                value = row.get("text", row.get("tokens", row.get("sentence", row.get("sentence1"))))
                texts[" ".join(value) if isinstance(value, list) else value] = None
    return random.Random(0).sample(list(texts), min(len(texts), MAX_TEXTS))


def same(predicted: Any, expected: Any) -> bool:
    """Return whether two predictions are equal up to rounding."""
    if isinstance(expected, dict):
        equal_keys = isinstance(predicted, dict) and predicted.keys() == expected.keys()
        return equal_keys and all(same(predicted[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return isinstance(predicted, list) and len(predicted) == len(expected) and all(map(same, predicted, expected))
    if isinstance(expected, float):
        return isinstance(predicted, float) and abs(predicted - expected) <= CLOSE * max(1.0, abs(expected))
    return bool(predicted == expected)


@dataclass
class Measured:
    """Measurements of the clients and of the server process."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    cpu: float = 0.0
    batch: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    def percentile(self, fraction: float) -> float:
        """Return a percentile of the latency, in milliseconds."""
        return 1000 * sorted(self.seconds)[min(len(self.seconds) - 1, int(fraction * len(self.seconds)))]


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, path: str, body: bytes | None
) -> bytes:
    """Send a request on a persistent connection; raise unless the status is 200."""
    header = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is not None:
        header += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{header}\r\n".encode() + (body or b""))
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head)
    assert length, head
    response = await reader.readexactly(int(length[1]))
    if not head.startswith("HTTP/1.1 200 "):
        raise RuntimeError(f"{head.splitlines()[0]}: {response.decode()}")
    return response


async def client(
    port: int, number: int, *, expected: Sequence[tuple[str, Any]], end: float, measured: Measured
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    generator = random.Random(number)
    while time.perf_counter() < end:
        text, predictions = generator.choice(expected)
        start = time.perf_counter()
        response = await request(reader, writer, path="/predict", body=json.dumps({"inputs": text}).encode())
        measured.seconds.append(time.perf_counter() - start)
        if not same(json.loads(response), predictions):
            measured.wrong.append(text)
    writer.close()
    await writer.wait_closed()


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process, over all threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watch(process: int, *, seconds: float, measured: Measured) -> None:
    measured.memory["start"] = resident(process)
    for mark in (30, 60):
        if mark < seconds:
            await asyncio.sleep(mark - (30 if mark == 60 else 0))
            measured.memory[f"{mark} s"] = resident(process)


async def measure(
    port: int, process: int, *, expected: Sequence[tuple[str, Any]], args: argparse.Namespace
) -> Measured:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for text, _ in expected[:50]:  # warm-up
        await request(reader, writer, path="/predict", body=json.dumps({"inputs": text}).encode())
    before = await batches(reader, writer)
    measured, cpu, start = Measured(), cpu_seconds(process), time.perf_counter()
    clients = [
        client(port, number, expected=expected, end=start + args.seconds, measured=measured)
        for number in range(args.clients)
    ]
    await asyncio.gather(watch(process, seconds=args.seconds, measured=measured), *clients)
    measured.wall, measured.cpu = time.perf_counter() - start, cpu_seconds(process) - cpu
    measured.memory["end"] = resident(process)
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)  # the first connection timed out
    after = await batches(reader, writer)
    measured.batch = (after[0] - before[0]) / (after[1] - before[1])
    writer.close()
    return measured


async def batches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Return the number of computed inputs and of batches."""
    metrics = (await request(reader, writer, path="/metrics", body=None)).decode()
    inputs, count = (
        re.search(rf"^nlpmtl_batch_inputs_{what} (\d+)(?:\.0)?$", metrics, re.MULTILINE) for what in ("sum", "count")
    )
    assert inputs
    assert count
    return int(inputs[1]), int(count[1])


@contextmanager
def serving(model: str, options: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start a server and yield its port and process id."""
    command = [sys.executable, "-m", "nlpmtl", "serve", model, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://[^:]+:(\d+) ", line)
        if address is None:
            sys.exit(line + process.stderr.read())
        try:
            yield int(address[1]), process.pid
        finally:
            process.terminate()


def report(all_measured: dict[str, Measured], *, texts: int, args: argparse.Namespace) -> list[str]:
    columns = [
        {
            "requests": f"{len(measured.seconds):,}",
            "requests / s": f"{measured.rate:.1f}",
            "p50, ms": f"{measured.percentile(0.5):.0f}",
            "p99, ms": f"{measured.percentile(0.99):.0f}",
            "the server's CPU time, ms per request": f"{1000 * measured.cpu / len(measured.seconds):.1f}",
            "mean batch size": f"{measured.batch:.1f}",
            "wrong or mixed-up predictions": str(len(measured.wrong)),
            **{f"resident memory, {mark}, MiB": f"{size:.0f}" for mark, size in measured.memory.items()},
        }
        for measured in all_measured.values()
    ]
    return [
        f"# `nlpmtl serve` under {args.clients} clients",
        "",
        f"{args.seconds:g} s each, {texts} texts, all tasks per text. {platform.machine()}, {os.cpu_count()} cores for "
        f"server and clients, Python {platform.python_version()}, torch {torch.__version__}, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}.",
        "",
        f"    python -m benchmarks.serving {' '.join(sys.argv[1:])}",
        "",
        f"| | {' | '.join(all_measured)} |",
        f"|---|{'---|' * len(all_measured)}",
        *(f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]),
    ]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path, nargs="?", default=SUPPORT)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=50)
    args = parser.parse_args()
    predictor = Predictor.from_pretrained(args.model)
    texts = read_texts(args.data)
    expected = [(text, json.loads(json.dumps(predictor.predict_all(text)))) for text in texts]
    print(f"{len(expected)} texts with expected predictions", file=sys.stderr)
    measured = {}
    for mode, options in MODES.items():
        with serving(args.model, options) as (port, process):
            measured[mode] = asyncio.run(measure(port, process, expected=expected, args=args))
        print(f"{mode}: {measured[mode].rate:.1f} requests/s, {len(measured[mode].wrong)} wrong", file=sys.stderr)
    write_report(report(measured, texts=len(expected), args=args), args.output)
    if any(result.wrong for result in measured.values()):
        sys.exit(f"wrong: {measured['batching'].wrong[:3]}")


if __name__ == "__main__":
    main()
