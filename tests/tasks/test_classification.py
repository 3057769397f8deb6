"""Classification: loss, class weights and predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Classification
from tests.tasks.kinds import batch_of, formatted, ids_of, loss, score

LABELS = ("a", "b", "c")
TASK: dict[str, Any] = {"name": "t", "labels": LABELS, "metrics": None, "input": "text"}


def fit(task: Classification, *splits: list[int]) -> None:
    """Fit the task on the labels with these ids."""
    task.fit({"label": [LABELS[i] for ids in splits for i in ids]})


def loss_of(task: Classification, **torchs: Any) -> tuple[float, float]:
    logits, labels, _ = batch_of(task)
    return float(loss(task, logits, labels)), float(functional.cross_entropy(logits, labels, reduction="sum", **torchs))


def test_the_loss_equals_torch() -> None:
    loss, expected = loss_of(Classification(**TASK))
    assert loss == pytest.approx(expected, rel=1e-6)


def test_the_loss_with_weights_and_smoothing_equals_torch() -> None:
    weight = torch.tensor([1.0, 0.25, 3.0])
    weights = {"b": 0.25, "c": 3.0}
    loss, expected = loss_of(Classification(**TASK, class_weights=weights), weight=weight)
    assert loss == pytest.approx(expected, rel=1e-6)
    task = Classification(**TASK, class_weights=weights, label_smoothing=0.2)
    loss, expected = loss_of(task, weight=weight, label_smoothing=0.2)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert loss != pytest.approx(loss_of(Classification(**TASK, label_smoothing=0.2))[0], rel=1e-2)


def test_balanced_weights_use_the_labelled_rows_of_all_train_splits() -> None:
    task = Classification(**TASK, class_weights="balanced")
    fit(task, [0, 0, 0, 1], [1, 2])
    loss, expected = loss_of(task, weight=torch.tensor([6 / 9, 6 / 6, 6 / 3]))
    assert loss == pytest.approx(expected, rel=1e-6)
    fit(task, [0, 1, 2])
    assert loss_of(task)[0] == pytest.approx(loss_of(Classification(**TASK))[0], rel=1e-6)


def test_given_weights_keep_the_mean_loss_of_the_task() -> None:
    """Weights are scaled to a mean of 1 over the labelled train rows, so that their scale does not change the loss."""
    task = Classification(**TASK, class_weights={"a": 2.0})
    fit(task, [0, 1, 1], [2, 2, 2])
    mean_loss, expected = loss_of(task, weight=torch.tensor([2.0, 1.0, 1.0]) * 6 / 7)
    assert mean_loss == pytest.approx(expected, rel=1e-6)
    for scale in (1.0, 10.0):
        scaled = Classification(**TASK, class_weights={"a": 2 * scale, "b": scale, "c": scale})
        fit(scaled, [0, 1, 1, 2, 2, 2])
        assert loss_of(scaled)[0] == pytest.approx(mean_loss, rel=1e-6)
    equal = torch.zeros(6, 3)
    targets = torch.tensor([0, 1, 1, 2, 2, 2])
    assert float(loss(task, equal, targets)) == pytest.approx(
        float(loss(Classification(**TASK), equal, targets)), rel=1e-6
    )


def test_weights_of_labels_that_no_train_row_has_are_not_scaled() -> None:
    task = Classification(**TASK, class_weights={"a": 2.0, "b": 0.0, "c": 0.0})
    fit(task, [1, 2])
    loss, expected = loss_of(task, weight=torch.tensor([2.0, 0.0, 0.0]))
    assert loss == pytest.approx(expected, rel=1e-6)


def test_the_prediction_is_the_most_probable_label() -> None:
    task = Classification(**TASK)
    logits = np.array([0.0, np.log(6.0), np.log(3.0)])
    assert ids_of(task, logits) == 1
    assert formatted(task, logits, text="x", words=[]) == {"label": "b", "score": pytest.approx(0.6)}


def test_the_positive_label_reaches_f1_and_the_saved_model() -> None:
    task = Classification(**{**TASK, "metrics": ["f1"]}, pos_label="c")
    assert score(task, predicted=[2, 2, 0], gold=[2, 0, 1], names=LABELS)["f1"] == pytest.approx(2 / 3)
    assert task.to_config()["pos_label"] == "c"
    assert "pos_label" not in Classification(**TASK).to_config()
    with pytest.raises(ConfigError, match="task 't': `pos_label`: 'd' is not among the labels"):
        Classification(**TASK, pos_label="d")


def test_a_positive_label_that_is_not_listed_is_refused_before_data_is_read() -> None:
    with pytest.raises(ValueError, match=r"`pos_label`: 'c' is not among the labels \['a', 'b'\]"):
        TASKS.parse({"kind": "classification", "label": "l", "labels": ["a", "b"], "pos_label": "c"})
    TASKS.parse({"kind": "classification", "label": "l", "pos_label": "c"})  # labels are read from the data later


def test_default_metrics() -> None:
    assert Classification(**TASK).metrics == ("accuracy",)
