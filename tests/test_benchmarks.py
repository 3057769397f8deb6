"""The benchmarks of the Makefile and the documentation start; those without data run at their smallest settings."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import sharing
from benchmarks.eleven import fine_tunes
from benchmarks.stock_trainer import TASKS

ROOT = Path(__file__).resolve().parents[1]
MODEL = str(ROOT / "tests" / "fixtures" / "models-0.1" / "hard")
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.sh"))
PAGES = [ROOT / "Makefile", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *SCRIPTS]
MODULES = sorted({name for p in PAGES for name in re.findall(r"-m (benchmarks\.\w+)", p.read_text(encoding="utf-8"))})
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
    "tokenization": ["--rows", "50", "--pairs", "1", "--cores", "1"],
}
WITHOUT_REPORT = ("growth", "offsets", "startup", "tokenization")


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_every_benchmark_of_the_makefile_and_the_documentation_exists() -> None:
    assert len(MODULES) > 20
    assert [name for name in MODULES if importlib.util.find_spec(name) is None] == []
    scripts = re.findall(r"benchmarks/\w+\.\w+", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert [name for name in scripts if not (ROOT / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_of_the_makefile_or_the_documentation_starts(name: str) -> None:
    assert f"python -m {name}" in run(name.removeprefix("benchmarks."), "--help")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs_and_writes_its_table(name: str, tmp_path: Path) -> None:
    output = tmp_path / "report.md"
    options = [] if name in WITHOUT_REPORT else ["--output", str(output)]
    printed = run(name, *SMALLEST[name], *options)
    assert len(printed.splitlines()) > 1
    assert name in WITHOUT_REPORT or "|---|" in output.read_text(encoding="utf-8")


def imports_of_scripts() -> Iterator[tuple[str, str]]:
    """Yield module and name of the imports from this repository in the Python code of shell scripts."""
    for script in SCRIPTS:
        for code in re.findall(r"<< 'END'\n(.*?)\nEND\n", script.read_text(encoding="utf-8"), flags=re.DOTALL):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(("tests", "benchmarks")):
                    yield from ((node.module, alias.name) for alias in node.names)


def test_the_imports_of_shell_scripts_exist() -> None:
    imports = list(imports_of_scripts())
    assert len(imports) >= 5
    assert [(module, name) for module, name in imports if not hasattr(importlib.import_module(module), name)] == []


def test_runs_with_other_rows_or_steps_have_another_directory() -> None:
    settings = [(500, 600), (2490, 600), (2490, 1000)]
    assert len({sharing.output_directory(Path("runs"), rte=rte, steps=steps) for rte, steps in settings}) == 3


def write_results(path: Path, names: list[str], **values: object) -> Path:
    lines = [{"task": name, "metric": "accuracy", "seconds": 1.0, **values} for name in names]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(("recorded", "probe"), [(20, 0), (20, 10), (0, 20)])
def test_fine_tunes_of_another_length_are_not_reused(tmp_path: Path, recorded: int, probe: int) -> None:
    path = write_results(tmp_path / "results.jsonl", list(TASKS), **({"probe": recorded} if recorded else {}))
    with pytest.raises(SystemExit, match=rf"rte was measured with --probe {recorded}, .*choose another --output"):
        fine_tunes(tmp_path, path, probe=probe)


@pytest.mark.slow  # a step with MiniLM-L6
def test_only_missing_fine_tunes_are_run(tmp_path: Path) -> None:
    rows = [{"sentence1": "a cat", "sentence2": "a dog", "label": "no" if i % 2 else "yes"} for i in range(40)]
    for split in ("train", "validation"):
        path = tmp_path / "rte" / f"{split}.jsonl.gz"
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    path = write_results(tmp_path / "results.jsonl", [name for name in TASKS if name != "rte"], probe=1)
    results = fine_tunes(tmp_path, path, probe=1)
    assert list(results) == list(TASKS)
    assert results["rte"]["tokens_per_second"] > 0
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(TASKS)
