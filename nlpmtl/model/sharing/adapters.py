"""Task-specific adapters: bottleneck adapters (Houlsby et al., 2019) or projected attention layers (PALs).

    bottleneck: x ↦ x + U · gelu(D x)

Symbols:
- x: output of the attention block or of the feed-forward block of a layer, before the block's skip connection
- D, ``[size, width]``, and U, ``[width, size]``: down- and up-projection of a task, each with a bias
- size: option; width: size of the hidden states

With `form = "bottleneck"` each layer has two bottlenecks per task, and each task has its own layer normalisations; all
other parameters of the encoder are frozen. `form = "pal"` adds small attention layers in parallel to each layer and
trains the encoder too (Stickland and Murray, 2019): see `nlpmtl.model.sharing.pals` for its formula.

Departures from the paper:
- A bottleneck is applied before the dropout of its block; the paper applies it after.
- U is 0 at the start, so that training starts from the pretrained encoder exactly.

References:
    Houlsby, Giurgiu, Jastrzebski, Morrone, de Laroussilhe, Gesmundo, Attariyan and Gelly (2019), Parameter-Efficient
        Transfer Learning for NLP, ICML, section 2.1, https://arxiv.org/abs/1902.00751
    Stickland and Murray (2019), BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task
        Learning, ICML, sections 3.1 and 3.2, https://arxiv.org/abs/1902.02671

Example:
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import Adapters
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = Adapters(encoder=encoder, tasks=("topic", "sentiment"), form="bottleneck", size=4)
    >>> trained = {name for name, parameter in sharing.named_parameters() if parameter.requires_grad}
    >>> len(trained) == 2 * len(sharing.task_parameters("topic"))
    True
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from nlpmtl.config.sharing import AdaptersOptions
from nlpmtl.model.architectures import clone_layer, find_layers, matmul_parameters
from nlpmtl.model.sharing.pals import PalLayer, make_attentions, make_projections
from nlpmtl.model.sharing.split_encoder import check_shared
from nlpmtl.model.sharing.task_routing import RoutedSharing, SharedLayer, TaskModuleDict, TaskRouted, init_seed
from nlpmtl.registry import SHARINGS

_STD = 0.02
"""Standard deviation of initial weights, as in pretrained encoders."""


class Bottleneck(nn.Module):
    """Bottleneck adapter x ↦ x + U · gelu(D x), with U = 0 at the start.

    Args:
        width: size of x.
        size: size of D x.
    """

    def __init__(self, *, width: int, size: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.up(functional.gelu(self.down(x)))
        return x + added


@SHARINGS.register("adapters", AdaptersOptions)
class Adapters(RoutedSharing):
    """Task-specific bottleneck adapters (Houlsby et al., 2019) or projected attention layers in shared layers.

    Args:
        encoder: pretrained encoder.
        tasks: names of the tasks.
        form: "bottleneck" with a frozen encoder, or "pal" with a trained one.
        size: hidden size of the adapters, ≥ 1.

    Raises:
        ModelError: the architecture is not supported (see `nlpmtl.model.architectures`).
    """

    def __init__(
        self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], form: Literal["bottleneck", "pal"], size: int
    ) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        self.form = form
        layers = find_layers(encoder)
        check_shared(0, layers=len(layers), encoder=encoder)
        if form == "bottleneck":
            encoder.requires_grad_(False)
        else:
            self.projections = make_projections(encoder.config, tasks=tasks, size=size)
        self._numbers = sum(map(matmul_parameters, layers))
        for index, layer in enumerate(layers):
            first = index == 0
            if form == "pal":
                attentions = make_attentions(encoder.config, tasks=tasks, size=size)
                end = self.architecture.feed_forward
                layers[index] = PalLayer(
                    layer, end=end, projections=self.projections, attentions=attentions, route=self.route, first=first
                )
            else:
                self._insert_bottlenecks(layer, size=size)
                layers[index] = SharedLayer(layer, route=self.route, first=first)
        self.init_parameters(0)

    @torch.no_grad()
    def init_parameters(self, seed: int) -> None:
        """Draw the down-projections and the attention; the up-projections stay 0."""
        groups = [module for module in self.modules() if isinstance(module, TaskModuleDict)]
        for number, group in enumerate(groups):
            for task in self.tasks:
                generator = torch.Generator().manual_seed(init_seed(seed, number))  # the same values for all tasks
                for name, module in group.of(task).named_modules():
                    if isinstance(module, nn.Linear) and name != "up" and not module.weight.is_meta:
                        module.weight.normal_(0.0, _STD, generator=generator)
                        module.bias.zero_()

    def relative_flops(self, labels: float) -> float:
        added = sum(weight.numel() for weight in self.task_parameters(self.tasks[0]).values() if weight.dim() > 1)
        if self.form == "pal":  # the projections are computed in every layer
            projections = matmul_parameters(self.projections.of(self.tasks[0]))
            added += projections * (len(find_layers(self.encoder)) - 1)
        return labels * (self._numbers + added) / self._numbers

    def _insert_bottlenecks(self, layer: nn.Module, *, size: int) -> None:
        """Insert bottlenecks after the last matrix of both blocks, and task-specific layer normalisations."""
        for name, norm in list(layer.named_modules()):
            if isinstance(norm, nn.LayerNorm):
                copies = TaskModuleDict(self.tasks, partial(_trainable_copy, norm))
                layer.set_submodule(name, TaskRouted(copies, route=self.route))
        for name in (self.architecture.attention, self.architecture.feed_forward):
            linear = layer.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            width = linear.out_features
            bottlenecks = TaskModuleDict(self.tasks, partial(Bottleneck, width=width, size=size))
            layer.set_submodule(name, nn.Sequential(linear, TaskRouted(bottlenecks, route=self.route)))


def _trainable_copy(norm: nn.Module) -> nn.Module:
    return clone_layer(norm).requires_grad_(True)
