"""What a sharing scheme is: it stands between the encoder and the heads, and hands out hidden rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.registry import Options


class SharingOptions(Options):
    """What every sharing scheme of the house can be told."""

    relations: Literal["covariance"] | None = None
    """"covariance": learn how the tasks are related, from what each has of its own, and draw related ones together."""
    relations_strength: float = Field(0.001, gt=0)
    """How strongly related tasks are drawn together."""


class Matrix(NamedTuple):
    """Numbers between tasks that a model has learned.

    Args:
        tasks: what its rows and columns are.
        values: ``[tasks, tasks]``.
    """

    tasks: tuple[str, ...]
    values: Tensor


class Sharing(nn.Module, ABC):
    """How the tasks share an encoder. Heads, losses, prediction and export know nothing of which scheme it is.

    Args:
        encoder: the pretrained encoder.
        tasks: the names of the tasks.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder, self.tasks = encoder, tasks

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The hidden states of each task's rows.

        Args:
            inputs: the encoder's arguments, each ``[rows, time]``.
            rows: which rows each task wants, ``[part]``.

        Returns:
            For each task ``[part, time, width]``; the time may be that of its own longest row.
        """

    def encoder_of(self, task: str) -> PreTrainedModel | None:
        """An encoder whose last hidden states are those of a task's rows; None where no stock encoder computes them."""
        return None

    def initialise(self, seed: int) -> None:
        """Draw the first numbers of what the scheme adds, where they are drawn."""

    def own(self, task: str) -> dict[str, nn.Parameter]:
        """What a task has inside the encoder for itself; other tasks have theirs under the same names."""
        return {}

    def added(self) -> Iterator[nn.Parameter]:
        """What the scheme adds for all tasks together."""
        yield from ()

    def freeze(self) -> None:
        """Train no more what was pretrained and is shared; what the scheme adds stays trained."""
        self.encoder.requires_grad_(False)
        for task in self.tasks:
            for parameter in self.own(task).values():
                parameter.requires_grad_(True)
        for parameter in self.added():
            parameter.requires_grad_(True)

    def penalty(self) -> Tensor | None:
        """What is added to a step's loss, once a step; a scalar, or None."""
        return None

    def after_step(self) -> None:
        """What is to be done after the weights have moved."""

    def record(self, *, rows: int, longest: int) -> None:
        """Record the passes of training on a GPU, where the scheme can, for batches that are packed.

        Args:
            rows: most rows in a batch.
            longest: wordpieces of the longest row that may come.
        """

    def relations(self) -> dict[str, Matrix]:
        """What has been learned about the tasks' relations, by name."""
        return {}

    def cost(self, labels: float) -> float:
        """The multiplications of a forward, as a multiple of hard sharing's.

        Those of layers' weight matrices are counted: attention between wordpieces, and what an encoder does outside its
        layers, grow alike.

        Args:
            labels: how many tasks ask about a row, on average.
        """
        return 1.0
