"""JSON files as raw rows: JSON Lines, JSON arrays, and the exports of annotation tools.

Example:
    >>> values = read_json_lines(iter(['{"text": "Ada"}', "3"]), encoding="utf-8", where="stdin")
    >>> list(to_rows(values, tool=None, labels={}))
    [(1, {'text': 'Ada'}), (2, MalformedRow(value=3, rule='a JSON object was expected'))]
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
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
from nlpmtl.errors import quote

_MOST_MALFORMED = 1000
_MOST_UNLABELLED = 100
"""Maximum number of valid rows from which the annotation tool is detected."""


def open_json(
    path: str,
    type_: str,
    *,
    format: TextFormat,
    inputs: Collection[str] | None,
    labels: Mapping[str, LabelType],
    progress: Progress,
) -> RawRows:
    """Return the rows of a JSON file, which is read during iteration.

    Args:
        path: the file.
        type_: "jsonl", or "json" for an array or for values one after another.
        format: its encoding, and its annotation tool.
        inputs: the columns of the input; None: unknown, a row has a string.
        labels: type of each label column.
        progress: is called with the number of bytes read.
    """
    values = read_values(path, type_, encoding=format.encoding, progress=progress)
    rows = to_rows(values, tool=format.tool, labels=labels)
    if type_ == "jsonl":
        return RawRows(path, ":", rows)
    numbered = ((number, row) for number, (_, row) in enumerate(rows, 1))
    return RawRows(path, ": row ", _explain_single_object(numbered, path, encoding=format.encoding, inputs=inputs))


def _explain_single_object(
    rows: NumberedRows, path: str, *, encoding: str, inputs: Collection[str] | None
) -> NumberedRows:
    """Yield the rows; the only value of a file is malformed if it is an object that contains the rows."""
    first = list(islice(rows, 2))
    if len(first) == 1 and isinstance(first[0][1], Mapping) and not _is_array(path, encoding=encoding):
        value = first[0][1]
        rule = _find_rows_inside(value, inputs=inputs)
        first = [(1, value if rule is None else MalformedRow(value, rule))]
    yield from chain(first, rows)


def _find_rows_inside(value: Mapping[str, Any], *, inputs: Collection[str] | None) -> str | None:
    """Return the rule that an object breaks which contains the rows in a list, or as objects; None for a row."""
    if _are_objects(value.values()):
        return 'a list of rows, [{…}, …], was expected, as pandas writes it with to_json(orient="records")'
    has_input = any(isinstance(item, str) for item in value.values()) if inputs is None else set(inputs) & value.keys()
    if has_input:
        return None
    lists = (key for key, item in value.items() if isinstance(item, list) and _are_objects(item))
    key = next(lists, None)
    return None if key is None else f"the rows seem to be the list in {quote(key, limit=40)}: write only that list"


def _are_objects(values: Collection[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def has_json_lines(path: str, *, encoding: str) -> bool:
    """Return whether a .json file has a JSON object per line, on more than one line."""
    if _is_array(path, encoding=encoding):  # its first line may be the whole file
        return False
    with closing(read_file_lines(path, encoding=encoding, progress=ignore_progress)) as lines:
        line, second = next(lines, ""), next(lines, "")
    return bool(second.strip()) and isinstance(parse_json(line, encoding=encoding), dict)


def _is_array(path: str, *, encoding: str) -> bool:
    """Return whether a .json file has an array."""
    with open_binary(path) as file:
        return next(decode(file, encoding=encoding), "").lstrip().startswith("[")


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
