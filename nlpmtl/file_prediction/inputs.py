"""Rows of files as inputs of the predictor: which columns are read, and which rows are invalid."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nlpmtl.config import flatten_columns
from nlpmtl.data.list_cells import split_cell
from nlpmtl.data.raw_rows import MalformedRow, RawRow
from nlpmtl.data.validation import find_delimiter
from nlpmtl.data.word_splitting import EVERY_MARK
from nlpmtl.errors import ConfigError, DataError, did_you_mean, quote
from nlpmtl.file_prediction.row_files import Chunk, RowFile
from nlpmtl.inference.containers import Container
from nlpmtl.inference.task_inputs import InputReader, TaskInputs
from nlpmtl.tasks import Task

_KEYS = ("text", "pair", "words")
_PRINTED_LIST = re.compile(r"""\s*\[\s*['"].*['"]\s*\]\s*""", re.DOTALL)


class RowInput(NamedTuple):
    """A row as an input.

    Args:
        value: what `Predictor.predict_all` takes; the readable fields of an invalid row.
        tasks: names of the tasks that can predict for it.
        error: why the row is invalid, with its place; None for a valid row.
        joined_words: the text that offsets refer to if a task reads the words in the column ``words``.
    """

    value: Any
    tasks: Collection[str]
    error: str | None = None
    joined_words: str | None = None


def check_columns(file: RowFile, names: Sequence[str]) -> None:
    """Check that a file which declares its columns has those of the text and of its pair.

    Raises:
        DataError: a column is missing.
    """
    for name in names if file.columns else ():
        if name not in file.columns:
            hint = did_you_mean(name, file.columns)
            raise DataError(f"{file.path}: no column {name!r}, which --text-column names; {hint}")


class RowParser:
    """Parses the rows of a file.

    Args:
        reader: validates inputs for the tasks to predict.
        file: the file.
        text_columns: the column of the text, or those of the text and of its pair; default: those that the tasks were
            trained on, or ``text``, ``pair`` and ``words``.

    Raises:
        DataError: the file declares its columns, and lacks those that are read.
    """

    def __init__(self, reader: InputReader, file: RowFile, *, text_columns: Sequence[str] = ()) -> None:
        self._reader, self._file = reader, file
        self._renamed = dict(zip(text_columns, _KEYS, strict=False))
        self.columns = list(self._renamed) or list(dict.fromkeys([*_KEYS, *reader.trained_columns]))
        self.columns += [column for column in reader.extra_input_columns if column not in self.columns]
        self._pairs = self._find_optional_pairs() if file.type == "table" else set()
        self._optional = set(reader.extra_input_columns) if file.type == "table" else set()
        separators = _word_separators(reader.tasks.values()) if file.type == "table" else {}
        self._separators = {column: separators[column] for column in separators if column not in text_columns}
        check_columns(file, text_columns)
        if file.columns and not text_columns and not set(file.columns) & set(self.columns):
            self._raise_missing_columns()

    def parse(self, chunk: Chunk) -> list[RowInput]:
        """Return the inputs of the rows of a chunk of the file."""
        return [self._parse(row, chunk, index) for index, row in enumerate(chunk.rows(self.columns))]

    def _parse(self, row: RawRow, chunk: Chunk, index: int) -> RowInput:
        if isinstance(row, MalformedRow):
            return RowInput({}, (), f"{chunk.place(index)}: {row.rule}")
        cells = {self._renamed.get(column, column): row.get(column) for column in self.columns}
        fields = {
            key: None if cell == "" and key in self._pairs else cell
            for key, cell in cells.items()
            if cell is not None and not (cell == "" and key in self._optional)
        }
        try:
            fields = self._parse_words(fields)
        except ValueError as error:
            return RowInput({}, (), f"{chunk.place(index)}: {error}")
        value: Any = fields["text"] if self._file.type == "lines" else fields
        try:
            if self._renamed and "text" not in fields:
                raise ValueError(f"{next(iter(self._renamed))}: missing or null")
            matched = self._reader.read(value)
        except (ValueError, ConfigError) as error:
            return RowInput(fields, (), f"{chunk.place(index)}: {self._explain({**row, **fields}, error)}")
        names = [name for _, names in matched for name in names]
        return RowInput(value, names, joined_words=self._joined_words(fields, matched))

    def _find_optional_pairs(self) -> set[str]:
        """Return the columns of second texts whose empty cells are missing values, as in rows that are single texts.

        There are none if all tasks that read the table read pairs: an empty cell is then an empty text.
        """
        keys = (self._renamed.get(column, column) for column in self._file.columns if column in self.columns)
        readers = self._reader.readers(keys)
        pairs = readers.pop("pair", {})
        names = {name for columns in readers.values() for tasks in columns.values() for name in tasks}
        if all(self._reader.tasks[name].takes_pairs for name in names):
            return set()
        return pairs.keys() - {column for columns in readers.values() for column in columns}

    def _parse_words(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a row with lists of words in the columns that tasks read words from."""
        if not self._separators:
            return fields
        columns = self._reader.readers(fields).get("words", {}).keys() & self._separators.keys() & fields.keys()
        return fields | {column: self._split(fields[column], column=column) for column in columns}

    def _split(self, cell: str, *, column: str) -> list[Any]:
        """Return the words of a cell: a list with the separator of training, or without one JSON.

        Without a separator, words that are not a JSON list are separated by white space.

        Raises:
            ValueError: the cell has a list as Python or NumPy prints it, such as pandas writes it to a CSV file.
        """
        words = split_cell(cell, separator=self._separators[column])
        if words is None and _PRINTED_LIST.fullmatch(cell):
            shown = quote(cell, limit=60)
            raise ValueError(f'{column}: a list is written as JSON, such as ["a", "b"] (json.dumps), found {shown}')
        return cell.split() if words is None else words

    def _joined_words(self, fields: Mapping[str, Any], matched: TaskInputs) -> str | None:
        """Return the words of the column ``words``, joined, if a task reads them."""
        if "words" not in fields:
            return None
        readers = set(self._reader.readers(fields).get("words", {}).get("words", ()))
        examples = (example for example, names in matched if not readers.isdisjoint(names))
        return next((ex.text for ex in examples if ex.input is not None and ex.input.given is not None), None)

    def _explain(self, row: Mapping[str, Any], error: Exception) -> Exception:
        """Return why a row is invalid, with the names of the columns that it has."""
        if self._file.type == "lines" or self._renamed:
            return error
        try:
            self._reader.read({**dict.fromkeys(self._file.columns), **row})
        except (ValueError, ConfigError) as detailed:
            return detailed
        return error

    def _raise_missing_columns(self) -> None:
        table = Container(f"file {self._file.path}", iter, tuple(self._file.columns), lazy=True)
        try:
            self._reader.columns(table)
        except DataError as error:
            delimiter = find_delimiter(self._file.columns)
            several = "" if delimiter is None else f"; if these are several columns, write --delimiter {delimiter!r}"
            raise DataError(f"{error}; or name the column of the text with --text-column{several}") from None


def _word_separators(tasks: Iterable[Task]) -> dict[str, str | None]:
    """Return the columns of words, except those that held texts in training, and the separator of the words of each."""
    tables = [(table, task) for task in tasks for table in (*task.input_columns, {})]
    others = set(flatten_columns(column for table, _ in tables for key, column in table.items() if key != "words"))
    separators: dict[str, str | None] = {}
    for table, task in tables:
        for column in flatten_columns([table.get("words", "words")]) if task.splitting != EVERY_MARK else ():
            if column not in others:
                separators[column] = separators.get(column) or (task.word_separator if "words" in table else None)
    return separators
