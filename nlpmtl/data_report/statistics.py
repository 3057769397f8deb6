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

    Token counts are those before truncation, except for task types that define `Task.sequences`.

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


@dataclass(frozen=True)
class LabelFrequencies:
    """How often each label of a task occurs in a split of a dataset.

    Args:
        task: name of the task.
        dataset: name of the dataset.
        split: name of the split.
        unit: what is counted: "rows", "words" for tags, or "numbers".
        counts: label = its frequency, in the order of the task; for numbers, an interval = the numbers in it.
    """

    task: str
    dataset: str
    split: str
    unit: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Baseline:
    """The score of predictions that are made without reading the input.

    Args:
        task: name of the task.
        name: the baseline, such as "majority"; see `Task.baselines`.
        scores: the value of each metric; None if it is undefined.
        split: the split that is predicted.
        rows: the number of its labelled rows.
    """

    task: str
    name: str
    scores: Mapping[str, float | None]
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
    )


def _untruncated_lengths(rows: TokenizedSplit, *, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Return the number of tokens of each row before truncation: the longest rows are tokenized again."""
    lengths = rows.row_lengths
    if not rows.truncated or rows.places or rows.rows is None:
        return lengths
    lengths, longest = lengths.copy(), np.flatnonzero(lengths == lengths.max())
    for start in range(0, len(longest), _ROWS_AT_ONCE):
        some = longest[start : start + _ROWS_AT_ONCE]
        lengths[some] = count_tokens(rows.rows.take(some).combine_chunks().to_batches()[0], tokenizer)
    return lengths


def train_labels(train: Mapping[str, TokenizedSplit]) -> dict[str, set[int]]:
    """Return the label ids that occur in the train splits, by task."""
    by_task: dict[str, set[int]] = {}
    for rows in train.values():
        for task, labels in rows.labels.items():
            by_task.setdefault(task, set()).update(_occurring(labels))
    return by_task


def _occurring(labels: Labels) -> set[int]:
    """Return the ids that occur among the known labels of the task."""
    return {int(i) for i in labels.occurring() if i < labels.known}


def count_labels(datasets: Mapping[str, Mapping[str, TokenizedSplit]]) -> Iterator[LabelFrequencies]:
    """Yield the label frequencies of each task on each split, for datasets by name and splits by name."""
    for name, rows_by_split in datasets.items():
        for split, rows in rows_by_split.items():
            for task, labels in rows.labels.items():
                counts = _count(labels)
                if counts:
                    unit = next((unit for type_, unit in _UNITS.items() if isinstance(labels, type_)), "rows")
                    yield LabelFrequencies(task, name, split, unit, counts)


def _count(labels: Labels) -> dict[str, int]:
    """Return how often each label occurs; of numbers, how many are in each interval."""
    if isinstance(labels, NumberLabels):
        numbers = labels.numbers[labels.labelled]
        if not len(numbers):
            return {}
        counts, edges = np.histogram(numbers, bins=_BINS)
        names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
        return dict(zip(names, counts.tolist(), strict=True))
    if isinstance(labels, ClassLabels):
        ids = labels.ids[labels.labelled]
    elif isinstance(labels, SetLabels | TagLabels):
        ids = labels.ids.values
    else:
        return {}
    return dict(zip(labels.names, np.bincount(ids, minlength=len(labels.names)).tolist(), strict=True))


def score_baselines(datasets: TaskDatasets) -> Iterator[Baseline]:
    """Score the baselines of each task on validation, or on train if it has no labelled validation rows."""
    for name, task in datasets.tasks.items():
        gold = {split: _gold(task, rows) for split, rows in datasets.splits.items() if split in ("train", "validation")}
        split = "validation" if gold.get("validation") else "train"
        if needs_predictions(task) and gold["train"]:
            rng = np.random.Generator(np.random.PCG64(0))
            for baseline, values in task.baselines(gold["train"], gold[split], rng).items():
                scores = task.score(values, gold[split])
                metrics = {metric: value for metric, value in scores.items() if metric != "score"}
                yield Baseline(name, baseline, metrics, split, len(gold[split]))


def _gold(task: Task, rows: Mapping[str, TokenizedSplit]) -> list[object]:
    splits = (split for split in rows.values() if task.name in split.labels)
    return [label for split in splits for label in gold_labels(task, split).values()]
