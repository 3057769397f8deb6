"""What a sharing scheme is: it stands between the encoder and the heads, and hands out hidden rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from transformers import PreTrainedModel


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
            For each task ``[part, time, width]``.
        """

    def encoder_of(self, task: str) -> PreTrainedModel | None:
        """An encoder whose last hidden states are those of a task's rows; None where no stock encoder computes them."""
        return None
