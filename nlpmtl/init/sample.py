"""Samples: the first rows of the train split of a dataset, as columns, and the format of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nlpmtl.config import DataConfig, parse_data
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.detect_format import detect_format
from nlpmtl.data.files import data_members, describe_file, is_text, open_file
from nlpmtl.data.raw_rows import MalformedRow, RawRows
from nlpmtl.data.source import find_hub_splits
from nlpmtl.errors import DataError
from nlpmtl.init.sources import Source
from nlpmtl.init.table import Table

MAX_ROWS = 50_000
"""Maximum number of rows that are looked at."""
_MAX_CHARACTERS = 200_000_000
"""Maximum number of characters that are looked at; more could fill the memory."""


@dataclass(frozen=True)
class Sample:
    """The columns of a dataset in its first rows.

    Args:
        source: the dataset, with its splits.
        table: the profiles of the columns.
        type: the type of the first file of train, as in `FileDescription`; "hub" for a dataset on the Hub.
        format: the format of its text files.
        conll_columns: name of each column of a CoNLL file = its index.
        tool: the annotation tool that exported the files.
    """

    source: Source
    table: Table
    type: str
    format: TextFormat
    conll_columns: Mapping[str, int]
    tool: str | None = None

    @property
    def detected(self) -> dict[str, Any]:
        """Keys of `data` whose detected value is not the default."""
        values = {key: getattr(self.format, key) for key in ("delimiter", "quoting", "encoding", "header")}
        return {key: value for key, value in values.items() if value != DataConfig.model_fields[key].default}


def read_sample(source: Source) -> Sample:
    """Read the first rows of the train split of a dataset.

    Raises:
        ConfigError: a file has an unsupported type.
        DataError: a file cannot be read, or has no valid rows.
    """
    if source.hub is not None:
        splits = find_hub_splits(parse_data({"hub": source.hub}, where=source.hub), columns=None, name=source.name)
        known = Source(source.name, dict.fromkeys(splits, ()), source.hub)
        if "train" not in splits:
            raise DataError(f"{source.hub}: the dataset has no train split; its splits are {', '.join(splits)}")
        return Sample(known, _read([splits["train"].open()]), "hub", TextFormat(), {})
    path = source.files["train"][0]
    members = data_members(path)
    path = members[0] if len(members) == 1 else path
    text_format = detect_format(path) if is_text(path) else TextFormat()
    description = describe_file(path, encoding=text_format.encoding)
    opened = [open_file(path, format=text_format) for path in source.files["train"]]
    table = _read(opened, single=description.tool is not None)
    return Sample(source, table, description.type, text_format, description.columns, description.tool)


def _read(files: list[RawRows], *, single: bool = False) -> Table:
    """Read rows into columns, up to `MAX_ROWS`.

    Args:
        files: the files.
        single: whether lists of one label are read as that label, as in exports of annotation tools.
    """
    columns: dict[str, list[Any]] = {}
    count = characters = malformed = 0
    complete, first = True, ""
    for place, row in _all_rows(files):
        if count == MAX_ROWS or characters > _MAX_CHARACTERS:
            complete = False
            break
        if isinstance(row, MalformedRow):
            malformed += 1
            first = first or f"{place}: {row.rule}"
            continue
        for name, value in row.items():
            column = columns.setdefault(name, [])
            column.extend([None] * (count - len(column)))
            column.append(value)
            characters += _count_characters(value)
        count += 1
    if not count:
        reason = f"all {malformed} are invalid; the first one: {first}" if malformed else "no rows"
        raise DataError(f"{files[0].where}: {reason}")
    names: dict[str, tuple[str, ...]] = {}
    for file in files:
        names |= file.class_names
    padded = {name: [*column, *[None] * (count - len(column))] for name, column in columns.items()}
    if single:
        padded = {name: _single_labels(column) for name, column in padded.items()}
    return Table.of(padded, class_names=names, complete=complete)


def _count_characters(value: Any) -> int:
    """Return the number of characters of a value, with those of the items of a list or an object."""
    if isinstance(value, str):
        return len(value)
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count_characters, items))


def _single_labels(values: list[Any]) -> list[Any]:
    """Return the labels instead of lists that have one label, or none; other columns are unchanged."""
    lists = [value for value in values if value is not None]
    if not lists or not all(isinstance(value, list) and len(value) < 2 for value in lists):
        return values
    if not all(isinstance(item, str | int) for value in lists for item in value):
        return values
    return [value[0] if value else None for value in values]


def _all_rows(files: list[RawRows]) -> Iterator[tuple[str, Mapping[str, Any] | MalformedRow]]:
    for file in files:
        for number, row in file.rows:
            yield file.place(number) if isinstance(row, MalformedRow) else "", row
