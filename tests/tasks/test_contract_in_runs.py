"""Properties of runs with every registered task type, and with the plugin of `examples/`.

All types are trained in one mixture, so that each run is paid for once.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

import nlpmtl
from nlpmtl import ModelError, Predictor
from nlpmtl.batched_inference import Inference
from nlpmtl.config import parse_run
from nlpmtl.data import Collator, TaskBatch
from nlpmtl.evaluation import Predictions, predict_splits, score_task
from nlpmtl.model import MultiTaskModel, RowLosses, batch_losses
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.task_datasets import TaskDatasets, load_split, load_task_datasets
from nlpmtl.tasks import Task, task_from_config
from tests.further_kinds import INPUTS, make_datasets
from tests.tasks.language_datasets import language_datasets
from tests.tiny import interrupt, make_rows, make_run, read_json, train_tiny, weights, write_rows

EXAMPLES = Path(__file__).parents[2] / "examples"
PLUGIN = "interval"
VARIANTS: dict[str, dict[str, Any]] = {"crf": {"kind": "labeling", "crf": "partial"}}
"""Further tasks by their name: options that change the head of a task type."""
KINDS = [*TASKS.names(), PLUGIN, *VARIANTS]
STEPS = 4
SPLITS = ("train", "validation")
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


def run_of(directory: Path, *, dropout: float, every: int, **train: Any) -> dict[str, Any]:
    """Return a run with a task of every kind, whose name is the kind."""
    run = make_run(directory, rows=24, dropout=dropout, train={**TRAIN, **train}, eval={"every": every})
    kinds: set[str] = set()
    for dataset in run["datasets"].values():
        dataset["tasks"] = {options["kind"]: options for options in dataset["tasks"].values()}
        kinds |= dataset["tasks"].keys()
    run["datasets"] |= make_datasets(directory) | language_datasets(directory)
    kinds |= {task for dataset in run["datasets"].values() for task in dataset["tasks"]}
    assert kinds == set(KINDS) - {PLUGIN, *VARIANTS}, "a new kind needs rows in `tests.further_kinds`"
    words = run["datasets"]["words"]
    tags = words["tasks"]["labeling"]
    run["datasets"]["more_words"] = {**words, "tasks": {name: {**tags, **keys} for name, keys in VARIANTS.items()}}
    rows = [{**row, "years": f"{i % 5}-{i % 7 + 5}" if i % 4 else None} for i, row in enumerate(make_rows(40))]
    files = {split: str(write_rows(directory / f"{split}.jsonl", rows)) for split in SPLITS}
    tasks = {PLUGIN: {"kind": PLUGIN, "label": "years"}}
    run["datasets"]["jobs"] = {"data": {"files": files}, "input": {"text": "text"}, "tasks": tasks}
    return {**run, "plugins": ["plugin_task"]}


def without_validation(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run that computes the same weights, without the time of evaluations."""
    changed = copy.deepcopy(dict(run))
    for dataset in changed["datasets"].values():
        dataset.get("data", {}).get("files", {}).pop("validation", None)
    return {**changed, "eval": {}}


@pytest.fixture(scope="module")
def directory(plugin: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="module")
def config(directory: Path) -> dict[str, Any]:
    return run_of(directory, dropout=0.0, every=STEPS)


@pytest.fixture(scope="module")
def whole(directory: Path, config: dict[str, Any]) -> Path:
    """The model of the run."""
    return train_tiny(config, directory / "whole").model_dir


@pytest.fixture(scope="module")
def by_row(directory: Path, config: dict[str, Any]) -> Path:
    """The model of the run row by row, without a validation split."""
    run = {**without_validation(config), "train": {**config["train"], "micro_tokens": 1}}
    return train_tiny(run, directory / "by-row").model_dir


