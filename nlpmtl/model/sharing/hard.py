"""Hard parameter sharing: one encoder for all (Caruana 1997, Multitask Learning)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from nlpmtl.model.graphs import RecordedEncoder
from nlpmtl.model.packing import hidden_states
from nlpmtl.model.sharing.base import Sharing, SharingOptions
from nlpmtl.registry import SHARINGS


@SHARINGS.register("hard", SharingOptions)
class Hard(Sharing):
    """All rows go through the encoder once; each task takes its own."""

    recorded: RecordedEncoder | None = None

    def encoder_of(self, task: str) -> PreTrainedModel | None:
        return self.encoder

    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return hidden_states(self.encoder, inputs, rows, recorded=self.recorded)

    def record(self, *, rows: int, longest: int) -> None:
        self.recorded = RecordedEncoder(self.encoder, rows=rows, longest=longest)
