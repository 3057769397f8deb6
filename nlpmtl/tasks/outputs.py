"""From the outputs of a head to predictions: what `Task.decode` takes and returns. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data import Example, TokenSequence
from nlpmtl.errors import NlpmtlError, RunError

if TYPE_CHECKING:
    from nlpmtl.tasks.base import Task

Logits = NDArray[np.floating]
Aggregation = Literal["first", "none"]
Confidence = tuple[NDArray[np.floating], NDArray[np.bool_]]
"""Probability of each predicted item, and whether it equals the gold label, ``[items]`` both."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A decoded prediction.

    Args:
        value: the prediction as metrics compare it with the gold label: names and numbers, not ids.
        score: probability of the value, or of each item of a list; None for a type without probabilities.
        extra: what `Task.format` and `Task.confidence` need beyond them.
    """

    value: Any
    score: Any = None
    extra: Any = None


@dataclass(frozen=True, slots=True)
class ExampleOutputs:
    """The outputs of a head for one example.

    Args:
        example: the example.
        sequences: its token sequences; several where a long text is read in windows.
        outputs: name of the output -> an array per sequence, ``[...]`` or ``[tokens, ...]``.
    """

    example: Example
    sequences: Sequence[TokenSequence]
    outputs: Mapping[str, Sequence[NDArray[Any]]]

    def at_words(self, name: str = "logits") -> NDArray[Any]:
        """Return a token output at the first token of each word, ``[words, ...]``; NaN for a word without a token.

        The windows of a long text are joined.
        """
        first = self.sequences[0]
        assert first.words is not None, "the outputs of a text without words"
        if first.word_ids is None:
            values: NDArray[Any] = self.outputs[name][0][first.words]
            values[first.words < 0] = np.nan
            return values
        arrays = self.outputs[name]
        values = np.full((len(self.example.words), *arrays[0].shape[1:]), np.nan, dtype=arrays[0].dtype)
        for sequence, array in zip(self.sequences, arrays, strict=True):
            values[sequence.word_ids] = array[sequence.words]
        return values


def decode_all(task: Task, items: Sequence[ExampleOutputs]) -> list[Prediction]:
    """Return the predictions of a task for some examples, as `Task.decode` makes them.

    Raises:
        RunError: it did not return a `Prediction` for each example.
    """
    try:
        predictions = list(task.decode(items))
    except NlpmtlError:
        raise
    except Exception as error:
        error.add_note(f"task {task.name!r}: decode()")
        raise
    if len(predictions) != len(items) or not all(isinstance(prediction, Prediction) for prediction in predictions):
        types = ", ".join(sorted({type(value).__name__ for value in predictions}))
        raise RunError(
            f"task {task.name!r}: decode() must return a Prediction for each of {len(items)} examples, found "
            f"{len(predictions)} values{types and f' of type {types}'}"
        )
    return predictions


@dataclass(frozen=True)
class OutputOptions:
    """Options of formatted predictions.

    Args:
        all_scores: add ``"scores"``, the probability of every label.
        aggregation: of words with BIO tags, as `pipeline()` names it: "first", the spans that the words make, each word
            tagged at its first token; or "none", the words themselves.
    """

    all_scores: bool = False
    aggregation: Aggregation = "first"


DEFAULT_OUTPUT = OutputOptions()


def stack_outputs(items: Sequence[ExampleOutputs], name: str = "logits") -> NDArray[Any]:
    """Return an output of the first sequence of each example, ``[examples, ...]``; at least one example."""
    return np.stack([item.outputs[name][0] for item in items])


def softmax(logits: Logits) -> Logits:
    """Return probabilities over the last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Logits = exp / exp.sum(axis=-1, keepdims=True)
    return probabilities


def label_scores(labels: Sequence[str], values: NDArray[np.floating]) -> dict[str, float]:
    """Return label -> its number."""
    return dict(zip(labels, map(float, values), strict=True))


def scores_type(labels: Iterable[str]) -> pa.StructType:
    """Return the Arrow type of `label_scores`."""
    return pa.struct([(label, pa.float64()) for label in labels])
