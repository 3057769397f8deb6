"""Row validation: raw rows become examples in canonical Arrow columns; issues are counted, the first ones listed."""

from __future__ import annotations

import math
import tempfile
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.config import ColumnNames, InputConfig
from nlpmtl.data.arrow_tables import TableWriter
from nlpmtl.data.column_types import column_type, is_coded, join_cells, parse_value, read_stored
from nlpmtl.data.example import Example, Input, to_text, to_words
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType, to_label
from nlpmtl.data.raw_rows import MalformedRow, MissingColumn, RawRow, RawRows
from nlpmtl.data.span_tags import ColumnError, tag_spans
from nlpmtl.data.word_alignment import join_words
from nlpmtl.errors import ConfigError, escape_control_characters, find_nearest, quote
from nlpmtl.strict_json import dumps

_ROWS_PER_BATCH = 4000
_MAX_LISTED = 5
_MAX_CHARACTERS = 60
_MAX_LISTED_COLUMNS = 20
_DELIMITERS = ";\t|,"
"""Delimiters that are suggested for a table with a single column."""
_STRINGS = pa.list_(pa.string())


class ValidationIssue(NamedTuple):
    """A value that breaks a rule; an empty column name means the whole row."""

    column: str
    value: Any
    rule: str


@dataclass
class ValidationIssues:
    """The issues in the rows of a dataset: all are counted, the first few are formatted as messages."""

    total: int = 0
    rows: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, place: str, issues: Sequence[ValidationIssue]) -> None:
        """Count the issues of one more row."""
        self.total += len(issues)
        self.rows += 1
        for column, value, rule in issues[: _MAX_LISTED - len(self.messages)]:
            shown = "" if value is None and not column else f" (found {quote(value, limit=_MAX_CHARACTERS)})"
            self.messages.append(f"{place}: {column + ': ' if column else ''}{rule}{shown}")

    def __str__(self) -> str:
        rest = self.total - len(self.messages)
        lines = [*self.messages, f"and {rest} more"] if rest else self.messages
        return "\n".join(f"  {line}" for line in lines)


@dataclass(frozen=True)
class ParseContext:
    """Context of parsing in addition to the types of the label columns.

    Args:
        extra: column type of each further input, by key; its column is in the table `input` of the config.
        earlier: label column → {key: column} of the columns before it in its task; its type has access to their values.
        needed: label column → the canonical columns without which its value is not parsed but null: every task that
            reads it is unlabelled there.
        optional: columns that need not exist.
    """

    extra: Mapping[str, LabelType] = field(default_factory=dict)
    earlier: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    needed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()


_Values = Mapping[str, Any]
"""Values of a row so far: canonical column = canonical value."""


@dataclass(frozen=True)
class _Column:
    """A canonical column, and how to convert a raw value, given the values of the columns before it."""

    name: str
    raw: ColumnNames
    type: pa.DataType
    convert: Callable[[Any, _Values], Any]

    def read(self, row: Mapping[str, Any]) -> Any:
        """Return the raw value of a row: that of its column, or the list of those of its columns."""
        return row.get(self.raw) if isinstance(self.raw, str) else join_cells(map(row.get, self.raw))

    @property
    def raw_name(self) -> str:
        """The raw column, or several ones, for messages."""
        return self.raw if isinstance(self.raw, str) else ", ".join(self.raw)


def validate_rows(
    rows: RawRows,
    *,
    inputs: InputConfig,
    labels: Mapping[str, LabelType],
    required: Collection[str],
    issues: ValidationIssues,
    directory: Path | None = None,
    context: ParseContext | None = None,
) -> Examples:
    """Read all rows of a split and return the valid ones.

    Args:
        rows: raw rows.
        inputs: the columns of the input.
        labels: type of each label column.
        required: the columns that must be in some row.
        issues: the problems of invalid rows are added to it.
        directory: where to store the examples in a file; default: in memory.
        context: further column types, dependencies and optional columns.

    Raises:
        ConfigError: required columns are in no row.
        DataError: the source cannot be read.
        OSError: the file cannot be written.
    """
    existing = set(rows.columns)
    check_columns(required, existing=existing, where=rows.where)
    columns = _columns(inputs, labels, rows.class_names, context or ParseContext())
    skipped = 0
    path = None if directory is None else Path(tempfile.mkdtemp(dir=directory)) / "examples.arrow"
    with TableWriter(pa.schema([(column.name, column.type) for column in columns]), path) as table_writer:
        tags = [column for column, type_ in labels.items() if column_type(type_).per_word]
        words = inputs.words if tags or not labels else None
        writer = _ExampleWriter(columns, table_writer, words=words, tags=tags)
        for number, raw in rows.rows:
            row_issues = writer.add(raw, number=number)
            if not isinstance(raw, MalformedRow) and not existing.issuperset(raw):
                existing.update(raw)
            if row_issues:
                skipped += 1
                issues.add(rows.place(number), row_issues)
        writer.flush()
    check_columns(required, existing=existing, where=rows.where)
    return Examples(
        stored=table_writer.table(),
        where=rows.where,
        separator=rows.separator,
        numbers=np.concatenate(writer.numbers),
        class_names=rows.class_names,
        skipped=skipped,
        files=tuple(rows.files),
        missing_columns=_missing_columns(labels, existing=existing, where=rows.where),
        split_texts=writer.split_texts,
    )


