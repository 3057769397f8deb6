"""Findings about labelled rows: duplicates, leakage between splits, label conflicts, empty and truncated texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data import Ragged, TokenizedSplit
from nlpmtl.data.near_duplicates import near_duplicates
from nlpmtl.data_report.statistics import LabelFrequencies, SplitReport
from nlpmtl.errors import escape_line, list_some
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import Task

_PLACES = 2
"""Number of rows that a finding names."""
_MIN_ROWS_PER_LABEL = 5
"""Labels with fewer train rows are reported."""
_IMBALANCE = 0.9
"""Fraction of the train rows with one label from which a task is reported."""
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Finding:
    """A property of the data that makes scores lower, or misleading.

    Args:
        dataset: name of the dataset.
        problem: what was found, with the number of rows.
        advice: what to do about it.
        places: where the first of these rows are in their source.
    """

    dataset: str
    problem: str
    advice: str
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the finding as one line."""
        places = f" ({'; '.join(self.places)})" if self.places else ""
        return escape_line(f"{self.dataset}: {self.problem}{places}: {self.advice}")


def find_truncated(splits: Sequence[SplitReport], *, max_length: int, max_positions: int) -> Iterator[Finding]:
    """Yield findings about truncated rows."""
    for split in splits:
        if split.cut:
            advice = (
                f"increase it (this encoder reads up to {max_positions:,} tokens), or accept that the end is not read"
                if max_length < max_positions
                else "split these texts, or use an encoder that reads longer ones"
            )
            problem = f"{split.cut} of {split.rows} rows of {split.split} are longer than max_length = {max_length}"
            if split.one_sequence:
                problem += f" (the longest has {split.longest:,} tokens)"
            yield Finding(split.dataset, problem, advice)


def find_labels(counted: LabelFrequencies) -> Iterator[Finding]:
    """Yield findings about the labels of a train split."""
    if counted.unit != "rows" or "train" not in counted.counts:
        return
    counts = counted.counts["train"]
    rare = [label for label, count in counts.items() if 0 < count < _MIN_ROWS_PER_LABEL]
    if rare:
        have = "label has" if len(rare) == 1 else "labels have"
        yield Finding(
            counted.dataset,
            f"task {counted.task!r}: {len(rare)} {have} fewer than {_MIN_ROWS_PER_LABEL} train rows: "
            f"{list_some(rare, limit=_PLACES)}",
            "add rows, or merge labels; a model hardly learns rare ones",
        )
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(label.casefold(), []).append(label)
    equal = [" and ".join(map(repr, labels)) for labels in spellings.values() if len(labels) > 1]
    if equal:
        yield Finding(
            counted.dataset,
            f"task {counted.task!r}: labels of train differ only in case: {list_some(equal, limit=_PLACES)}",
            "write them in the same way if they mean the same: case is significant",
        )
    total, largest = counted.totals["train"], max(counts, key=lambda label: counts[label])
    share = counts[largest] / max(total, 1)
    if share >= _IMBALANCE:
        yield Finding(
            counted.dataset,
            f"task {counted.task!r}: {share:.0%} of the labelled train rows have the label {largest!r}",
            'compare scores with the majority baseline, score by macro_f1, and try class_weights = "balanced"',
        )


def find_rows(
    name: str, splits: Mapping[str, TokenizedSplit], *, conflicting: Sequence[Task], unknown: int | None = None
) -> Iterator[Finding]:
    """Yield findings about the rows of a dataset: empty texts, duplicates, leakage and label conflicts.

    Args:
        name: name of the dataset.
        splits: its splits, train first.
        conflicting: the tasks for which an input has only one correct label.
        unknown: the id of the unknown token.
    """
    for split, rows in splits.items():
        yield from _find_empty(name, split, rows)
    if all(rows.input_hashes is not None for rows in splits.values()):
        joined = _Joined(name, splits)
        yield from joined.find_duplicates()
        yield from joined.find_near_duplicates(unknown)
        yield from joined.find_conflicts(conflicting)


