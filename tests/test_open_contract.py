"""Task types of every shape that the contract allows train, resume, evaluate and predict in one mixture."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nlpmtl
from nlpmtl import ConfigError, DataError, Predictor, evaluate_saved
from nlpmtl.comparison.experiment_plan import single_task_config
from nlpmtl.hub import load_model
from nlpmtl.preflight import check
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.run import load_config
from nlpmtl.training import read_lines
from tests.tiny import Trained, break_tokenizer, interrupt, max_weight_difference, read_json, train_tiny, write_encoder

pytestmark = pytest.mark.slow  # tests/tasks/test_contract_in_runs.py has the same properties of every built-in type

PLUGIN = "tests.open_types"
NOUNS, VERBS = ["cat", "dog", "bird", "film"], ["sings", "runs", "sleeps"]
STEPS = 24


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    registries = (COLUMN_TYPES, METRICS, TASKS)
    before = [dict(registry._members) for registry in registries]
    importlib.import_module(PLUGIN)
    yield
    for name in [name for name in sys.modules if name.startswith(PLUGIN)]:
        sys.modules.pop(name)
    for registry, members in zip(registries, before, strict=True):
        registry._members = members


def make_datasets(count: int, *, seed: int) -> dict[str, tuple[list[dict[str, Any]], dict[str, str], dict[str, Any]]]:
    """Return for each dataset its rows, its input columns and its task."""
    rng = random.Random(seed)

    def sentence() -> str:
        return f"the {rng.choice(NOUNS)} {rng.choice(VERBS)} in the {rng.choice(NOUNS)}"

    sentences = [[sentence() for _ in range(3)] for _ in range(count)]
    answers = [rng.choice(NOUNS) for _ in range(count)]
    return {
        "choice": (
            [
                {"text": texts[i % 3], "choices": texts[: 2 + i % 2], "label": i % 2}
                for i, texts in enumerate(sentences)
            ],
            {"text": "text", "choices": "choices"},
            {"kind": "toy_choice", "label": "label"},
        ),
        "answers": (
            [
                {"question": f"a {answer}", "context": (text := " . ".join(texts)), "answer": answer * (answer in text)}
                for answer, texts in zip(answers, sentences, strict=True)
            ],
            {"text": "question", "pair": "context"},
            {"kind": "toy_answers", "label": "answer"},
        ),
        "embedding": (
            [
                {"a": texts[0], "b": texts[0].replace("the", "a"), "negatives": texts[1 : 1 + i % 3] or None}
                for i, texts in enumerate(sentences)
            ],
            {"text": "a", "pair": "b", "negatives": "negatives"},
            {"kind": "toy_embedding"},
        ),
        "parsing": (
            [
                {
                    "words": texts[0].split(),
                    "heads": [2, 3, 0, 6, 6, 3],
                    "deprels": ["det", "nsubj", "root", "case", "det", "obl"],
                }
                for texts in sentences
            ],
            {"words": "words"},
            {"kind": "toy_parsing", "heads": "heads", "deprels": "deprels"},
        ),
        "texts": (
            [{"text": texts[0], "last": texts[0].split()[-1]} for texts in sentences],
            {"text": "text"},
            {"kind": "classification", "label": "last"},
        ),
        "generation": (
            [{"text": texts[0], "target": " ".join(reversed(texts[0].split()))} for texts in sentences],
            {"text": "text"},
            {"kind": "toy_generation", "target": "target"},
        ),
    }


def make_run(directory: Path, *, dropout: float = 0.1, **train: Any) -> dict[str, Any]:
    """Return a run with a task of each type."""
    rows, validation = make_datasets(24, seed=0), make_datasets(8, seed=1)
    datasets: dict[str, Any] = {
        name: {
            "data": {"files": {"train": rows[name][0], "validation": validation[name][0]}},
            "input": columns,
            "tasks": {name: task},
        }
        for name, (_, columns, task) in rows.items()
    }
    datasets["texts"]["tasks"]["masked"] = {"kind": "toy_masked"}
    return {
        "seed": 3,
        "output": str(directory / "run"),
        "plugins": [PLUGIN],
        "encoder": {"name": str(write_encoder(directory / "encoder", dropout=dropout)), "max_length": 12},
        "datasets": datasets,
        "train": {"steps": STEPS, "batch_size": 24, "lr": 2e-3, "save_every": 8, "precision": "fp32", **train},
        "eval": {"every": 8},
    }


@pytest.fixture(scope="module")
def trained(plugin: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(make_run(tmp_path_factory.mktemp("open"), micro_tokens=200))


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor.from_pretrained(trained.model_dir)


def test_every_task_learns_and_is_scored(trained: Trained) -> None:
    lines = [json.loads(line) for line in (trained.output / "metrics.jsonl").read_text().splitlines()]
    losses: dict[str, list[float]] = {}
    for line in lines:
        for task, loss in line["losses"].items():
            losses.setdefault(task, []).append(loss)
    assert len(losses) == 7
    for task in losses.keys() - {"choice", "answers"}:  # which need more steps
        assert np.mean(losses[task][-6:]) < np.mean(losses[task][:6]), task
    assert trained.result.scores is not None
    assert set(trained.result.scores.tasks) == losses.keys()
    assert set(trained.result.scores["masked"]) == {"perplexity", "score", "rows"}, "it has no gold labels"


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(trained: Trained, tmp_path: Path) -> None:
    interrupt(trained.run, tmp_path / "resumed", step=16)
    train_tiny(trained.run, tmp_path / "resumed", resume=True)
    assert max_weight_difference(trained.model_dir, tmp_path / "resumed" / "model") == 0


@pytest.mark.slow
def test_the_size_of_micro_batches_changes_nothing(tmp_path: Path) -> None:
    """Without dropout, which depends on micro-batches, and in double precision."""
    for name, tokens in (("rows", 1), ("few", 60), ("step", 100_000)):
        run = make_run(tmp_path, dropout=0.0, precision="fp64", micro_tokens=tokens, steps=3)
        train_tiny(run, tmp_path / name)
    for name in ("few", "step"):
        assert max_weight_difference(tmp_path / "rows" / "model", tmp_path / name / "model") < 1e-9


LOSSES = {"choice": "loss", "answers": "loss", "parsing": "loss", "generation": "perplexity", "masked": "perplexity"}


@pytest.fixture(scope="module")
def scored_by_loss(plugin: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    run = make_run(tmp_path_factory.mktemp("losses"), steps=16)
    run["eval"]["select"] = "masked"
    for name, dataset in run["datasets"].items():
        if name in LOSSES:
            dataset["tasks"][name]["metrics"] = [LOSSES[name]]
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(TASKS.get("toy_generation"), "decode")  # which is not called
        patch.setattr(TASKS.get("toy_generation"), "__abstractmethods__", frozenset())
        return train_tiny(run)


def test_every_type_without_a_coupled_loss_can_be_scored_by_it(scored_by_loss: Trained) -> None:
    """In training, at the end of the run, and of the saved model, whatever the batch size and the dataset's name."""
    scores, run = scored_by_loss.result.scores, scored_by_loss.run
    assert scores is not None
    evaluations = read_lines(scored_by_loss.output / "evaluations.jsonl")
    best = max(evaluations, key=lambda line: line["tasks"]["masked"]["score"])
    renamed = {f"other_{name}": dataset for name, dataset in run["datasets"].items()}
    again = nlpmtl.evaluate(scored_by_loss.model_dir, {**run, "datasets": renamed, "seed": 4})
    for task, metric in LOSSES.items():
        assert scores[task].keys() == {metric, "score", "rows"}
        assert float(scores[task][metric] or 0) > 0
        assert again[task] == pytest.approx(scores[task], rel=1e-5)
        assert best["tasks"][task] == pytest.approx(scores[task], rel=1e-5)
    assert "failures" not in read_json(scored_by_loss.output / "run.json")


