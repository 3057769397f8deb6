"""Loss functions of tasks with labels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from nlpmtl.data import TaskBatch
from nlpmtl.registry import LOSSES, TASKS
from nlpmtl.tasks import build_task
from nlpmtl.tasks.losses import CrossEntropy, Focal

LOGITS = torch.tensor([[0.0, 1.0, -2.0], [3.0, 0.5, 0.5], [-1.0, -1.0, 4.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 0, 1])
HOT = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
WEIGHT = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)


def focal(p: float, gamma: float, weight: float) -> float:
    return float(-weight * (1 - p) ** gamma * math.log(p))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_focal_loss_computes_its_formula(gamma: float, weight: torch.Tensor | None) -> None:
    weights = [1.0, 1.0, 1.0] if weight is None else weight.tolist()
    single = Focal(gamma=gamma).single_label(LOGITS, TARGETS, weight=weight, label_smoothing=0.0)
    p = LOGITS.softmax(dim=1).tolist()
    expected = [focal(row[y], gamma, weights[y]) for row, y in zip(p, TARGETS.tolist(), strict=True)]
    assert single.tolist() == pytest.approx(expected, rel=1e-12)
    several = Focal(gamma=gamma).multi_label(LOGITS, HOT, pos_weight=weight)
    for i, row in enumerate(LOGITS.sigmoid().tolist()):
        for j, probability in enumerate(row):
            value = focal(probability, gamma, weights[j]) if HOT[i, j] else focal(1 - probability, gamma, 1.0)
            assert several[i, j].item() == pytest.approx(value, rel=1e-12)


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    expected = CrossEntropy().single_label(LOGITS, TARGETS, weight=WEIGHT, label_smoothing=0.0)
    assert torch.allclose(Focal(gamma=0.0).single_label(LOGITS, TARGETS, weight=WEIGHT, label_smoothing=0.0), expected)
    pairs = CrossEntropy().multi_label(LOGITS, HOT, pos_weight=WEIGHT)
    assert torch.allclose(Focal(gamma=0.0).multi_label(LOGITS, HOT, pos_weight=WEIGHT), pairs)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0, 1e4])
def test_the_gradient_of_focal_loss_is_finite(gamma: float, scale: float) -> None:
    logits = torch.tensor([[scale, 0.0], [-scale, 0.0]], requires_grad=True)
    loss = Focal(gamma=gamma)
    single = loss.single_label(logits, torch.tensor([0, 0]), weight=None, label_smoothing=0.0).sum()
    several = loss.multi_label(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), pos_weight=None).sum()
    (gradient,) = torch.autograd.grad(single + several, logits)
    assert gradient.isfinite().all()


def loss_of(kind: str, targets: torch.Tensor, **options: Any) -> torch.Tensor:
    parsed: Any = TASKS.parse({"kind": kind, "label": "y", **options})
    task: Any = build_task(parsed, name="t", labels=["a", "b", "c"], input="words" if kind == "labeling" else "text")
    logits = LOGITS.expand(2, 3, 3) if kind == "labeling" else LOGITS
    batch = TaskBatch(targets={"label": targets}, sequences=torch.arange(len(targets)))
    losses: torch.Tensor = task.loss({"logits": logits}, batch)
    return losses


def test_tasks_use_the_loss_that_they_name_and_cross_entropy_by_default() -> None:
    gamma = {"loss": {"kind": "focal", "gamma": 3.0}}
    entropies = functional.cross_entropy(LOGITS, TARGETS, reduction="none")
    focals = Focal(gamma=3.0).single_label(LOGITS, TARGETS, weight=None, label_smoothing=0.0)
    assert torch.equal(loss_of("classification", TARGETS), entropies)
    assert torch.equal(loss_of("classification", TARGETS, **gamma), focals)
    assert torch.equal(loss_of("sentiment", TARGETS, labels=["a", "b", "c"], **gamma), focals)
    assert torch.allclose(
        loss_of("multilabel", HOT, **gamma), Focal(gamma=3.0).multi_label(LOGITS, HOT, pos_weight=None).mean(dim=1)
    )
    words = torch.tensor([[0, 0, 1], [0, 0, -100]])
    expected = torch.stack([focals.sum(), focals[:2].sum()])
    assert torch.allclose(loss_of("labeling", words, scheme="plain", **gamma), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": {"kind": "focal_loss"}}, "unknown loss function 'focal_loss'; write 'focal'"),
        ({"loss": "focal"}, 'write { kind = "focal" }'),
        ({"loss": {"kind": "focal", "gamma": -1.0}}, "at least 0"),
    ],
    ids=str,
)
def test_invalid_losses_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TASKS.parse({"kind": "classification", "label": "y", **options})


def test_label_smoothing_is_refused_where_the_loss_does_not_define_it() -> None:
    for kind in ("classification", "multilabel", "labeling"):
        with pytest.raises(ValidationError, match="the loss function 'focal' does not support label smoothing: remove"):
            TASKS.parse({"kind": kind, "label": "y", "label_smoothing": 0.1, "loss": {"kind": "focal"}})


def test_the_loss_is_not_saved_with_a_model() -> None:
    parsed: Any = TASKS.parse({"kind": "classification", "label": "y", "loss": {"kind": "focal"}})
    config = build_task(parsed, name="t", labels=["a", "b"], input="text").to_config()
    assert "loss" not in config
    assert LOSSES.names() == ["cross_entropy", "focal"]