def _find_empty(name: str, split: str, rows: TokenizedSplit) -> Iterator[Finding]:
    for column, is_empty in _empty_texts(rows).items():
        empty = np.flatnonzero(is_empty)
        if len(empty):
            yield Finding(
                name,
                f"{len(empty)} of {len(rows)} rows of {split} have no text in `{column}`",
                "remove them, or fill them in: a label cannot be predicted from nothing",
                tuple(rows.place(row) for row in empty[:_PLACES].tolist()),
            )


def _empty_texts(rows: TokenizedSplit) -> dict[str, NDArray[np.bool_]]:
    """Return for each text column whether the text of each row is empty, ``[rows]``."""
    empty: dict[str, NDArray[np.bool_]] = {}
    names = () if rows.rows is None else rows.rows.table.column_names
    for column in [name for name in ("text", "pair", "words") if name in names]:
        texts = rows.column(column)
        if column == "words":
            texts = pc.binary_join(texts, " ")
        empty[column] = pc.equal(pc.utf8_trim_whitespace(texts), "").fill_null(False).to_numpy()
    return empty


def _has_text(rows: TokenizedSplit) -> NDArray[np.bool_]:
    """Return whether any text of each row is not empty, ``[rows]``."""
    empty = list(_empty_texts(rows).values())
    return ~np.logical_and.reduce(empty) if empty else np.ones(len(rows), dtype=np.bool_)


