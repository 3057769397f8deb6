"""Dependency parsing: two label columns, targets per word, a head that reads words and gold labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.data import IGNORED, ColumnType, Example, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.heads import HeadContext, HeadInputs, Outputs
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, Task
from tests.open_types.texts import DEFAULT


@COLUMN_TYPES.register("toy_heads")
class Heads(ColumnType):
    """The number of the head of each word, 0 for the root."""

    @staticmethod
    def parse(value: Any, example: Example) -> list[int]:
        if len(value) != len(example.words):
            raise ValueError(f"one head per word was expected: {len(value)} heads for {len(example.words)} words")
        return [int(head) for head in value]


class ParserHead(nn.Module):
    """Scores of arcs, and of relations: at the gold heads in training, for all arcs in prediction."""

    def __init__(self, width: int, relations: int) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.randn(width) * 0.02)
        self.arc = nn.Bilinear(width, width, 1)
        self.relation = nn.Linear(2 * width, relations)

    def forward(self, inputs: HeadInputs) -> Outputs:
        words = inputs.at_words()
        heads = torch.cat([self.root.expand(len(words), 1, -1), words], dim=1)
        count, width = words.shape[1], words.shape[2]
        left = words.unsqueeze(2).expand(-1, -1, count + 1, -1)
        right = heads.unsqueeze(1).expand(-1, count, -1, -1)
        exists = functional.pad(inputs.words >= 0, (1, 0), value=True)
        arcs = self.arc(left.contiguous(), right.contiguous()).squeeze(-1)
        arcs = arcs.masked_fill(~exists.unsqueeze(1), torch.finfo(arcs.dtype).min)
        if inputs.targets is None:
            return {"arcs": arcs, "relations": self.relation(torch.cat([left, right], dim=-1))}
        gold = inputs.targets["heads"].clamp(min=0).unsqueeze(-1).expand(-1, -1, width)
        return {"arcs": arcs, "relations": self.relation(torch.cat([words, heads.gather(1, gold)], dim=-1))}


@TASKS.register("toy_parsing")
class Parsing(Task):
    """The head of each word and its relation to it."""

    kind = "toy_parsing"
    columns = {"heads": "toy_heads", "deprels": "tags"}  # noqa: RUF012 - a constant
    inputs = frozenset({"words"})
    metrics = ("toy_equal",)

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [example.text_input(words=True)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        assert sequences[0].words is not None
        has_token = np.append(True, sequences[0].words >= 0)  # the root, then the words
        heads = np.array(example.labels["heads"])
        heads = np.where(has_token[1:] & has_token[heads], heads, IGNORED)
        ids = {name: i for i, name in enumerate(self.labels)}
        names = [ids.get(name, IGNORED) for name in example.labels["deprels"]]
        count = int((heads != IGNORED).sum())
        relations = np.where(heads == IGNORED, IGNORED, names)
        return Targets(count, example={"heads": heads, "relations": relations}) if count else None

    def build_head(self, context: HeadContext) -> nn.Module:
        return ParserHead(context.width, len(self.labels))

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        losses = [
            functional.cross_entropy(outputs[name].transpose(1, 2), batch.targets[target], reduction="none")
            for name, target in (("arcs", "heads"), ("relations", "relations"))
        ]
        return (losses[0] + losses[1]).sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        predictions = []
        for item in items:
            count = len(item.example.words)
            heads = item.outputs["arcs"][0][:count, : count + 1].argmax(axis=1)
            names = item.outputs["relations"][0][np.arange(count), heads].argmax(axis=1)
            predictions.append(Prediction([[int(h), self.labels[i]] for h, i in zip(heads, names, strict=True)]))
        return predictions

    def gold(self, example: Example) -> Any:
        return [[head, name] for head, name in zip(example.labels["heads"], example.labels["deprels"], strict=True)]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT) -> Any:
        words = [example.text[start:end] for start, end in example.words]
        return [
            {"word": word, "head": head, "deprel": name}
            for word, (head, name) in zip(words, prediction.value, strict=True)
        ]
