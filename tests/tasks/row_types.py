"""Task types that define their sequences and targets; the tests import copies of this file as plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nlpmtl.data import ColumnType, Example, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.heads import HeadContext, Outputs
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, Task


@COLUMN_TYPES.register("row_texts")
class Texts(ColumnType):
    """A list of texts."""

    @staticmethod
    def parse(value: Any, example: Example) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise ValueError("a list of texts was expected")
        return value


@COLUMN_TYPES.register("row_choice")
class Choice(ColumnType):
    """The index of one of the choices."""

    @staticmethod
    def parse(value: Any, example: Example) -> int:
        count = len(example.extra["choices"])
        if type(value) is not int or not 0 <= value < count:
            raise ValueError(f"expected the index of one of the {count} choices")
        return value


@COLUMN_TYPES.register("row_relation")
class Relation(ColumnType):
    """A name that must have as many characters as the column before it says."""

    @staticmethod
    def parse(value: Any, example: Example) -> str:
        if "size" in example.labels and len(value) != example.labels["size"]:
            raise ValueError(f"expected {example.labels['size']} characters, as `size` says, in {example.text!r}")
        return str(value)


class Toy(Task):
    """A task type without predictions."""

    def build_head(self, context: HeadContext) -> Any:
        return context.sequence_head(1)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return outputs["logits"].sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction(0) for _ in items]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = OutputOptions()) -> Any:  # noqa: B008
        return prediction.value

    def score(self, values: Sequence[Any], gold: Sequence[Any]) -> dict[str, float | None]:
        return {"score": 0.0}


@TASKS.register("row_quiz")
class Quiz(Toy):
    """Multiple choice."""

    kind = "row_quiz"
    columns = {"label": "row_choice"}  # noqa: RUF012 - a constant
    extra_inputs = {"choices": "row_texts", "hint": "row_texts"}  # noqa: RUF012 - a constant
    optional = frozenset({"hint"})

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [TextInput(example.text, choice) for choice in example.extra["choices"]]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        assert len(sequences) == len(example.extra["choices"])
        return Targets(count=1, example={"label": example.labels["label"]})

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = batch.by_example(outputs["logits"].squeeze(-1), fill=-torch.inf)
        return functional.cross_entropy(logits, batch.targets["label"], reduction="none")

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction(int(np.concatenate(item.outputs["logits"]).argmax())) for item in items]


@TASKS.register("row_windows")
class Windows(Toy):
    """Windows of a text, with arrays of any shape per example and per sequence."""

    kind = "row_windows"
    columns = {"size": "number", "relation": "row_relation"}  # noqa: RUF012 - a constant
    optional = frozenset({"relation"})
    stride: int = 2
    """Tokens that neighbouring windows share."""

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [TextInput(example.text, stride=self.stride, offsets=True), TextInput(example.text)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        if "relation" not in example.labels:
            return None
        assert sequences[0].offsets is not None
        lengths = [len(sequence.ids) for sequence in sequences]
        return Targets(
            count=sum(lengths),
            example={"size": example.labels["size"], "pairs": [[n, n + 1] for n in lengths]},
            sequence={"long": [n > 4 for n in lengths], "ids": [sequence.ids for sequence in sequences]},
        )


@TASKS.register("row_texts_only")
class Unlabelled(Toy):
    """A type without label columns."""

    kind = "row_texts_only"
    columns = {}  # noqa: RUF012 - a constant

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        if "fail" in example.text:
            raise KeyError("a bug")
        if "empty" in example.text:
            raise ValueError("the text is empty")
        if "nothing" in example.text:
            return Targets()
        if "sequence" in example.text:
            return Targets(sequence={"length": [1]})
        if "float" in example.text:
            return Targets(example={"length": 0.5})
        return Targets(example={"length": len(sequences[0].ids)})
