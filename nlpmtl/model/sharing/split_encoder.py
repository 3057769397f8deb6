"""Shared lower layers and task-specific upper layers (after Søgaard and Goldberg, 2016).

    h_t = f_t(f(x; θ); θ_t)

Symbols:
- x: batch of token sequences
- f: embeddings and lower layers with the parameters θ, which all tasks share
- f_t: upper layers of task t with the parameters θ_t, at the start a copy of the pretrained ones
- h_t: hidden states of task t

A row passes through the lower layers once, and through the upper layers of each task that reads it.

Departures from the paper:
- Søgaard and Goldberg supervise a low-level task at a lower layer and another task at the top layer of one network.
  Here all tasks have the same depth, and their layers differ from layer `shared` + 1 upward.

References:
    Søgaard and Goldberg (2016), Deep multi-task learning with low level tasks supervised at lower layers, ACL,
        https://aclanthology.org/P16-2038

Example:
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import Layers
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = Layers(encoder=encoder, tasks=("topic", "sentiment"), shared=1)
    >>> sharing.relative_flops(labels=2.0)  # one shared layer and two task-specific ones, instead of two
    1.5
"""

from __future__ import annotations

from functools import partial

from transformers import PreTrainedModel

from nlpmtl.config.sharing import LayersOptions
from nlpmtl.errors import ModelError
from nlpmtl.model.architectures import clone_layer, find_layers, matmul_parameters, replace_layers
from nlpmtl.model.sharing.task_routing import RoutedSharing, TaskModuleDict, TaskSpecificLayer
from nlpmtl.registry import SHARINGS


@SHARINGS.register("layers", LayersOptions)
class Layers(RoutedSharing):
    """Shared lower layers and task-specific upper layers.

    Args:
        encoder: pretrained encoder, whose upper layers are copied for each task.
        tasks: names of the tasks.
        shared: number of shared layers, from 0 to all but one; None: half of the layers.

    Raises:
        ModelError: all layers would be shared, or the architecture is not supported.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], shared: int | None) -> None:
        super().__init__(encoder=encoder, tasks=tasks)
        layers = find_layers(encoder)
        self.shared = shared = len(layers) // 2 if shared is None else shared
        for index, copies in upper_copies(encoder, tasks=tasks, shared=shared).items():
            layers[index] = TaskSpecificLayer(copies, route=self.route, first=index == shared)

    def standalone_encoder(self, task: str) -> PreTrainedModel | None:
        layers = [
            layer.copies.of(task) if isinstance(layer, TaskSpecificLayer) else layer
            for layer in find_layers(self.encoder)
        ]
        return replace_layers(self.encoder, layers)

    def relative_flops(self, labels: float) -> float:
        sizes = layer_matmul_parameters(self.encoder)
        return (sum(sizes[: self.shared]) + labels * sum(sizes[self.shared :])) / sum(sizes)


def upper_copies(encoder: PreTrainedModel, *, tasks: tuple[str, ...], shared: int) -> dict[int, TaskModuleDict]:
    """Copy the layers that are not shared for each task.

    Args:
        encoder: encoder with the layers.
        tasks: names of the tasks.
        shared: number of shared layers, from the lowest up.

    Returns:
        The copies of each upper layer, by the index of the layer.

    Raises:
        ModelError: `shared` does not fit the encoder, see `check_shared`.
    """
    layers = list(enumerate(find_layers(encoder)))
    check_shared(shared, layers=len(layers), encoder=encoder)
    return {index: TaskModuleDict(tasks, partial(clone_layer, layer)) for index, layer in layers[shared:]}


def check_shared(shared: int, *, layers: int, encoder: PreTrainedModel) -> None:
    """Check that an encoder can share its lower layers and have task-specific upper layers.

    Args:
        shared: number of shared layers.
        layers: number of layers of the encoder.
        encoder: the encoder.

    Raises:
        ModelError: no layer would be task-specific, or the first layer must be shared.
    """
    if shared >= layers:
        raise ModelError(
            f"sharing.shared: the encoder has {layers} layers, found {shared}, but at least one layer must be "
            'task-specific; to share all layers, write sharing.kind = "hard"'
        )
    if shared == 0 and getattr(encoder.config, "conv_kernel_size", 0) > 0:
        raise ModelError("sharing.shared: this encoder convolves the output of its first layer: share at least 1 layer")


def layer_matmul_parameters(encoder: PreTrainedModel) -> list[int]:
    """Return the number of parameters in the weight matrices of each layer; of one copy if tasks have copies."""
    layers = find_layers(encoder)
    return [
        matmul_parameters(next(iter(layer.copies.values())) if isinstance(layer, TaskSpecificLayer) else layer)
        for layer in layers
    ]
