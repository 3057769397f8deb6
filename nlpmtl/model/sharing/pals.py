"""Projected attention layers: attention over a few dimensions, of each task's own, beside every layer of an encoder.

References:
    Stickland and Murray (2019), BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task
    Learning. A layer gives LN(h + SA(h) + V_D g(V_E h)): g is multi-head attention without an output matrix, of each
    layer and task; V_E and V_D are of each task, and all layers have them in common. Here the sum is made where a
    layer's feed-forward block ends, before its dropout; g drops nothing; V_D = 0 at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig

from nlpmtl.model.packed_attention import attend
from nlpmtl.model.sharing.routed import PerTask, Together
from nlpmtl.model.streams import PassState, Route, Stream, Streams


class Projection(nn.Module):
    """V_E and V_D of a task."""

    def __init__(self, *, width: int, size: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)


class SmallAttention(nn.Module):
    """g of a task and a layer: multi-head attention without an output matrix.

    Args:
        size: of what comes in and goes out.
        heads: at most; as many as divide the size too.
    """

    def __init__(self, *, size: int, heads: int) -> None:
        super().__init__()
        self.heads = math.gcd(size, heads)
        self.query_key_value = nn.Linear(size, 3 * size)

    def forward(self, x: Tensor, *, now: Streams, stream: Stream) -> Tensor:
        """``[rows, time, size]``, or ``[1, wordpieces, size]`` where rows are packed, to the same."""
        stacked = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        if stream.layout is not None:
            query, key, value = stacked[0].unbind(1)
            return attend(query, key, value, stream.layout).flatten(-2).unsqueeze(0)
        query, key, value = stacked.permute(2, 0, 3, 1, 4)
        seen = now.mask_of(stream).bool()[:, None, None, :]
        return functional.scaled_dot_product_attention(query, key, value, seen).transpose(1, 2).flatten(-2)


class Beside(nn.Module):
    """A linear layer, and a sum with what was computed beside it.

    Args:
        linear: the layer.
    """

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.added = PassState[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        added = self.added.get()
        assert added is not None
        result: Tensor = self.linear(x) + added
        return result


class PalLayer(Together):
    """A layer for all streams, with each task's attention beside it.

    Args:
        layer: the layer.
        end: the name of the linear layer in it that ends its feed-forward block.
        projections: V_E and V_D of each task, which all layers have in common.
        own: g of each task.
        route: of the encoder.
        first: whether what comes in is the batch's rows, not yet the streams'.
    """

    def __init__(
        self, layer: nn.Module, *, end: str, projections: PerTask, own: PerTask, route: Route, first: bool
    ) -> None:
        super().__init__(layer, route=route, first=first)
        self._beside = [Beside(layer.get_submodule(end))]  # in a list: they are parts of others already
        self._projections = [projections]
        layer.set_submodule(end, self._beside[0])
        self.own = own

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        now = self.route.now
        added = self._beside[0].added
        added.set(now.join([self._of(now.part(hidden, one), now=now, stream=one) for one in now.streams]))
        found = super().compute(hidden, args, kwargs)
        if not (self.training and getattr(self.layer, "gradient_checkpointing", False)):
            added.clear()  # else it is read again where the layer is computed again
        return found

    def _of(self, hidden: Tensor, *, now: Streams, stream: Stream) -> Tensor:
        projection = self._projections[0].of(stream.task)
        assert isinstance(projection, Projection)
        small = self.own.of(stream.task)(projection.down(hidden), now=now, stream=stream)
        result: Tensor = projection.up(small)
        return result


def make_projections(config: PretrainedConfig, *, tasks: tuple[str, ...], size: int) -> PerTask:
    """V_E and V_D of each task."""
    return PerTask(tasks, lambda: Projection(width=config.hidden_size, size=size))


def make_attentions(config: PretrainedConfig, *, tasks: tuple[str, ...], size: int) -> PerTask:
    """G of each task, for one layer."""
    return PerTask(tasks, lambda: SmallAttention(size=size, heads=config.num_attention_heads))