class _Joined:
    """The rows of all splits of a dataset, one split after another. Rows without any text are not compared.

    Args:
        name: name of the dataset.
        splits: its splits, train first.
    """

    def __init__(self, name: str, splits: Mapping[str, TokenizedSplit]) -> None:
        self._name, self._splits, self._names = name, splits, list(splits)
        self._bounds = np.cumsum([0, *map(len, splits.values())])
        self._split_of = np.arange(len(splits)).repeat(np.diff(self._bounds))
        hashes = np.concatenate([rows.input_hashes for rows in splits.values() if rows.input_hashes is not None])
        self._has_text = np.concatenate([_has_text(rows) for rows in splits.values()])
        _, self._first, self._group = np.unique(hashes, return_index=True, return_inverse=True)

    def find_duplicates(self) -> Iterator[Finding]:
        """Yield a finding for each split with equal inputs, and for each pair of splits that share inputs."""
        for number, split in enumerate(self._names):
            rows = self._rows_with_text(number)
            _, first = np.unique(self._group[rows], return_index=True)
            repeated = np.delete(rows, first)
            if len(repeated):
                yield self._finding(
                    repeated,
                    f"of {split} repeat the input of an earlier row",
                    f"remove them, or they count several times in {'training' if split == 'train' else 'the scores'}",
                )
        for first_split, second_split in combinations(range(len(self._names)), 2):
            first_name, second_name = self._names[first_split], self._names[second_split]
            rows = self._rows_with_text(second_split)
            leaked = rows[np.isin(self._group[rows], self._group[self._rows_with_text(first_split)])]
            if len(leaked):
                what = f"of {second_name} are also in {first_name}"
                yield self._finding(leaked, what, _leakage(first_name, second_name))

    def find_near_duplicates(self, unknown: int | None) -> Iterator[Finding]:
        """Yield a finding for each pair of splits, or split, with near-duplicates that are not duplicates.

        Rows of one split that share a text of a pair, such as the questions about one context, are not reported.
        """
        distinct = np.sort(self._first[self._has_text[self._first]])
        pairs = distinct[near_duplicates(self._tokens(distinct), unknown=unknown)].reshape(-1, 2)
        pairs = pairs[~self._share_text(pairs)]
        for first_split, second_split in sorted({(int(a), int(b)) for a, b in self._split_of[pairs]}):
            of_splits = (self._split_of[pairs] == [first_split, second_split]).all(axis=1)
            first_name, second_name = self._names[first_split], self._names[second_split]
            places = [f"{self._place(b)} and {self._place(a)}" for a, b in pairs[of_splits][:_PLACES].tolist()]
            leaked = first_split != second_split
            other = f"a row of {first_name}" if leaked else "another row"
            total = len(self._rows(second_split))
            problem = f"{of_splits.sum()} of {total} rows of {second_name} nearly repeat {other}"
            advice = _leakage(first_name, second_name) if leaked else "remove copies"
            advice = f"compare them: if they have the same origin, {advice}"
            yield Finding(self._name, problem, advice, tuple(places))

    def find_conflicts(self, tasks: Sequence[Task]) -> Iterator[Finding]:
        """Yield a finding for each of the tasks with equal inputs that have different labels."""
        sizes = np.bincount(self._group)
        repeated = np.flatnonzero((sizes[self._group] > 1) & self._has_text)
        for task in tasks:
            labels: dict[int, dict[str, int]] = {}
            for row in repeated.tolist():
                split, local = self._locate(row)
                label = _comparable_label(split, task, local)
                if label is not None:
                    labels.setdefault(int(self._group[row]), {}).setdefault(label, row)
            conflicts = [list(rows.values()) for rows in labels.values() if len(rows) > 1]
            if conflicts:
                problem = f"{len(conflicts)} of {len(sizes)} different inputs occur with different labels"
                yield Finding(
                    self._name,
                    f"task {task.name!r}: {problem}",
                    "correct the labels, or remove these rows: no model can predict both labels",
                    tuple(" and ".join(map(self._place, rows[:2])) for rows in conflicts[:_PLACES]),
                )

    def _share_text(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each pair of rows whether both are of one split, and have the same text, or the same pair."""
        shared = np.zeros(len(pairs), dtype=bool)
        for number, split in enumerate(self._splits.values()):
            if split.rows is None or "pair" not in split.rows.table.column_names:
                continue
            places = np.flatnonzero((self._split_of[pairs] == number).all(axis=1))
            first, second = (pairs[places] - self._bounds[number]).T
            for column in map(split.column, ("text", "pair")):
                equal = pc.equal(column.take(first), column.take(second)).fill_null(False)
                shared[places] |= equal.to_numpy()
        return shared

    def _finding(self, rows: NDArray[np.int64], what: str, advice: str) -> Finding:
        total = len(self._rows(int(self._split_of[rows[0]])))
        places = tuple(self._place(row) for row in rows[:_PLACES].tolist())
        return Finding(self._name, f"{len(rows)} of {total} rows {what}", advice, places)

    def _rows(self, split: int) -> NDArray[np.int64]:
        return np.arange(self._bounds[split], self._bounds[split + 1])

    def _rows_with_text(self, split: int) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self._rows(split)[self._has_text[self._bounds[split] : self._bounds[split + 1]]]
        return rows

    def _tokens(self, rows: NDArray[np.int64]) -> Ragged:
        """Return the token ids of rows; the first sequences of a split are those of its rows."""
        parts = []
        for number, split in enumerate(self._splits.values()):
            local = rows[self._split_of[rows] == number] - self._bounds[number]
            for start in range(0, len(local), _ROWS_AT_ONCE):
                parts.append(split.tokens.take(local[start : start + _ROWS_AT_ONCE]).ids)
        return Ragged.join(parts)

    def _locate(self, row: int) -> tuple[TokenizedSplit, int]:
        split = int(self._split_of[row])
        return self._splits[self._names[split]], row - int(self._bounds[split])

    def _place(self, row: int) -> str:
        split, local = self._locate(row)
        return split.place(local)


def _comparable_label(split: TokenizedSplit, task: Task, row: int) -> str | None:
    """Return the label of a row as text that is equal for equal labels; None if it has none."""
    labels = split.labels.get(task.name)
    values = {} if labels is None else labels.example_labels(row)
    if values and type(task).gold is not Task.gold:
        values = {"label": task.gold(split.example(row, task.name))}
    if values.get("label") is not None:
        values["label"] = task.comparable(values["label"])
    if isinstance(values.get("soft"), Mapping):  # in the order of the annotators
        values["soft"] = sorted(values["soft"].items())
    known = {key: value for key, value in values.items() if value is not None and key != "weight"}
    return dumps(known) if known else None


def _leakage(first: str, second: str) -> str:
    return f"remove them from {first}, or the scores of {second} are too high"
