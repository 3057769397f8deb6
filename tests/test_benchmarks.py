"""The benchmarks of the Makefile start, and those that need no data run at their smallest settings."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODEL = str(ROOT / "tests" / "fixtures" / "models-0.1" / "hard")
MODULES = sorted(set(re.findall(r"-m (benchmarks\.\w+)", (ROOT / "Makefile").read_text(encoding="utf-8"))))
SMALLEST = {
    "dataset_store": ["--rows", "200", "--repeats", "1"],
    "export_table": ["--texts", "2"],
    "gradient_methods": ["solvers"],
    "growth": ["--rows", "100", "--labels", "10"],
    "hub_faults": ["--calls", "commit", "--kinds", "503"],
    "offsets": ["--texts", "50"],
    "onnx_speed": [MODEL, "--rounds", "2", "--threads", "1"],
    "scaling": ["rows", "--max-rows", "1000"],
    "serving": [MODEL, "--seconds", "1", "--clients", "2"],
    "startup": ["--runs", "1"],
}
WITHOUT_REPORT = ("growth", "offsets", "startup")


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_every_benchmark_of_the_makefile_exists() -> None:
    assert len(MODULES) > 15
    assert [name for name in MODULES if importlib.util.find_spec(name) is None] == []
    scripts = re.findall(r"benchmarks/\w+\.\w+", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert [name for name in scripts if not (ROOT / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_of_the_makefile_starts(name: str) -> None:
    assert f"python -m {name}" in run(name.removeprefix("benchmarks."), "--help")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs_and_writes_its_table(name: str, tmp_path: Path) -> None:
    output = tmp_path / "report.md"
    options = [] if name in WITHOUT_REPORT else ["--output", str(output)]
    printed = run(name, *SMALLEST[name], *options)
    assert len(printed.splitlines()) > 1
    assert name in WITHOUT_REPORT or "|---|" in output.read_text(encoding="utf-8")
