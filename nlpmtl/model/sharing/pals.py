"""Projected Attention Layers, PALs (Stickland and Murray, 2019).

A small attention layer per task is computed in parallel to each layer of the encoder.

    LN(h + SA(h) + V_D · g(V_E · h))

Symbols:
- h: input of an encoder layer
- SA: the layer without its final skip connection and layer normalisation LN
- V_E, ``[size, width]``, and V_D, ``[width, size]``: projections of a task, which all layers share
- g: multi-head attention over `size` dimensions without an output matrix, one per layer and task

Departures from the paper:
- The sum is computed at the end of the layer's feed-forward block, before its dropout.
- g has no dropout.
- V_D is 0 at the start, so that training starts from the pretrained encoder exactly.

References:
    Stickland and Murray (2019), BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task
        Learning, ICML, https://arxiv.org/abs/1902.02671

Example:
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import Adapters
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = Adapters(encoder=encoder, tasks=("topic", "sentiment"), form="pal", size=4)
    >>> tuple(sharing.projections.of("topic").down.weight.shape)
    (4, 8)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig

from nlpmtl.kernels.packed_attention import attend
from nlpmtl.model.sharing.task_routing import SharedLayer, TaskModuleDict
from nlpmtl.model.task_segments import PassState, RoutingContext, TaskSegment, TaskSegments


class Projection(nn.Module):
    """Projections V_E (`down`) and V_D (`up`) of a task; V_D is 0 at the start.

    Args:
        width: size of the hidden states.
        size: size of the attention.
    """

    def __init__(self, *, width: int, size: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)


class SmallAttention(nn.Module):
    """Multi-head attention g of a task and a layer, without an output matrix.

    Args:
        size: size of input and output.
        heads: maximum number of heads; the greatest common divisor with `size` is used.
    """

    def __init__(self, *, size: int, heads: int) -> None:
        super().__init__()
        self.heads = math.gcd(size, heads)
        self.query_key_value = nn.Linear(size, 3 * size)

    def forward(self, x: Tensor, *, now: TaskSegments, segment: TaskSegment) -> Tensor:
        """Compute the attention.

        Args:
            x: ``[rows, sequence_length, size]``, or ``[1, tokens, size]`` if rows are packed.
            now: rows of all tasks in the current batch.
            segment: rows of the task.

        Returns:
            A tensor of the same shape.
        """
        stacked = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        if segment.layout is not None:
            query, key, value = stacked[0].unbind(1)
            return attend(query, key, value, segment.layout).flatten(-2).unsqueeze(0)
        query, key, value = stacked.permute(2, 0, 3, 1, 4)
        mask = now.mask_of(segment).bool()[:, None, None, :]
        return functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(-2)


class ParallelBranch(nn.Module):
    """A linear layer to whose output the result of a parallel branch is added.

    Args:
        linear: the linear layer.
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


class PalLayer(SharedLayer):
    """A shared layer with a projected attention layer per task in parallel.

    Args:
        layer: the shared layer.
        end: name of the linear layer in it that ends its feed-forward block.
        projections: V_E and V_D of each task, which all layers share.
        attentions: g of each task.
        route: routing context of the encoder.
        first: whether the input holds the rows of the batch, before they are repeated for each task.
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        end: str,
        projections: TaskModuleDict,
        attentions: TaskModuleDict,
        route: RoutingContext,
        first: bool,
    ) -> None:
        super().__init__(layer, route=route, first=first)
        self._branch = [ParallelBranch(layer.get_submodule(end))]  # in a list: the layer registers it
        self._projections = [projections]
        layer.set_submodule(end, self._branch[0])
        self.own = attentions

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        now = self.route.now
        added = self._branch[0].added
        added.set(
            now.join([self._attend(now.part(hidden, segment), now=now, segment=segment) for segment in now.segments])
        )
        output = super().compute(hidden, args, kwargs)
        if not (self.training and getattr(self.layer, "gradient_checkpointing", False)):
            added.clear()  # with gradient checkpointing it is read again when the layer is recomputed
        return output

    def _attend(self, hidden: Tensor, *, now: TaskSegments, segment: TaskSegment) -> Tensor:
        """Return V_D · g(V_E · h) for the rows of a task."""
        projection = self._projections[0].of(segment.task)
        assert isinstance(projection, Projection)
        small = self.own.of(segment.task)(projection.down(hidden), now=now, segment=segment)
        result: Tensor = projection.up(small)
        return result


def make_projections(config: PretrainedConfig, *, tasks: tuple[str, ...], size: int) -> TaskModuleDict:
    """Return V_E and V_D of each task."""
    return TaskModuleDict(tasks, lambda: Projection(width=config.hidden_size, size=size))


def make_attentions(config: PretrainedConfig, *, tasks: tuple[str, ...], size: int) -> TaskModuleDict:
    """Return the attention g of each task, for one layer."""
    return TaskModuleDict(tasks, lambda: SmallAttention(size=size, heads=config.num_attention_heads))
