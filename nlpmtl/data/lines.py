"""Lines of text files: decoding, decompression, line ends, and limits on what one line may take."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import IO, Any, TypeVar

import pyarrow as pa

from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import DataError, plain

LONGEST_LINE = 64 * 2**20
"""Characters of a line, or of a quoted record over several lines. A compressed file of a few kilobytes can hold more
than memory does."""
MOST_EMPTY_LINES = 1_000_000
"""Empty lines in a row."""
UTF_8 = "utf-8"

Progress = Callable[[int], object]
"""Is called with the number of bytes read."""

T = TypeVar("T")
_ESCAPE = "nlpmtl-escape"
_BUFFER = 1 << 16
_LOOK_AHEAD = 1 << 20
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_16 = '; it starts with the byte order mark of UTF-16: set encoding = "utf-16"'


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Lone surrogates for undecodable bytes, so that they can be reported with the row that has them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 | byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ESCAPE, _escape)


class CountedFile(io.FileIO):
    """A file that is only read, and reports how many bytes each read returns.

    Args:
        path: the file.
        progress: is called after each read.
    """

    def __init__(self, path: str, progress: Progress) -> None:
        super().__init__(path)
        self._progress = progress

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self._progress(count)
        return count


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Raise DataError with the file's name for everything that makes it unreadable."""
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {plain(error)}") from error


def read_file_lines(path: str, *, encoding: str, progress: Progress) -> Iterator[str]:
    """The lines of a file; one whose name ends in ``.gz`` is decompressed.

    Raises:
        DataError: the file cannot be read, or a line is too long.
    """
    with reading(path), ExitStack() as stack:
        file: Any = stack.enter_context(io.BufferedReader(CountedFile(path, progress), _BUFFER))
        if path.lower().endswith(".gz"):
            file = stack.enter_context(gzip.open(file))
        yield from read_lines(file, where=path, encoding=encoding)


def read_lines(file: IO[bytes], *, where: str, encoding: str = UTF_8) -> Iterator[str]:
    r"""The lines of a binary file, decoded, each with its line end.

    Lines end with ``\n`` or ``\r\n``. A file without any ``\n`` in its first megabyte has lines that end with ``\r``.
    Nothing else ends a line: U+2028, form feed and NEL are ordinary characters. A byte order mark is skipped. Bytes
    that cannot be decoded become lone surrogates.

    Args:
        file: the file.
        where: its name in errors.
        encoding: the name of a codec.

    Raises:
        DataError: a line is longer than `LONGEST_LINE`.
    """
    end, chunks = _find_end(_decode(file, encoding))
    number, length, parts = 1, 0, [""]
    for chunk in chunks:
        first, *following = chunk.split(end)
        parts.append(first)
        length += len(first)
        if length > LONGEST_LINE:
            raise DataError(f"{where}:{number}: a line of more than {LONGEST_LINE:,} characters, which is the limit")
        for text in following:
            yield "".join(parts) + end
            number, length, parts = number + 1, len(text), [text]
    if length:
        yield "".join(parts)


def strip_line_end(line: str) -> str:
    r"""A line without its ``\n``, ``\r\n`` or ``\r``."""
    return line.removesuffix("\n").removesuffix("\r")


def undecodable(encoding: str, text: str = "") -> str:
    """The rule that undecodable text breaks."""
    utf_8 = encoding == UTF_8
    marked = utf_8 and text[:2] in tuple("".join(chr(0xDC00 | byte) for byte in mark) for mark in _UTF_16_MARKS)
    return f"not valid {'UTF-8' if utf_8 else encoding}{_UTF_16 if marked else ''}"


def skip_empty(rows: Iterable[tuple[int, T | None]], *, where: str) -> Iterator[tuple[int, T | MalformedRow]]:
    """Numbered rows, of which None is an empty line: before a row it is a mistake, at the end of a file it is not.

    Raises:
        DataError: there are more than `MOST_EMPTY_LINES` empty lines in a row.
    """
    first = 0
    for number, row in rows:
        if row is None:
            first = first or number
            if number - first >= MOST_EMPTY_LINES:
                raise DataError(f"{where}:{first}: more than {MOST_EMPTY_LINES:,} empty lines, which is the limit")
            continue
        for empty in range(first, number) if first else ():
            yield empty, MalformedRow("", "an empty line")
        first = 0
        yield number, row


def _decode(file: IO[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors=_ESCAPE)
    read = getattr(file, "read1", file.read)  # what is there already, so that a pipe is read as it is written
    started = False
    while True:
        data = read(_BUFFER)
        text = decoder.decode(data, final=not data)
        if text:
            yield text if started else text.removeprefix("\ufeff")
            started = True
        if not data:
            return


def _find_end(chunks: Iterator[str]) -> tuple[str, Iterator[str]]:
    """The character that ends lines, and the chunks, of which the first few have been looked at."""
    seen: list[str] = []
    length = 0
    for chunk in chunks:
        seen.append(chunk)
        length += len(chunk)
        if "\n" in chunk:
            return "\n", chain(seen, chunks)
        if length >= _LOOK_AHEAD:
            break
    return "\r" if any("\r" in chunk for chunk in seen) else "\n", chain(seen, chunks)
