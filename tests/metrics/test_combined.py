"""Means of two metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.metrics import AccuracyF1, PearsonSpearman, scores, task_score

PARTS = {
    "accuracy_f1": ("accuracy", "f1"),
    "accuracy_macro_f1": ("accuracy", "macro_f1"),
    "micro_macro_f1": ("micro_f1", "macro_f1"),
    "pearson_spearman": ("pearsonr", "spearmanr"),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_combined_metric_is_the_mean_of_its_parts(name: str) -> None:
    rng = np.random.default_rng(0)
    predictions, references = rng.integers(0, 3, 50).tolist(), rng.integers(0, 3, 50).tolist()
    reads = "number" if name == "pearson_spearman" else "label"
    names = [name, *PARTS[name]]
    values = scores(names, predictions=predictions, references=references, reads=reads, pos_label=1)
    first, second = (values[part] for part in PARTS[name])
    assert first is not None
    assert second is not None
    assert first != second
    assert values[name] == pytest.approx((first + second) / 2)
    assert task_score(values) == values[name]


def test_sets_of_labels_may_be_arrays() -> None:
    rng = np.random.default_rng(0)
    predictions: Any = rng.random((20, 4)) > 0.5
    references: Any = rng.random((20, 4)) > 0.5
    names = ["micro_macro_f1", "micro_f1", "macro_f1"]
    values = scores(names, predictions=predictions, references=references, reads="label_set")
    lists = [array.astype(int).tolist() for array in (predictions, references)]
    assert values == scores(names, predictions=lists[0], references=lists[1], reads="label_set")


def test_an_undefined_part_counts_as_0() -> None:
    values = AccuracyF1().compute(predictions=[0, 0], references=[0, 0], pos_label=1)
    assert values == {"accuracy_f1": 0.5}, "F1 is undefined: the class does not occur"
    assert PearsonSpearman().compute(predictions=[1.0, 1.0], references=[1.0, 2.0]) == {"pearson_spearman": None}


def test_the_positive_class_is_required() -> None:
    with pytest.raises(ValueError, match="positive class"):
        AccuracyF1().compute(predictions=[0, 1], references=[0, 1])
