"""8-bit linear layers, compared with exact ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nlpmtl.kernels import Int8Linear, to_int8


def layer(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 48), (3, 7, 48), (1, 48)])
def test_int8_outputs_are_close_to_those_of_the_layer(shape: tuple[int, ...], bias: bool) -> None:
    exact = layer(48, 30, bias=bias)
    x = torch.randn(*shape)
    actual, expected = Int8Linear(exact)(x), exact(x)
    assert actual.shape == expected.shape
    error = (actual - expected).abs().max()
    # Rounding errors of half a quantisation step for inputs (7 bits) and weights (8 bits), over 48 random terms.
    assert 0 < error < 4 * 48**0.5 * x.abs().max() * exact.weight.abs().max() / 127


def test_each_output_has_its_own_scale() -> None:
    """With one scale for all, small outputs would be rounded to 0."""
    exact = layer(16, 4, bias=False)
    with torch.no_grad():
        exact.weight[0] *= 1000
    x = torch.randn(8, 16)
    actual, expected = Int8Linear(exact)(x)[:, 1:], exact(x)[:, 1:]
    assert (actual - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_weights_and_inputs_of_any_size(scale: float) -> None:
    exact = layer(16, 4, bias=False)
    with torch.no_grad():
        exact.weight *= scale
    x = torch.randn(8, 16)
    assert torch.isfinite(Int8Linear(exact)(x)).all()
    assert torch.isfinite(Int8Linear(layer(16, 4))(torch.zeros(8, 16))).all()


def test_only_linear_layers_are_replaced() -> None:
    module = nn.ModuleDict({"a": nn.Sequential(layer(4, 4), nn.LayerNorm(4)), "b": layer(4, 2)})
    to_int8(module)
    kinds = [type(submodule) for submodule in module.modules() if not list(submodule.children())]
    assert kinds == [Int8Linear, nn.LayerNorm, Int8Linear]
