"""The scripts in examples/ run: the short ones with a tiny encoder, and in the slow tests all of them as commands."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from tests.tiny import write_encoder

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
PRINTED = {
    "quickstart": "  topic: {'label': ",
    "own_csv": "'stars': {'value': ",
    "ner_from_conll": "{'span_f1': ",
    "plugin_task": "{'years': {'low': ",
    "sharing_compared": "\nlora ",
    "serve_and_call": "\n[[{'score': ",
    "predict_with_ray": "3000 ['id', 'text', 'topic', 'topic_score'] True",
}
"""Part of what each script prints."""
LONG = ("predict_with_ray", "serve_and_call", "sharing_compared")
"""Scripts that start processes or train several models."""


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """Leave the registries as they were before a script registered its plugin."""
    kept = [(registry, dict(registry._members)) for registry in (COLUMN_TYPES, METRICS, TASKS)]
    yield
    for registry, members in kept:
        registry._members = members


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.stem not in LONG], ids=lambda path: path.stem)
@pytest.mark.slow
def test_runs_with_a_tiny_encoder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = write_encoder(tmp_path / "encoder", layers=6)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(f"examples.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    overrides = {"encoder.name": str(encoder), "encoder.sha256": None, "train.epochs": None, "train.steps": 2}
    Path(module.OUTPUT).mkdir(parents=True)
    (Path(module.OUTPUT) / "run.json").write_text("{}", encoding="utf-8")  # files of an earlier run of the script
    module.main(**overrides)
    assert PRINTED[path.stem] in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_runs_as_a_command(path: Path, tmp_path: Path) -> None:
    if path.stem == "predict_with_ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray")
    process = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert PRINTED[path.stem] in process.stdout


def test_the_readme_lists_every_script() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[`(.+?)`\]\((.+?)\)", readme, flags=re.MULTILINE)) == [
        (path.name, path.name) for path in SCRIPTS
    ]
