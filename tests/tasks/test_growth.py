"""Scoring and calibration compared with plain implementations of their formulas, on random inputs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import matthews_corrcoef

from nlpmtl.data import Example, TokenSequence, column_type, to_input
from nlpmtl.metrics import Metric
from nlpmtl.metrics.f1 import MacroF1
from nlpmtl.plots import describe_predictions, draw_predictions
from nlpmtl.registry import METRICS
from nlpmtl.tasks import Classification, Multilabel, SpanExtraction
from nlpmtl.tasks.calibration import best_threshold
from nlpmtl.tasks.error_analysis import LabelCounts
from nlpmtl.tasks.parsing import Parsing
from nlpmtl.tasks.span_labels import count_spans
from tests.tasks.kinds import analyse, ids_of, items_of, named, score

LABELS = [f"label {i}" for i in range(7)]
SOURCE = np.random.default_rng(3)


def multilabel(metrics: Sequence[str] = ("micro_f1", "macro_f1", "accuracy")) -> Multilabel:
    return Multilabel(name="t", labels=LABELS, metrics=list(metrics), input="text")


def sets(rows: int, width: int, *, share: float) -> list[list[int]]:
    return [np.flatnonzero(SOURCE.random(width) < share).tolist() for _ in range(rows)]


def f1(predicted: Sequence[bool], gold: Sequence[bool]) -> float:
    both = sum(predicted) + sum(gold)
    return 2 * sum(p and g for p, g in zip(predicted, gold, strict=True)) / both if both else 0.0


@pytest.mark.parametrize("share", [0.0, 0.05, 0.4, 1.0])
def test_multilabel_scores(share: float) -> None:
    """Two labels are unknown to the task, such as labels of another split."""
    for rows in (1, 2, 30):
        drawn = named([*LABELS, "unknown", "other"], sets(rows, len(LABELS) + 2, share=share))
        names = list(dict.fromkeys([*LABELS, *(name for row in drawn for name in row)]))
        predicted, gold = sets(rows, len(LABELS), share=share), [[names.index(name) for name in row] for row in drawn]
        hot = [[[i in label_set for i in range(len(names))] for label_set in side] for side in (predicted, gold)]
        columns = [list(zip(*side, strict=True)) for side in hot]
        flat = [[value for row in side for value in row] for side in hot]
        macro = float(np.mean([f1(*column) for column in zip(*columns, strict=True)]))
        accuracy = float(np.mean([p == g for p, g in zip(*hot, strict=True)]))
        expected = {"micro_f1": f1(*flat), "macro_f1": macro, "accuracy": accuracy}
        scores = score(multilabel(), predicted=predicted, gold=gold, names=names)
        assert {name: scores[name] for name in expected} == expected
        counted = analyse(multilabel(), predicted=predicted, gold=gold, names=names)
        assert isinstance(counted, LabelCounts)
        pairs = [list(zip(*column, strict=True)) for column in zip(*columns, strict=True)]
        assert counted.true_positives.tolist() == [sum(p and g for p, g in column) for column in pairs]
        assert counted.false_negatives.tolist() == [sum(g and not p for p, g in column) for column in pairs]
        assert counted.false_positives.tolist() == [sum(p and not g for p, g in column) for column in pairs]


def test_thousands_of_rows_and_labels_are_scored() -> None:
    """A pass over all labels per predicted label would take many minutes."""
    labels = [f"label {i}" for i in range(4000)]
    task = Multilabel(name="t", labels=labels, metrics=["micro_f1", "accuracy"], input="text")
    rows = [sorted({i, (7 * i + 1) % 4000, (31 * i + 5) % 4000}) for i in range(4000)]
    scores = score(task, predicted=rows, gold=rows, names=labels)
    assert (scores["micro_f1"], scores["accuracy"]) == (1.0, 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_plots")
def test_a_class_of_20000_labels_is_scored_and_analysed_in_little_memory() -> None:
    """A confusion matrix with its zeros would take 3.2 GB."""
    labels = [f"label {i}" for i in range(20_000)]
    task = Classification(name="t", labels=labels, metrics=["matthews_correlation", "macro_f1"], input="text")
    gold = SOURCE.integers(0, len(labels), 2000)
    predicted = np.where(np.arange(2000) % 4 == 0, (gold + 1) % len(labels), gold)
    tracemalloc.start()
    try:
        scores = task.score([labels[i] for i in predicted], [labels[i] for i in gold])
        counted = task.error_analysis([labels[i] for i in predicted], [labels[i] for i in gold])
        assert counted is not None
        draw_predictions("t", counted)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
    assert scores["matthews_correlation"] == matthews_corrcoef(gold, predicted)
    assert "1,500 of 2,000 rows correct" in describe_predictions("t", counted)


def test_macro_f1_of_single_labels() -> None:
    for rows in (1, 3, 50):
        predicted, gold = SOURCE.integers(0, 6, (2, rows)).tolist()
        classes = sorted({*predicted, *gold})
        expected = float(np.mean([f1([p == c for p in predicted], [g == c for g in gold]) for c in classes]))
        assert MacroF1(reads_as="label").score(predicted, gold) == expected


def test_a_metric_of_a_plugin_still_gets_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Listed(Metric):
        name = "listed"
        reads = frozenset({"label_set"})

        def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
            shown.append((predictions, references))
            return 0.25

    monkeypatch.setitem(METRICS._members, "listed", (Listed, next(iter(METRICS._members.values()))[1]))
    scores = score(multilabel(("listed", "micro_f1")), predicted=[[1], []], gold=[[1, 2], [0]], names=LABELS)
    assert scores["listed"] == 0.25
    assert list(scores) == ["listed", "micro_f1", "score"]
    assert shown == [([[0, 1, 0, 0, 0, 0, 0], [0] * 7], [[0, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]])]
    assert type(shown[0][0][0][0]) is int


def test_batched_decoding_equals_single_decoding() -> None:
    task = multilabel()
    task.thresholds = tuple(SOURCE.random(len(LABELS)).tolist())
    logits = list(SOURCE.normal(size=(600, len(LABELS))).astype(np.float32) * 4)
    expected = [[i for i in range(7) if 0.5 * (1 + np.tanh(0.5 * row[i])) > task.thresholds[i]] for row in logits]
    assert [ids_of(task, row) for row in logits] == expected
    assert [prediction.value for prediction in task.decode(items_of(logits))] == named(LABELS, expected)
    assert task.decode([]) == []


def plain_threshold(probabilities: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Try every threshold, with a pass over all items."""
    if not right.any():
        return 0.5
    values = sorted({*map(float, probabilities), 0.5})
    below = values[0] / 2 if values[0] > 0 else -1.0
    cuts = [below, *((low + high) / 2 for low, high in pairwise(values)), 0.5]
    scores = [f1([float(s) > cut for s in probabilities], right.tolist()) for cut in cuts]
    best = [cut for cut, score in zip(cuts, scores, strict=True) if score >= max(scores) - 1e-12]
    return min(best, key=lambda cut: abs(cut - 0.5))


