"""Masked language modelling, with modified copies, and generation, with a decoder as the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.data import ColumnType, Example, Targets, TaskBatch, TokenSequence
from nlpmtl.heads import HeadContext, HeadInputs, Outputs
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, Task
from tests.open_types.texts import DEFAULT


@COLUMN_TYPES.register("toy_text")
class Text(ColumnType):
    """A text."""

    @staticmethod
    def parse(value: Any, example: Example) -> str:
        if not isinstance(value, str):
            raise ValueError("a text was expected")
        return value


class MaskedHead(nn.Module):
    """Logits of the vocabulary at the masked places: those of the targets, or those of mask tokens."""

    def __init__(self, width: int, vocabulary: int, mask: int) -> None:
        super().__init__()
        self.mask, self.out = mask, nn.Linear(width, vocabulary)

    def forward(self, inputs: HeadInputs) -> Tensor:
        if inputs.targets is not None:
            place = inputs.targets["place"].clamp(min=0)
        else:
            masked = inputs.input_ids == self.mask
            place = masked.int().argsort(dim=1, descending=True, stable=True)[:, : int(masked.sum(dim=1).max())]
        logits: Tensor = self.out(inputs.hidden.gather(1, place.unsqueeze(-1).expand(-1, -1, inputs.hidden.shape[-1])))
        return logits


@TASKS.register("toy_masked")
class MaskedLanguageModel(Task):
    """The tokens at masked places of the texts of a dataset, without a label column."""

    kind = "toy_masked"
    columns = {}  # noqa: RUF012 - a constant
    metrics = ("perplexity",)
    only_by_name = True
    exportable = False
    rate: float = 0.3
    """Fraction of the tokens that are masked."""

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        return Targets(sum(self._count(sequence) for sequence in sequences))

    def _maskable(self, sequence: TokenSequence) -> NDArray[np.int64]:
        return np.flatnonzero(~np.isin(sequence.ids, self.tokenizer.all_special_ids))

    def _count(self, sequence: TokenSequence) -> int:
        return max(1, round(self.rate * len(self._maskable(sequence))))

    def corrupt(
        self, sequences: Sequence[TokenSequence], targets: Targets, rng: np.random.Generator
    ) -> tuple[Sequence[TokenSequence], Targets]:
        copies, places, tokens = [], [], []
        for sequence in sequences:
            place = np.sort(rng.choice(self._maskable(sequence), self._count(sequence), replace=False))
            ids = sequence.ids.copy()
            tokens.append(ids[place])
            ids[place] = self.tokenizer.mask_token_id
            places.append(place)
            copies.append(replace(sequence, ids=ids))
        return copies, replace(targets, sequence={"place": places, "token": tokens})

    def build_head(self, context: HeadContext) -> nn.Module:
        assert context.tokenizer is not None
        return MaskedHead(context.width, len(context.tokenizer), context.tokenizer.mask_token_id)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        losses = functional.cross_entropy(outputs["logits"].transpose(1, 2), batch.targets["token"], reduction="none")
        return batch.by_example(losses.sum(dim=1)).sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        predictions = []
        for item in items:
            count = int((item.sequences[0].ids == self.tokenizer.mask_token_id).sum())
            predictions.append(Prediction(item.outputs["logits"][0][:count].argmax(axis=-1).tolist()))
        return predictions

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT) -> Any:
        return [{"token": token, "token_str": self.tokenizer.decode([token])} for token in prediction.value]


class DecoderHead(nn.Module):
    """A recurrent decoder: gold tokens before each place in training, its own tokens in prediction."""

    def __init__(self, width: int, vocabulary: int, *, start: int, length: int) -> None:
        super().__init__()
        self.start, self.length = start, length
        self.embedding, self.cell = nn.Embedding(vocabulary, width), nn.GRUCell(width, width)
        self.out = nn.Linear(width, vocabulary)

    def forward(self, inputs: HeadInputs) -> Outputs:
        state = inputs.mean
        token = torch.full((len(state),), self.start, device=state.device)
        gold = None if inputs.targets is None else inputs.targets["tokens"].clamp(min=0)
        logits = []
        for place in range(self.length if gold is None else gold.shape[1]):
            state = self.cell(self.embedding(token).to(state.dtype), state)
            logits.append(self.out(state))
            token = logits[-1].argmax(dim=-1) if gold is None else gold[:, place]
        stacked = torch.stack(logits, dim=1)
        return {"tokens": stacked.argmax(dim=-1)} if gold is None else {"logits": stacked}


@TASKS.register("toy_generation")
class Generation(Task):
    """A text from a text."""

    kind = "toy_generation"
    columns = {"target": "toy_text"}  # noqa: RUF012 - a constant
    metrics = ("toy_equal",)
    only_by_name = True
    exportable = False
    length: int = 8
    """Maximum number of tokens of a target."""

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        ids = self.tokenizer(example.labels["target"], add_special_tokens=False)["input_ids"][: self.length - 1]
        tokens = np.array([*ids, self.tokenizer.sep_token_id])
        return Targets(len(tokens), example={"tokens": tokens})

    def build_head(self, context: HeadContext) -> nn.Module:
        assert context.tokenizer is not None
        start = context.tokenizer.cls_token_id
        return DecoderHead(context.width, len(context.tokenizer), start=start, length=self.length)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = outputs["logits"].transpose(1, 2)
        return functional.cross_entropy(logits, batch.targets["tokens"], reduction="none").sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        end = self.tokenizer.sep_token_id
        rows = [item.outputs["tokens"][0].astype(int).tolist() for item in items]
        return [Prediction(self.tokenizer.decode(row[: row.index(end)] if end in row else row)) for row in rows]

    def gold(self, example: Example) -> Any:
        return example.labels["target"]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT) -> Any:
        return {"generated_text": prediction.value}
