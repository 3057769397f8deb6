"""Linear layers in eight bits, for prediction on a CPU: weights once, what comes in as it comes."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

_LARGEST = 127
_SMALLEST_SCALE = 1e-12
_DEPRECATED = "torch.quantize_per_tensor"


class Int8Linear(nn.Module):
    """A linear layer whose products are of eight-bit numbers (dynamic quantisation).

    Each output's weights have a scale of their own, and are symmetric; each batch that comes in has one scale, found
    from its smallest and largest number, and so an answer depends, by a little, on its company. Of those numbers seven
    bits are used: with eight, a processor without VNNI would overflow sums of 16 bits.

    Args:
        linear: a layer in single precision, on the CPU.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1).double() / _LARGEST).clamp_min(_SMALLEST_SCALE)
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():  # torch's replacement, torchao, is slower on a CPU than single precision is
            warnings.filterwarnings("ignore", _DEPRECATED)
            quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.quantized.linear_prepack(quantised, bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, inputs]`` in single precision to ``[…, outputs]``."""
        result: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, True)
        return result


def to_int8(module: nn.Module) -> None:
    """Put an `Int8Linear` in the place of every linear layer inside a module; all else stays as it is."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        else:
            to_int8(child)
