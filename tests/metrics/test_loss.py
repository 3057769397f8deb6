"""Mean loss and perplexity, by hand and compared with PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from nlpmtl.metrics import Loss, Metric, Perplexity
from nlpmtl.metrics.base import defined


def test_by_hand() -> None:
    """Three rows with 1, 3 and 2 items, the last of weight 0.5."""
    rows = {"predictions": [0.5, 3.0, 0.25], "references": [1, 3, 1.0]}
    assert Loss().compute(**rows) == {"loss": pytest.approx(0.75)}
    assert Perplexity().compute(**rows) == {"perplexity": pytest.approx(math.exp(0.75))}


def test_the_mean_cross_entropy_is_that_of_pytorch() -> None:
    logits, labels = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 5
    losses = functional.cross_entropy(logits, labels, reduction="none").tolist()
    mean = float(functional.cross_entropy(logits.double(), labels))
    assert Loss().value(losses, [1] * 7) == pytest.approx(mean, rel=1e-6)
    assert Perplexity().value(losses, [1] * 7) == pytest.approx(math.exp(mean), rel=1e-6)


@pytest.mark.parametrize("metric", [Loss(), Perplexity()])
@pytest.mark.parametrize(
    ("losses", "items"),
    [([], []), ([0.0, 0.0], [0, 0]), ([math.nan, 1.0], [1, 1]), ([math.inf, -math.inf], [1, 1])],
)
def test_undefined_values(metric: Metric, losses: list[float], items: list[float]) -> None:
    assert metric.value(losses, items) is None


def test_a_perplexity_too_large_for_a_number_is_undefined() -> None:
    assert (Loss().value([1e3], [1]), Perplexity().value([1e3], [1])) == (1e3, None)


@pytest.mark.parametrize("loss", [0.0, 0.5, 30.0])
def test_perplexity_contributes_the_loss_to_the_score(loss: float) -> None:
    value = Perplexity().value([loss], [1])
    assert value is not None
    assert Perplexity.to_error(value) == pytest.approx(loss)
    assert defined(Perplexity.to_error(0.0)) is not None, "exp underflows for a very negative loss"
