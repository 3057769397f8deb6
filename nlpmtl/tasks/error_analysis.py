"""Answers beside what is right, counted: what the pictures of a model card show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import LabelType

NOTHING = "(no answer)"
"""Stands for the answer to a word that has none."""


@dataclass(frozen=True)
class Confusion:
    """How often each label was answered where each was right.

    Args:
        labels: their names.
        counts: right × answered, ``[labels, labels]``.
        unit: what was counted: "rows" or "words".
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    unit: str


@dataclass(frozen=True)
class LabelCounts:
    """How often each label of sets of labels was found.

    Args:
        labels: their names.
        found: rows that have it and were given it, ``[labels]``.
        missed: rows that have it and were not given it, ``[labels]``.
        wrong: rows that were given it and do not have it, ``[labels]``.
    """

    labels: tuple[str, ...]
    found: NDArray[np.int64]
    missed: NDArray[np.int64]
    wrong: NDArray[np.int64]


@dataclass(frozen=True)
class RegressionPairs:
    """Numbers that are right, and the answers, ``[rows]`` both."""

    gold: NDArray[np.float64]
    predicted: NDArray[np.float64]


ErrorAnalysis = Confusion | LabelCounts | RegressionPairs


def compare(shape: LabelType, *, predicted: Sequence[Any], gold: Sequence[Any], names: Sequence[str]) -> ErrorAnalysis:
    """Count the answers of a task whose labels have a shape.

    Args:
        shape: of the labels.
        predicted: what `Task.choose` answered, one a row.
        gold: what is right, one a row.
        names: the names of the ids.
    """
    if shape == "number":
        return RegressionPairs(np.array(gold, dtype=np.float64), np.array(predicted, dtype=np.float64))
    if shape == "set":
        return _hits(predicted, gold, names)
    if shape == "class":
        pairs = list(zip(gold, predicted, strict=True))
    else:
        pairs = [pair for row in zip(gold, predicted, strict=True) for pair in zip(*row, strict=True)]
    return _confusion([(_name(right, names), _name(said, names)) for right, said in pairs], names, shape=shape)


def _confusion(pairs: Sequence[tuple[str, str]], names: Sequence[str], *, shape: LabelType) -> Confusion:
    labels = tuple(dict.fromkeys([*names, *(said for _, said in pairs)]))  # two ids can have one name
    at = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([at[right] for right, _ in pairs], [at[said] for _, said in pairs]), 1)
    return Confusion(labels, counts, "rows" if shape == "class" else "words")


def _hits(predicted: Sequence[Sequence[int]], gold: Sequence[Sequence[int]], names: Sequence[str]) -> LabelCounts:
    right, said = multi_hot(gold, width=len(names)), multi_hot(predicted, width=len(names))
    found = np.count_nonzero(right & said, axis=0)
    return LabelCounts(
        labels=tuple(names),
        found=found,
        missed=np.count_nonzero(right, axis=0) - found,
        wrong=np.count_nonzero(said, axis=0) - found,
    )


def multi_hot(sets: Sequence[Sequence[int]], *, width: int) -> NDArray[np.bool_]:
    """Return whether each set holds each of the ids below `width`, ``[sets, width]``."""
    hot = np.zeros((len(sets), width), dtype=np.bool_)
    for row, ids in enumerate(sets):
        at = np.fromiter(ids, dtype=np.int64, count=len(ids))
        hot[row, at[at < width]] = True
    return hot


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label >= 0 else NOTHING
