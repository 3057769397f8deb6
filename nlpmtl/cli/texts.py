"""The texts that `nlpmtl predict` answers for, read as they are needed, each checked at its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nlpmtl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nlpmtl.predictor import Text

STDIN = "-"
_LINES = ".txt"


def check_input(name: str) -> None:
    """ConfigError if a file cannot be one of texts; before anything slow is done."""
    from nlpmtl.data.files import ENDINGS

    if name == STDIN:
        return
    if not name.lower().endswith((_LINES, *ENDINGS)):
        raise ConfigError(f"--input {name}: the name of a file of texts ends in {_LINES} or {', '.join(ENDINGS)}")
    if not Path(name).is_file():
        raise DataError(f"{name}: no such file")


def size_of(name: str) -> int | None:
    """The size of a file in bytes; of stdin nobody knows it."""
    return None if name == STDIN else Path(name).stat().st_size


def read_texts(name: str, *, told: Callable[[int], object]) -> Iterator[Text]:
    """The texts, or pairs, of a file or of stdin; ``told`` is told of the bytes of a file as they are read.

    A line of a .txt file or of stdin is a text. A row of other files has ``text``, and ``pair`` where it is one, or
    ``words``.

    Raises:
        DataError: a line or a row that is none, with its place.
    """
    if name == STDIN:
        yield from _read_lines(sys.stdin.buffer, where="stdin")
    elif name.lower().endswith(_LINES):
        from nlpmtl.data.files import open_counted

        with open_counted(name, told) as lines:
            yield from _read_lines(lines, where=name)
    else:
        yield from _read_rows(name, told=told)


def _read_lines(lines: IO[bytes], *, where: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise DataError(f"{where}:{number}: not valid UTF-8") from None


def _read_rows(name: str, *, told: Callable[[int], object]) -> Iterator[Text]:
    from nlpmtl.data import to_input
    from nlpmtl.data.files import open_file
    from nlpmtl.data.stream import Broken

    # An empty cell of a label is nothing: so a csv can hold pairs and single texts.
    stream = open_file(name, inputs=["text", "words"], labels={"pair": "class"}, told=told)
    for number, row in stream.rows:
        place = f"{stream.where}{stream.mark}{number}"
        if isinstance(row, Broken):
            raise DataError(f"{place}: {row.rule}")
        try:
            to_input(row)
        except ValueError as error:
            raise DataError(f"{place}: {error}") from None
        yield {key: row[key] for key in ("text", "pair", "words") if row.get(key) is not None}
