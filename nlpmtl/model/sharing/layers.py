"""The lower layers shared, the upper ones a copy for each task.

Lower layers know what tasks have in common, upper ones what sets them apart (Søgaard and Goldberg 2016, Deep multi-task
learning with low level tasks supervised at lower layers).
"""

from __future__ import annotations

from functools import partial

from pydantic import Field
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError
from nlpmtl.model.layers import copy_layer, find_layers, matrix_numbers, with_layers
from nlpmtl.model.sharing.base import SharingOptions
from nlpmtl.model.sharing.routed import Apart, PerTask, RoutedSharing
from nlpmtl.registry import SHARINGS


class LayersOptions(SharingOptions):
    """Options of `Layers`."""

    shared: int | None = Field(None, ge=0)
    """How many layers, from the lowest up, all tasks share; of those above each task has a copy. Default: half of the
    encoder's layers."""


@SHARINGS.register("layers", LayersOptions)
class Layers(RoutedSharing):
    """The lower layers are shared; each task has a copy of the upper ones.

    A row goes through the lower layers once, and through the upper ones of each task that asks about it.

    Args:
        encoder: the pretrained encoder; the copies start as its layers are.
        tasks: the names of the tasks.
        shared: how many layers are shared, from 0 to all but one; None: half of them.

    Raises:
        ModelError: the encoder has no more layers, or none that can be copied one by one.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], shared: int | None) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        layers = find_layers(encoder)
        self.shared = shared = len(layers) // 2 if shared is None else shared
        for at, copies in upper_copies(encoder, tasks=tasks, shared=shared).items():
            layers[at] = Apart(copies, route=self.route, first=at == shared)

    def encoder_of(self, task: str) -> PreTrainedModel | None:
        layers = [layer.copies.of(task) if isinstance(layer, Apart) else layer for layer in find_layers(self.encoder)]
        return with_layers(self.encoder, layers)

    def cost(self, labels: float) -> float:
        numbers = layer_numbers(self.encoder)
        return (sum(numbers[: self.shared]) + labels * sum(numbers[self.shared :])) / sum(numbers)


def upper_copies(encoder: PreTrainedModel, *, tasks: tuple[str, ...], shared: int) -> dict[int, PerTask]:
    """Copies for each task of the layers that are not shared, by the layer's number."""
    layers = list(enumerate(find_layers(encoder)))
    check_shared(shared, layers=len(layers), encoder=encoder)
    return {at: PerTask(tasks, partial(copy_layer, layer)) for at, layer in layers[shared:]}


def check_shared(shared: int, *, layers: int, encoder: PreTrainedModel) -> None:
    """ModelError unless so many layers can be shared, and the others not."""
    if shared >= layers:
        raise ModelError(
            f"sharing.shared: the encoder has {layers} layers, found {shared}, which leaves none to a task of its own; "
            'to share them all, say sharing.kind = "hard"'
        )
    if shared == 0 and getattr(encoder.config, "conv_kernel_size", 0) > 0:
        raise ModelError("sharing.shared: this encoder convolves what its first layer gives: share 1 layer at least")


def layer_numbers(encoder: PreTrainedModel) -> list[int]:
    """The numbers in each layer's matrices; where tasks have copies of a layer, in one of them."""
    layers = find_layers(encoder)
    return [matrix_numbers(next(iter(one.copies.values())) if isinstance(one, Apart) else one) for one in layers]