@pytest.fixture(scope="module")
def two_processes(directory: Path, config: dict[str, Any]) -> Path:
    """The model of the run by two processes, without a validation split."""
    run = {**without_validation(config), "output": str(directory / "two")}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = directory / "launch.py"
    script.write_text(LAUNCH, encoding="utf-8")
    path = os.pathsep.join([str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*start, str(script), json.dumps(run)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return directory / "two" / "model"


@pytest.fixture(scope="module")
def with_dropout(directory: Path) -> tuple[Path, Path]:
    """The models of a run with dropout, and of the same run after it was interrupted and resumed."""
    run = run_of(directory / "noisy", dropout=0.1, every=2, precision="fp32")
    interrupt(run, directory / "resumed", step=2)
    resumed = train_tiny(run, directory / "resumed", resume=True)
    return train_tiny(run, directory / "with-dropout").model_dir, resumed.model_dir


read_weights = lru_cache(weights)


def difference(kind: str, first: Path, second: Path) -> float:
    """Return the largest difference of a weight in the task's head or in the encoder."""
    one, other = read_weights(first), read_weights(second)
    assert one.keys() == other.keys()
    names = [name for name in one if "_head." not in name or f"{kind}_head." in name]
    assert any("_head." in name for name in names) or kind == "embedding", "only its head has no weights"
    return max(float((one[name] - other[name]).abs().max()) for name in names)


@pytest.fixture(scope="module")
def predictor(whole: Path) -> Predictor:
    return Predictor.from_pretrained(whole)


def test_micro_batches_change_nothing(kind: str, whole: Path, by_row: Path) -> None:
    assert difference(kind, whole, by_row) < 1e-10


@pytest.mark.slow
def test_two_processes_change_nothing(kind: str, whole: Path, two_processes: Path) -> None:
    assert difference(kind, whole, two_processes) < 1e-10


@pytest.mark.slow
def test_a_resumed_run_is_equal_bit_for_bit(kind: str, whole: Path, with_dropout: tuple[Path, Path]) -> None:
    uninterrupted, resumed = with_dropout
    assert difference(kind, uninterrupted, resumed) == 0.0
    assert difference(kind, whole, uninterrupted) > 1e-6


def test_the_config_of_a_task_goes_through_json(kind: str, whole: Path) -> None:
    saved = read_json(whole / "config.json")["tasks"][kind]
    task = task_from_config(kind, saved)
    assert task.to_config() == saved
    assert task_from_config(kind, json.loads(json.dumps(task.to_config()))).to_config() == saved


@pytest.fixture(scope="module")
def double(whole: Path, config: dict[str, Any]) -> tuple[MultiTaskModel, TaskDatasets]:
    """The model in double precision, and its rows."""
    parsed = parse_run(config, where="run")
    predictor = Predictor.from_pretrained(whole, dtype=torch.float64)
    assert isinstance(predictor.model, MultiTaskModel)
    length = parsed.encoder.max_length
    return predictor.model, load_task_datasets(parsed.datasets, tokenizer=predictor.tokenizer, max_length=length)


def test_row_weights_of_2_and_0_are_the_row_twice_and_left_out(
    kind: str, predictor: Predictor, double: tuple[MultiTaskModel, TaskDatasets]
) -> None:
    model, loaded = double
    datasets = list(loaded.splits["train"].values())
    place, rows = next((i, rows) for i, rows in enumerate(datasets) if kind in rows.labels)
    first, second = [int(row) for row in rows.labels[kind].labelled.nonzero()[0][:2]]
    task = loaded.tasks[kind]
    corrupt = {kind: task.corrupt} if type(task).corrupt is not Task.corrupt else {}
    names, pad = list(loaded.splits["train"]), predictor.tokenizer.pad_token_id
    collate = Collator(datasets, pad=pad, types=True, words=True, corrupt=corrupt, names=names)

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
                sequence_length=part.sequence_length,
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
    if kind == "masked_lm":
        return [f"{text} [MASK]" for text in TEXTS]
    task = predictor.tasks[kind]
    extra = {key: INPUTS[key] for key in task.extra_inputs.keys() - task.optional}
    if extra:
        rows = ({key: values[i % len(values)] for key, values in extra.items()} for i in range(len(TEXTS)))
        return [{"text": text, **row} for text, row in zip(TEXTS, rows, strict=True)]
    return [(text, "a lamp") for text in TEXTS] if task.takes_pairs else list(TEXTS)


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


def test_the_size_of_a_batch_changes_no_prediction(kind: str, predictor: Predictor) -> None:
    inputs = inputs_of(predictor, kind)
    together = predictor.predict(inputs, task=kind)
    assert_close(together, [predictor.predict(value, task=kind) for value in inputs])
    assert_close(together, Predictor(predictor.model, predictor.tokenizer, tokens=20).predict(inputs, task=kind))
    json.dumps(together, allow_nan=False)


def test_threads_get_the_predictions_that_one_thread_gets(kind: str, predictor: Predictor) -> None:
    """While other threads predict this task and another one, which has other tokenizer settings."""
    inputs, other = inputs_of(predictor, kind), "labeling" if kind != "labeling" else "classification"
    expected = [predictor.predict(value, task=kind) for value in inputs]
    others = inputs_of(predictor, other)

    def predict(number: int) -> tuple[int, Any]:
        if number % 3 == 2:
            predictor.predict(others, task=other)
        index = number % len(inputs)
        return index, predictor.predict(inputs[index], task=kind)

    with ThreadPoolExecutor(8) as threads:
        for index, prediction in threads.map(predict, range(4 * len(inputs))):
            assert prediction == expected[index]


@pytest.fixture(scope="module")
def exported(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("onnx") / "model"
    predictor.export(directory, to="onnx")
    return Predictor.from_pretrained(directory)


@pytest.mark.slow
def test_an_export_to_onnx_predicts_the_same_or_is_refused(
    kind: str, predictor: Predictor, exported: Predictor, tmp_path: Path
) -> None:
    if not predictor.tasks[kind].exportable:
        assert kind not in exported.tasks
        with pytest.raises(nlpmtl.ConfigError, match=f"task '{kind}' cannot be exported to ONNX"):
            predictor.export(tmp_path / "onnx", to="onnx", task=kind)
        return
    inputs = inputs_of(predictor, kind)
    assert_close(exported.predict(inputs, task=kind), predictor.predict(inputs, task=kind))


def test_an_export_to_transformers_predicts_the_same_or_is_refused(
    kind: str, predictor: Predictor, tmp_path: Path
) -> None:
    if predictor.tasks[kind].stock_model() is not None:
        assert predictor.export(tmp_path / "stock", task=kind) < 1e-5
    else:
        with pytest.raises(ModelError, match=f"task '{kind}' cannot be exported to transformers"):
            predictor.export(tmp_path / "stock", task=kind)


def test_a_plugin_task_is_in_scores_card_and_plots(kind: str, whole: Path, predictor: Predictor) -> None:
    task = predictor.tasks[kind]
    scores = read_json(whole / "scores.json")
    assert {*task.metrics, "score", "rows"} <= scores["tasks"][kind].keys()
    card = (whole / "README.md").read_text(encoding="utf-8")
    assert f"| `{kind}` | `{VARIANTS.get(kind, {'kind': kind})['kind']}` |" in card
    assert (whole / "images" / f"answers-{kind}.png").is_file() == bool(task.plots)


@pytest.fixture(scope="module")
def validation(config: dict[str, Any], predictor: Predictor) -> Callable[[str], tuple[Task, Predictions]]:
    """The predictions of a task for its validation split."""
    loaded = load_split(
        parse_run(config, where="run").datasets,
        tasks=predictor.tasks,
        tokenizer=predictor.tokenizer,
        max_length=48,
        split="validation",
    )
    pad = predictor.tokenizer.pad_token_id
    inference = Inference(predictor.model.predict_logits, pad=pad, types=True, tokens=200)
    assert isinstance(predictor.model, MultiTaskModel)
    losses = RowLosses(predictor.model, loaded.tasks, pad=pad, types=True, tokens=200).run
    predictions = predict_splits(inference, tasks=loaded.tasks, datasets=loaded.splits["validation"], losses=losses)
    return lambda kind: (loaded.tasks[kind], predictions[kind])


def test_predictions_of_a_split_go_through_json(
    kind: str, whole: Path, validation: Callable[[str], tuple[Task, Predictions]]
) -> None:
    """As `answers.json` of a comparison keeps them; they give the same scores."""
    task, predictions = validation(kind)
    plain = json.loads(json.dumps(predictions.to_json(), allow_nan=False))
    again = Predictions.from_json(plain)
    assert (again.predicted, again.gold) == (predictions.predicted, predictions.gold)
    scores = score_task(task, again)
    saved = read_json(whole / "scores.json")["tasks"][kind]
    assert scores == pytest.approx({name: saved[name] for name in scores}, abs=1e-4)
