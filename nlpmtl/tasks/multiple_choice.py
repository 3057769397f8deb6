"""Multiple choice: which of several texts fits a text, by a softmax over the scores of the row's choices.

    loss = −Σ_i p_i · log q_i        q = softmax(z / T)

Symbols:
- z_i: logit of choice i, computed from the sequence of the text and choice i
- p_i: 1 for the right choice and 0 for the others, or the distribution of the annotators
- T: temperature, 1 in training

References:
    Radford, Narasimhan, Salimans and Sutskever (2018), Improving Language Understanding by Generative Pre-Training,
        section 3.3, https://openai.com/index/language-unsupervised
    Zellers, Bisk, Schwartz and Choi (2018), SWAG, EMNLP, https://arxiv.org/abs/1808.05326
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data import ColumnType, Example, LabelType, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.data.example import to_text
from nlpmtl.data.label_spelling import whole_number
from nlpmtl.data.list_cells import read_list
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.classification import upcast
from nlpmtl.tasks.error_analysis import ErrorAnalysis, count_errors
from nlpmtl.tasks.outputs import (
    DEFAULT_OUTPUT,
    ExampleOutputs,
    Logits,
    OutputOptions,
    Prediction,
    softmax,
)
from nlpmtl.tasks.pooling import PooledFields
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.soft_labels import parse_distribution
from nlpmtl.tasks.stock_model import StockModel, fold_temperature

if TYPE_CHECKING:
    from torch import Tensor

    from nlpmtl.heads import Outputs

_FEWEST = 2
"""Minimum number of choices of a row."""


@COLUMN_TYPES.register("choices")
class Choices(ColumnType):
    """At least two texts, as a list (in a cell of a table a JSON list) or in a column each."""

    arrow = pa.list_(pa.string())
    joins_columns = True
    json_schema: ClassVar[Mapping[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": _FEWEST}

    @staticmethod
    def parse(value: Any, example: Example) -> list[str]:
        texts = read_list(value)
        if not isinstance(texts, list):
            raise ValueError('a list of choices was expected, such as ["a text", "another"]')
        choices = []
        for index, text in enumerate(texts):
            try:
                choices.append(to_text(text))
            except ValueError as error:
                raise ValueError(f"choice {index}, counted from 0: {error}") from None
        if len(choices) < _FEWEST:
            raise ValueError(f"at least {_FEWEST} choices were expected")
        return choices


@COLUMN_TYPES.register("choice")
class Choice(ColumnType):
    """The right choice: its text, its index from 0, or its letter from A."""

    arrow = pa.int32()

    @staticmethod
    def parse(value: Any, example: Example) -> int:
        return find_choice(value, example.extra["choices"])


@COLUMN_TYPES.register("choice_distribution")
class ChoiceDistribution(ColumnType):
    """A mapping from choices to probabilities, or a list of the choices of annotators; choices as in `label`."""

    arrow = pa.list_(pa.float64())

    @staticmethod
    def parse(value: Any, example: Example) -> list[float]:
        choices = example.extra["choices"]
        indices = parse_distribution(value, read=lambda choice: find_choice(choice, choices))
        return [indices.get(index, 0.0) for index in range(len(choices))]


def find_choice(value: Any, choices: Sequence[str]) -> int:
    """Return the index of a choice that is given by its text, its index from 0, or its letter from A.

    A value that equals exactly one choice is that choice, so "2" is the choice "2" if there is one.

    Args:
        value: the text, index or letter.
        choices: the choices of the row.

    Raises:
        ValueError: several choices equal the text, or no choice has this text, index or letter.
    """
    equal = [index for index, choice in enumerate(choices) if choice == value]
    if len(equal) > 1:
        raise ValueError(f"choices {equal[0]} and {equal[1]} have this text: write the index of one of them, from 0")
    if equal:
        return equal[0]
    index = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        index = whole_number(str(value))
    if index is None and isinstance(value, str) and len(value) == 1 and value in string.ascii_letters:
        index = string.ascii_lowercase.index(value.lower())
    if index is None or not 0 <= index < len(choices):
        raise ValueError(
            f"the text of one of the {len(choices)} choices, or its index, counted from 0 to {len(choices) - 1}, was "
            "expected"
        )
    return index


class ChoiceTask(PooledFields, Task):
    """Base of the task types that read a sequence for each of the row's choices, and compute a logit of each.

    A sequence has the text and the choice; of a pair, the choice follows the second text.
    """

    extra_inputs: ClassVar[Mapping[str, LabelType]] = {"choices": "choices"}

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        if options.labels is not None:
            raise ValueError(f"a task of the type {cls.kind} has no `labels`: each row has its own choices")

    @property
    def outputs(self) -> int:
        return 1

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        text, pair = example.text, example.pair
        return [TextInput(text, " ".join(filter(None, (pair, choice)))) for choice in example.extra["choices"]]

    def distribution_targets(
        self, distribution: NDArray[np.floating], example: Example, sequences: Sequence[TokenSequence]
    ) -> Targets:
        """Return the targets of a row, and whether different choices have the same tokens, for `target_notes`.

        Args:
            distribution: gold probability of each choice, ``[choices]``.
            example: the row.
            sequences: the token sequences of the choices.
        """
        distinct = {sequence.ids.tobytes() for sequence in sequences}
        is_alike = len(distinct) < len(set(example.extra["choices"]))
        return Targets(example={"distribution": distribution, "alike": is_alike})

    def target_notes(self, targets: Mapping[str, NDArray[Any]], *, excluded_rows: int) -> list[str]:
        count = int(targets["alike"].sum()) if "alike" in targets else 0
        hint = ", or write the longer text as `text`, as the choice is at the end of `pair`" * (self.input == "pair")
        if not count:
            return []
        return [
            f"{count} rows have different choices with the same tokens, so they get equal scores: what differs is "
            f"beyond max_length, or unknown to the tokenizer: increase encoder.max_length{hint}"
        ]

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = batch.by_example(upcast(outputs["logits"]).squeeze(-1), fill=-math.inf)
        target = batch.targets["distribution"].to(logits.dtype)  # [examples, most choices], NaN after the last choice
        absent = logits == -math.inf
        logs = logits.log_softmax(dim=-1).masked_fill(absent, 0.0)
        return -(target.masked_fill(absent, 0.0) * logs).sum(dim=1)


_USAGE = """\
from transformers import AutoModelForMultipleChoice, AutoTokenizer