def test_losses_do_not_depend_on_batches(scored_by_loss: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    values = []
    for tokens in (1, 100, 100_000):
        monkeypatch.setattr(evaluate_saved, "max_batch_tokens", lambda device, tokens=tokens: tokens)
        data = {**scored_by_loss.run, "eval": {}}
        scores = nlpmtl.evaluate(scored_by_loss.model_dir, data, device="cpu", dtype=torch.float64)
        values.append({task: scores[task][metric] for task, metric in LOSSES.items()})
    assert values[1] == pytest.approx(values[0], rel=1e-9)
    assert values[2] == pytest.approx(values[0], rel=1e-9)


@pytest.mark.parametrize(
    ("dataset", "task", "metrics", "message"),
    [
        (
            "embedding",
            "embedding",
            ["loss"],
            "'loss' is not defined for the task type 'toy_embedding', because its loss",
        ),
        ("texts", "masked", ["toy_equal"], "compares predictions with gold labels, and the task type 'toy_masked' has"),
        (
            "choice",
            "choice",
            ["accuracy"],
            "'accuracy' scores predictions of type label or label_set, found toy_choice",
        ),
        ("choice", "choice", ["los"], "unknown metric 'los'; did you mean 'loss'"),
    ],
)
def test_metrics_are_checked_before_the_encoder_is_loaded(
    tmp_path: Path, dataset: str, task: str, metrics: list[str], message: str
) -> None:
    run = make_run(tmp_path)
    run["datasets"][dataset]["tasks"][task]["metrics"] = metrics
    run["encoder"]["name"] = "no/such-encoder"
    with pytest.raises(ConfigError, match=message):
        train_tiny(run)


def test_a_type_without_metrics_needs_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS.get("toy_generation"), "metrics", ())
    run = make_run(tmp_path)
    run["encoder"]["name"] = "no/such-encoder"
    with pytest.raises(ConfigError, match="task 'generation': the task type 'toy_generation' has no default metrics"):
        train_tiny(run)


