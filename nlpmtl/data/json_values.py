"""JSON Lines, and JSON arrays that are read value by value, so that a large file need not fit in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from nlpmtl.data.lines import LONGEST_LINE, skip_empty, undecodable
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import DataError
from nlpmtl.strict_json import has_surrogate

NumberedValues = Iterator[tuple[int, Any]]
"""Parsed JSON values with their numbers; a value that cannot be parsed is a `MalformedRow`."""

_SPACE = " \t\r\n\f\v"
_SPACES = re.compile(r"[ \t\r\n]*")
_NUMBER = "0123456789.eE+-"
"""Characters of numbers; the empty string, at the end of the text read so far, counts as one."""
_CHUNK = 1 << 20
_LONGEST_WORD = 20
"""An error this close to the end of the text read so far may be a value that is incomplete."""


def read_json_lines(lines: Iterator[str], *, encoding: str, where: str) -> NumberedValues:
    """Yield the value of each line, with the number of the line.

    Args:
        lines: the lines.
        encoding: the name of the codec, for messages.
        where: the file's name in errors.
    """
    texts = ((number, line if line.strip(_SPACE) else None) for number, line in enumerate(lines, 1))
    for number, text in skip_empty(texts, where=where):
        yield number, text if isinstance(text, MalformedRow) else parse_json(text, encoding=encoding)


def read_json_values(chunks: Iterator[str], *, encoding: str, where: str) -> NumberedValues:
    """Yield the values of a JSON array, or of JSON values one after another, numbered from 1.

    A value that is JSON, but against the rules of `parse_json`, is a `MalformedRow`.

    Args:
        chunks: the text of the file.
        encoding: the name of the codec, for messages.
        where: the file's name in errors.

    Raises:
        DataError: the text is not JSON; the values after the error cannot be found.
    """
    text = _Text(chunks, where=where)
    in_array = text.next_character() == "["
    if in_array:
        text.skip(1)
    number = 0
    while (character := text.next_character()) and not (in_array and character == "]"):
        if in_array and number:
            if character != ",":
                raise text.error("a comma or ] was expected after the value")
            text.skip(1)
            text.next_character()
        number += 1
        yield number, parse_json(text.next_value(), encoding=encoding)
    if in_array:
        if not character:
            raise text.error("the array has no end: the file is incomplete")
        text.skip(1)
        if text.next_character():
            raise text.error("more text after the array")


class _Text:
    """Text that is read in chunks; only the part after the current position is in memory.

    Args:
        chunks: the text.
        where: the file's name in errors.
    """

    def __init__(self, chunks: Iterator[str], *, where: str) -> None:
        self._chunks, self._where = chunks, where
        self._text, self._position, self._line = "", 0, 1

    def next_character(self) -> str:
        """Move to the next character that is not white space, and return it; "" at the end."""
        while True:
            match = _SPACES.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_more():
                return ""

    def skip(self, count: int) -> None:
        """Move on by some characters."""
        self._position += count

    def next_value(self) -> str:
        """Move past the next value, and return its text.

        Raises:
            DataError: it is not JSON, or longer than `LONGEST_LINE`.
        """
        while True:
            try:
                _, end = _LENIENT.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                rest = len(self._text) - error.pos
                incomplete = rest <= _LONGEST_WORD or error.msg.startswith("Unterminated string")
                if len(self._text) - self._position > LONGEST_LINE:
                    raise self.error(f"a value is longer than the limit of {LONGEST_LINE:,} characters") from None
                if not (incomplete and self._read_more()):
                    raise self.error(f"not valid JSON: {error.msg}", offset=error.pos - self._position) from None
            except RecursionError:
                raise self.error("not valid JSON: nested too deeply") from None
            else:
                # A number may continue in the next chunk. Other values have an end.
                ended = self._text[end - 1] in '}]"' or self._text[end : end + 1] not in _NUMBER
                if ended or not self._read_more():
                    value = self._text[self._position : end]
                    self._position = end
                    return value

    def error(self, message: str, *, offset: int = 0) -> DataError:
        """Return an error with the line of the current position, or of a later one."""
        line = self._line + self._text.count("\n", 0, self._position + offset)
        return DataError(f"{self._where}:{line}: {message}")

    def _read_more(self) -> bool:
        """Read as much again as there is; return whether there was more."""
        parts, length = [self._text[self._position :]], 0
        minimum = max(_CHUNK, len(parts[0]))
        for chunk in self._chunks:
            parts.append(chunk)
            length += len(chunk)
            if length >= minimum:
                break
        self._line += self._text.count("\n", 0, self._position)
        self._text, self._position = "".join(parts), 0
        return length > 0


def parse_json(text: str, *, encoding: str) -> Any:
    """Return a JSON value, or a `MalformedRow`: not valid JSON, duplicate keys, NaN, or undecodable text."""
    if has_surrogate(text):
        return MalformedRow(text, undecodable(encoding, text))
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError) as error:
        return MalformedRow(text.strip(), f"not valid JSON: {error}")


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("duplicate key in object")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a valid JSON number")


_STRICT = json.JSONDecoder(object_pairs_hook=_distinct_keys, parse_constant=_refuse_constant)
_LENIENT = json.JSONDecoder(parse_int=str, parse_float=str)
"""Finds the end of a value. Numbers of any length are accepted."""
