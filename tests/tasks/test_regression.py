"""Regression: standardised targets, loss and predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nlpmtl.registry import TASKS
from nlpmtl.tasks import Regression
from tests.tasks.kinds import formatted, ids_of, loss, score

TASK: dict[str, Any] = {"name": "t", "labels": [], "metrics": None, "input": "pair"}
NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20)


def fitted(*splits: list[float]) -> Regression:
    task = Regression(**TASK)
    task.fit({"label": [number for numbers in splits for number in numbers]})
    return task


def test_targets_have_mean_0_and_deviation_1_over_all_train_splits() -> None:
    task = fitted([1.0, 5.0], [9.0])
    assert task.target == {"mean": 5.0, "std": pytest.approx(np.std([1, 5, 9]))}


def test_the_loss_equals_torch_on_standardised_targets() -> None:
    task = fitted([1.0, 5.0, 9.0, 3.0])
    logits, labels = torch.randn(4, 1), torch.tensor([1.0, 5.0, 9.0, 2.0], dtype=torch.float64)
    standard = ((labels - task.target["mean"]) / task.target["std"]).float()
    expected = functional.mse_loss(logits[:, 0], standard, reduction="sum")
    assert float(loss(task, logits, labels)) == pytest.approx(float(expected), rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(NUMBERS)
def test_predictions_are_on_the_scale_of_the_data(numbers: list[float]) -> None:
    """Logits with a loss of 0 are decoded to the targets."""
    task = fitted(numbers)
    wide = max(1.0, *map(abs, numbers))
    for number in numbers:
        logit = np.array([(number - task.target["mean"]) / task.target["std"]])
        assert ids_of(task, logit) == pytest.approx(number, abs=1e-6 * wide)
        assert formatted(task, logit, text="x", words=[]) == {"value": ids_of(task, logit)}
        labels = torch.tensor([number], dtype=torch.float64)
        assert float(loss(task, torch.from_numpy(logit)[None], labels)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("numbers", [[3.0], [3.0, 3.0], [0.7] * 3, [0.1] * 6, [1e300] * 7])
def test_a_constant_target_has_scale_1(numbers: list[float]) -> None:
    task = fitted(numbers)
    assert task.target == {"mean": pytest.approx(numbers[0]), "std": 1.0}
    assert ids_of(task, np.zeros(1)) == pytest.approx(numbers[0])


def test_no_targets_leave_the_scale_unchanged() -> None:
    assert fitted([]).target == {"mean": 0.0, "std": 1.0}


def test_the_scale_is_saved() -> None:
    task = fitted([1.0, 2.0, 4.0])
    assert task.to_config()["target"] == task.target
    assert ids_of(Regression(**TASK, target=task.target), np.ones(1)) == ids_of(task, np.ones(1))
    assert Regression(**TASK).target == {"mean": 0.0, "std": 1.0}


def test_default_metrics_are_correlations_on_the_scale_of_the_data() -> None:
    scores = score(Regression(**TASK), predicted=[1.0, 2.0, 4.0], gold=[2.0, 4.0, 8.0], names=[])
    assert scores == dict.fromkeys(["pearson_spearman", "pearsonr", "spearmanr", "score"], pytest.approx(1))
    error = score(Regression(**{**TASK, "metrics": ["mae"]}), predicted=[1.0], gold=[3.5], names=[])
    assert error == {"mae": 2.5, "score": -2.5}


@pytest.mark.parametrize(
    ("given", "message"),
    [({"labels": ["a"]}, "a regression has no `labels`"), ({"class_weights": "balanced"}, "class_weights")],
)
def test_a_regression_has_no_labels(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS.parse({"kind": "regression", "label": "l", **given})


def test_a_regression_has_one_output() -> None:
    assert Regression(**TASK).outputs == 1
