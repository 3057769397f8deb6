"""The inputs of `nlpmtl predict`: read lazily from a file or stdin and validated row by row."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nlpmtl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nlpmtl.data.delimited import TextFormat
    from nlpmtl.inference.predictor import Text

STDIN = "-"
_LINES = (".txt", ".txt.gz")
_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def check_input(name: str) -> None:
    """Check the name of an input file before anything slow is done.

    Raises:
        ConfigError: the ending is unknown.
        DataError: the file does not exist.
    """
    from nlpmtl.data.files import EXTENSIONS

    if name == STDIN:
        return
    if not name.lower().endswith((*_LINES, *EXTENSIONS)):
        raise ConfigError(f"--input {name}: the name must end in {_LINES[0]}, {', '.join(EXTENSIONS)}")
    if not Path(name).is_file():
        raise DataError(f"{name}: no such file")


def parse_format(name: str | None, **flags: Any) -> TextFormat:
    """Parse the options that describe the format of an input file; None means not given.

    Raises:
        ConfigError: a value is invalid, or an option does not apply to this type of file.
    """
    from nlpmtl.config import parse_data
    from nlpmtl.data.delimited import TextFormat

    given = {key: value for key, value in flags.items() if value is not None}
    if given and name is None:
        raise ConfigError(f"--{next(iter(given))} needs --input: it describes the format of that file")
    for key in ("delimiter", "quoting", "header"):
        if key in given and not (name or "").lower().endswith(_TABLES):
            raise ConfigError(f"--{key} applies to .csv and .tsv files only, found --input {name}")
    if "header" in given:
        given["header"] = [column.strip() for column in given["header"].split(",")]
    return TextFormat.of(parse_data({"files": {"input": name or STDIN}, **given}, where="--input"))


def file_size(name: str) -> int | None:
    """Return the size of a file in bytes, or None for stdin."""
    return None if name == STDIN else Path(name).stat().st_size


class Reader(Protocol):
    """Validates rows for the tasks to predict."""

    @property
    def trained_columns(self) -> Collection[str]:
        """Input columns of the training data of the tasks."""

    @property
    def further_columns(self) -> Collection[str]:
        """Columns of the further inputs of the tasks."""

    def read(self, value: Any) -> object:
        """Parse a row.

        Raises:
            ValueError, ConfigError: the row is not a valid input for the tasks.
        """


class BadRow(NamedTuple):
    """An invalid row: its texts, if any, and an error message with its location."""

    row: Mapping[str, str | None]
    error: str


def read_texts(
    name: str,
    *,
    reader: Reader,
    on_bytes: Callable[[int], object],
    text_format: TextFormat | None = None,
    skip: bool = False,
) -> Iterator[Text | BadRow]:
    """Yield the inputs of a file or of stdin.

    Each line of a .txt file or of stdin is a text. A row of other files has ``text``, or ``text`` and ``pair``, or
    ``words``, or the input columns of the training data of a task.

    Args:
        name: file name, or "-" for stdin.
        reader: validates rows for the tasks to predict.
        on_bytes: called with the number of bytes of each read.
        text_format: format of a text file.
        skip: yield a `BadRow` for an invalid line or row instead of raising.

    Raises:
        DataError: a line or row is invalid; the message has its location.
    """
    for text in _read(name, reader=reader, on_bytes=on_bytes, text_format=text_format):
        if isinstance(text, BadRow) and not skip:
            raise DataError(text.error)
        yield text


def _read(
    name: str, *, reader: Reader, on_bytes: Callable[[int], object], text_format: TextFormat | None
) -> Iterator[Text | BadRow]:
    from nlpmtl.data.delimited import TextFormat
    from nlpmtl.data.lines import read_file_lines, read_lines

    text_format = text_format or TextFormat()
    if name == STDIN:
        lines = read_lines(sys.stdin.buffer, where="stdin", encoding=text_format.encoding)
        yield from _to_texts(lines, text_format, reader=reader, where="stdin")
    elif name.lower().endswith(_LINES):
        lines = read_file_lines(name, encoding=text_format.encoding, progress=on_bytes)
        yield from _to_texts(lines, text_format, reader=reader, where=name)
    else:
        yield from _read_rows(name, reader=reader, on_bytes=on_bytes, text_format=text_format)


def _to_texts(lines: Iterator[str], text_format: TextFormat, *, reader: Reader, where: str) -> Iterator[str | BadRow]:
    from nlpmtl.data.example import has_surrogate
    from nlpmtl.data.lines import strip_line_end, undecodable

    for number, line in enumerate(lines, 1):
        if has_surrogate(line):
            yield BadRow({"text": None}, f"{where}:{number}: {undecodable(text_format.encoding, line)}")
            continue
        text = strip_line_end(line)
        error = _find_error(reader, text)
        yield text if error is None else BadRow({"text": text}, f"{where}:{number}: {error}")


def _find_error(reader: Reader, value: Any) -> str | None:
    """Return why a row is not a valid input for the tasks, or None if it is."""
    try:
        reader.read(value)
    except (ValueError, ConfigError) as error:
        return str(error)
    return None


def _read_rows(
    name: str, *, reader: Reader, on_bytes: Callable[[int], object], text_format: TextFormat
) -> Iterator[Text | BadRow]:
    from nlpmtl.data.example import has_surrogate
    from nlpmtl.data.files import open_file
    from nlpmtl.data.raw_rows import MalformedRow
    from nlpmtl.data.validation import find_delimiter

    columns = list(dict.fromkeys(["text", "pair", "words", *reader.trained_columns]))
    # Declared as a label, an empty cell is null: a csv file can mix pairs and single texts.
    labels = dict.fromkeys(["pair", *reader.further_columns], "class")
    stream = open_file(name, inputs=columns, labels=labels, format=text_format, progress=on_bytes)
    for number, row in stream.rows:
        place = stream.place(number)
        if isinstance(row, MalformedRow):
            yield BadRow({"text": None}, f"{place}: {row.rule}")
            continue
        # A null pair means a single text; a missing or null text is an error.
        fields = {key: row[key] for key in columns if row.get(key) is not None}
        error = _find_error(reader, fields)
        if error is None:
            yield fields
        else:
            existing = {**dict.fromkeys(stream.columns), **row}
            error = _find_error(reader, existing) or error  # which names the columns that the row has
            delimiter = find_delimiter(existing)
            if delimiter is not None:
                error += f"; if these are several columns, write --delimiter {delimiter!r}"
            texts = {key: text for key, text in fields.items() if isinstance(text, str) and not has_surrogate(text)}
            yield BadRow({"text": None, **texts}, f"{place}: {error}")
