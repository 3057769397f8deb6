"""Notes about the label names in the data: names that are one label, numbers that are codes, and missing labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nlpmtl.config import DatasetConfig, TaskOptions
from nlpmtl.data import (
    LabelColumn,
    Ragged,
    TokenizedSplit,
    column_type,
    equal_codes,
    find_spans_in_plain,
    is_boolean,
    merged_names,
    sort_names,
    split_missing,
)
from nlpmtl.errors import escape_control_characters, list_some

if TYPE_CHECKING:
    from nlpmtl.tasks.label_columns import LabelColumns

_MAX_LISTED = 6
"""Maximum number of labels in a note."""


def label_notes(
    datasets: Mapping[str, DatasetConfig],
    rows: Mapping[str, Mapping[str, TokenizedSplit]],
    raw: LabelColumns,
    *,
    known: Mapping[str, Sequence[str] | None],
    soft: Mapping[str, Collection[str]],
) -> tuple[str, ...]:
    """Return notes about the label columns of all tasks.

    Args:
        datasets: the datasets by name.
        rows: dataset → split → its rows.
        raw: the label columns with the names in the data, and the spellings of the tasks.
        known: the labels of each task, declared or of the model.
        soft: the names in the soft labels of each task.
    """
    return (
        *_name_notes(raw, soft=soft),
        *_disjoint_notes(raw, known=known),
        *_span_notes(datasets, raw),
        *_missing_notes(datasets, rows, known=known),
        *_gap_notes(datasets, rows),
    )


def _span_notes(datasets: Mapping[str, DatasetConfig], raw: LabelColumns) -> Iterator[str]:
    """Yield a note about each column of tags that mark spans but are read as "plain".

    It is not an error, because "plain" contradicts no tags: parts of speech may be called B or I-ADJ, and classes of
    tokens are a baseline for spans. Only a column in which nearly all tags have the prefix of a span is reported.
    """
    for task in dict.fromkeys(task for dataset in datasets.values() for task in dataset.tasks):
        for dataset, split, column in raw.of(task):
            options = datasets[dataset].tasks[task]
            type_ = column_type(column.type)
            if split != "train" or not type_.per_word or type_.has_gaps:
                continue
            spans = find_spans_in_plain(column) if getattr(options, "scheme", None) == "plain" else None
            if spans:
                yield (
                    f'{dataset}: task {task!r}: the tags seem to mark spans, but scheme = "plain" reads each tag as a '
                    f"class, so no spans are predicted or scored. To predict spans: {spans}"
                )


def _name_notes(raw: LabelColumns, *, soft: Mapping[str, Collection[str]]) -> Iterator[str]:
    for task, names_of_soft in soft.items():
        for key in dict.fromkeys(("label", *raw.keys(task))):
            named = [column.names for _, _, column in raw.of(task, key)]
            names = {name for column_names in named for name in column_names}
            for merged in merged_names(names.union(names_of_soft if key == "label" else ())):
                yield f"task {task!r}: the data have {merged}"
            booleans = sorted(filter(is_boolean, names))
            if booleans and names & {"0", "1"}:
                listed = ", ".join(map(repr, [*sorted(names & {"0", "1"}), *booleans]))
                yield f"task {task!r}: {listed} are different labels; write 0 and 1, or true and false, in all rows"
            codes = sorted({code for column_names in named for code in equal_codes(column_names)})
            if codes:
                listed = ", ".join(map(repr, codes[:_MAX_LISTED]))
                yield f"task {task!r}: {listed} are equal as numbers, but different labels, because the data have both"


def _disjoint_notes(raw: LabelColumns, *, known: Mapping[str, Sequence[str] | None]) -> Iterator[str]:
    """Yield a note about each task of which two datasets have no label in common, such as names and numbers."""
    for task in (task for task, labels in known.items() if labels is None):
        spelling = raw.spellings[task]
        names = {
            dataset: sort_names({spelling(name) for name in column.names})
            for dataset, split, column in raw.of(task)
            if split == "train" and column.names and column_type(column.type).coding == "name"
        }
        pairs = combinations(names.items(), 2)
        disjoint = next((pair for pair in pairs if set(pair[0][1]).isdisjoint(pair[1][1])), ())
        if disjoint:
            listed = " and ".join(
                f"{name} ({list_some(map(escape_control_characters, labels), limit=_MAX_LISTED)})"
                for name, labels in disjoint
            )
            yield f"task {task!r}: {listed} have no label in common; write labels that mean the same in one way"


def _gap_notes(
    datasets: Mapping[str, DatasetConfig], rows: Mapping[str, Mapping[str, TokenizedSplit]]
) -> Iterator[str]:
    for name, splits in rows.items():
        for split, prepared in splits.items():
            for task, options in datasets[name].tasks.items():
                if not options.has_column_per_label:
                    continue
                flags = [prepared.columns[column].labelled for column in options.label_columns["label"]]
                gaps = int((np.logical_or.reduce(flags) & ~np.logical_and.reduce(flags)).sum())
                if gaps:
                    yield (
                        f"{name}, {split}: task {task!r}: {gaps} rows have a value in some of the columns of `label`, "
                        "not in all: they count as unlabelled"
                    )


def missing_names(
    options: TaskOptions, splits: Mapping[str, TokenizedSplit], *, known: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names in a column of single labels that are missing labels, and those that may be."""
    columns = options.label_columns.get("label")
    if (
        columns is None
        or options.has_column_per_label
        or any(columns[0] in split.class_names for split in splits.values())
    ):
        return (), ()
    labels = [split.columns[columns[0]] for split in splits.values()]
    if any(column_type(column.type).coding != "name" for column in labels):
        return (), ()
    return split_missing(list(dict.fromkeys(name for column in labels for name in column.names)), declared=known)


def _missing_notes(
    datasets: Mapping[str, DatasetConfig],
    rows: Mapping[str, Mapping[str, TokenizedSplit]],
    *,
    known: Mapping[str, Sequence[str] | None],
) -> Iterator[str]:
    """Yield a note about each value that pandas reads as missing, with the number of its rows."""
    for dataset, splits in rows.items():
        for task, options in datasets[dataset].tasks.items():
            missing, possible = missing_names(options, splits, known=known[task])
            for name in (*missing, *possible):
                columns = [split.columns[options.label_columns["label"][0]] for split in splits.values()]
                counts = [_count(column, name) for column in columns if name in column.names]
                subject = f"{dataset}: task {task!r}: {escape_control_characters(name)!r} in {sum(counts):,} rows"
                yield (
                    f"{subject} is read as a missing label, because the others are numbers or booleans"
                    if missing
                    else f"{subject} is read as a label. If it means a missing one, leave the cell empty or "
                    "write null; otherwise list all labels as `labels`"
                )


def _count(column: LabelColumn, name: str) -> int:
    """Return the number of rows that have a label, in a column of single labels."""
    assert not isinstance(column.values, Ragged)
    return int(np.count_nonzero(column.values == column.names.index(name)))
