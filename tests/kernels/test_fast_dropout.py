"""Fast dropout: probabilities, scale, gradient and seeds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nlpmtl.kernels.fast_dropout import FastDropout, dropout_mask, enable_fast_dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_elements_are_dropped_independently_with_the_given_probability(p: float) -> None:
    torch.manual_seed(0)
    n = 400_000
    dropped = (dropout_mask(torch.empty(n), p) == 0).double()
    spread = (p * (1 - p)) ** 0.5
    for step in range(4):  # four elements share a 64-bit random number
        lane = dropped[step::4]
        assert abs(lane.mean() - p) < 5 * spread / len(lane) ** 0.5, step
    for distance in (1, 2, 3, 4):
        together = (dropped[distance:] - p) * (dropped[:-distance] - p)
        assert abs(together.mean()) < 5 * spread**2 / n**0.5, distance


@pytest.mark.parametrize("p", [0.1, 1 / 3, 1e-4, 0.99])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_kept_elements_are_scaled_to_preserve_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    factors = dropout_mask(torch.empty(3, 5, 7001, dtype=dtype), p)
    assert factors.dtype == dtype
    assert factors.shape == (3, 5, 7001)
    exact = 1 / (1 - round(p * 65536) / 65536)
    assert set(factors.unique().tolist()) == {0.0, torch.tensor(exact, dtype=dtype).item()}
    assert abs(exact * (1 - p) - 1) < 1e-3


def test_the_gradient_is_zero_for_dropped_elements() -> None:
    torch.manual_seed(2)
    x = torch.randn(50, 60, dtype=torch.float64, requires_grad=True)
    y = FastDropout(0.3)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(y, x * x.grad)
    assert 0.25 < (x.grad == 0).double().mean() < 0.35


def test_masks_depend_on_the_seed_and_evaluation_drops_nothing() -> None:
    x, drop = torch.ones(1000), FastDropout(0.5)
    torch.manual_seed(3)
    first = drop(x)
    torch.manual_seed(3)
    assert torch.equal(first, drop(x))
    assert not torch.equal(first, drop(x))
    assert drop.eval()(x) is x


def test_only_dropout_modules_are_replaced() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.4), nn.Dropout(0.0)))
    names = list(model.state_dict())
    enable_fast_dropout(model)
    dropouts = [(type(module).__name__, module.p) for module in model.modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [("FastDropout", 0.2), ("FastDropout", 0.4), ("Dropout", 0.0)]
    assert list(model.state_dict()) == names