name = "this-directory-or-repository"
model, tokenizer = AutoModelForMultipleChoice.from_pretrained(name), AutoTokenizer.from_pretrained(name)
choices = ["A choice.", "Another."]
inputs = tokenizer(["A text."] * len(choices), choices, truncation=True, padding=True, return_tensors="pt")
model(**{key: value[None] for key, value in inputs.items()}).logits.softmax(dim=-1)  # [1, choices]"""
"""Use of the exported model: transformers has no pipeline for multiple choice."""


@TASKS.register("multiple_choice")
class MultipleChoice(ChoiceTask):
    """Multiple choice: which of the row's choices fits its text, by cross-entropy over the choices of the row."""

    kind = "multiple_choice"
    other_names = "multiplechoice choice choices mcq mcqa multiple_choice_qa swag copa race commonsense"
    pipeline_tag = "multiple-choice"
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "choice", "soft": "choice_distribution"}
    any_of = frozenset({"label", "soft"})
    column_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = {"soft": ("soft_cross_entropy",)}
    inputs = frozenset({"text", "pair"})
    prediction_types = ("label",)
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    plots = ("confusion_matrix",)

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        distribution = example.labels.get("soft")
        if distribution is None:
            distribution = np.zeros(len(example.extra["choices"]))
            distribution[example.labels["label"]] = 1.0
        return self.distribution_targets(distribution, example, sequences)

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = batch.by_example(upcast(outputs["logits"]).squeeze(-1), fill=-math.inf)
        logs = logits.log_softmax(dim=-1)
        entropies = -(logs.exp() * logs.masked_fill(logs == -math.inf, 0.0)).sum(dim=-1)
        return (entropies / batch.sizes.to(logits.dtype).log()).sum()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        predictions = []
        for logits in map(_logits, items):
            probabilities, best = softmax(logits / self.temperature), int(logits.argmax())
            predictions.append(Prediction(best, float(probabilities[best]), extra=probabilities))
        return predictions

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"label": "in Turin", "index": 0, "score": 0.97}``; `all_scores` adds the probability of each choice.

        Equal choices have one probability, their sum.
        """
        choices = example.extra["choices"]
        result = {"label": choices[prediction.value], "index": prediction.value, "score": prediction.score}
        if not options.all_scores:
            return result
        scores = dict.fromkeys(choices, 0.0)
        for choice, probability in zip(choices, prediction.extra.tolist(), strict=True):
            scores[choice] += probability
        return {**result, "scores": scores}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        fields = {"label": pa.string(), "index": pa.int64(), "score": pa.float64()}
        if options.all_scores:
            fields["scores"] = pa.map_(pa.string(), pa.float64())  # whose keys are the choices of the row
        return pa.struct(fields)

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        rows = list(map(_logits, items))
        padded = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
        for row, logits in zip(padded, rows, strict=True):
            row[: len(logits)] = logits
        if len(rows):
            self.temperature = fit_temperature(padded, np.asarray(gold, dtype=np.int64))

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        if prediction.value == gold:
            return None
        choices = example.extra["choices"]
        return self._error(prediction, gold, choices[gold], choices[prediction.value])

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis:
        """Count the predicted index by the correct index, which shows choices that are preferred by their position."""
        names = [f"index {index}" for index in range(1 + max((*values, *gold), default=0))]
        predicted, expected = ([names[index] for index in indices] for indices in (values, gold))
        return count_errors(self.plots[0], predicted, expected, names=names)

    def describe_output(self) -> str:
        return "one of the choices"

    def stock_model(self) -> StockModel | None:
        return StockModel(
            None,
            auto_class="AutoModelForMultipleChoice",
            by_choice=True,
            usage=_USAGE,
            **fold_temperature(self.temperature),
        )


def _logits(item: ExampleOutputs) -> Logits:
    """Return the logits of the choices of a row, ``[choices]``."""
    logits: NDArray[np.floating] = np.concatenate(list(item.outputs["logits"]))
    return logits
