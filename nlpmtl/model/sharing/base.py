"""Base class of sharing schemes, which compute the hidden states that the heads of the tasks read.

    h_t = f(x; θ, θ_t)

Symbols:
- x: batch of token sequences
- f: encoder with the parameters θ, which the tasks share, and θ_t, which are specific to task t
- h_t: hidden states of the rows of task t

Heads, losses, prediction and export do not depend on which scheme it is.

Example:
    >>> import torch
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import Sharing
    >>> class OneEncoder(Sharing):
    ...     def forward(self, inputs, rows):
    ...         hidden = self.encoder(**inputs).last_hidden_state
    ...         return {task: hidden[indices] for task, indices in rows.items()}
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = OneEncoder(encoder=encoder, tasks=("topic",))
    >>> inputs = {"input_ids": torch.tensor([[2, 7, 3], [2, 9, 3]]), "attention_mask": torch.ones(2, 3)}
    >>> sharing(inputs, {"topic": torch.tensor([1])})["topic"].shape
    torch.Size([1, 3, 8])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.errors import ConfigError
from nlpmtl.model.architectures import parameter_depths


class TaskMatrix(NamedTuple):
    """A learned value for each pair of tasks.

    Args:
        tasks: names of the tasks, in the order of the rows and columns.
        values: ``[tasks, tasks]``.
    """

    tasks: tuple[str, ...]
    values: Tensor


class Sharing(nn.Module, ABC):
    """Computes hidden states for each task with an encoder that the tasks share.

    Args:
        encoder: pretrained encoder.
        tasks: names of the tasks.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder, self.tasks = encoder, tasks

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the hidden states of each task's rows.

        Args:
            inputs: arguments of the encoder, each ``[rows, sequence_length]``.
            rows: indices of the rows of each task, ``[task rows]``.

        Returns:
            For each task the last hidden states, ``[task rows, sequence_length, width]``. The sequence length
            may be that of the longest of the task's rows.
        """

    def standalone_encoder(self, task: str) -> PreTrainedModel | None:
        """Return an encoder that computes the hidden states of one task; None if no standard encoder does.

        Args:
            task: name of the task.

        Returns:
            An encoder of the same class, which may share parameters with this one.
        """
        return None

    def init_parameters(self, seed: int) -> None:
        """Initialise the randomly initialised parameters that the scheme adds.

        Args:
            seed: seed of the run, ≥ 0.
        """

    def task_parameters(self, task: str) -> dict[str, nn.Parameter]:
        """Return the encoder parameters that are specific to a task, under names that are the same for all tasks.

        Args:
            task: name of the task.
        """
        return {}

    def added_shared_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that the scheme adds and all tasks share."""
        yield from ()

    def freeze(self) -> None:
        """Freeze the shared pretrained parameters; task-specific and added parameters remain trainable."""
        self.encoder.requires_grad_(False)
        for task in self.tasks:
            for parameter in self.task_parameters(task).values():
                parameter.requires_grad_(True)
        for parameter in self.added_shared_parameters():
            parameter.requires_grad_(True)

    def freeze_layers(self, count: int) -> None:
        """Freeze the embeddings and the lowest layers, which all tasks must share.

        Args:
            count: number of layers; 0: only the embeddings.

        Raises:
            ConfigError: the encoder has no further layer, its architecture is not supported, or the scheme has
                task-specific or added parameters in the frozen layers.
        """
        key = "encoder.freeze_layers"
        depths, parameters = parameter_depths(self.encoder, key=key), dict(self.encoder.named_parameters())
        layers = max(depths.values())
        if count >= layers:
            raise ConfigError(
                f"{key}: the encoder has {layers} layers, found {count}: write a smaller number, or encoder.freeze = "
                "true to freeze all layers"
            )
        specific = [parameter for task in self.tasks for parameter in self.task_parameters(task).values()]
        added = {id(parameter) for parameter in (*specific, *self.added_shared_parameters())}
        lowest = min((depths[name] for name, value in parameters.items() if id(value) in added), default=layers)
        if count >= lowest:
            raise ConfigError(
                f"{key}: with this sharing.kind, layer {lowest} has parameters that the scheme adds or that are "
                f"specific to a task: freeze at most {lowest - 1} layers, found {count}"
            )
        for name, parameter in parameters.items():
            if depths[name] <= count:
                parameter.requires_grad_(False)

    def penalty(self) -> Tensor | None:
        """Return a term that is added to the loss once per step, a scalar; None if there is none."""
        return None

    def post_step(self) -> None:
        """Update the scheme after an optimizer step. The default does nothing."""

    def capture_cuda_graphs(self, *, rows: int, max_length: int) -> None:
        """Capture the forward and backward pass of packed batches as CUDA graphs, if the scheme supports it.

        Args:
            rows: number of rows in most batches; batches with more get graphs of their own.
            max_length: maximum number of tokens in a row.
        """

    def task_relations(self) -> dict[str, TaskMatrix]:
        """Return the learned relations between tasks, by name."""
        return {}

    def relative_flops(self, labels: float) -> float:
        """Return the multiplications of a forward pass relative to hard sharing.

        Only the weight matrices of the layers are counted. Attention scores, and what an encoder computes outside its
        layers, grow by the same factor.

        Args:
            labels: mean number of tasks that read a row.

        Returns:
            The factor; 1.0 for hard sharing.
        """
        return 1.0
