"""LoRA (Hu et al., 2022) with a shared and a task-specific adapter (after MTL-LoRA; Yang et al., 2024).

The encoder is frozen. Each linear layer gets a shared adapter and one adapter per task; a row uses the shared one and
that of its task.

    y = W x + b + α/r · B A x + α/r_t · B_t A_t x

Symbols:
- x, y: input and output of a linear layer, for a row of task t
- W, b: pretrained weight and bias, frozen
- A, ``[r, in_features]``, and B, ``[out_features, r]``: shared adapter of rank r (option `rank`)
- A_t, ``[r_t, in_features]``, and B_t, ``[out_features, r_t]``: adapter of task t of rank r_t (option `task_rank`)
- α: option `alpha`

A and A_t are drawn from U(−1/√in_features, 1/√in_features), as in LoRA's code; B and B_t are 0, so that training starts
from the pretrained encoder.

Departures from the papers:
- In MTL-LoRA the task-specific part is a matrix between a shared down-projection and a weighted sum of shared
  up-projections. Here it is a complete adapter, so that it can be merged and saved in PEFT's format like any LoRA.
- All linear layers of the encoder layers get adapters, except DeBERTa's query and key projections: these are also
  applied to relative position embeddings, which are not task-specific.

References:
    Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang and Chen (2022), LoRA: Low-Rank Adaptation of Large Language Models,
        ICLR, equation 3, https://arxiv.org/abs/2106.09685
    Yang et al. (2024), MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning, https://arxiv.org/abs/2410.09437

Example:
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import Lora
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = Lora(encoder=encoder, tasks=("topic", "sentiment"), rank=2, task_rank=1, alpha=16.0)
    >>> name, linear = next(sharing.adapted())
    >>> name, tuple(linear.shared.down.shape)
    ('encoder.layer.0.attention.self.query', (2, 8))
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from nlpmtl.config.sharing import LoraOptions
from nlpmtl.model.architectures import clone_layer, find_layers, matmul_parameters, replace_layers
from nlpmtl.model.sharing.split_encoder import check_shared
from nlpmtl.model.sharing.task_routing import RoutedSharing, SharedLayer, TaskModuleDict, TaskRouted, init_seed
from nlpmtl.model.task_segments import RoutingContext
from nlpmtl.registry import SHARINGS


class LowRank(nn.Module):
    """Low-rank adapter x ↦ scale · B A x.

    Args:
        in_features: size of x.
        out_features: size of the result.
        rank: rank of B A, ≥ 1.
        scale: factor of the result.
    """

    def __init__(self, *, in_features: int, out_features: int, rank: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, in_features))
        self.up = nn.Parameter(torch.zeros(out_features, rank))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, self.down), self.scale * self.up)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Draw A from U(−1/√in_features, 1/√in_features), as in LoRA's code.

        Args:
            seed: random seed, ≥ 0.
        """
        bound = 1 / math.sqrt(self.down.shape[1])
        self.down.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))


class LoraLinear(nn.Module):
    """A frozen linear layer with a shared and a task-specific adapter.

    Args:
        base: linear layer with W and b.
        tasks: names of the tasks.
        rank: rank r of the shared adapter.
        task_rank: rank r_t of each task's adapter.
        alpha: scaling α of the adapters.
        route: routing context of the encoder, which has the task of each row.
    """

    def __init__(
        self, base: nn.Linear, *, tasks: tuple[str, ...], rank: int, task_rank: int, alpha: float, route: RoutingContext
    ) -> None:
        super().__init__()

        def new_adapter(rank: int) -> LowRank:
            return LowRank(in_features=base.in_features, out_features=base.out_features, rank=rank, scale=alpha / rank)

        self.base, self.shared = base, new_adapter(rank)
        self.by_task = TaskRouted(TaskModuleDict(tasks, lambda: new_adapter(task_rank)), route=route)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + self.shared(x) + self.by_task(x)
        return result

    def adapters(self, task: str) -> tuple[LowRank, LowRank]:
        """Return the shared adapter and that of a task."""
        adapter = self.by_task.own.of(task)
        assert isinstance(adapter, LowRank)
        return self.shared, adapter

    def combined(self, task: str) -> tuple[Tensor, Tensor]:
        """Return the shared and the task-specific adapter as a single adapter of rank r + r_t.

        Args:
            task: name of the task.

        Returns:
            A, ``[r + r_t, in_features]``, and B with the scale included, ``[out_features, r + r_t]``.
        """
        adapters = self.adapters(task)
        down = torch.cat([adapter.down for adapter in adapters])
        return down, torch.cat([adapter.scale * adapter.up for adapter in adapters], dim=1)

    @torch.no_grad()
    def merged(self, task: str) -> nn.Linear:
        """Return a linear layer with the adapters of a task merged into its weight."""
        down, up = self.combined(task)
        merged = nn.Linear(self.base.in_features, self.base.out_features, bias=False, device="meta")
        added = (up.double() @ down.double()).to(self.base.weight.dtype)
        merged.weight, merged.bias = nn.Parameter(self.base.weight + added), self.base.bias
        return merged


