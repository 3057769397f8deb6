"""Properties of runs with every registered task type, and with the plugin of `examples/`.

All types are trained in one mixture, so that each run is paid for once.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import nlpmtl
from nlpmtl import ModelError, Predictor
from nlpmtl.batched_inference import Inference
from nlpmtl.config import parse_run
from nlpmtl.data import Collator, TaskBatch
from nlpmtl.evaluation import Predictions, predict_splits
from nlpmtl.model import MultiTaskModel, batch_losses
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.task_datasets import load_split, load_task_datasets
from nlpmtl.tasks import task_from_config
from tests.further_kinds import make_datasets
from tests.tiny import interrupt, make_rows, make_run, read_json, train_tiny, weights, write_rows

EXAMPLES = Path(__file__).parents[2] / "examples"
PLUGIN = "interval"
KINDS = [*TASKS.names(), PLUGIN]
STEPS = 4
TRAIN: dict[str, Any] = {"steps": STEPS, "batch_size": 16, "lr": 1e-3, "save_every": 2, "precision": "fp64"}
LAUNCH = "import json, sys, nlpmtl; nlpmtl.train(json.loads(sys.argv[1]))"

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    registries = (COLUMN_TYPES, METRICS, TASKS)
    before = [dict(registry._members) for registry in registries]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        importlib.import_module("plugin_task")
        yield
    sys.modules.pop("plugin_task")
    for registry, members in zip(registries, before, strict=True):
        registry._members = members


def run_of(directory: Path, *, dropout: float, **train: Any) -> dict[str, Any]:
    """Return a run with a task of every kind, whose name is the kind."""
    run = make_run(directory, rows=24, dropout=dropout, train={**TRAIN, **train}, eval={"every": 2})
    kinds: set[str] = set()
    for dataset in run["datasets"].values():
        dataset["tasks"] = {options["kind"]: options for options in dataset["tasks"].values()}
        kinds |= dataset["tasks"].keys()
    further = make_datasets(directory)
    run["datasets"] |= further
    assert kinds | further.keys() == set(KINDS) - {PLUGIN}, "a new kind needs rows in `tests.further_kinds`"
    rows = [{**row, "years": f"{i % 5}-{i % 7 + 5}" if i % 4 else None} for i, row in enumerate(make_rows(40))]
    files = {split: str(write_rows(directory / f"{split}.jsonl", rows)) for split in ("train", "validation")}
    tasks = {PLUGIN: {"kind": PLUGIN, "label": "years"}}
    run["datasets"]["jobs"] = {"data": {"files": files}, "input": {"text": "text"}, "tasks": tasks}
    return {**run, "plugins": ["plugin_task"]}


@dataclass(frozen=True)
class Runs:
    """Model directories of the same run: in one go, row by row, by two processes; with dropout, and resumed."""

    whole: Path
    by_row: Path
    two_processes: Path
    with_dropout: Path
    resumed: Path
    config: Mapping[str, Any]


@pytest.fixture(scope="module")
def runs(plugin: None, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    directory = tmp_path_factory.mktemp("contract")
    run = run_of(directory, dropout=0.0)
    by_row = {**run, "train": {**run["train"], "micro_tokens": 1}}
    two_processes = {**run, "output": str(directory / "two")}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = directory / "launch.py"
    script.write_text(LAUNCH, encoding="utf-8")
    path = os.pathsep.join([str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*start, str(script), json.dumps(two_processes)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    noisy = run_of(directory / "noisy", dropout=0.1, precision="fp32")
    interrupt(noisy, directory / "resumed", step=2)
    return Runs(
        whole=train_tiny(run, directory / "whole").model_dir,
        by_row=train_tiny(by_row, directory / "by-row").model_dir,
        two_processes=directory / "two" / "model",
        with_dropout=train_tiny(noisy, directory / "with-dropout").model_dir,
        resumed=train_tiny(noisy, directory / "resumed", resume=True).model_dir,
        config=run,
    )


def difference(kind: str, first: Path, second: Path) -> float:
    """Return the largest difference of a weight in the task's head or in the encoder."""
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    names = [name for name in one if "_head." not in name or f"{kind}_head." in name]
    assert any("_head." in name for name in names) or kind == "embedding", "only its head has no weights"
    return max(float((one[name] - other[name]).abs().max()) for name in names)


def test_micro_batches_change_nothing(kind: str, runs: Runs) -> None:
    assert difference(kind, runs.whole, runs.by_row) < 1e-10


def test_two_processes_change_nothing(kind: str, runs: Runs) -> None:
    assert difference(kind, runs.whole, runs.two_processes) < 1e-10


def test_a_resumed_run_is_equal_bit_for_bit(kind: str, runs: Runs) -> None:
    assert difference(kind, runs.with_dropout, runs.resumed) == 0.0
    assert difference(kind, runs.whole, runs.with_dropout) > 1e-6


def test_the_config_of_a_task_goes_through_json(kind: str, runs: Runs) -> None:
    saved = read_json(runs.whole / "config.json")["tasks"][kind]
    task = task_from_config(kind, saved)
    assert task.to_config() == saved
    assert task_from_config(kind, json.loads(json.dumps(task.to_config()))).to_config() == saved


