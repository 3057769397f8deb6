"""Wrong rows, likely label errors, reliability and confidence intervals."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl.data import Example, Input, Ragged, TokenizedSplit, Tokens
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions, score_task
from nlpmtl.prediction_analysis import PredictionAnalysis, score_intervals, write_errors
from nlpmtl.tasks import ExampleOutputs, Prediction, Task, task_from_config

LABELS = ["a", "b", "c"]
SPLIT = TokenizedSplit(Tokens(Ragged.pack([[1]] * 300)), where="rows.jsonl", separator=":")


def classification(**values: Any) -> Task:
    config = {"kind": "classification", "labels": LABELS, "metrics": ["accuracy"], "input": "text", **values}
    return task_from_config("topic", config)


def observe(
    analysis: PredictionAnalysis,
    probabilities: Sequence[Sequence[float]],
    gold: Sequence[str],
    *,
    dataset: str = "d",
    first: int = 0,
) -> None:
    predictions = [
        Prediction(LABELS[int(np.argmax(row))], float(max(row)), extra=np.array(row)) for row in probabilities
    ]
    rows = list(range(first, first + len(gold)))
    texts = [f'text {row}, "quoted"\nnext line' for row in rows]
    items = [ExampleOutputs(Example(Input(text, pair="é\rè")), [], {}) for text in texts]
    analysis(classification(), dataset=dataset, split=SPLIT, rows=rows, items=items, predictions=predictions, gold=gold)


def test_wrong_rows_are_sorted_by_confidence() -> None:
    analysis = PredictionAnalysis()
    observe(analysis, [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.05, 0.9, 0.05], [0.4, 0.3, 0.3]], ["b", "b", "c", "c"])
    wrong = analysis.wrong_rows("topic")
    assert [(row.place, row.gold, row.predicted, row.confidence) for row in wrong] == [
        ("rows.jsonl:2", "c", "b", 0.9),
        ("rows.jsonl:0", "b", "a", 0.6),
        ("rows.jsonl:3", "c", "a", 0.4),
    ]
    assert all(row.label_error is None for row in wrong), "there are too few rows, or cleanlab is not installed"
    assert analysis.wrong_rows("unknown") == []


def test_the_order_does_not_depend_on_the_batches() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 1, 1], size=60).round(1).tolist()
    gold = [LABELS[i] for i in generator.integers(3, size=60)]
    at_once, in_parts = PredictionAnalysis(), PredictionAnalysis()
    observe(at_once, probabilities, gold)
    for start in (40, 0, 20):
        observe(in_parts, probabilities[start : start + 20], gold[start : start + 20], first=start)
    assert at_once.wrong_rows("topic") == in_parts.wrong_rows("topic")


def test_reliability_has_the_confidence_of_each_prediction() -> None:
    analysis = PredictionAnalysis()
    observe(analysis, [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], ["b", "b"])
    reliability = analysis.reliability("topic")
    assert reliability is not None
    assert (reliability[0].tolist(), reliability[1].tolist()) == ([0.6, 0.8], [False, True])
    assert analysis.reliability("unknown") is None


def test_a_task_type_that_raises_is_recorded_and_other_tasks_go_on() -> None:
    class Broken(type(classification())):  # type: ignore[misc]
        kind = "broken"

        def row_error(self, prediction: Prediction, gold: Any, example: Example) -> Any:
            raise ZeroDivisionError("no row today")

    analysis, example = PredictionAnalysis(), Example(Input("a"))
    broken = Broken(name="broken", labels=("a", "b"), input="text")
    for _ in range(2):
        analysis(
            broken,
            dataset="d",
            split=SPLIT,
            rows=[0],
            items=[ExampleOutputs(example, [], {})],
            predictions=[Prediction("a", 0.5, extra=np.array([0.5, 0.5]))],
            gold=["b"],
        )
    observe(analysis, [[0.6, 0.3, 0.1]], ["b"])
    assert len(analysis.wrong_rows("topic")) == 1
    assert str(analysis.failures["broken"]) == "no row today"
    assert analysis.reliability("broken") is None, "not from the rows before the failure"
    with pytest.raises(RunError, match="the wrong rows of task 'broken' cannot be listed: ZeroDivisionError: no row"):
        write_errors(Path("never.csv"), analysis, tasks={"broken": broken})


def planted(count: int) -> tuple[list[list[float]], list[str], set[int]]:
    """Return confident probabilities, gold labels, and the rows whose gold label was changed."""
    generator = np.random.default_rng(0)
    true = generator.integers(3, size=count)
    probabilities = np.full((count, 3), 0.02)
    probabilities[np.arange(count), true] = 0.96
    changed = set(generator.choice(count, size=count // 20, replace=False).tolist())
    gold = [LABELS[(label + 1) % 3] if row in changed else LABELS[label] for row, label in enumerate(true)]
    return probabilities.tolist(), gold, changed


def test_planted_label_errors_are_found_with_cleanlab() -> None:
    pytest.importorskip("cleanlab")
    analysis, (probabilities, gold, changed) = PredictionAnalysis(), planted(200)
    for start in (100, 0):
        observe(analysis, probabilities[start : start + 100], gold[start : start + 100], first=start)
    wrong = analysis.wrong_rows("topic")
    assert {int(row.place.split(":")[1]) for row in wrong if row.label_error} == changed
    assert [row.label_error for row in wrong] == sorted((bool(row.label_error) for row in wrong), reverse=True)


def test_a_model_that_always_predicts_one_label_marks_no_label_errors() -> None:
    pytest.importorskip("cleanlab")
    generator = np.random.default_rng(0)
    analysis, (_, gold, _) = PredictionAnalysis(), planted(200)
    most_frequent = np.eye(3)[LABELS.index(max(LABELS, key=gold.count))]
    noise = generator.uniform(0, 0.01, size=(200, 3))
    probabilities = 0.3 + 0.1 * most_frequent + noise
    observe(analysis, (probabilities / probabilities.sum(axis=1, keepdims=True)).tolist(), gold)
    assert {row.label_error for row in analysis.wrong_rows("topic")} == {None}


def test_errors_csv_has_every_wrong_row_and_is_read_back(tmp_path: Path) -> None:
    analysis = PredictionAnalysis()
    observe(analysis, [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]] * 120, ["b", "a"] * 120)
    path = tmp_path / "new" / "errors.csv"
    assert write_errors(path, analysis, tasks={"topic": classification()}) == f"{path}: wrong rows: topic 240"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 240
    assert rows[0] == {
        "task": "topic",
        "dataset": "d",
        "row": "rows.jsonl:1",
        "text": 'text 1, "quoted"\nnext line',
        "pair": "é\rè",
        "gold": "a",
        "predicted": "b",
        "confidence": "0.8",
        "label_error": rows[0]["label_error"],
    }
    with pytest.raises(RunError, match="cannot be written"):
        write_errors(path / "below-a-file.csv", analysis, tasks={})


def test_intervals_cover_the_value_and_narrow_with_the_rows() -> None:
    generator, task = np.random.default_rng(0), classification()
    widths = []
    for rows in (50, 400, 4000):
        gold = [LABELS[i] for i in generator.integers(3, size=rows)]
        predicted = [label if generator.random() < 0.8 else "a" for label in gold]
        predictions = Predictions(LABELS, predicted, gold)
        intervals = score_intervals(task, predictions)
        value = score_task(task, predictions)["accuracy"]
        assert value is not None
        low, high = intervals["accuracy"]
        assert low < value < high
        binomial = 2 * 1.96 * np.sqrt(value * (1 - value) / rows)
        assert high - low == pytest.approx(binomial, rel=0.3)
        widths.append(high - low)
        assert score_intervals(task, predictions) == intervals
    assert widths == sorted(widths, reverse=True)


def test_intervals_of_one_row_and_of_undefined_metrics() -> None:
    task = classification(metrics=["accuracy", "matthews_correlation"])
    assert score_intervals(task, Predictions(LABELS, ["a"], ["a"])) == {}
    intervals = score_intervals(task, Predictions(LABELS, ["a"] * 5, ["a"] * 5))
    assert intervals["accuracy"] == (1.0, 1.0)