@pytest.mark.parametrize("kind", ["float32", "float64", "few values", "with 0 and 1"])
def test_best_threshold(kind: str) -> None:
    for count in (1, 2, 3, 10, 40):
        for share in (0.1, 0.5, 1.0):
            probabilities = SOURCE.random(count)
            if kind == "few values":
                probabilities = probabilities.round(1)
            if kind == "with 0 and 1":
                probabilities[:1], probabilities[1:2] = 0.0, 1.0
            probabilities = probabilities.astype(np.float32 if kind == "float32" else np.float64)
            right = SOURCE.random(count) < share
            assert best_threshold(probabilities, right) == plain_threshold(probabilities, right)


def test_a_threshold_is_tuned_in_little_memory() -> None:
    """A matrix of all thresholds and rows would take 50 MiB."""
    probabilities, right = SOURCE.random(5000), SOURCE.random(5000) < 0.5
    tracemalloc.start()
    try:
        best_threshold(probabilities, right)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("probabilities", [[0.1, 0.2, 0.3], [1e-30, 0.4], [0.0, 0.4], [0.6, 0.7]])
def test_a_label_that_is_always_correct_is_always_predicted(probabilities: list[float]) -> None:
    threshold = best_threshold(np.array(probabilities), np.ones(len(probabilities), dtype=np.bool_))
    assert all(probability > threshold for probability in probabilities)


