"""Exports of annotation tools: doccano, Label Studio, Prodigy, spaCy and brat; and the JSON of SQuAD and SuperGLUE.

Exports are read as rows with the columns ``text`` and ``label``. A label is a list of spans ``[start, end, name]``, in
characters, or a list of label names; None for a text that is not annotated. Other columns keep their names.

    >>> list(CONVERTERS["spacy"](["Ada sings", {"entities": [[0, 3, "person"]]}]))
    [{'text': 'Ada sings', 'label': [[0, 3, 'person']]}]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from nlpmtl.data.annotation_tools import doccano, label_studio, prodigy, spacy_json, squad, superglue
from nlpmtl.data.annotation_tools.label_studio import list_choices
from nlpmtl.data.raw_rows import MalformedRow, RawRow

CONVERTERS: Mapping[str, Callable[[Any], Iterator[RawRow]]] = {
    "doccano": doccano.convert,
    "label_studio": label_studio.convert,
    "prodigy": prodigy.convert,
    "spacy": spacy_json.convert,
    "squad": squad.convert,
    "superglue": superglue.convert,
}
"""Tool -> function that yields the rows of a JSON value of its export. brat has files of its own."""

_DETECTORS: Mapping[str, Callable[[Any], bool]] = {
    "label_studio": label_studio.detect,
    "spacy": spacy_json.detect,
    "squad": squad.detect,
    "superglue": superglue.detect,
    "prodigy": prodigy.detect,
    "doccano": doccano.detect,
}


def detect_tool(value: Any) -> str | None:
    """Return the tool that exported a JSON value; None if it is an ordinary row, or no row."""
    return next((tool for tool, detect in _DETECTORS.items() if detect(value)), None)


def keep_columns(row: RawRow, value: Any, columns: Collection[str]) -> RawRow:
    """Return a row that has its labels also under the names of the export that label columns of a task have.

    Args:
        row: the row that `value` became.
        value: the JSON value of an export.
        columns: the label columns of the tasks.

    >>> value = {"text": "Ada sings", "entities": [[0, 3, "person"]]}
    >>> (row,) = CONVERTERS["doccano"](value)
    >>> keep_columns(row, value, ["entities"])["entities"]
    [[0, 3, 'person']]
    """
    if isinstance(row, MalformedRow) or "label" not in row or not isinstance(value, Mapping):
        return row
    return {**{column: row["label"] for column in columns if isinstance(value.get(column), list)}, **row}


def single_labels(row: RawRow, columns: Sequence[str]) -> RawRow:
    """Return a row whose lists of one label are that label.

    Args:
        row: the row. An empty list becomes null, and several labels make the row malformed.
        columns: the columns that are read as a single value.
    """
    if isinstance(row, MalformedRow):
        return row
    lists = {column: row[column] for column in columns if isinstance(row.get(column), list)}
    for column, value in lists.items():
        if len(value) > 1:
            return MalformedRow(value, f"{column}: one label was expected; a task of kind multilabel reads several")
    return {**row, **{column: value[0] if value else None for column, value in lists.items()}} if lists else row


__all__ = ["CONVERTERS", "detect_tool", "keep_columns", "list_choices", "single_labels"]
