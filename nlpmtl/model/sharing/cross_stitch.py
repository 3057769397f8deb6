"""A column of layers for each task, which exchange what they compute by a mixture that is learned.

References:
    Misra et al. (2016), Cross-stitch Networks for Multi-task Learning, equation 1 and section 4: after each layer
    h_t ← Σ_s α_ts h_s; the columns start from one pretrained network, α learns faster than the rest. There each channel
    has an α of its own; here each layer has one, which can be read as how much a task takes from another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.model.layers import find_layers
from nlpmtl.model.sharing.base import Matrix, SharingOptions
from nlpmtl.model.sharing.layers import layer_numbers, upper_copies
from nlpmtl.model.sharing.routed import Apart, PerTask, RoutedSharing
from nlpmtl.model.streams import Route
from nlpmtl.registry import SHARINGS

_SELF = 0.9
"""What a task takes from its own column at first; the rest is shared out among the others."""


class CrossStitchOptions(SharingOptions):
    """Options of `CrossStitch`."""

    shared: int = Field(0, ge=0)
    """How many layers, from the lowest up, all tasks share; above them each task has a column."""
    speed: float = Field(100.0, gt=0)
    """How much faster than the encoder the mixture learns; Misra et al. try 1 to 1000."""


class Stitch(nn.Module):
    """h_t ← Σ_s α_ts h_s.

    α is a start plus `speed` times what is learned: to Adam, whose steps have the size of the learning rate, that is a
    learning rate so many times larger. What is learned is a vector, so that it is not decayed.

    Args:
        tasks: how many.
        speed: see above.
    """

    def __init__(self, tasks: int, *, speed: float) -> None:
        super().__init__()
        self.tasks, self.speed = tasks, speed
        self.learned = nn.Parameter(torch.zeros(tasks * tasks))

    @property
    def alpha(self) -> Tensor:
        """``[tasks, tasks]``; a row is a mixture."""
        other = (1 - _SELF) / (self.tasks - 1) if self.tasks > 1 else 0.0
        own = torch.eye(self.tasks, dtype=self.learned.dtype, device=self.learned.device)
        start = other + (1 - self.tasks * other) * own  # rows sum to 1
        return start + self.speed * self.learned.view(self.tasks, self.tasks)

    def forward(self, columns: Tensor) -> Tensor:
        """``[tasks, …]`` to the same."""
        with torch.autocast(columns.device.type, enabled=False):  # bfloat16 has two digits, a mixture needs more
            mixed = self.alpha.to(columns.dtype) @ columns.flatten(1)
        return mixed.view_as(columns)


class StitchedLayer(Apart):
    """A layer of every column, and the mixture after it.

    Args:
        copies: the columns' layers.
        stitch: the mixture.
        route: of the encoder; all its streams have the same rows.
        first: whether what comes in is the batch's rows, not yet the streams'.
    """

    def __init__(self, copies: PerTask, *, stitch: Stitch, route: Route, first: bool) -> None:
        super().__init__(copies, route=route, first=first)
        self.stitch = stitch

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        found = super().compute(hidden, args, kwargs)
        return self._mix(found) if isinstance(found, Tensor) else (self._mix(found[0]), *found[1:])

    def _mix(self, hidden: Tensor) -> Tensor:
        # Streams stand one after the other along the first dimension that is longer than 1, packed or not.
        mixed: Tensor = self.stitch(hidden.view(self.stitch.tasks, -1, hidden.shape[-1]))
        return mixed.view_as(hidden)


@SHARINGS.register("cross_stitch", CrossStitchOptions)
class CrossStitch(RoutedSharing):
    """Each task has a column of upper layers; after each of them a task's column becomes a mixture of all.

    Every row goes through all columns: a step costs as many upper layers as there are tasks, and each column learns
    from every task's rows.

    Args:
        encoder: the pretrained encoder; the columns start as its layers are.
        tasks: the names of the tasks.
        shared: how many layers are shared, from 0 to all but one.
        speed: how much faster the mixture learns, > 0.

    Raises:
        ModelError: the encoder has no more layers, or none that can be copied one by one.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], shared: int, speed: float) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        self.shared, layers = shared, find_layers(encoder)
        for at, copies in upper_copies(encoder, tasks=tasks, shared=shared).items():
            stitch = Stitch(len(tasks), speed=speed)
            layers[at] = StitchedLayer(copies, stitch=stitch, route=self.route, first=at == shared)

    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        mask = inputs["attention_mask"]
        every = torch.arange(mask.shape[0], device=mask.device)
        hidden = super().forward(inputs, dict.fromkeys(self.tasks, every))
        return {task: hidden[task] if at.shape[0] == mask.shape[0] else hidden[task][at] for task, at in rows.items()}

    def _stitches(self) -> dict[int, Stitch]:
        layers = enumerate(find_layers(self.encoder))
        return {at: layer.stitch for at, layer in layers if isinstance(layer, StitchedLayer)}

    def added(self) -> Iterator[nn.Parameter]:
        for stitch in self._stitches().values():
            yield stitch.learned

    def relations(self) -> dict[str, Matrix]:
        return {
            f"mixture after layer {at + 1}": Matrix(self.tasks, stitch.alpha.detach())
            for at, stitch in self._stitches().items()
        }

    def cost(self, labels: float) -> float:
        numbers = layer_numbers(self.encoder)
        many, width = len(self.tasks), int(self.encoder.config.hidden_size)
        upper = sum(many * one + many**2 * width for one in numbers[self.shared :])
        return (sum(numbers[: self.shared]) + upper) / sum(numbers)