@SHARINGS.register("lora", LoraOptions)
class Lora(RoutedSharing):
    """LoRA: a frozen encoder with shared and task-specific low-rank adapters (Hu et al., 2022).

    Args:
        encoder: pretrained encoder, which is frozen.
        tasks: names of the tasks.
        rank: rank of the shared adapters, ≥ 1.
        task_rank: rank of the task-specific adapters, ≥ 1.
        alpha: scaling; the output of an adapter is multiplied by alpha / rank, > 0.

    Raises:
        ModelError: the architecture is not supported (see `nlpmtl.model.architectures`).
    """

    def __init__(
        self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], rank: int, task_rank: int, alpha: float
    ) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        encoder.requires_grad_(False)
        layers = find_layers(encoder)
        check_shared(0, layers=len(layers), encoder=encoder)
        for index, layer in enumerate(layers):
            for name, linear in list(layer.named_modules()):
                if isinstance(linear, nn.Linear) and not name.endswith(self.architecture.position_projections):
                    adapted = LoraLinear(
                        linear, tasks=tasks, rank=rank, task_rank=task_rank, alpha=alpha, route=self.route
                    )
                    layer.set_submodule(name, adapted)
            layers[index] = SharedLayer(layer, route=self.route, first=index == 0)
        self.init_parameters(0)

    def init_parameters(self, seed: int) -> None:
        for number, (_, linear) in enumerate(self.adapted()):
            if linear.shared.down.is_meta:
                return
            linear.shared.reset(init_seed(seed, 2 * number))
            for task in self.tasks:
                # The same values for all tasks, so that the result does not depend on the order of the tasks.
                linear.adapters(task)[1].reset(init_seed(seed, 2 * number + 1))

    def adapted(self) -> Iterator[tuple[str, LoraLinear]]:
        """Yield the name in the original encoder and the module of each layer with adapters."""
        for name, module in self.encoder.named_modules():
            if isinstance(module, LoraLinear):
                yield _original_name(name, self.architecture.layers), module

    def added_shared_parameters(self) -> Iterator[nn.Parameter]:
        for _, linear in self.adapted():
            yield from linear.shared.parameters()

    def standalone_encoder(self, task: str) -> PreTrainedModel | None:
        return replace_layers(self.encoder, [_merge(layer, task) for layer in find_layers(self.encoder)])

    def relative_flops(self, labels: float) -> float:
        base = sum(matmul_parameters(layer) for layer in find_layers(self.encoder))
        linears = [linear for _, linear in self.adapted()]
        added = sum(matmul_parameters(linear.shared) + matmul_parameters(linear.by_task.own) for linear in linears)
        used = sum(matmul_parameters(adapter) for linear in linears for adapter in linear.adapters(self.tasks[0]))
        return labels * (base - added + used) / (base - added)


def _merge(layer: nn.Module, task: str) -> nn.Module:
    """Return a copy of the original layer with the adapters of a task merged into its weights."""
    assert isinstance(layer, SharedLayer)
    merged = clone_layer(layer.layer)
    for name, module in list(merged.named_modules()):
        if isinstance(module, LoraLinear):
            merged.set_submodule(name, module.merged(task))
    return merged


def _original_name(name: str, layers: str) -> str:
    """Return a module's name in the encoder before its layers were wrapped."""
    number, _, inside = name.removeprefix(f"{layers}.").partition(".layer.")
    return f"{layers}.{number}.{inside}"