class CountedName(str):
    """A label name that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        type(self).comparisons += 1
        return str.__eq__(self, other) is True

    __hash__ = str.__hash__


NAMES = tuple(f"label {i}" for i in range(300))
SPANS = [[2 * i, 2 * i + 1, name] for i, name in enumerate(NAMES)]
WORDS = {"words": ["a"] * len(NAMES)}


def span_targets(task: Any) -> list[Any]:
    relations = [[0, i, f"relation {i}"] for i in range(len(NAMES))]
    offsets = np.array([span[:2] for span in SPANS])
    example = Example(to_input(" ".join("a" * len(NAMES))), labels={"label": SPANS, "relations": relations})
    targets = task.targets(example, [TokenSequence(np.arange(len(offsets)), offsets=offsets)])
    return [targets.example["spans"][:, 2].tolist(), targets.example["relations"][:, 2].tolist()]


def parsing_targets(task: Any) -> list[int]:
    example = Example(to_input(WORDS), labels={"heads": range(len(NAMES)), "deprels": NAMES})
    sequence = TokenSequence(np.arange(len(NAMES)), words=np.arange(len(NAMES)))
    relations: list[int] = task.targets(example, [sequence]).example["relations"].tolist()
    return relations


def all_predictable(task: Any, *, key: str) -> bool:
    return all(task.can_predict(name, key=key) for name in NAMES)


EVERY = list(range(len(NAMES)))
LOOKUPS: dict[str, tuple[Any, Any, Any]] = {
    "ids of spans and relations": (SpanExtraction, span_targets, [EVERY, EVERY]),
    "unknown labels of spans": (SpanExtraction, lambda task: task.find_untrainable({"label": [SPANS] * 3}), None),
    "ids of dependency relations": (Parsing, parsing_targets, EVERY),
    "unknown dependency relations": (Parsing, lambda task: task.find_untrainable({"deprels": [NAMES] * 3}), None),
    "dependency relations of a split": (Parsing, lambda task: all_predictable(task, key="deprels"), True),
    "spans of a split": (SpanExtraction, lambda task: all_predictable(task, key="label"), True),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_label_is_not_searched_in_a_list(name: str) -> None:
    """A search in the list of labels would compare more than 100,000 names."""
    kind, lookup, expected = LOOKUPS[name]
    values = {"relation_labels": [f"relation {i}" for i in range(len(NAMES))]} if kind is SpanExtraction else {}
    task = kind(name="t", labels=NAMES, input="words" if kind is Parsing else "text", **values)
    task.labels = tuple(map(CountedName, task.labels))
    if values:
        task.relation_labels = tuple(map(CountedName, task.relation_labels))
    CountedName.comparisons = 0
    assert lookup(task) == expected
    assert CountedName.comparisons <= 5 * len(NAMES)


def test_the_target_of_a_set_does_not_compare_all_names() -> None:
    labels = [CountedName(name) for name in NAMES]
    CountedName.comparisons = 0
    assert column_type("set").target(list(NAMES[::2]), labels).tolist() == [1.0, 0.0] * (len(NAMES) // 2)
    assert CountedName.comparisons <= len(NAMES)


@pytest.mark.parametrize("seed", range(10))
def test_spans_are_counted_by_label(seed: int) -> None:
    source = np.random.default_rng(seed)
    predicted, gold = (
        [
            [[start, start + 1, f"label {290 + i}"] for start, i in source.integers(12, size=(9, 2)).tolist()]
            for _ in range(5)
        ]
        for _ in range(2)
    )
    labels = [CountedName(name) for name in NAMES]
    CountedName.comparisons = 0
    counts = count_spans(predicted, gold, labels=labels)
    assert CountedName.comparisons <= 5 * len(NAMES)
    assert counts.labels == (*NAMES, *sorted({span[2] for row in gold for span in row} - {*NAMES}))
    pairs, others = ({(row, *span) for row, spans in enumerate(side) for span in spans} for side in (predicted, gold))
    for values, spans in (
        (counts.true_positives, pairs & others),
        (counts.false_negatives, others - pairs),
        (counts.false_positives, pairs - others),
    ):
        assert values.tolist() == [sum(span[-1] == name for span in spans) for name in counts.labels]
