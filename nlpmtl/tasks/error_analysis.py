"""Error analysis: predictions counted by gold label, for the plots of a model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.deprecation import RenamedAttribute

NO_PREDICTION = "(no prediction)"
"""Label of a word without a prediction."""
_MAX_DENSE = 1000
"""Maximum number of labels for which a confusion matrix is stored with its zeros."""
_COUNTED_PLOTS = ("confusion_matrix", "precision_recall", "scatter")
"""Plots for which `count_errors` counts predictions."""
_FRACTIONS = 10
"""Number of bins from 0 to 1."""
_RANKS = (1, 2, 3, 5, 10, 20, 50, 100, 1000)
"""Last rank of each bin of ranks but the last."""


class Cells(NamedTuple):
    """Cells of a confusion matrix that are not 0, row by row, ``[cells]`` each.

    Args:
        gold: index of the gold label.
        predicted: index of the predicted label.
        counts: number of rows or words.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Args:
        labels: names of the labels.
        counts: gold label × predicted label, ``[labels, labels]``; of more than 1,000 labels only the cells that are
            not 0, so that memory grows with the rows.
        unit: what is counted: "rows" or "words".
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64] | Cells
    unit: str

    def cells(self) -> Cells:
        """Return the cells that are not 0."""
        if isinstance(self.counts, Cells):
            return self.counts
        gold, predicted = np.nonzero(self.counts)
        return Cells(gold, predicted, self.counts[gold, predicted])


@dataclass(frozen=True)
class LabelCounts:
    """True positives, false negatives and false positives of each label.

    Args:
        labels: names of the labels.
        true_positives: number of rows or spans, ``[labels]``.
        false_negatives: number of rows or spans, ``[labels]``.
        false_positives: number of rows or spans, ``[labels]``.
        unit: what is counted: "rows" or "spans".
    """

    labels: tuple[str, ...]
    true_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    unit: str = "rows"

    found = RenamedAttribute("true_positives")
    missed = RenamedAttribute("false_negatives")
    wrong = RenamedAttribute("false_positives")


@dataclass(frozen=True)
class RegressionPairs:
    """Gold and predicted numbers, both ``[rows]``."""

    gold: NDArray[np.float64]
    predicted: NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Rows counted by a quantity, such as the rank of the correct text.

    Args:
        quantity: what is counted, a noun phrase such as "rank of the correct text".
        bins: names of the bins, in their order.
        counts: number of rows, ``[bins]``.
    """

    quantity: str
    bins: tuple[str, ...]
    counts: NDArray[np.int64]


ErrorAnalysis = Confusion | LabelCounts | RegressionPairs | Histogram


def count_errors(plot: str, values: Sequence[Any], gold: Sequence[Any], *, names: Sequence[str]) -> ErrorAnalysis:
    """Count predictions by gold label for a plot.

    Args:
        plot: "scatter" of numbers, "precision_recall" of sets of labels, or "confusion_matrix" of labels, one per row
            or a list per row.
        values: predictions, one per row.
        gold: gold labels, one per row.
        names: the labels of the task, and gold labels that it does not know.

    Raises:
        ValueError: the plot is another one, for which a task type overrides `error_analysis`.
    """
    if plot not in _COUNTED_PLOTS:
        raise ValueError(f"unknown plot {plot!r}: write one of {', '.join(_COUNTED_PLOTS)}, or override error_analysis")
    if plot == "scatter":
        return RegressionPairs(np.array(gold, dtype=np.float64), np.array(values, dtype=np.float64))
    if plot == "precision_recall":
        return _count_labels(values, gold, names)
    rows = zip(gold, values, strict=True)
    if all(isinstance(label, str) for label in gold):
        return _confusion(list(rows), names, unit="rows")
    items = (item for row in rows for item in zip(*row, strict=True))
    pairs = [(label, NO_PREDICTION if value is None else value) for label, value in items]
    return _confusion(pairs, names, unit="words")


def count_fractions(quantity: str, values: Sequence[float]) -> Histogram:
    """Count values from 0 to 1 in ten bins of equal width; 1 is in the last one."""
    places = np.minimum((np.asarray(values, dtype=np.float64) * _FRACTIONS).astype(np.int64), _FRACTIONS - 1)
    bins = tuple(f"{i / _FRACTIONS:.1f} to {(i + 1) / _FRACTIONS:.1f}" for i in range(_FRACTIONS))
    return Histogram(quantity, bins, np.bincount(places, minlength=_FRACTIONS))


def count_ranks(quantity: str, ranks: Sequence[int]) -> Histogram:
    """Count ranks, from 1, in the bins of `_RANKS`: at least three, up to the last one that is not empty."""
    places = np.searchsorted(_RANKS, np.asarray(ranks, dtype=np.int64))
    starts, ends = [1, *(end + 1 for end in _RANKS)], [*_RANKS, None]
    bins = [
        str(start) if start == end else f"over {start - 1:,}" if end is None else f"{start:,} to {end:,}"
        for start, end in zip(starts, ends, strict=True)
    ]
    counts = np.bincount(places, minlength=3)
    return Histogram(quantity, tuple(bins[: len(counts)]), counts)


def _confusion(pairs: Sequence[tuple[str, str]], names: Sequence[str], *, unit: str) -> Confusion:
    labels = tuple(dict.fromkeys([*names, *(value for _, value in pairs)]))
    ids = {label: i for i, label in enumerate(labels)}
    places = [ids[label] * len(labels) + ids[value] for label, value in pairs]
    cells, counts = np.unique(np.array(places, dtype=np.int64), return_counts=True)
    gold, predicted = np.divmod(cells, max(1, len(labels)))
    if len(labels) > _MAX_DENSE:
        return Confusion(labels, Cells(gold, predicted, counts), unit)
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    matrix[gold, predicted] = counts
    return Confusion(labels, matrix, unit)


def _count_labels(values: Sequence[Any], gold: Sequence[Any], names: Sequence[str]) -> LabelCounts:
    ids = {name: i for i, name in enumerate(names)}
    is_gold, is_predicted = multi_hot(gold, ids), multi_hot(values, ids)
    true_positives = np.count_nonzero(is_gold & is_predicted, axis=0)
    return LabelCounts(
        labels=tuple(names),
        true_positives=true_positives,
        false_negatives=np.count_nonzero(is_gold, axis=0) - true_positives,
        false_positives=np.count_nonzero(is_predicted, axis=0) - true_positives,
    )


def multi_hot(sets: Sequence[Sequence[str]], ids: Mapping[str, int]) -> NDArray[np.bool_]:
    """Return whether each set of names contains each of the names that have an id, ``[sets, ids]``."""
    hot = np.zeros((len(sets), len(ids)), dtype=np.bool_)
    for row, names in enumerate(sets):
        hot[row, [ids[name] for name in names if name in ids]] = True
    return hot


def names_in(value: Any) -> Iterator[str]:
    """Yield the names in a gold label, which may be in lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from names_in(part)
