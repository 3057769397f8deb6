"""Batch prediction of a CSV file to Parquet by one and by two processes, each killed once in the middle.

    python -m benchmarks.predict_files MODEL [--rows 100000]

The output of a killed and continued command must have the rows, the order and the schema of an uninterrupted one. Times
and memory are those of the second command, which predicts what the first one left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

WORDS = "the parcel lamp kettle is was late broken lovely again Bristol Cologne Monday please thank you refund".split()  # noqa: SIM905
COMMAND = [sys.executable, "-m", "nlpmtl"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nlpmtl"]


def write_rows(path: Path, *, rows: int) -> None:
    """Write rows of 3 to 30 words, with identifiers that must keep their text."""
    source = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text,region\n")
        for index in range(rows):
            text = " ".join(source.choices(WORDS, k=source.randint(3, 30)))
            file.write(f"{index:09},{text},{source.choice(['NA', 'EU', ''])}\n")


def run(command: list[str]) -> tuple[float, int]:
    """Run a command; return its seconds and its peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return time.perf_counter() - start, usage.ru_maxrss // 1024


def kill_at(command: list[str], parts: Path, *, count: int) -> int:
    """Start a command, kill all its processes when some parts are finished, and return their number."""
    process = subprocess.Popen(command)
    while process.poll() is None and len(list(parts.glob("0*")) if parts.is_dir() else ()) < count:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    for pid in (*map(int, children), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return len(list(parts.glob("0*")))


def compare(output: Path, expected: Path, *, rows: int) -> str:
    """Compare two outputs: all columns are equal, and scores up to rounding."""
    table, other = pq.read_table(output), pq.read_table(expected)
    assert table.schema == other.schema, "the schemas differ"
    assert table.column("id").to_pylist() == [f"{index:09}" for index in range(rows)], "the rows differ"
    scores = [name for name in table.column_names if str(table.schema.field(name).type) == "double"]
    others = [name for name in table.column_names if name not in scores and name != "places"]
    different = [name for name in others if not table.column(name).equals(other.column(name))]
    largest = max((pc.max(pc.abs(pc.subtract(table[name], other[name]))).as_py() for name in scores), default=0)
    return f"{rows:,} rows in order, equal schema, columns that differ: {different or 'none'}, scores by {largest:.1e}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tasks", nargs="*", default=[])
    arguments = parser.parse_args()
    options = [option for task in arguments.tasks for option in ("--task", task)]
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        write_rows(directory / "new.csv", rows=arguments.rows)
        predict = ["predict", arguments.model, "--input", str(directory / "new.csv"), *options, "--output"]
        seconds, memory = run([*COMMAND, *predict, str(directory / "expected.parquet")])
        print("| processes | killed after parts | seconds | rows/s | peak memory of a process, MiB | output |")
        print("|---|---|---|---|---|---|")
        print(f"| 1 | not killed | {seconds:.1f} | {arguments.rows / seconds:,.0f} | {memory} | |", flush=True)
        for processes, start in ((1, COMMAND), (2, TORCHRUN)):
            output = directory / f"{processes}.parquet"
            command = [*start, *predict, str(output)]
            half = -(-arguments.rows // 2048) // 2
            killed = kill_at(command, directory / f".{output.name}.part" / "parts", count=half)
            seconds, memory = run(command)
            rate = (arguments.rows - killed * 2048) / seconds
            result = compare(output, directory / "expected.parquet", rows=arguments.rows)
            print(f"| {processes} | {killed} | {seconds:.1f} | {rate:,.0f} | {memory} | {result} |", flush=True)


if __name__ == "__main__":
    main()
