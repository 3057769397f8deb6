"""Low-rank adapters inside a frozen encoder: one that all tasks share, and one for each task beside it.

References:
    Hu et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models, equation 3.
    Yang et al. (2024), MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning. There a task's part is a matrix of its
    own between shared down-projections and a weighted sum of shared up-projections; here it is a whole adapter, so that
    what a task learns is a LoRA like any other: it can be merged, and written in PEFT's format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from nlpmtl.model.layers import copy_layer, find_layers, matrix_numbers, with_layers
from nlpmtl.model.sharing.base import SharingOptions
from nlpmtl.model.sharing.layers import check_shared
from nlpmtl.model.sharing.routed import ByTask, PerTask, RoutedSharing, Together, first_seed
from nlpmtl.model.streams import Route
from nlpmtl.registry import SHARINGS


class LoraOptions(SharingOptions):
    """Options of `Lora`."""

    rank: int = Field(8, gt=0)
    """The rank of the adapter that all tasks share."""
    task_rank: int = Field(4, gt=0)
    """The rank of each task's own adapter."""
    alpha: float = Field(16.0, gt=0)
    """What an adapter adds is multiplied with alpha / its rank."""


class LowRank(nn.Module):
    """x ↦ scale · B A x, with A drawn at random and B = 0 at first.

    Args:
        inputs: the size of x.
        outputs: that of what is added.
        rank: of B A.
        scale: its factor.
    """

    def __init__(self, *, inputs: int, outputs: int, rank: int, scale: float) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.empty(rank, inputs)), nn.Parameter(torch.zeros(outputs, rank))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, self.down), self.scale * self.up)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Draw A, from ±1/√inputs as LoRA's authors do."""
        bound = 1 / math.sqrt(self.down.shape[1])
        self.down.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))


class LoraLinear(nn.Module):
    """y = W x + b + s · B A x + s_t · B_t A_t x, with the A_t and B_t of the task whose row x is from.

    Args:
        base: W and b.
        tasks: the names of the tasks.
        rank: of B A.
        task_rank: of each B_t A_t.
        alpha: s · rank, and s_t · task_rank.
        route: of the encoder.
    """

    def __init__(
        self, base: nn.Linear, *, tasks: tuple[str, ...], rank: int, task_rank: int, alpha: float, route: Route
    ) -> None:
        super().__init__()

        def make(rank: int) -> LowRank:
            return LowRank(inputs=base.in_features, outputs=base.out_features, rank=rank, scale=alpha / rank)

        self.base, self.shared = base, make(rank)
        self.by_task = ByTask(PerTask(tasks, lambda: make(task_rank)), route=route)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + self.shared(x) + self.by_task(x)
        return result

    def adapters(self, task: str) -> tuple[LowRank, LowRank]:
        """The shared one, and the task's."""
        own = self.by_task.own.of(task)
        assert isinstance(own, LowRank)
        return self.shared, own

    def combined(self, task: str) -> tuple[Tensor, Tensor]:
        """Both adapters of a task as one of rank r + r_t: A, ``[r + r_t, inputs]``, and B with its scale in it."""
        both = self.adapters(task)
        return torch.cat([one.down for one in both]), torch.cat([one.scale * one.up for one in both], dim=1)

    @torch.no_grad()
    def merged(self, task: str) -> nn.Linear:
        """A plain linear layer with the task's adapters in its weights."""
        down, up = self.combined(task)
        plain = nn.Linear(self.base.in_features, self.base.out_features, bias=False, device="meta")
        added = (up.double() @ down.double()).to(self.base.weight.dtype)
        plain.weight, plain.bias = nn.Parameter(self.base.weight + added), self.base.bias
        return plain


@SHARINGS.register("lora", LoraOptions)
class Lora(RoutedSharing):
    """The encoder is frozen; a shared low-rank adapter and one of each task are added to its layers' matrices.

    Rows of all tasks go through each layer together, and each row gets its own task's adapter. In DeBERTa the
    projections of queries and keys have none: positions pass through them too, which are of no task.

    Args:
        encoder: the pretrained encoder.
        tasks: the names of the tasks.
        rank: of the shared adapters.
        task_rank: of the tasks' adapters.
        alpha: what they add is multiplied with alpha / their rank.

    Raises:
        ModelError: the encoder's layers are not a list of their own each.
    """

    def __init__(
        self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], rank: int, task_rank: int, alpha: float
    ) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        encoder.requires_grad_(False)
        layers = find_layers(encoder)
        check_shared(0, layers=len(layers), encoder=encoder)
        for at, layer in enumerate(layers):
            for name, linear in list(layer.named_modules()):
                if isinstance(linear, nn.Linear) and not name.endswith(self.anatomy.beyond_rows):
                    adapted = LoraLinear(
                        linear, tasks=tasks, rank=rank, task_rank=task_rank, alpha=alpha, route=self.route
                    )
                    layer.set_submodule(name, adapted)
            layers[at] = Together(layer, route=self.route, first=at == 0)
        self.initialise(0)

    def initialise(self, seed: int) -> None:
        for number, (_, linear) in enumerate(self.adapted()):
            if linear.shared.down.is_meta:
                return
            linear.shared.reset(first_seed(seed, 2 * number))
            for task in self.tasks:
                linear.adapters(task)[1].reset(
                    first_seed(seed, 2 * number + 1)
                )  # alike for all: their order is nothing

    def adapted(self) -> Iterator[tuple[str, LoraLinear]]:
        """Every linear layer with adapters, and its name in a stock encoder."""
        for name, module in self.encoder.named_modules():
            if isinstance(module, LoraLinear):
                yield _stock(name, self.anatomy.layers), module

    def added(self) -> Iterator[nn.Parameter]:
        for _, linear in self.adapted():
            yield from linear.shared.parameters()

    def encoder_of(self, task: str) -> PreTrainedModel | None:
        return with_layers(self.encoder, [_merge(layer, task) for layer in find_layers(self.encoder)])

    def cost(self, labels: float) -> float:
        base = sum(matrix_numbers(layer) for layer in find_layers(self.encoder))
        linears = [linear for _, linear in self.adapted()]
        added = sum(matrix_numbers(linear.shared) + matrix_numbers(linear.by_task.own) for linear in linears)
        ran = sum(matrix_numbers(one) for linear in linears for one in linear.adapters(self.tasks[0]))
        return labels * (base - added + ran) / (base - added)


def _merge(layer: nn.Module, task: str) -> nn.Module:
    """A copy of the layer that is inside, with a task's adapters in its weights."""
    assert isinstance(layer, Together)
    plain = copy_layer(layer.layer)
    for name, module in list(plain.named_modules()):
        if isinstance(module, LoraLinear):
            plain.set_submodule(name, module.merged(task))
    return plain


def _stock(name: str, layers: str) -> str:
    """A module's name without what stands around its layer."""
    number, _, inside = name.removeprefix(f"{layers}.").partition(".layer.")
    return f"{layers}.{number}.{inside}"
