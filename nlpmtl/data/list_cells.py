"""Cells with lists: labels, words and tags in one cell, as JSON or with a separator."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRow

_RULE = 'a list was expected: write JSON, such as ["a", "b"], or set data.separator for cells such as a|b'


def split_cell(text: str, *, separator: str | None) -> list[Any] | None:
    """Return the list in a cell; None if it has none.

    Without a separator, the text must be a JSON list. Otherwise it is split at the separator, which is removed with the
    white space around it; empty parts are dropped.

    Example:
        >>> split_cell("drama | comedy", separator="|")
        ['drama', 'comedy']
        >>> split_cell('["drama", "comedy"]', separator=None)
        ['drama', 'comedy']
    """
    if separator is None:
        try:
            value = json.loads(text) if text.lstrip().startswith("[") else None
        except (ValueError, RecursionError):
            value = None
        return value if isinstance(value, list) else None
    parts = text.split() if separator == " " else map(str.strip, text.split(separator))
    return [part for part in parts if part]


def read_list(value: Any) -> Any:
    """Return the JSON list in a string, None for another string; any other value unchanged.

    >>> read_list('["a", "b"]'), read_list(["a", "b"]), read_list("a")
    (['a', 'b'], ['a', 'b'], None)
    """
    return split_cell(value, separator=None) if isinstance(value, str) else value


def read_list_cells(
    rows: NumberedRows,
    *,
    words: str | None,
    lists: Collection[str],
    tags: Collection[str],
    separator: str | None,
    is_labelled: bool = True,
) -> NumberedRows:
    """Yield rows with lists instead of the strings in some columns; a string without a list is a `MalformedRow`.

    Args:
        rows: the rows. The JSON text "null" in a label column is null.
        words: the column of the words; a text stays a string in a row with character spans instead of tags.
        lists: the label columns that have lists.
        tags: those of them that have a tag per word.
        separator: separator of the items in a cell; None: only JSON lists are read.
        is_labelled: whether label columns are read. Without them, a text in the column of the words stays a string.
    """
    columns = [*lists, words] if words is not None else list(lists)
    for number, row in rows:
        if isinstance(row, MalformedRow) or not any(isinstance(row.get(column), str) for column in columns):
            yield number, row
        else:
            yield (
                number,
                _read_row(row, words=words, lists=lists, tags=tags, separator=separator, is_labelled=is_labelled),
            )


def _read_row(
    row: Any,
    *,
    words: str | None,
    lists: Collection[str],
    tags: Collection[str],
    separator: str | None,
    is_labelled: bool,
) -> RawRow:
    parsed = dict(row)
    for column in lists:
        if isinstance(row.get(column), str):
            is_null = separator is None and row[column].strip() == "null"
            parsed[column] = None if is_null else split_cell(row[column], separator=separator)
            if parsed[column] is None and not is_null:
                return MalformedRow(row[column], f"{column}: {_RULE}")
    values = [parsed[column] for column in tags if isinstance(parsed.get(column), list | tuple)]
    has_spans = any(isinstance(item, list | dict) for value in values for item in value)
    if words is not None and isinstance(row.get(words), str) and not has_spans:
        items = split_cell(row[words], separator=separator)
        if items is None and is_labelled and all(parsed.get(column) for column in lists):
            return MalformedRow(row[words], f"{words}: {_RULE}")
        parsed[words] = row[words] if items is None else items
    return parsed
