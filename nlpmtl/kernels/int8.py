"""Dynamic int8 quantization of linear layers, for prediction on a CPU."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

_LARGEST = 127
_SMALLEST_SCALE = 1e-12
_DEPRECATED = "torch.quantize_per_tensor"


class Int8Linear(nn.Module):
    """A linear layer with int8 weights and dynamically quantized inputs.

    Weights are quantized symmetrically with one scale per output. Inputs are quantized with one scale per batch, from
    their minimum and maximum, so outputs depend slightly on the other rows of a batch. Inputs use seven bits: with
    eight, a processor without VNNI would overflow 16-bit sums.

    Args:
        linear: the layer, in single precision on the CPU.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1).double() / _LARGEST).clamp_min(_SMALLEST_SCALE)
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():  # torchao, torch's replacement, is slower on a CPU than single precision
            warnings.filterwarnings("ignore", _DEPRECATED)
            quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.quantized.linear_prepack(quantized, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer on inputs in single precision, ``[…, inputs]`` to ``[…, outputs]``."""
        result: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, True)
        return result


def to_int8(module: nn.Module) -> None:
    """Replace every linear layer inside a module by an `Int8Linear`."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        else:
            to_int8(child)
