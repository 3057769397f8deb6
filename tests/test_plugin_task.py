"""A task type from a plugin, with its own column type, head, loss and metric, in every part of the package."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import nlpmtl
from nlpmtl.cli import app
from nlpmtl.data import TaskBatch
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.model import batch_losses, load_encoder
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.serving import Limits
from nlpmtl.tasks import Task, task_from_config
from tests.serving.conftest import running
from tests.tiny import write_encoder

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def plugin() -> Iterator[ModuleType]:
    registries = (COLUMN_TYPES, METRICS, TASKS)
    before = [dict(registry._members) for registry in registries]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("plugin_task")
    sys.modules.pop("plugin_task")
    for registry, members in zip(registries, before, strict=True):
        registry._members = members


@pytest.fixture(scope="module")
def model_dir(plugin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plugin-task")
    encoder = write_encoder(directory / "encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        plugin.main(**{"encoder.name": str(encoder), "train.epochs": None, "train.steps": 6, "train.precision": "fp32"})
    return directory / str(plugin.OUTPUT) / "model"


def test_a_plugin_task_is_in_scores_card_and_plots(model_dir: Path) -> None:
    scores = nlpmtl.evaluate(model_dir, data(model_dir), split="validation")
    assert set(scores["years"]) == {"interval_overlap", "score", "rows"}
    assert scores["years"]["rows"] == 48
    card = (model_dir / "README.md").read_text(encoding="utf-8")
    assert "| `years` | `interval` |" in card
    assert "an interval" in card
    assert (model_dir / "images" / "answers-years.png").is_file()


def data(model_dir: Path) -> dict[str, Any]:
    plugin: Any = sys.modules["plugin_task"]
    tasks = {"years": {"kind": "interval", "label": "years"}, "level": {"kind": "classification", "label": "level"}}
    return {
        "data": {"files": {"train": plugin.ROWS, "validation": plugin.ROWS}},
        "input": {"text": "text"},
        "tasks": tasks,
    }


def test_predictions_from_python_and_from_the_command_line(model_dir: Path) -> None:
    predictor = nlpmtl.Predictor.from_pretrained(model_dir)
    texts = ["a cat", "ada lives in turin", "x"]
    together = predictor.predict(texts, task="years")
    for text, prediction in zip(texts, together, strict=True):
        alone = predictor.predict(text, task="years")
        assert [alone["low"], alone["high"]] == pytest.approx([prediction["low"], prediction["high"]], abs=1e-5)
        assert prediction["low"] <= prediction["high"]
    done = CliRunner().invoke(app, ["predict", str(model_dir), "a cat", "--task", "years"])
    assert done.exit_code == 0
    assert "low" in done.stdout


@pytest.mark.slow
def test_a_process_that_has_not_imported_it_needs_the_option_plugins(model_dir: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(nlpmtl.__file__).parents[1]), str(EXAMPLES)])}
    command = [sys.executable, "-m", "nlpmtl", "predict", str(model_dir), "a cat"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], capture_output=True, text=True, env=environment, check=False)

    refused = run()
    assert refused.returncode == 2
    assert "unknown task type 'interval'" in refused.stderr
    assert "--plugins MODULE" in refused.stderr
    done = run("--plugins", "plugin_task")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["predictions"]) == {"years", "level"}


def test_the_server_predicts_it(model_dir: Path) -> None:
    predictor = nlpmtl.Predictor.from_pretrained(model_dir)
    with running(predictor, Limits()) as server, server.client() as client:
        assert client.get("/info").json["tasks"]["years"] == {"kind": "interval", "input": "text", "labels": []}
        expected = predictor.predict("a cat", task="years")
        assert client.post("/predict/years", {"inputs": "a cat"}).json == expected
        assert client.post("/predict", {"inputs": "a cat"}).json["years"] == expected


@pytest.mark.slow
def test_export_to_onnx_but_not_to_transformers(model_dir: Path, tmp_path: Path) -> None:
    predictor = nlpmtl.Predictor.from_pretrained(model_dir)
    predictor.export(tmp_path / "onnx", to="onnx")
    exported = nlpmtl.Predictor.from_pretrained(tmp_path / "onnx").predict("a cat", task="years")
    expected = predictor.predict("a cat", task="years")
    assert [exported["low"], exported["high"]] == pytest.approx([expected["low"], expected["high"]], abs=1e-4)
    with pytest.raises(nlpmtl.ModelError, match="'years'"):
        predictor.export(tmp_path / "stock", task="years")


def test_a_value_that_breaks_the_rule_of_the_column_type(plugin: Any, tmp_path: Path) -> None:
    rows = [{"text": "a cat", "years": "3-5", "level": "a"}, {"text": "a dog", "years": "5-3", "level": "b"}]
    dataset = {"data": {"files": {"train": rows}}, "input": {"text": "text"}}
    tasks = {"years": {"kind": "interval", "label": "years"}}
    run = {
        "encoder": {"name": str(write_encoder(tmp_path / "encoder"))},
        "output": str(tmp_path / "run"),
        "datasets": {"jobs": {**dataset, "tasks": tasks}},
        "train": {"steps": 1, "batch_size": 2},
    }
    with pytest.raises(DataError, match=r"row 2: years: expected a lower number before a higher one \(found '5-3'\)"):
        nlpmtl.train(run)


def test_weights_of_rows_multiply_their_losses(plugin: Any, tmp_path: Path) -> None:
    """Weights 0 and 2 give the loss of the row excluded, and of the row twice."""
    model_dir = write_encoder(tmp_path / "encoder")
    config: dict[str, Any] = {"kind": "interval", "labels": [], "metrics": None, "input": "text"}
    task: Task = task_from_config("years", config)
    model: Any = nlpmtl.model.MultiTaskModel.from_encoder(
        load_encoder(str(model_dir)), tasks=[task], sharing={"kind": "hard"}, input_length=16, seed=0
    )
    model.eval()
    ids = torch.tensor([[2, 9, 10, 3], [2, 11, 12, 3]])
    target = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)

    def loss(rows: list[int], weight: list[float] | None) -> float:
        part = TaskBatch(
            torch.arange(len(rows)), {"label": target[rows]}, None if weight is None else torch.tensor(weight)
        )
        batch = nlpmtl.data.Batch(ids[rows], torch.ones_like(ids[rows]), None, {"years": part})
        return float(batch_losses(model, batch, {"years": task})["years"].loss.detach())

    assert loss([0, 1], [2.0, 0.0]) == pytest.approx(loss([0, 0], None), rel=1e-5)
    assert loss([0, 1], None) == pytest.approx(loss([0], None) + loss([1], None), rel=1e-5)


def test_the_guide_gives_the_number_of_lines(plugin: ModuleType) -> None:
    guide = (EXAMPLES.parent / "docs" / "howto" / "plugins.md").read_text(encoding="utf-8")
    counts = [
        lines_of_code(getattr(plugin, name)) for name in ("Interval", "Range", "IntervalOverlap", "AttentionPooling")
    ]
    assert f"in {sum(counts)} lines of code" in guide
    described = "the task type takes {}, its column type {}, its metric {} and its head, attention pooling in plain"
    assert f"{described.format(*counts[:3])} PyTorch, {counts[3]}." in " ".join(guide.split())


def lines_of_code(member: type) -> int:
    """Return the number of lines of a class, without docstrings and blank lines."""
    source = inspect.getsource(member)
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    return sum(bool(line.strip()) for number, line in enumerate(source.splitlines(), 1) if number not in docstrings)


def test_names_of_the_first_version_are_refused(plugin: Any) -> None:
    with pytest.raises(ConfigError, match="rename `choose` to `decode`"):

        @TASKS.register("interval_of_0_1")
        class Old(plugin.Interval):  # type: ignore[misc]
            def choose(self, logits: Any) -> Any:
                return np.argmax(logits)
