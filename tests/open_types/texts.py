"""A sequence per choice, windows of a pair of texts, and a loss over the whole step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, inf, nn
from torch.nn import functional

from nlpmtl.data import ColumnType, Example, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.heads import HeadContext, HeadInputs, Outputs
from nlpmtl.metrics import Metric
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, Task
from nlpmtl.tasks.outputs import softmax

DEFAULT = OutputOptions()


@COLUMN_TYPES.register("toy_texts")
class Texts(ColumnType):
    """A list of texts."""

    @staticmethod
    def parse(value: Any, example: Example) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise ValueError("a list of texts was expected")
        return value


@COLUMN_TYPES.register("toy_choice")
class ChoiceIndex(ColumnType):
    """The index of one of the row's choices."""

    @staticmethod
    def parse(value: Any, example: Example) -> int:
        if type(value) is not int or not 0 <= value < len(example.extra["choices"]):
            raise ValueError("the index of a choice was expected")
        return value


@COLUMN_TYPES.register("toy_answer")
class Answer(ColumnType):
    """A text in the second text of a pair; empty if it has no answer."""

    @staticmethod
    def parse(value: Any, example: Example) -> str:
        if not isinstance(value, str) or value not in (example.pair or ""):
            raise ValueError("a part of the second text was expected")
        return value


class Equal(Metric):
    """Fraction of predictions that equal the gold label."""

    name = "toy_equal"
    reads = frozenset({"toy_choice", "toy_answer", "toy_heads", "toy_text", "toy_texts"})

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        return float(np.mean([value == gold for value, gold in zip(predictions, references, strict=True)]))


METRICS.register("toy_equal")(Equal)


@TASKS.register("toy_choice")
class MultipleChoice(Task):
    """Multiple choice: a sequence per choice, and a softmax over the choices of the row."""

    kind = "toy_choice"
    columns = {"label": "toy_choice"}  # noqa: RUF012 - a constant
    extra_inputs = {"choices": "toy_texts"}  # noqa: RUF012 - a constant
    inputs = frozenset({"text"})
    metrics = ("toy_equal",)

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [TextInput(example.text, choice) for choice in example.extra["choices"]]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        return Targets(example={"label": example.labels["label"]})

    def build_head(self, context: HeadContext) -> nn.Module:
        return context.sequence_head(1)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = batch.by_example(outputs["logits"].squeeze(-1), fill=-inf)
        return functional.cross_entropy(logits, batch.targets["label"], reduction="none")

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        rows = [softmax(np.concatenate(item.outputs["logits"]) / self.temperature) for item in items]
        return [Prediction(int(row.argmax()), float(row.max())) for row in rows]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT) -> Any:
        label = example.extra["choices"][prediction.value]
        return {"label": label, "index": prediction.value, "score": prediction.score}


@TASKS.register("toy_answers")
class Answers(Task):
    """Extractive question answering: the second text in windows, its span from a start to an end token."""

    kind = "toy_answers"
    columns = {"label": "toy_answer"}  # noqa: RUF012 - a constant
    inputs = frozenset({"pair"})
    metrics = ("toy_equal",)
    stride: int = 3
    """Tokens that neighbouring windows share."""

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [TextInput(example.text, example.pair, stride=self.stride, offsets=True)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        answer, context = example.labels["label"], example.pair or ""
        first, last = context.find(answer), context.find(answer) + len(answer)
        places, allowed = [], []
        for sequence in sequences:
            assert sequence.offsets is not None
            starts, ends = sequence.offsets.T
            inside = np.flatnonzero((starts >= first) & (ends <= last) & (starts >= 0))
            places.append([inside[0], inside[-1]] if answer and len(inside) else [0, 0])
            allowed.append(np.append(True, starts[1:] >= 0))
        return Targets(len(sequences), sequence={"places": places, "allowed": allowed})

    def build_head(self, context: HeadContext) -> nn.Module:
        return context.token_head(2)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = outputs["logits"].masked_fill(~batch.targets["allowed"].unsqueeze(-1), -inf)
        losses = functional.cross_entropy(logits, batch.targets["places"], reduction="none")  # [sequences, 2]
        return batch.by_example(losses.mean(dim=1)).sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [self._decode(item) for item in items]

    def _decode(self, item: ExampleOutputs) -> Prediction:
        best, answer = 0.0, (0, 0)
        for sequence, logits in zip(item.sequences, item.outputs["logits"], strict=True):
            assert sequence.offsets is not None
            context = np.flatnonzero(sequence.offsets[:, 0] >= 0)
            if not len(context):
                continue
            scores = logits[context, 0][:, None] + logits[context, 1] - logits[0].sum()
            start, end = np.unravel_index(np.where(np.triu(scores), scores, -np.inf).argmax(), scores.shape)
            if scores[start, end] > best:
                best = float(scores[start, end])
                answer = int(sequence.offsets[context[start], 0]), int(sequence.offsets[context[end], 1])
        return Prediction((item.example.pair or "")[slice(*answer)], extra=answer)

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT) -> Any:
        start, end = prediction.extra
        return {"answer": prediction.value, "start": start, "end": end}


class MeanPooling(nn.Module):
    """The normalised mean of the hidden states."""

    def forward(self, inputs: HeadInputs) -> Outputs:
        return {"embedding": functional.normalize(inputs.mean, dim=-1)}


@TASKS.register("toy_embedding")
class Embedding(Task):
    """Sentence embeddings by InfoNCE: the pair is the positive, all other texts of the step are negatives."""

    kind = "toy_embedding"
    columns = {}  # noqa: RUF012 - a constant
    extra_inputs = {"negatives": "toy_texts"}  # noqa: RUF012 - a constant
    optional = frozenset({"negatives"})
    inputs = frozenset({"pair"})
    prediction_types = ("toy_texts",)
    metrics = ("toy_equal",)
    coupled = True

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        texts = [example.text] if example.pair is None else [example.text, example.pair]
        return [TextInput(text) for text in [*texts, *(example.extra.get("negatives") or ())]]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        return Targets()

    def build_head(self, context: HeadContext) -> nn.Module:
        return MeanPooling()

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        embedding, position = outputs["embedding"], batch.position
        similarity = 20 * embedding[position == 0] @ embedding[position > 0].T
        positive = (position[position > 0] == 1).nonzero().squeeze(1)
        return functional.cross_entropy(similarity, positive, reduction="none")

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction([array.tolist() for array in item.outputs["embedding"]]) for item in items]

    def gold(self, example: Example) -> Any:
        return example.pair

    def score(self, values: Sequence[Any], gold: Sequence[Any]) -> dict[str, float | None]:
        """Return the fraction of texts whose own pair is the nearest of all pairs."""
        texts, pairs = (np.array([value[i] for value in values]) for i in (0, 1))
        recall = float(np.mean((texts @ pairs.T).argmax(axis=1) == np.arange(len(texts))))
        return {"recall": recall, "score": recall}

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT) -> Any:
        return prediction.value[0]

    def reads(self, example: Example) -> bool:
        return example.pair is None
