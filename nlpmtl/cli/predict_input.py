"""The texts that `nlpmtl predict` answers for, read as they are needed, each checked at its place."""

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
    """ConfigError if a file cannot be one of texts; before anything slow is done."""
    from nlpmtl.data.files import EXTENSIONS

    if name == STDIN:
        return
    if not name.lower().endswith((*_LINES, *EXTENSIONS)):
        raise ConfigError(f"--input {name}: the name of a file of texts ends in {_LINES[0]} or {', '.join(EXTENSIONS)}")
    if not Path(name).is_file():
        raise DataError(f"{name}: no such file")


def parse_format(name: str | None, **flags: Any) -> TextFormat:
    """The format of a file of texts, from the flags that describe it; those left out are None.

    Raises:
        ConfigError: a flag has a value that it cannot have, or does not apply to such a file.
    """
    from nlpmtl.config import parse_data
    from nlpmtl.data.delimited import TextFormat

    given = {key: value for key, value in flags.items() if value is not None}
    if given and name is None:
        raise ConfigError(f"--{next(iter(given))} describes the file of --input, and there is none")
    for key in ("delimiter", "quoting", "header"):
        if key in given and not (name or "").lower().endswith(_TABLES):
            raise ConfigError(f"--{key} describes .csv and .tsv files, found --input {name}")
    if "header" in given:
        given["header"] = [column.strip() for column in given["header"].split(",")]
    return TextFormat.of(parse_data({"files": {"input": name or STDIN}, **given}, where="--input"))


def size_of(name: str) -> int | None:
    """The size of a file in bytes; of stdin nobody knows it."""
    return None if name == STDIN else Path(name).stat().st_size


class Reader(Protocol):
    """Reads rows for the tasks that are predicted."""

    @property
    def trained_columns(self) -> Collection[str]:
        """The columns that the tasks were trained on."""

    def read(self, value: Any) -> object:
        """Read a row.

        Raises:
            ValueError, ConfigError: the tasks cannot read it.
        """


class BadRow(NamedTuple):
    """A row that cannot be predicted for: its texts, where there are any, and its place with what is wrong."""

    row: Mapping[str, str | None]
    error: str


def read_texts(
    name: str, *, reader: Reader, told: Callable[[int], object], format: TextFormat | None = None, skip: bool = False
) -> Iterator[Text | BadRow]:
    """The texts, or pairs, of a file or of stdin; ``told`` is told of the bytes of a file as they are read.

    A line of a .txt file or of stdin is a text. A row of other files has ``text``, and ``pair`` where it is one, or
    ``words``, or the columns that a task was trained on.

    Args:
        name: the file, or "-".
        reader: reads rows for the tasks that are predicted.
        told: is called with the number of bytes read.
        format: how a text file is written.
        skip: give a `BadRow` for a line or a row that cannot be predicted for.

    Raises:
        DataError: a line or a row that cannot be predicted for, with its place, unless they are skipped.
    """
    for text in _read(name, reader=reader, told=told, format=format):
        if isinstance(text, BadRow) and not skip:
            raise DataError(text.error)
        yield text


def _read(
    name: str, *, reader: Reader, told: Callable[[int], object], format: TextFormat | None
) -> Iterator[Text | BadRow]:
    from nlpmtl.data.delimited import TextFormat
    from nlpmtl.data.lines import read_file_lines, read_lines

    form = format or TextFormat()
    if name == STDIN:
        lines = read_lines(sys.stdin.buffer, where="stdin", encoding=form.encoding)
        yield from _to_texts(lines, form, reader=reader, where="stdin")
    elif name.lower().endswith(_LINES):
        lines = read_file_lines(name, encoding=form.encoding, progress=told)
        yield from _to_texts(lines, form, reader=reader, where=name)
    else:
        yield from _read_rows(name, reader=reader, told=told, format=form)


def _to_texts(lines: Iterator[str], format: TextFormat, *, reader: Reader, where: str) -> Iterator[str | BadRow]:
    from nlpmtl.data.input_parsing import has_surrogate
    from nlpmtl.data.lines import strip_line_end, undecodable

    for number, line in enumerate(lines, 1):
        if has_surrogate(line):
            yield BadRow({"text": None}, f"{where}:{number}: {undecodable(format.encoding, line)}")
            continue
        text = strip_line_end(line)
        error = _find_error(reader, text)
        yield text if error is None else BadRow({"text": text}, f"{where}:{number}: {error}")


def _find_error(reader: Reader, value: Any) -> str | None:
    """Why the tasks cannot read a row; None if they can."""
    try:
        reader.read(value)
    except (ValueError, ConfigError) as error:
        return str(error)
    return None


def _read_rows(
    name: str, *, reader: Reader, told: Callable[[int], object], format: TextFormat
) -> Iterator[Text | BadRow]:
    from nlpmtl.data.files import open_file
    from nlpmtl.data.input_parsing import has_surrogate
    from nlpmtl.data.raw_rows import MalformedRow

    columns = list(dict.fromkeys(["text", "pair", "words", *reader.trained_columns]))
    # An empty cell of a label is nothing: so a csv can hold pairs and single texts.
    stream = open_file(name, inputs=columns, labels={"pair": "class"}, format=format, told=told)
    for number, row in stream.rows:
        place = stream.place(number)
        if isinstance(row, MalformedRow):
            yield BadRow({"text": None}, f"{place}: {row.rule}")
            continue
        # A null pair is none, and a null text is an error, as is one that is not there.
        found = {key: row[key] for key in columns if row.get(key) is not None}
        error = _find_error(reader, found)
        if error is None:
            yield found
        else:
            texts = {key: text for key, text in found.items() if isinstance(text, str) and not has_surrogate(text)}
            yield BadRow({"text": None, **texts}, f"{place}: {error}")
