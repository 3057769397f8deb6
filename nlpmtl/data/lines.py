"""Lines of text files: decoding, line endings, and limits on the length of a line."""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import IO, TypeVar

from nlpmtl.data.binary_files import Progress, open_binary
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import DataError

LONGEST_LINE = 64 * 2**20
"""Maximum characters of a line, or of a quoted record over several lines: a small compressed file can expand to more
than fits in memory."""
MOST_EMPTY_LINES = 1_000_000
"""Maximum number of consecutive empty lines."""
UTF_8 = "utf-8"

T = TypeVar("T")
_ESCAPE = "nlpmtl-escape"
_BUFFER = 1 << 16
_LOOK_AHEAD = 1 << 20
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_16 = '; it starts with the byte order mark of UTF-16: set encoding = "utf-16"'
_OTHER_ENCODING = '; if the file has another encoding, set it, such as encoding = "cp1252"'


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Replace undecodable bytes by lone surrogates, so that they are reported with their row."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 | byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ESCAPE, _escape)


def read_file_lines(path: str, *, encoding: str, progress: Progress) -> Generator[str, None, None]:
    """Yield the lines of a file, or of a member of a zip archive; ``.gz`` is decompressed.

    Raises:
        DataError: the file cannot be read, or a line is too long.
    """
    with open_binary(path, progress=progress) as file:
        yield from read_lines(file, where=path, encoding=encoding)


def read_lines(file: IO[bytes], *, where: str, encoding: str = UTF_8) -> Iterator[str]:
    r"""Yield the decoded lines of a binary file, with their line endings.

    Lines end with ``\n`` or ``\r\n``; if the first megabyte has no ``\n``, with ``\r``. U+2028, form feed and NEL are
    ordinary characters. A byte order mark is skipped. Undecodable bytes become lone surrogates.

    Args:
        file: the file.
        where: its name in errors.
        encoding: the name of a codec.

    Raises:
        DataError: a line is longer than `LONGEST_LINE`.
    """
    end, chunks = _find_end(decode(file, encoding=encoding))
    number, length, parts = 1, 0, [""]
    for chunk in chunks:
        first, *following = chunk.split(end)
        parts.append(first)
        length += len(first)
        if length > LONGEST_LINE:
            raise DataError(f"{where}:{number}: the line is longer than the limit of {LONGEST_LINE:,} characters")
        for text in following:
            yield "".join(parts) + end
            number, length, parts = number + 1, len(text), [text]
    if length:
        yield "".join(parts)


def strip_line_end(line: str) -> str:
    r"""Return a line without its ``\n``, ``\r\n`` or ``\r``."""
    return line.removesuffix("\n").removesuffix("\r")


def undecodable(encoding: str, text: str = "") -> str:
    """Return the message for undecodable text."""
    if encoding != UTF_8:
        return f"not valid {encoding}"
    marked = text[:2] in tuple("".join(chr(0xDC00 | byte) for byte in mark) for mark in _UTF_16_MARKS)
    return f"not valid UTF-8{_UTF_16 if marked else _OTHER_ENCODING}"


def skip_empty(rows: Iterable[tuple[int, T | None]], *, where: str) -> Iterator[tuple[int, T | MalformedRow]]:
    """Drop empty lines (None) at the end of a file; an empty line before a row is a `MalformedRow`.

    Raises:
        DataError: there are more than `MOST_EMPTY_LINES` consecutive empty lines.
    """
    first = 0
    for number, row in rows:
        if row is None:
            first = first or number
            if number - first >= MOST_EMPTY_LINES:
                raise DataError(f"{where}:{first}: more than {MOST_EMPTY_LINES:,} consecutive empty lines")
            continue
        for empty in range(first, number) if first else ():
            yield empty, MalformedRow("", "an empty line")
        first = 0
        yield number, row


def decode_bytes(content: bytes, *, encoding: str) -> str:
    """Return the text of some bytes, with a byte order mark if it has one; undecodable bytes become lone surrogates."""
    return content.decode(encoding, _ESCAPE)


def decode(file: IO[bytes], *, encoding: str) -> Iterator[str]:
    """Yield the decoded text of a binary file in chunks; undecodable bytes become lone surrogates."""
    decoder = codecs.getincrementaldecoder(encoding)(errors=_ESCAPE)
    read = getattr(file, "read1", file.read)  # returns available bytes, so that a pipe is read as it is written
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
    """Return the line ending, and all chunks: the first ones are read to find it."""
    first: list[str] = []
    length = 0
    for chunk in chunks:
        first.append(chunk)
        length += len(chunk)
        if "\n" in chunk:
            return "\n", chain(first, chunks)
        if length >= _LOOK_AHEAD:
            break
    return "\r" if any("\r" in chunk for chunk in first) else "\n", chain(first, chunks)