def test_row_weights_of_2_and_0_are_the_row_twice_and_left_out(kind: str, runs: Runs) -> None:
    config = parse_run(runs.config, where="run")
    predictor = Predictor.from_pretrained(runs.whole, dtype=torch.float64)
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    loaded = load_task_datasets(config.datasets, tokenizer=predictor.tokenizer, max_length=config.encoder.max_length)
    datasets = list(loaded.splits["train"].values())
    place, rows = next((i, rows) for i, rows in enumerate(datasets) if kind in rows.labels)
    first, second = [int(row) for row in rows.labels[kind].labelled.nonzero()[0][:2]]
    collate = Collator(datasets, pad=predictor.tokenizer.pad_token_id, types=True, words=True)

    def loss(indices: list[int], weight: list[float] | None = None) -> float:
        batch = collate([(place, row) for row in indices])
        part = batch.tasks[kind]
        if weight is not None:
            batch.tasks[kind] = TaskBatch(  # type: ignore[index]
                part.sequences,
                part.targets,
                torch.tensor(weight),
                example=part.example,
                position=part.position,
                time=part.time,
                words=part.words,
            )
        return float(batch_losses(model, batch, {kind: loaded.tasks[kind]})[kind].loss.detach())

    if loaded.tasks[kind].coupled:  # the other rows of the step matter, whatever their weight
        both = loss([first, second], [2.0, 0.0]) + loss([first, second], [0.0, 2.0])
        assert both == pytest.approx(2 * loss([first, second]), rel=1e-9)
        return
    assert loss([first, second], [2.0, 0.0]) == pytest.approx(loss([first, first]), rel=1e-9)
    assert loss([first, second]) == pytest.approx(loss([first]) + loss([second]), rel=1e-9)


TEXTS = ["a cat", "ada lives in turin", "a b c d e f g h " * 3, "it", "a good film, not a bad book.", ""]


def inputs_of(predictor: Predictor, kind: str) -> list[Any]:
    return [(text, "a lamp") for text in TEXTS] if predictor.tasks[kind].takes_pairs else list(TEXTS)


def assert_close(first: Any, second: Any) -> None:
    """Check that two predictions are equal, numbers up to rounding."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_close(first[key], second[key])
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_close(one, other)
    else:
        assert first == (pytest.approx(second, abs=1e-5) if isinstance(first, float) else second)


def test_the_size_of_a_batch_changes_no_prediction(kind: str, runs: Runs) -> None:
    predictor = Predictor.from_pretrained(runs.whole)
    inputs = inputs_of(predictor, kind)
    together = predictor.predict(inputs, task=kind)
    assert_close(together, [predictor.predict(value, task=kind) for value in inputs])
    assert_close(together, Predictor(predictor.model, predictor.tokenizer, tokens=20).predict(inputs, task=kind))
    json.dumps(together, allow_nan=False)


@pytest.fixture(scope="module")
def exported(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("onnx") / "model"
    Predictor.from_pretrained(runs.whole).export(directory, to="onnx")
    return Predictor.from_pretrained(directory)


def test_an_export_to_onnx_predicts_the_same_or_is_refused(
    kind: str, runs: Runs, exported: Predictor, tmp_path: Path
) -> None:
    predictor = Predictor.from_pretrained(runs.whole)
    if not predictor.tasks[kind].exportable:
        assert kind not in exported.tasks
        with pytest.raises(nlpmtl.ConfigError, match=f"task '{kind}' cannot be exported to ONNX"):
            predictor.export(tmp_path / "onnx", to="onnx", task=kind)
        return
    inputs = inputs_of(predictor, kind)
    assert_close(exported.predict(inputs, task=kind), predictor.predict(inputs, task=kind))


def test_an_export_to_transformers_predicts_the_same_or_is_refused(kind: str, runs: Runs, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(runs.whole)
    if predictor.tasks[kind].stock_model() is not None:
        assert predictor.export(tmp_path / "stock", task=kind) < 1e-5
    else:
        with pytest.raises(ModelError, match=f"task '{kind}' cannot be exported to transformers"):
            predictor.export(tmp_path / "stock", task=kind)


def test_a_plugin_task_is_in_scores_card_and_plots(kind: str, runs: Runs) -> None:
    task = Predictor.from_pretrained(runs.whole).tasks[kind]
    scores = read_json(runs.whole / "scores.json")
    assert {*task.metrics, "score", "rows"} <= scores["tasks"][kind].keys()
    card = (runs.whole / "README.md").read_text(encoding="utf-8")
    assert f"| `{kind}` | `{kind}` |" in card
    assert (runs.whole / "images" / f"answers-{kind}.png").is_file() == bool(task.plots)


def test_predictions_of_a_split_go_through_json(kind: str, runs: Runs) -> None:
    """As `answers.json` of a comparison keeps them; they give the same scores."""
    config = parse_run(runs.config, where="run")
    predictor = Predictor.from_pretrained(runs.whole)
    loaded = load_split(
        config.datasets, tasks=predictor.tasks, tokenizer=predictor.tokenizer, max_length=48, split="validation"
    )
    inference = Inference(predictor.model.predict_logits, pad=predictor.tokenizer.pad_token_id, types=True, tokens=200)
    predictions = predict_splits(inference, tasks=loaded.tasks, datasets=loaded.splits["validation"])
    plain = json.loads(json.dumps(predictions[kind].to_json(), allow_nan=False))
    again = Predictions.from_json(plain)
    assert (again.predicted, again.gold) == (predictions[kind].predicted, predictions[kind].gold)
    task = loaded.tasks[kind]
    scores = task.score(again.predicted, again.gold)
    saved = read_json(runs.whole / "scores.json")["tasks"][kind]
    assert scores == pytest.approx({name: saved[name] for name in scores}, abs=1e-4)
