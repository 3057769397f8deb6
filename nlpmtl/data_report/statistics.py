"""Statistics of the splits of a run: lengths of rows, label frequencies, and scores of baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import ClassLabels, Labels, NumberLabels, SetLabels, TagLabels, TokenizedSplit
from nlpmtl.data.split_tokenization import count_tokens
from nlpmtl.evaluation import gold_labels
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.tasks import Task, needs_predictions

_ROWS_AT_ONCE = 1000
_HISTOGRAM = 16
"""Number of intervals of a histogram of lengths."""
_BINS = 10
"""Number of intervals in which numbers are counted."""
_UNITS: Mapping[type[Labels], str] = {TagLabels: "words", NumberLabels: "numbers"}


@dataclass(frozen=True)
class SplitReport:
    """Statistics of one split of one dataset.

    Token counts are those before truncation, except for rows of several sequences, such as choices, which are counted
    together.

    Args:
        dataset: name of the dataset.
        split: name of the split.
        rows: number of rows.
        labelled: number of labelled rows by task.
        mean: mean number of tokens per row.
        percentile: 95th percentile of the number of tokens per row.
        longest: maximum number of tokens per row.
        cut: number of rows that `encoder.max_length` truncates.
        unseen: labels by task that occur here but in no train split.
        histogram: number of rows in each of 16 equal intervals of lengths, from 0 to the longest.
        one_sequence: whether the encoder reads one sequence per row.
    """

    dataset: str
    split: str
    rows: int
    labelled: Mapping[str, int]
    mean: float
    percentile: int
    longest: int
    cut: int
    unseen: Mapping[str, tuple[str, ...]]
    histogram: tuple[int, ...] = field(default=(), compare=False)
    one_sequence: bool = True


@dataclass(frozen=True)
class LabelFrequencies:
    """Frequencies of the labels of a task in a dataset.

    Args:
        task: name of the task.
        dataset: name of the dataset.
        unit: what is counted: "rows", "words" for tags, or "numbers".
        counts: split = label = its frequency, in the order of the task; for numbers, an interval = the numbers in it.
        totals: split = the number of units, of which each frequency is a fraction. A row may have several labels.
    """

    task: str
    dataset: str
    unit: str
    counts: Mapping[str, Mapping[str, int]]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Baseline:
    """The value of a metric for predictions that are made without reading the input.

    Args:
        task: name of the task.
        metric: name of the metric.
        values: baseline, such as "majority", = the value; None if it is undefined. See `Task.baselines`.
        split: the split that is predicted.
        rows: the number of its labelled rows.
    """

    task: str
    metric: str
    values: Mapping[str, float | None]
    split: str
    rows: int


def report_split(
    dataset: str,
    split: str,
    *,
    rows: TokenizedSplit,
    tokenizer: PreTrainedTokenizerBase,
    train_labels: Mapping[str, set[int]],
) -> SplitReport:
    """Return the statistics of a split.

    Args:
        dataset: name of the dataset.
        split: name of the split.
        rows: its rows.
        tokenizer: the tokenizer of the encoder, which does not truncate.
        train_labels: the ids of the labels that occur in train, by task.
    """
    lengths = _untruncated_lengths(rows, tokenizer=tokenizer)
    unseen = {}
    for task, labels in rows.labels.items():
        new = sorted(_occurring(labels) - train_labels[task])
        if new:
            unseen[task] = tuple(labels.names[i] for i in new)
    return SplitReport(
        dataset=dataset,
        split=split,
        rows=len(rows),
        labelled={task: int(labels.labelled.sum()) for task, labels in rows.labels.items()},
        mean=float(lengths.mean()),
        percentile=int(np.percentile(lengths, 95, method="higher")),
        longest=int(lengths.max()),
        cut=rows.truncated,
        unseen=unseen,
        histogram=tuple(np.histogram(lengths, bins=_HISTOGRAM, range=(0, int(lengths.max())))[0].tolist()),
        one_sequence=_has_one_sequence(rows),
    )


def _untruncated_lengths(rows: TokenizedSplit, *, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Return the number of tokens of each row before truncation: the longest rows are tokenized again."""
    lengths = rows.row_lengths
    if not rows.truncated or rows.rows is None or not _has_one_sequence(rows):
        return lengths
    lengths, longest = lengths.copy(), np.flatnonzero(lengths == lengths.max())
    for start in range(0, len(longest), _ROWS_AT_ONCE):
        some = longest[start : start + _ROWS_AT_ONCE]
        lengths[some] = count_tokens(rows.rows.take(some).combine_chunks().to_batches()[0], tokenizer)
    return lengths