def check_columns(required: Collection[str], *, existing: Collection[str], where: str) -> None:
    """Raise ConfigError if required columns of a split are in none of its rows."""
    missing = _missing_columns(required, existing=existing, where=where)
    if missing:
        raise ConfigError("\n".join(column.message for column in missing.values()))


def _missing_columns(columns: Iterable[str], *, existing: Collection[str], where: str) -> dict[str, MissingColumn]:
    """Return the columns that are in no row.

    Without any existing column nothing is known: the split may be empty, or its first rows malformed.
    """
    names = sorted(map(escape_control_characters, existing))
    more = f", … ({len(names)} columns)" if len(names) > _MAX_LISTED_COLUMNS else ""
    listed = f"; available columns: {', '.join(names[:_MAX_LISTED_COLUMNS])}{more}"
    if (delimiter := find_delimiter(existing)) is not None:
        listed += f"; if these are several columns, write `data.delimiter = {dumps(delimiter)}`"
    missing: dict[str, MissingColumn] = {}
    for column in columns if existing else ():
        if column not in existing:
            nearest = None if delimiter else find_nearest(column, names)
            hint = f"; did you mean {nearest!r}{_difference(nearest, column)}?" if nearest else ""
            missing[column] = MissingColumn(f"{where}: column {column!r} not found{listed}{hint}", nearest)
            listed = ""
    return missing


def _difference(nearest: str, column: str) -> str:
    """Return how a similar name differs from a name that looks the same; empty for others."""
    if nearest == f'"{column}"':
        return ' (in quotes; if they enclose fields, write `data.quoting = "minimal"`)'
    same = nearest != column and unicodedata.normalize("NFC", nearest) == unicodedata.normalize("NFC", column)
    return ", which has another Unicode form (copy it from the file)" if same else ""


def find_delimiter(columns: Collection[str]) -> str | None:
    """Return the delimiter in the name of a single column, which is the header of a table with another delimiter."""
    return next((mark for mark in _DELIMITERS if len(columns) == 1 and all(mark in name for name in columns)), None)


def _columns(
    inputs: InputConfig,
    labels: Mapping[str, LabelType],
    class_names: Mapping[str, tuple[str, ...]],
    context: ParseContext,
) -> list[_Column]:
    texts = {"text": inputs.text, "pair": inputs.pair}
    texts_read = {name for name, raw in {**texts, "words": inputs.words}.items() if raw is not None}

    def typed(name: str, raw: ColumnNames, type_: LabelType, earlier: Mapping[str, str]) -> _Column:
        """Return a column of a column type, given the label columns before it in its task: {key: column}."""
        names = class_names.get(raw) if isinstance(raw, str) else None
        needed: Collection[str] = context.needed.get(raw, ()) if isinstance(raw, str) else ()

        def convert(value: Any, row: _Values) -> Any:
            value = _nan_to_none(value)
            if is_coded(type_):
                return to_label(value, type=type_, names=names, words=row.get("words"))
            if value is None or any(row.get(other) is None for other in needed) or not texts_read.issubset(row):
                return None  # a problem of the input is reported itself
            example = _example(row, context.extra, labels, earlier)
            return parse_value(value, example, type=type_, names=names, store=True)

        return _Column(name, raw, column_type(type_).arrow, convert)

    columns = [
        _Column(name, raw, pa.string(), lambda value, _: to_text(value))
        for name, raw in texts.items()
        if raw is not None
    ]
    if inputs.words is not None:
        columns.append(_Column("words", inputs.words, _STRINGS, lambda value, _: to_words(value)))
    columns += [
        typed(f"input:{key}", inputs.extra[key], type_, {})
        for key, type_ in context.extra.items()
        if key in inputs.extra
    ]
    columns += [
        typed(f"label:{column}", column, type_, context.earlier.get(column, {})) for column, type_ in labels.items()
    ]
    return columns


