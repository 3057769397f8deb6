"""Cross-stitch networks (Misra et al., 2016).

Each task has its own upper layers. After each of them, the hidden states of all tasks are combined linearly, with
coefficients that are learned.

    h_t ← Σ_s α_ts · h_s        α = α_0 + speed · a

Symbols:
- h_t: hidden states of a row in the layers of task t
- α_ts: coefficient of task s for task t, one matrix per layer
- α_0: 0.9 on the diagonal and 0.1 / (K − 1) elsewhere, for K tasks, so that rows sum to 1
- a: learned matrix, 0 at the start
- speed: option, which multiplies the learning rate of α: the gradient of a is that of α, without this factor

Every row passes through the layers of all tasks, so a step computes K times the upper layers.

Departures from the paper:
- One α per layer instead of one per channel, so that it can be read as how much a task takes from another.
- The paper compares initialisations and learning rates of α; here they are α_0 and `speed` times that of the encoder.

References:
    Misra, Shrivastava, Gupta and Hebert (2016), Cross-stitch Networks for Multi-task Learning, CVPR, equation 1 and
        section 4, https://arxiv.org/abs/1604.03539

Example:
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import CrossStitch
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = CrossStitch(encoder=encoder, tasks=("topic", "sentiment"), shared=1, speed=100.0)
    >>> sharing.task_relations()["mixture after layer 2"].values
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.config.sharing import CrossStitchOptions
from nlpmtl.kernels.packing import is_range
from nlpmtl.model.architectures import find_layers
from nlpmtl.model.sharing.base import TaskMatrix
from nlpmtl.model.sharing.split_encoder import layer_matmul_parameters, upper_copies
from nlpmtl.model.sharing.task_routing import RoutedSharing, TaskModuleDict, TaskSpecificLayer
from nlpmtl.model.task_segments import RoutingContext
from nlpmtl.registry import SHARINGS

_SELF = 0.9
"""Initial coefficient of a task for itself; the other tasks share the rest equally."""


class Stitch(nn.Module):
    """Cross-stitch unit: h_t ← Σ_s α_ts · h_s.

    The learned matrix a is stored as a vector, because weight decay is applied to matrices only.

    Args:
        tasks: number of tasks.
        speed: factor of a in α = α_0 + speed · a, > 0.
    """

    def __init__(self, tasks: int, *, speed: float) -> None:
        super().__init__()
        self.tasks, self.speed = tasks, speed
        self.learned = nn.Parameter(torch.zeros(tasks * tasks))

    @property
    def alpha(self) -> Tensor:
        """Coefficients, ``[tasks, tasks]``; a row holds those of one task's new hidden states."""
        other = (1 - _SELF) / (self.tasks - 1) if self.tasks > 1 else 0.0
        identity = torch.eye(self.tasks, dtype=self.learned.dtype, device=self.learned.device)
        start = other + (1 - self.tasks * other) * identity  # rows sum to 1
        learned = self.speed * self.learned.detach() + (self.learned - self.learned.detach())  # with the gradient of α
        return start + learned.view(self.tasks, self.tasks)

    def forward(self, columns: Tensor) -> Tensor:
        """Combine hidden states, ``[tasks, …]``, to the same shape."""
        with torch.autocast(columns.device.type, enabled=False):  # two digits of bfloat16 are too few for coefficients
            mixed = self.alpha.to(columns.dtype) @ columns.flatten(1)
        return mixed.view_as(columns)


class StitchedLayer(TaskSpecificLayer):
    """The copies of a layer for all tasks, followed by a cross-stitch unit.

    Args:
        copies: layer of each task.
        stitch: cross-stitch unit after the layers.
        route: routing context of the encoder, in which all tasks have the same rows.
        first: whether the input holds the rows of the batch, before they are repeated for each task.
    """

    def __init__(self, copies: TaskModuleDict, *, stitch: Stitch, route: RoutingContext, first: bool) -> None:
        super().__init__(copies, route=route, first=first)
        self.stitch = stitch

    def compute(self, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        output = super().compute(hidden, args, kwargs)
        return self._mix(output) if isinstance(output, Tensor) else (self._mix(output[0]), *output[1:])

    def _mix(self, hidden: Tensor) -> Tensor:
        # The rows of the tasks follow each other along the first dimension that is longer than 1, packed or not.
        mixed: Tensor = self.stitch(hidden.view(self.stitch.tasks, -1, hidden.shape[-1]))
        return mixed.view_as(hidden)


@SHARINGS.register("cross_stitch", CrossStitchOptions)
class CrossStitch(RoutedSharing):
    """Cross-stitch network: task-specific layers with learned linear combinations (Misra et al., 2016).

    Args:
        encoder: pretrained encoder, whose upper layers are copied for each task.
        tasks: names of the tasks.
        shared: number of shared layers, from 0 to all but one.
        speed: factor on the learning rate of the coefficients, > 0.

    Raises:
        ModelError: all layers would be shared, or the architecture is not supported.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], shared: int, speed: float) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        self.shared, layers = shared, find_layers(encoder)
        for index, copies in upper_copies(encoder, tasks=tasks, shared=shared).items():
            stitch = Stitch(len(tasks), speed=speed)
            layers[index] = StitchedLayer(copies, stitch=stitch, route=self.route, first=index == shared)

    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        mask = inputs["attention_mask"]
        all_rows = torch.arange(mask.shape[0], device=mask.device)
        hidden = super().forward(inputs, dict.fromkeys(self.tasks, all_rows))
        return {
            task: hidden[task] if is_range(indices, mask.shape[0]) else hidden[task][indices]
            for task, indices in rows.items()
        }

    def _stitches(self) -> dict[int, Stitch]:
        layers = enumerate(find_layers(self.encoder))
        return {index: layer.stitch for index, layer in layers if isinstance(layer, StitchedLayer)}

    def added_shared_parameters(self) -> Iterator[nn.Parameter]:
        for stitch in self._stitches().values():
            yield stitch.learned

    def task_relations(self) -> dict[str, TaskMatrix]:
        return {
            f"mixture after layer {index + 1}": TaskMatrix(self.tasks, stitch.alpha.detach())
            for index, stitch in self._stitches().items()
        }

    def relative_flops(self, labels: float) -> float:
        sizes = layer_matmul_parameters(self.encoder)
        task_count, width = len(self.tasks), int(self.encoder.config.hidden_size)
        upper = sum(task_count * size + task_count**2 * width for size in sizes[self.shared :])
        return (sum(sizes[: self.shared]) + upper) / sum(sizes)