def _has_one_sequence(rows: TokenizedSplit) -> bool:
    return not rows.sequence_indices or len(rows.tokens.lengths) == len(rows)


def train_labels(train: Mapping[str, TokenizedSplit]) -> dict[str, set[int]]:
    """Return the label ids that occur in the train splits, by task."""
    by_task: dict[str, set[int]] = {}
    for rows in train.values():
        for task, labels in rows.labels.items():
            by_task.setdefault(task, set()).update(_occurring(labels))
    return by_task


def _occurring(labels: Labels) -> set[int]:
    """Return the ids that occur among the known labels of the task."""
    return {i for i in labels.first_rows() if i < labels.known}


def count_labels(dataset: str, splits: Mapping[str, TokenizedSplit]) -> Iterator[LabelFrequencies]:
    """Yield the label frequencies of each task in a dataset, given its name and its splits."""
    for task in dict.fromkeys(task for rows in splits.values() for task in rows.labels):
        labels = {split: rows.labels[task] for split, rows in splits.items() if task in rows.labels}
        if all(isinstance(part, NumberLabels) for part in labels.values()):
            counts = _count_numbers({split: _finite_numbers(part) for split, part in labels.items()})
        else:
            counts = {split: _count(part) for split, part in labels.items()}
        if any(any(part.values()) for part in counts.values()):
            unit = next(
                (unit for type_, unit in _UNITS.items() if isinstance(next(iter(labels.values())), type_)), "rows"
            )
            totals = {split: sum(by_label.values()) for split, by_label in counts.items()}
            totals |= {split: int(p.labelled.sum()) for split, p in labels.items() if isinstance(p, SetLabels)}
            yield LabelFrequencies(task, dataset, unit, counts, totals)


def _count(labels: Labels) -> dict[str, int]:
    if isinstance(labels, ClassLabels):
        ids = labels.ids[labels.labelled]
    elif isinstance(labels, SetLabels | TagLabels):
        ids = labels.ids.values[labels.ids.values >= 0]  # without unknown tags
    else:
        return {}
    return dict(zip(labels.names, np.bincount(ids, minlength=len(labels.names)).tolist(), strict=True))


def _finite_numbers(labels: Labels) -> NDArray[np.float64]:
    assert isinstance(labels, NumberLabels)
    return labels.numbers[labels.labelled & np.isfinite(labels.numbers)]


def _count_numbers(numbers: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, int]]:
    """Count the numbers of each split in intervals that are the same for all splits."""
    edges = _edges(np.concatenate(list(numbers.values())))
    names = [f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges)]
    counts: dict[str, dict[str, int]] = {}
    for split, values in numbers.items():
        for name, count in zip(names, np.histogram(values, bins=edges)[0].tolist(), strict=True):
            by_name = counts.setdefault(split, {})
            by_name[name] = by_name.get(name, 0) + count
    return counts


def _edges(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of equal intervals, ``[11]``; of numbers that differ in the last digit some ends are equal."""
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    ends: NDArray[np.float64] = np.linspace(low / 2, high / 2, _BINS + 1) * 2  # high - low may be infinite
    return ends


def score_baselines(name: str, datasets: TaskDatasets) -> Iterator[Baseline]:
    """Score the baselines of a task on validation, or on train if it has no labelled validation rows."""
    task = datasets.tasks[name]
    gold = {split: _gold(task, rows) for split, rows in datasets.splits.items() if split in ("train", "validation")}
    split = "validation" if gold.get("validation") else "train"
    if needs_predictions(task) and gold["train"]:
        rng = np.random.Generator(np.random.PCG64(0))
        predictions = task.baselines(gold["train"], gold[split], rng)
        scores = {baseline: task.score(values, gold[split]) for baseline, values in predictions.items()}
        for metric in dict.fromkeys(metric for by_metric in scores.values() for metric in by_metric):
            if metric != "score":
                values = {baseline: by_metric.get(metric) for baseline, by_metric in scores.items()}
                yield Baseline(name, metric, values, split, len(gold[split]))


def _gold(task: Task, rows: Mapping[str, TokenizedSplit]) -> list[object]:
    splits = (split for split in rows.values() if task.name in split.labels)
    return [label for split in splits for label in gold_labels(task, split).values()]
