"""Small modules of each task inside layers that all share: bottlenecks, or projected attention beside each layer.

References:
    Houlsby et al. (2019), Parameter-Efficient Transfer Learning for NLP, section 2.1: a bottleneck with a skip
    connection at the end of each of a layer's two blocks, before the block's own skip connection; each task has its
    own layer normalisation; all else is frozen. Here the bottleneck stands before the block's dropout, not after, and
    adds exactly nothing at first.
    Stickland and Murray (2019), BERT and PALs, sections 3.1 and 3.2: see `nlpmtl.model.sharing.pals`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from nlpmtl.model.layers import copy_layer, find_layers, matrix_numbers
from nlpmtl.model.sharing.base import SharingOptions
from nlpmtl.model.sharing.layers import check_shared
from nlpmtl.model.sharing.pals import PalLayer, make_attentions, make_projections
from nlpmtl.model.sharing.routed import ByTask, PerTask, RoutedSharing, Together, first_seed
from nlpmtl.registry import SHARINGS

_STD = 0.02
"""Of what is drawn at first, as encoders' own weights."""


class AdaptersOptions(SharingOptions):
    """Options of `Adapters`."""

    form: Literal["bottleneck", "pal"] = "bottleneck"
    """"bottleneck": two in each layer, and the encoder is frozen; "pal": attention over a few dimensions beside each
    layer, and the encoder is trained too."""
    size: int = Field(64, gt=0)
    """The dimensions inside: Houlsby et al. take 8 to 256, PALs 204."""


class Bottleneck(nn.Module):
    """x ↦ x + U gelu(D x), with U = 0 at first.

    Args:
        width: of x.
        size: of D x.
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
    """Small modules of each task inside shared layers.

    Args:
        encoder: the pretrained encoder.
        tasks: the names of the tasks.
        form: bottlenecks in a frozen encoder, or projected attention beside layers that are trained.
        size: the dimensions inside, ≥ 1.

    Raises:
        ModelError: the encoder's layers are not a list of their own each.
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
        self._numbers = sum(map(matrix_numbers, layers))
        for at, layer in enumerate(layers):
            first = at == 0
            if form == "pal":
                beside = make_attentions(encoder.config, tasks=tasks, size=size)
                end = self.anatomy.feed_forward
                layers[at] = PalLayer(
                    layer, end=end, projections=self.projections, own=beside, route=self.route, first=first
                )
            else:
                self._insert(layer, size=size)
                layers[at] = Together(layer, route=self.route, first=first)
        self.initialise(0)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw what goes down, and what attends; what goes up stays 0."""
        places = [module for module in self.modules() if isinstance(module, PerTask)]
        for number, place in enumerate(places):
            for task in self.tasks:
                generator = torch.Generator().manual_seed(first_seed(seed, number))  # alike for all tasks
                for name, module in place.of(task).named_modules():
                    if isinstance(module, nn.Linear) and name != "up" and not module.weight.is_meta:
                        module.weight.normal_(0.0, _STD, generator=generator)
                        module.bias.zero_()

    def cost(self, labels: float) -> float:
        added = sum(weight.numel() for weight in self.own(self.tasks[0]).values() if weight.dim() > 1)
        if self.form == "pal":  # of which every layer computes the projections
            projections = matrix_numbers(self.projections.of(self.tasks[0]))
            added += projections * (len(find_layers(self.encoder)) - 1)
        return labels * (self._numbers + added) / self._numbers

    def _insert(self, layer: nn.Module, *, size: int) -> None:
        """Bottlenecks after the two matrices that end a layer's blocks, and normalisations of each task's own."""
        for name, norm in list(layer.named_modules()):
            if isinstance(norm, nn.LayerNorm):
                own = PerTask(self.tasks, lambda norm=norm: copy_layer(norm).requires_grad_(True))  # type: ignore[misc]
                layer.set_submodule(name, ByTask(own, route=self.route))
        for name in (self.anatomy.attention, self.anatomy.feed_forward):
            linear = layer.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            width = linear.out_features
            own = PerTask(self.tasks, lambda width=width: Bottleneck(width=width, size=size))  # type: ignore[misc]
            layer.set_submodule(name, nn.Sequential(linear, ByTask(own, route=self.route)))
