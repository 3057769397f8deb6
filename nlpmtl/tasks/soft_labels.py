"""Soft labels: distributions over labels, from probabilities or from the labels that several annotators gave.

Example:
    >>> parse_distribution({"joy": 0.75, "fear": 0.25}, read=str)
    {'joy': 0.75, 'fear': 0.25}
    >>> parse_distribution(["joy", "fear", "joy", "joy"], read=str)
    {'joy': 0.75, 'fear': 0.25}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import ColumnType, Example, Spelling, column_type
from nlpmtl.data.label_spelling import is_number, whole_number
from nlpmtl.errors import DataError, did_you_mean
from nlpmtl.registry import COLUMN_TYPES

K = TypeVar("K")
_TOLERANCE = 0.011
"""Maximum difference of the sum of rounded probabilities from 1, such as that of three times 0.33."""


@COLUMN_TYPES.register("distribution")
class Distribution(ColumnType):
    """A mapping from labels to probabilities, or a list of the labels that annotators gave."""

    reads_class_names = True

    @staticmethod
    def parse(value: Any, example: Example) -> dict[str, float]:
        return parse_distribution(value, read=_to_name)

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return tuple(value)


@COLUMN_TYPES.register("label_probabilities")
class LabelProbabilities(ColumnType):
    """A mapping from labels to probabilities, or a list with the set of labels of each annotator."""

    reads_class_names = True

    @staticmethod
    def parse(value: Any, example: Example) -> dict[str, float]:
        value = _from_json(value)
        if isinstance(value, Mapping):
            return _probabilities(value, read=_to_name)
        if not isinstance(value, list) or not value or not all(isinstance(labels, list) for labels in value):
            raise ValueError(
                "a mapping from labels to probabilities, or a list with the list of labels of each annotator, was "
                "expected"
            )
        if any(map(is_multi_hot_list, value)):
            raise ValueError(
                "the list of an annotator has the names of labels, found a 0 or 1 for each label: write the names, "
                'such as [["a", "b"], ["a"]], or probabilities as a mapping, such as {"a": 1, "b": 0.5}'
            )
        counts = Counter(name for labels in value for name in dict.fromkeys(map(_to_name, labels)))
        return {name: count / len(value) for name, count in counts.items()}

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return tuple(value)


def parse_distribution(value: Any, *, read: Callable[[Any], K]) -> dict[K, float]:
    """Return label -> probability, from such a mapping or from a list of labels; the probabilities sum to 1.

    Args:
        value: the raw value; a string is read as JSON.
        read: returns the label that a key or an item of the list names.

    Raises:
        ValueError: the rule that the value breaks.
    """
    value = _from_json(value)
    if isinstance(value, list) and value:
        if _are_probabilities(value):
            raise ValueError(
                "a list has the label of each annotator: write probabilities as a mapping, such as "
                '{"a": 0.25, "b": 0.75}, and labels that are numbers as integers or strings'
            )
        counts = Counter(map(read, value))
        return {label: count / len(value) for label, count in counts.items()}
    if not isinstance(value, Mapping) or not value:
        raise ValueError(
            "a mapping from labels to probabilities, or a list of the labels that annotators gave, was expected"
        )
    probabilities = _probabilities(value, read=read)
    total = sum(probabilities.values())
    if abs(total - 1) > _TOLERANCE:
        raise ValueError(f"the probabilities must sum to 1, and sum to {total:.4g}")
    return {label: probability / total for label, probability in probabilities.items()}


def to_array(probabilities: Mapping[str, float], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return the probability of each label of a task, ``[labels]``; names are compared as those of `label`.

    A name that is not a label is an index into the labels if it is a whole number and no label is a number.

    Raises:
        DataError: a name is neither a label nor such an index, or names of one label have a probability above 1.
    """
    spelling, indices = _indices(tuple(labels))
    array = np.zeros(len(labels), dtype=np.float32)
    for name, probability in probabilities.items():
        index = indices.get(spelling(name))
        if index is None and not any(map(is_number, labels)):
            index = whole_number(name)
        if index is None or not 0 <= index < len(labels):
            raise DataError(f"soft: {name!r} is not in the list of labels; {did_you_mean(name, labels)}")
        array[index] += probability
    if (array > 1 + _TOLERANCE).any():
        raise DataError(f"soft: two names are the label {labels[int(array.argmax())]!r}, found {list(probabilities)}")
    return array


@lru_cache(maxsize=16)
def _indices(labels: tuple[str, ...]) -> tuple[Spelling, Mapping[str, int]]:
    """Return the spelling of labels, and the index of each by its spelling."""
    spelling = Spelling.of(labels)
    return spelling, {spelling(label): index for index, label in enumerate(labels)}


def is_multi_hot_list(values: Sequence[Any]) -> bool:
    """Return whether a list has 0 or 1 for each label or choice rather than distinct indices: only these, repeated.

    >>> is_multi_hot_list([0, 1, 0]), is_multi_hot_list([0, 1]), is_multi_hot_list([2, 2])
    (True, False, False)
    """
    are_flags = all(isinstance(value, int | float) and value in (0, 1) for value in values)
    return are_flags and len(set(values)) < len(values)


def _are_probabilities(values: Sequence[Any]) -> bool:
    """Return whether values are a distribution rather than labels: several numbers, with a float, that sum to 1."""
    numbers = [value for value in values if type(value) in (int, float) and 0 <= value <= 1]
    has_float = len(values) > 1 and any(isinstance(value, float) for value in values)
    return has_float and len(numbers) == len(values) and abs(sum(numbers) - 1) <= _TOLERANCE


def _to_name(value: Any) -> str:
    name: str = column_type("class").to_stored(value)
    return name


def _from_json(value: Any) -> Any:
    """Return the list or mapping in a cell of a table; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _probabilities(value: Mapping[Any, Any], *, read: Callable[[Any], K]) -> dict[K, float]:
    """Return label -> probability, without checking the sum. Nulls, which Arrow adds to structs, are ignored."""
    probabilities: dict[K, float] = {}
    for key, number in value.items():
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
            raise ValueError(f"{key}: a probability from 0 to 1 was expected")
        label = read(key)
        if label in probabilities:
            raise ValueError(f"{key}: two keys name this label")
        probabilities[label] = float(number)
    return probabilities