def _example(
    row: _Values, extra: Mapping[str, LabelType], labels: Mapping[str, LabelType], earlier: Mapping[str, str]
) -> Example:
    """Return the part of a row that is available to a column type: its values so far, without invalid ones."""
    inputs = {key: read_stored(row.get(f"input:{key}"), type=type_) for key, type_ in extra.items()}
    columns = {key: read_stored(row.get(f"label:{column}"), type=labels[column]) for key, column in earlier.items()}
    return Example(
        stored_input(row),
        extra={key: value for key, value in inputs.items() if value is not None},
        labels={key: value for key, value in columns.items() if value is not None},
    )


def stored_input(row: _Values) -> Input | None:
    """Return the input of a row of canonical values; None if its text is not among them."""
    if "words" in row:
        text, spans = join_words(row["words"])
        return Input(text, given=spans)
    return Input(row["text"], row.get("pair")) if "text" in row else None


def _nan_to_none(value: Any) -> Any:
    """Return None for NaN, which pandas and Arrow write for a missing label in a column of floats."""
    return None if isinstance(value, float) and math.isnan(value) else value


class _ExampleWriter:
    """Collect canonical rows and write them in batches.

    Args:
        columns: the columns.
        writer: writes the batches.
        words: the column of the words, which may hold a text to be split; None: no column does.
        tags: the columns of tags, which may hold spans of that text.

    Attributes:
        numbers: the numbers of the rows written so far, by batch.
        split_texts: the number of rows whose text was split into words.
    """

    def __init__(
        self, columns: Sequence[_Column], writer: TableWriter, *, words: str | None, tags: Sequence[str]
    ) -> None:
        self.numbers: list[NDArray[np.int64]] = []
        self.split_texts = 0
        self._has_texts: bool | None = None
        self._columns, self._words, self._tags = columns, words, tags
        self._writer = writer
        self._pending: list[list[Any]] = []
        self._pending_numbers: list[int] = []

    def add(self, raw: RawRow, *, number: int) -> list[ValidationIssue]:
        """Add a valid row; return the issues of an invalid one."""
        if isinstance(raw, MalformedRow):
            return [ValidationIssue("", *raw)]
        try:
            raw = self._tag_spans(raw)
        except ColumnError as error:
            return [ValidationIssue(error.column, raw.get(error.column), str(error))]
        values: dict[str, Any] = {}
        issues = []
        for column in self._columns:
            value = column.read(raw)
            try:
                values[column.name] = column.convert(value, values)
            except ValueError as error:
                issues.append(ValidationIssue(column.raw_name, value, str(error)))
        if not issues:
            self._pending.append(list(values.values()))
            self._pending_numbers.append(number)
            if len(self._pending) == _ROWS_PER_BATCH:
                self.flush()
        return issues

    def _tag_spans(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Split a text in the column of the words. The first row shows whether the column has texts or lists of words.

        Raises:
            ColumnError: a span cannot be a tag, or the column has texts and lists of words.
        """
        words = None if self._words is None else raw.get(self._words)
        if self._words is None or not isinstance(words, str | list | tuple):
            return raw
        if self._has_texts is None:
            self._has_texts = isinstance(words, str)
        if not self._has_texts:
            return raw  # a text is an error
        if not isinstance(words, str):
            raise ColumnError(self._words, "a text was expected, as in the rows before")
        tagged = tag_spans(raw, words=self._words, tags=self._tags)
        self.split_texts += tagged is not raw
        return tagged

    def flush(self) -> None:
        """Write the pending rows."""
        values = zip(*self._pending, strict=True) if self._pending else [[] for _ in self._columns]
        self._writer.write([pa.array(column, c.type) for column, c in zip(values, self._columns, strict=True)])
        self.numbers.append(np.array(self._pending_numbers, dtype=np.int64))
        self._pending, self._pending_numbers = [], []
