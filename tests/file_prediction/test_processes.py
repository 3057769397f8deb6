"""Batch prediction in two processes, and after a kill: every row once, in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nlpmtl import predict_files
from nlpmtl.file_prediction.parts import PARTS
from nlpmtl.file_prediction.row_files import CHUNK_ROWS

ROWS = 5 * CHUNK_ROWS + 100
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nlpmtl"]
COMMAND = [sys.executable, "-m", "nlpmtl"]


@pytest.fixture(scope="module")
def input_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "new.csv"
    path.write_text("id,text\n" + "".join(f"{i:06},ada lives in turin {'and rome ' * (i % 7)}\n" for i in range(ROWS)))
    return path


def run(command: list[str], model: Path, input_file: Path, output: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["predict", str(model), "--input", str(input_file), "--output", str(output), "--task", "topic"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=600)


def kill_in_the_middle(command: list[str], model: Path, input_file: Path, output: Path) -> int:
    """Start a command, kill all of its processes when some parts are finished, and return their number."""
    arguments = ["predict", str(model), "--input", str(input_file), "--output", str(output), "--task", "topic"]
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL)
    parts = output.parent / f".{output.name}.part" / PARTS
    for _ in range(30_000):
        if parts.is_dir() and len(list(parts.glob("0*"))) >= 2:
            break
        assert process.poll() is None
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (*map(int, children), process.pid):  # a rank outlives its launcher
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    return len(list(parts.glob("0*")))


@pytest.mark.slow
@pytest.mark.parametrize("command", [COMMAND, TORCHRUN], ids=["one process", "two processes"])
def test_every_row_once_and_in_order(command: list[str], model: Path, input_file: Path, tmp_path: Path) -> None:
    predict_files(model, input_file, tmp_path / "expected.parquet", tasks=["topic"])
    output = tmp_path / "out.parquet"
    assert 2 <= kill_in_the_middle(command, model, input_file, output) < 6
    result = run(command, model, input_file, output)
    assert result.returncode == 0, result.stderr
    assert "of 10,340 rows are predicted already" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.parquet", "out.parquet"]
    table, expected = pq.read_table(output), pq.read_table(tmp_path / "expected.parquet")
    assert table.schema == expected.schema
    assert table.drop_columns("topic_score").equals(expected.drop_columns("topic_score"))
    scores = expected.column("topic_score").to_pylist()
    assert table.column("topic_score").to_pylist() == pytest.approx(scores, abs=1e-5)


@pytest.mark.slow
def test_errors_end_all_processes(model: Path, input_file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(input_file.read_text() + "x\n")
    result = run(TORCHRUN, model, bad, tmp_path / "out.parquet")
    assert result.returncode == 1
    assert f"bad.csv:{ROWS + 2}: 1 field(s), but the header has 2" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]
