"""Contracts of every registered metric, and of the base class."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
from datasets import List, Value

from nlpmtl.metrics import (
    F1,
    Accuracy,
    MacroF1,
    MeanSquaredError,
    Metric,
    Pearson,
    PredictionType,
    SpanF1,
    TokenAccuracy,
)
from nlpmtl.metrics.base import defined
from nlpmtl.metrics.evaluate_metric import FEATURES
from nlpmtl.registry import METRICS

RIGHT: dict[PredictionType, list[Any]] = {
    "label": [0, 1, 1, 2],
    "label_set": [[0, 1], [1, 1], [0, 0], [1, 0]],
    "number": [0.5, -1.0, 2.0, 3.5],
    "tags": [["B-a", "I-a"], ["O"], [], ["B-b"]],
    "answers": ["Turin", "the cat", "", "in Rome"],
    "tree": [[{"head": 2, "deprel": "det"}, {"head": 0, "deprel": "root"}], [], [{"head": 0, "deprel": "root"}], []],
    "relevances": [[0.0, 1.0, 2.0], [1.0, 0.0], [2.0, 1.0], [0.0, 3.0]],
    "spans": [[[0, 2, "a"], [0, 1, "b"]], [], [[3, 4, "a"]], [[0, 1, "b"]]],
    "relations": [[[[0, 2, "a"], [3, 4, "b"], "r"]], [], [[[3, 4, "a"], [0, 1, "a"], "s"]], []],
}
GOLD: dict[PredictionType, list[Any]] = {**RIGHT, "answers": [["Turin", "in Turin"], ["cat"], [], ["in Rome"]]}
"""References that these predictions equal."""
WRONG: dict[PredictionType, list[Any]] = {
    "label": [1, 0, 1, 1],
    "label_set": [[1, 1], [1, 1], [0, 1], [0, 0]],
    "number": [0.4, 2.0, -1.0, 3.5],
    "tags": [["B-a", "O"], ["O"], [], ["B-b"]],
    "answers": ["", "the dog", "a cat", "in Rome"],
    "tree": [[{"head": 0, "deprel": "root"}, {"head": 1, "deprel": "det"}], [], [{"head": 0, "deprel": "root"}], []],
    "relevances": [[2.0, 0.5, 0.1], [1.0, 0.0], [0.2, 0.9], [5.0, 1.0]],
    "spans": [[[0, 2, "a"], [0, 1, "a"]], [], [], [[0, 1, "b"]]],
    "relations": [[[[0, 2, "a"], [3, 4, "b"], "r"]], [], [[[0, 1, "a"], [3, 4, "a"], "s"]], []],
}


def find(name: str) -> type[Metric]:
    member = METRICS.get(name)
    assert issubclass(member, Metric)
    return member


EACH = [(name, shape) for name in METRICS.names() for shape in sorted(find(name).reads & RIGHT.keys())]
"""Metrics of predictions, and the types that they read."""


def test_registered_metrics() -> None:
    classes = ["accuracy", "f1", "macro_f1", "matthews_correlation", "micro_f1"]
    means = ["accuracy_f1", "accuracy_macro_f1", "micro_macro_f1", "pearson_spearman"]
    numbers = ["mae", "mse", "pearsonr", "spearman", "spearmanr"]
    losses, ranks = ["loss", "perplexity", "soft_cross_entropy"], ["mrr", "ndcg_10"]
    of_answers, of_words = ["exact_match", "squad_f1"], ["las", "relation_f1", "span_f1", "token_accuracy", "uas"]
    of_texts = ["bleu", "chrf", "rouge_l"]
    of_rows = [*classes, *means, *numbers, *losses, *ranks, *of_answers, *of_words, *of_texts, "recall_10"]
    assert METRICS.names() == sorted(of_rows)
    errors = sorted(["mae", "mse", *losses])
    assert [name for name in METRICS.names() if not find(name).higher_is_better] == errors
    assert [name for name in METRICS.names() if find(name).needs_positive] == ["accuracy_f1", "f1"]


@pytest.mark.parametrize(("name", "shape"), EACH)
class TestEveryMetric:
    def test_perfect_predictions_get_the_best_value(self, name: str, shape: PredictionType) -> None:
        metric = find(name)(reads_as=shape)
        scores = metric.compute(predictions=RIGHT[shape], references=GOLD[shape], pos_label=1)
        assert scores == {name: pytest.approx(1.0 if metric.higher_is_better else 0.0)}
        assert type(scores[name]) is float

    @pytest.mark.parametrize("predictions", [RIGHT, WRONG, {shape: [] for shape in RIGHT}])
    def test_arrays_and_lists_give_the_same_score(self, name: str, shape: PredictionType, predictions: Any) -> None:
        right = GOLD[shape] if predictions[shape] else []
        metric = find(name)(reads_as=shape)
        expected = metric.compute(predictions=predictions[shape], references=right, pos_label=1)[name]
        assert metric.value(predictions[shape], right, pos_label=1) == expected
        assert (expected is None) == (not right)

    def test_a_missing_prediction_is_refused(self, name: str, shape: PredictionType) -> None:
        with pytest.raises(ValueError, match=f"{name}: 3 predictions for 4 references"):
            find(name)(reads_as=shape).value(RIGHT[shape][:3], GOLD[shape], pos_label=1)

    def test_wrong_predictions_get_a_worse_value(self, name: str, shape: PredictionType) -> None:
        metric = find(name)(reads_as=shape)
        value = metric.compute(predictions=WRONG[shape], references=GOLD[shape], pos_label=1)[name]
        assert (value < 1.0) if metric.higher_is_better else (value > 0.0)

    def test_no_rows_are_undefined(self, name: str, shape: PredictionType) -> None:
        assert find(name)(reads_as=shape).compute(predictions=[], references=[], pos_label=1) == {name: None}

    def test_the_order_of_rows_does_not_matter(self, name: str, shape: PredictionType) -> None:
        metric = find(name)(reads_as=shape)
        score = metric.compute(predictions=WRONG[shape], references=GOLD[shape], pos_label=1)
        back = metric.compute(predictions=WRONG[shape][::-1], references=GOLD[shape][::-1], pos_label=1)
        assert score[name] == pytest.approx(back[name])

    def test_rows_can_be_added_in_batches(self, name: str, shape: PredictionType) -> None:
        metric = find(name)(reads_as=shape)
        metric.add(prediction=WRONG[shape][0], reference=GOLD[shape][0])
        metric.add_batch(predictions=WRONG[shape][1:], references=GOLD[shape][1:])
        bits = metric.compute(pos_label=1)
        assert bits == metric.compute(predictions=WRONG[shape], references=GOLD[shape], pos_label=1)

    def test_columns_of_different_length_are_refused(self, name: str, shape: PredictionType) -> None:
        with pytest.raises(ValueError, match="Mismatch"):
            find(name)(reads_as=shape).compute(predictions=RIGHT[shape][:2], references=GOLD[shape], pos_label=1)

    def test_a_metric_describes_itself(self, name: str, shape: PredictionType) -> None:
        metric = find(name)(reads_as=shape)
        assert metric.name == name
        assert "Undefined:" in metric.description
        assert "rom 0" in metric.description or "from −1" in metric.description
        assert metric.features["predictions"] == FEATURES[shape]
        assert metric.features["references"] == (List(Value("string")) if shape == "answers" else FEATURES[shape])


def test_the_default_prediction_type_is_the_first() -> None:
    assert (Accuracy().reads_as, Pearson().reads_as, SpanF1().reads_as) == ("label", "number", "tags")


def test_an_unsupported_prediction_type_is_refused() -> None:
    with pytest.raises(ValueError, match="pearsonr reads number, found reads_as='tags'"):
        Pearson(reads_as="tags")


def test_a_label_is_not_a_set() -> None:
    with pytest.raises(ValueError, match="don't match the expected format"):
        Accuracy().compute(predictions=[[0, 1]], references=[[0, 1]])


def test_arrays_are_accepted() -> None:
    assert Accuracy().compute(predictions=np.array([1, 2]), references=np.array([1, 3])) == {"accuracy": 0.5}


def test_metrics_combine() -> None:
    both = evaluate.combine([Accuracy(), MacroF1(), F1()])
    assert both.compute(predictions=[0, 1, 1, 1], references=[0, 1, 1, 0], pos_label=1) == {
        "accuracy": 0.75,
        "macro_f1": pytest.approx((2 / 3 + 4 / 5) / 2),
        "f1": pytest.approx(4 / 5),
    }
    words = evaluate.combine([SpanF1(), TokenAccuracy()])
    words.add_batch(predictions=[["B-a", "O"]], references=[["B-a", "B-b"]])
    assert words.compute() == {"span_f1": pytest.approx(2 / 3), "token_accuracy": 0.5}


def test_scoring_imports_no_slow_packages() -> None:
    code = (
        "import sys; from nlpmtl.metrics import scores; "
        "print(scores(['accuracy'], predictions=[0, 1], references=[0, 0], reads='label'), "
        "{'evaluate', 'datasets', 'scipy', 'sklearn', 'torch'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "{'accuracy': 0.5} set()\n"


def test_a_metric_without_a_score_is_none() -> None:
    class Nothing(Metric):
        name = "nothing"
        reads = frozenset({"label"})

    with pytest.raises(TypeError, match="abstract"):
        Nothing()  # type: ignore[abstract]


def test_a_custom_metric_is_one_class() -> None:
    class Bias(Metric):
        name = "bias"
        reads = frozenset({"number"})

        def score(self, predictions: Any, references: Any) -> float:
            return float(np.nanmean(predictions) - np.nanmean(references))

    assert Bias().compute(predictions=[1.0, 2.0], references=[0.0, 1.0]) == {"bias": 1.0}
    assert Bias().compute(predictions=[math.nan, 2.0], references=[0.0, 1.0]) == {"bias": None}


def test_overflow_is_undefined_without_a_warning() -> None:
    assert MeanSquaredError().compute(predictions=[1e200], references=[-1e200]) == {"mse": None}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_non_finite_values_are_none(value: float | None) -> None:
    assert defined(value) is None


def test_finite_values_are_python_floats() -> None:
    assert type(defined(np.float64(0.5))) is float
    assert defined(np.float64(0.5)) == 0.5


def test_nothing_is_written_to_the_cache_or_read_from_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    for name, shape in EACH:
        find(name)(reads_as=shape).compute(predictions=RIGHT[shape], references=GOLD[shape], pos_label=1)
    assert list(tmp_path.rglob("*")) == []