INPUTS: dict[str, list[Any]] = {
    "choice": [
        {"text": "the cat", "choices": ["the cat sings", "a dog"]},
        {"text": "a dog", "choices": ["the film runs in the film", "a dog", "the bird sleeps"]},
    ],
    "answers": [("a cat", "the cat sings in the film . " * 4), ("a dog", "")],
    "embedding": ["the cat sings", "a dog runs in the film"],
    "parsing": [{"words": ["the", "cat", "sings"]}, {"words": ["a"]}],
    "texts": ["the cat sings in the film", "a dog"],
    "masked": ["the [MASK] sings", "a [MASK] in the [MASK]"],
    "generation": ["the cat sings", "a"],
}


@pytest.mark.parametrize("task", INPUTS)
def test_predictions_are_the_same_with_and_without_other_inputs(predictor: Predictor, task: str) -> None:
    together = predictor.predict(INPUTS[task] * 20, task=task)
    for value, prediction in zip(INPUTS[task], together, strict=False):
        assert _round(predictor.predict(value, task=task)) == _round(prediction)


def _round(value: Any) -> Any:
    """Return a value whose numbers are rounded, as the batch changes the last bits of a score."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _round(part) for key, part in value.items()}
    return [_round(part) for part in value] if isinstance(value, list) else value


def test_predictions_have_the_format_of_their_type(predictor: Predictor) -> None:
    choice = predictor.predict(INPUTS["choice"][1], task="choice")
    assert choice["label"] == INPUTS["choice"][1]["choices"][choice["index"]]
    answer = predictor.predict(INPUTS["answers"][0], task="answers")
    assert answer["answer"] == INPUTS["answers"][0][1][answer["start"] : answer["end"]]
    assert len(predictor.predict("the cat", task="embedding")) == 32
    assert [word["word"] for word in predictor.predict(INPUTS["parsing"][0], task="parsing")] == ["the", "cat", "sings"]
    assert len(predictor.predict("a [MASK] in the [MASK]", task="masked")) == 2
    assert isinstance(predictor.predict("the cat", task="generation")["generated_text"], str)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_further_input_that_the_tokenizer_cannot_encode_is_named(trained: Trained, tmp_path: Path) -> None:
    model = break_tokenizer(shutil.copytree(trained.model_dir, tmp_path / "model"))
    inputs = [INPUTS["choice"][0], {"text": "a dog", "choices": ["a dog", "caf\u00e9"]}]
    with pytest.raises(DataError, match=r"^input 2: the encoder's tokenizer fails for this row"):
        Predictor.from_pretrained(model).predict(inputs, task="choice")


def test_an_input_is_read_by_the_tasks_that_can(predictor: Predictor) -> None:
    assert predictor.predict_all("the cat sings").keys() == {"embedding", "parsing", "texts"}
    assert predictor.predict_all(("a cat", "the cat")).keys() == {"answers"}
    with pytest.raises(ConfigError, match="`choices`"):
        predictor.predict("the cat", task="choice")


def test_tasks_that_must_be_named_are_listed(trained: Trained) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    model.tasks = {name: model.tasks[name] for name in ("masked", "generation")}
    with pytest.raises(ConfigError, match=r"must be requested by name, .*: masked, generation"):
        Predictor(model, tokenizer).predict_all("the cat")
    assert Predictor(model, tokenizer).predict_all("the [MASK]", tasks=["masked"]).keys() == {"masked"}


def test_rows_that_break_a_rule_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run["datasets"]["choice"]["data"]["files"]["train"][4]["label"] = 7
    with pytest.raises(Exception, match=r"row 5.*label.*the index of a choice was expected"):
        train_tiny(run)


def test_check_counts_the_rows_of_which_a_task_reads_a_truncated_sequence(tmp_path: Path) -> None:
    """The pairs of two of these datasets are longer than the limit, but each text by itself or each window is not."""
    cut = {report.dataset: report.cut for report in check(make_run(tmp_path)).splits if report.split == "train"}
    assert (cut["embedding"], cut["answers"]) == (0, 0)


def test_training_continues_from_a_model_with_these_tasks(trained: Trained, tmp_path: Path) -> None:
    run = {**trained.run, "encoder": {"name": str(trained.model_dir), "max_length": 12}}
    continued = train_tiny({**run, "train": {**run["train"], "steps": 1}, "eval": {}}, tmp_path / "continued")
    assert max_weight_difference(trained.model_dir, continued.model_dir) < 0.1


def test_a_single_task_run_has_only_the_further_inputs_of_its_task(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run["datasets"]["choice"]["tasks"]["plain"] = {"kind": "classification", "label": "label"}
    config, rows = load_config(run), dict.fromkeys(run["datasets"], 24)
    columns = {
        task: single_task_config(config, task=task, rows=rows).datasets["choice"].input.extra
        for task in ("choice", "plain")
    }
    assert columns == {"choice": {"choices": "choices"}, "plain": {}}
