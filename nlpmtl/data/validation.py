"""Every raw row is looked at; what passes is kept in batches of canonical values, what does not is counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.config.dataset import InputConfig
from nlpmtl.data.arrow_buffer import ArrowBatches, ArrowBuffer
from nlpmtl.data.input_parsing import to_text, to_words
from nlpmtl.data.labels import LabelType, to_label
from nlpmtl.data.raw_rows import MalformedRow, MissingColumn, RawRow, RawRows
from nlpmtl.errors import ConfigError, find_nearest, plain, quote

_ROWS_AT_ONCE = 4000
_SHOWN = 5
_SHOWN_CHARACTERS = 60
_SHOWN_COLUMNS = 20
_STRINGS = pa.list_(pa.string())
_TYPES: dict[LabelType, pa.DataType] = {
    "class": pa.string(),
    "number": pa.float64(),
    "set": _STRINGS,
    "tags": _STRINGS,
    "flag": pa.string(),
}


class ValidationIssue(NamedTuple):
    """A value that breaks a rule; without a column it is the row itself."""

    column: str
    found: Any
    rule: str


@dataclass
class ValidationIssues:
    """What is wrong with the rows of a dataset: all of it counted, the first few told."""

    total: int = 0
    rows: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, place: str, problems: Sequence[ValidationIssue]) -> None:
        """Count the problems of one more row."""
        self.total += len(problems)
        self.rows += 1
        for column, found, rule in problems[: _SHOWN - len(self.told)]:
            value = "" if found is None and not column else f" (found {quote(found, most=_SHOWN_CHARACTERS)})"
            self.told.append(f"{place}: {column + ': ' if column else ''}{rule}{value}")

    def __str__(self) -> str:
        rest = self.total - len(self.told)
        lines = [*self.told, f"and {rest} more"] if rest else self.told
        return "\n".join(f"  {line}" for line in lines)


class Checked(NamedTuple):
    """The rows of a stream that keep the rules.

    Args:
        batches: the rows.
        numbers: their numbers in the source.
        broken: how many rows break a rule.
        absent: the columns of labels that are in no row.
    """

    batches: ArrowBatches
    numbers: NDArray[np.int64]
    broken: int
    absent: Mapping[str, MissingColumn]


@dataclass(frozen=True)
class _Column:
    """A canonical column: how a raw value becomes one of its own, given the row's words or None."""

    name: str
    raw: str
    type: pa.DataType
    convert: Callable[[Any, Sequence[str] | None], Any]


def validate_rows(
    stream: RawRows,
    *,
    inputs: InputConfig,
    labels: Mapping[str, LabelType],
    needed: Collection[str],
    problems: ValidationIssues,
    directory: Path | None = None,
) -> Checked:
    """Read a stream to its end.

    Args:
        stream: raw rows.
        inputs: the shape of the input.
        labels: the columns of labels, and the shape of each.
        needed: the columns that must be in some row.
        problems: what is wrong is added here.
        directory: where to keep the rows that pass, in a file; default: in memory.

    Raises:
        ConfigError: needed columns are in no row.
        DataError: the source cannot be read.
        OSError: the file cannot be written.
    """
    seen = set(stream.columns)
    check_columns(needed, seen=seen, where=stream.where)
    columns = _columns(inputs, labels, stream.class_names)
    broken = 0
    with ArrowBuffer(pa.schema([(column.name, column.type) for column in columns]), directory=directory) as spool:
        builder = _Builder(columns, spool)
        for number, raw in stream.rows:
            found = builder.add(raw, number=number)
            if not isinstance(raw, MalformedRow) and not seen.issuperset(raw):
                seen.update(raw)
            if found:
                broken += 1
                problems.add(stream.place(number), found)
        builder.flush()
    check_columns(needed, seen=seen, where=stream.where)
    absent = _absent(labels, seen=seen, where=stream.where)
    return Checked(spool.batches(), np.concatenate(builder.numbers), broken, absent)


def check_columns(needed: Collection[str], *, seen: Collection[str], where: str) -> None:
    """ConfigError if columns that a split needs are in none of its rows."""
    absent = _absent(needed, seen=seen, where=where)
    if absent:
        raise ConfigError("\n".join(column.message for column in absent.values()))


def _absent(columns: Iterable[str], *, seen: Collection[str], where: str) -> dict[str, MissingColumn]:
    """The columns that are in no row.

    Nothing seen is no evidence: there may be no rows, or only some that cannot be read.
    """
    names = sorted(map(plain, seen))
    more = f", … ({len(names)} columns)" if len(names) > _SHOWN_COLUMNS else ""
    listed = f"; columns found: {', '.join(names[:_SHOWN_COLUMNS])}{more}"
    absent: dict[str, MissingColumn] = {}
    for column in columns if seen else ():
        if column not in seen:
            near = find_nearest(column, names)
            hint = f"; did you mean {near!r}?" if near else ""
            absent[column] = MissingColumn(f"{where}: column {column!r} is in no row{listed}{hint}", near)
            listed = ""
    return absent


def _columns(
    inputs: InputConfig, labels: Mapping[str, LabelType], class_names: Mapping[str, tuple[str, ...]]
) -> list[_Column]:
    def label(column: str, shape: LabelType) -> _Column:
        names = class_names.get(column)
        return _Column(
            name=f"label:{column}",
            raw=column,
            type=_TYPES[shape],
            convert=lambda value, words: to_label(_present(value), shape=shape, names=names, words=words),
        )

    texts = {"text": inputs.text, "pair": inputs.pair}
    found = [_Column(k, c, pa.string(), lambda value, _: to_text(value)) for k, c in texts.items() if c is not None]
    if inputs.words is not None:
        found.append(_Column("words", inputs.words, _STRINGS, lambda value, _: to_words(value)))
    return found + [label(column, shape) for column, shape in labels.items()]


def _present(value: Any) -> Any:
    """A label, or None for NaN: pandas and Arrow write a missing label of a column of floats so."""
    return None if isinstance(value, float) and math.isnan(value) else value


class _Builder:
    """Canonical rows, as Python values for a while, then as Arrow."""

    def __init__(self, columns: Sequence[_Column], spool: ArrowBuffer) -> None:
        self.numbers: list[NDArray[np.int64]] = []
        self._columns = columns
        self._spool = spool
        self._waiting: list[list[Any]] = []
        self._waiting_numbers: list[int] = []

    def add(self, raw: RawRow, *, number: int) -> list[ValidationIssue]:
        """Keep a row, unless something is wrong with it: then say what."""
        if isinstance(raw, MalformedRow):
            return [ValidationIssue("", *raw)]
        values: list[Any] = []
        problems = []
        words = None
        for column in self._columns:
            value = raw.get(column.raw)
            try:
                values.append(column.convert(value, words))
            except ValueError as error:
                problems.append(ValidationIssue(column.raw, value, str(error)))
                continue
            if column.name == "words":
                words = values[-1]
        if not problems:
            self._waiting.append(values)
            self._waiting_numbers.append(number)
            if len(self._waiting) == _ROWS_AT_ONCE:
                self.flush()
        return problems

    def flush(self) -> None:
        """Hand over what waits."""
        values = zip(*self._waiting, strict=True) if self._waiting else [[] for _ in self._columns]
        self._spool.write([pa.array(one, column.type) for one, column in zip(values, self._columns, strict=True)])
        self.numbers.append(np.array(self._waiting_numbers, dtype=np.int64))
        self._waiting, self._waiting_numbers = [], []
