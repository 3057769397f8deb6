"""The metrics `loss` and `perplexity` of every built-in task type, in runs and of saved models."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import nlpmtl
from nlpmtl import evaluate_saved
from nlpmtl.comparison.run_summary import RunSummary
from nlpmtl.evaluation import Predictions
from tests.tiny import Trained, make_rows, make_run, read_json, train_tiny, write_rows

METRICS = {
    "topic": ["accuracy", "loss"],
    "mood": ["loss"],
    "places": ["perplexity", "span_f1"],
    "grade": ["mae", "loss"],
    "kinds": ["perplexity"],
}
LOSSES = {(task, name) for task, names in METRICS.items() for name in names if name in ("loss", "perplexity")}


def with_metrics(run: dict[str, Any]) -> dict[str, Any]:
    for dataset in run["datasets"].values():
        for name, task in dataset["tasks"].items():
            task["metrics"] = METRICS[name]
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    run = with_metrics(make_run(tmp_path_factory.mktemp("losses"), eval={"every": 2, "select": "mood"}))
    topic = run["datasets"]["words"]["tasks"]["topic"]
    topic |= {"label_smoothing": 0.3, "class_weights": {"animals": 9.0}}
    run["train"] |= {"precision": "fp32", "lr": 5e-2}
    return train_tiny(run)


def test_every_task_has_its_metrics(trained: Trained) -> None:
    scores = trained.result.scores
    assert scores is not None
    assert {task: list(values) for task, values in scores.tasks.items()} == {
        task: [*names, "score", "rows"] for task, names in METRICS.items()
    }
    topic, mood, places, grade, kinds = (scores[name] for name in ("topic", "mood", "places", "grade", "kinds"))
    assert topic["score"] == topic["accuracy"], "the first metric"
    assert mood["score"] == -float(mood["loss"] or 0)
    assert places["score"] == pytest.approx(-math.log(places["perplexity"] or 1))
    assert grade["score"] == -float(grade["mae"] or 0)
    assert kinds["score"] == pytest.approx(-math.log(kinds["perplexity"] or 1))


def test_the_smallest_loss_selects_the_best_checkpoint(trained: Trained) -> None:
    lines = [json.loads(line) for line in (trained.output / "evaluations.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["tasks"]["mood"]["loss"] for line in lines}
    assert len(set(losses.values())) == 4
    assert read_json(trained.output / "scores.json")["step"] == min(losses, key=lambda step: losses[step])


def test_a_saved_model_has_the_losses_of_the_run(trained: Trained) -> None:
    """Also of a task with class weights and label smoothing, which are not saved: they are for training only."""
    scores = nlpmtl.evaluate(trained.model_dir, trained.run)
    assert trained.result.scores is not None
    for task, values in trained.result.scores.tasks.items():
        assert scores[task] == pytest.approx(values, rel=1e-5), task


@pytest.mark.slow
def test_the_batch_size_changes_nothing(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for tokens in (1, 50, 100_000):
        monkeypatch.setattr(evaluate_saved, "max_batch_tokens", lambda device, tokens=tokens: tokens)
        scores = nlpmtl.evaluate(trained.model_dir, trained.run, device="cpu", dtype=torch.float64)
        results.append({(task, name): scores[task][name] for task, name in LOSSES})
    assert results[1] == pytest.approx(results[0], rel=1e-9)
    assert results[2] == pytest.approx(results[0], rel=1e-9)


def test_weights_of_rows_are_not_in_metrics(trained: Trained) -> None:
    """Also where the train split is evaluated, the rows of which are weighted in training."""
    weighted = copy.deepcopy(trained.run)
    weighted["datasets"]["words"]["tasks"]["mood"]["weight"] = "grade"
    with_weights, without = (nlpmtl.evaluate(trained.model_dir, run, split="train") for run in (weighted, trained.run))
    assert with_weights["mood"] == without["mood"]


def test_rows_with_unknown_labels_have_no_loss(trained: Trained, tmp_path: Path) -> None:
    """The predictions for them are scored, as wrong."""
    rows = [{key: value for key, value in row.items() if value is not None} for row in make_rows(12, seed=7)]
    unknown = [
        {**row, "topic": "unknown", "kinds": ["x", "unknown"], "tags": ["B-unknown"] * len(row["tokens"])}
        for row in make_rows(5, seed=8)
    ]
    scores = []
    for name, part in (("known", rows), ("both", [*rows[:4], *unknown, *rows[4:]])):
        data = copy.deepcopy({**trained.run, "eval": {}})
        del data["datasets"]["pairs"], data["datasets"]["words"]["tasks"]["mood"]
        path = str(write_rows(tmp_path / f"{name}.jsonl", part))
        for dataset in data["datasets"].values():
            dataset["data"] = {"files": {"train": path, "validation": path}}
        scores.append(nlpmtl.evaluate(trained.model_dir, data))
    known, both = scores
    assert int(both["topic"]["rows"] or 0) == int(known["topic"]["rows"] or 0) + len(unknown)
    assert both["kinds"]["rows"] == known["kinds"]["rows"], "a task that is scored by its loss only"
    for task, metric in (("topic", "loss"), ("places", "perplexity"), ("kinds", "perplexity")):
        assert both[task][metric] == pytest.approx(known[task][metric], rel=1e-5)


def test_predictions_and_losses_are_in_the_result(trained: Trained) -> None:
    topic, mood = (trained.result.predictions[name] for name in ("topic", "mood"))
    assert set(topic.predicted) <= {"animals", "things", "places"}
    assert len(topic.losses) == len(topic.items) == len(topic.predicted)
    assert set(mood.predicted) == set(mood.gold) == {None}, "its only metric is the loss"
    for predictions in trained.result.predictions.values():
        assert Predictions.from_json(json.loads(json.dumps(predictions.to_json()))) == predictions


def test_the_card_and_the_plots_are_complete(trained: Trained) -> None:
    assert "failures" not in read_json(trained.output / "run.json")
    card = (trained.model_dir / "README.md").read_text(encoding="utf-8")
    assert "| `kinds` | `perplexity` |" in card
    plots = {path.stem for path in (trained.model_dir / "images").iterdir()}
    assert "answers-topic" in plots
    assert "answers-mood" not in plots


@pytest.mark.slow
def test_losses_can_be_compared(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=20)
    del run["datasets"]["words"], run["train"]["save_every"]
    with_metrics(run)["train"]["steps"] = 2
    result = nlpmtl.compare(run, output=tmp_path / "compare", seeds=1)
    for task in ("grade", "kinds"):
        interval = result[task].interval
        assert interval is not None
        assert interval[0] <= result[task].difference <= interval[1]
        assert result[task].rows > 0
    for path in (tmp_path / "compare").rglob("answers.json"):
        summary = RunSummary.from_json(read_json(path))
        assert all(predictions.losses for predictions in summary.predictions.values())
