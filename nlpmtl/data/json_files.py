"""JSON files as raw rows: JSON Lines, JSON arrays, and the exports of annotation tools.

Example:
    >>> values = read_json_lines(iter(['{"text": "Ada"}', "3"]), encoding="utf-8", where="stdin")
    >>> list(to_rows(values, tool=None, labels={}))
    [(1, {'text': 'Ada'}), (2, MalformedRow(value=3, rule='a JSON object was expected'))]
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import Any

from nlpmtl.config.dataset import AUTO
from nlpmtl.data.annotation_tools import CONVERTERS, detect_tool, keep_columns, single_labels
from nlpmtl.data.binary_files import Progress, ignore_progress, open_binary
from nlpmtl.data.column_types import column_type
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.json_values import NumberedValues, parse_json, read_json_lines, read_json_values
from nlpmtl.data.labels import LabelType
from nlpmtl.data.lines import decode, read_file_lines
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRows

_MOST_MALFORMED = 1000
_MOST_UNLABELLED = 100
"""Maximum number of valid rows from which the annotation tool is detected."""


def open_json(
    path: str, type_: str, *, format: TextFormat, labels: Mapping[str, LabelType], progress: Progress
) -> RawRows:
    """Return the rows of a JSON file, which is read during iteration.

    Args:
        path: the file.
        type_: "jsonl", or "json" for an array or for values one after another.
        format: its encoding, and its annotation tool.
        labels: type of each label column.
        progress: is called with the number of bytes read.
    """
    values = read_values(path, type_, encoding=format.encoding, progress=progress)
    rows = to_rows(values, tool=format.tool, labels=labels)
    if type_ == "jsonl":
        return RawRows(path, ":", rows)
    return RawRows(path, ": row ", ((number, row) for number, (_, row) in enumerate(rows, 1)))


def has_json_lines(path: str, *, encoding: str) -> bool:
    """Return whether a .json file has a JSON object per line, on more than one line."""
    with open_binary(path) as file:
        start = next(decode(file, encoding=encoding), "")
    if start.lstrip().startswith("["):  # an array, whose first line may be the whole file
        return False
    with closing(read_file_lines(path, encoding=encoding, progress=ignore_progress)) as lines:
        line, second = next(lines, ""), next(lines, "")
    return bool(second.strip()) and isinstance(parse_json(line, encoding=encoding), dict)


def read_values(path: str, type_: str, *, encoding: str, progress: Progress) -> Generator[tuple[int, Any], None, None]:
    """Yield the JSON values of a file of a type, "json" or "jsonl"."""
    if type_ == "jsonl":
        lines = read_file_lines(path, encoding=encoding, progress=progress)
        yield from read_json_lines(lines, encoding=encoding, where=path)
    else:
        with open_binary(path, progress=progress) as file:
            yield from read_json_values(decode(file, encoding=encoding), encoding=encoding, where=path)


def find_tool(values: NumberedValues) -> tuple[str | None, Sequence[tuple[int, Any]]]:
    """Return the annotation tool that one of the first values shows, and the values that were read.

    A text without labels, with which an export may begin, does not show its tool.
    """
    head: list[tuple[int, Any]] = []
    valid = 0
    for number, value in islice(values, _MOST_MALFORMED):
        head.append((number, value))
        if isinstance(value, MalformedRow):
            continue
        valid += 1
        tool = detect_tool(value)
        if tool is not None or valid == _MOST_UNLABELLED:
            return tool, head
    return None, head


def to_rows(values: NumberedValues, *, tool: str | None, labels: Mapping[str, LabelType]) -> NumberedRows:
    """Yield the rows that JSON values are in the format of an annotation tool, or without one."""
    head: Sequence[tuple[int, Any]] = ()
    detected = tool
    if tool == AUTO:
        detected, head = find_tool(values)
    convert = None if detected is None else CONVERTERS[detected]
    single = [column for column, type_ in labels.items() if column_type(type_).coding in ("name", "number")]
    for number, value in chain(head, values):
        if isinstance(value, MalformedRow):
            yield number, value
        elif convert is not None:
            for row in convert(value):
                yield number, single_labels(keep_columns(row, value, labels), single)
        else:
            yield number, value if isinstance(value, dict) else MalformedRow(value, "a JSON object was expected")
