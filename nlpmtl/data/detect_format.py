"""Detection of a text file's encoding, delimiter, quoting and header, from its first megabyte.

The quoting of a .tsv file is confirmed by the whole file.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from nlpmtl.data.binary_files import ignore_progress, open_binary
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.lines import UTF_8, read_file_lines, strip_line_end

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that are detected."""

_HEAD = 1 << 20
_RECORDS = 200
_TABLES = (".csv", ".tsv")
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_REPLACEMENT = "\ufffd"
_OUTSIDE_ASCII = re.compile(r"[^\x00-\x7f\ufffd]")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_WESTERN = "cp1252"
"""The encoding that Excel uses on many computers if the file is not UTF-8."""


def detect_format(path: str) -> TextFormat:
    """Return the format of a text file: of each part that differs from the default for its extension.

    - encoding: UTF-16 by its byte order mark; otherwise UTF-8, or cp1252 if the bytes are not UTF-8. A file with more
      characters outside ASCII that are UTF-8 than bytes that are not is UTF-8 with damaged rows.
    - delimiter of .csv and .tsv files: the one with which the records have the same number of fields as the header,
      more than one.
    - quoting: "minimal" in a .tsv file whose lines have a constant number of fields only then, if each field that
      begins with a quote ends with one; or whose fields that begin with a quote are all quoted, some of them with a
      doubled quote inside, or all names of the header, if then no record of the whole file has several lines.
    - header: False if the first line has a number in a column of numbers, or a value that occurs again in its column.

    Args:
        path: a file, or a member of a zip archive; it may be compressed with gzip.

    Raises:
        DataError: the file cannot be read.
    """
    with open_binary(path) as file:
        head = file.read(_HEAD)
    encoding, text = _decode(head)
    detected = TextFormat(encoding=encoding)
    name = path.lower().removesuffix(".gz")
    if not name.endswith(_TABLES):
        return detected
    lines = [f"{line}\n" for line in text.removeprefix("\ufeff").split("\n")]
    is_complete = len(head) < _HEAD
    if not is_complete:
        lines = lines[:-1]
    default = detected.for_file(path)
    assert default.delimiter is not None
    others = [mark for mark in DELIMITERS if mark != default.delimiter]
    formats = [replace(default, delimiter=mark) for mark in (default.delimiter, *others)]
    if default.quoting == "none":
        formats.insert(1, replace(default, quoting="minimal"))
    strict = default.quoting == "none"
    best = max(formats, key=lambda candidate: _fit(_records(lines, candidate, strict=strict, is_complete=is_complete)))
    if best.quoting == "none" and _are_quoted(_records(lines, best)) and _is_record_per_line(path, encoding, best):
        best = replace(best, quoting="minimal")
    header = _has_header(_records(lines, best))
    return replace(
        detected,
        delimiter=None if best.delimiter == default.delimiter else best.delimiter,
        quoting=None if best.quoting == default.quoting else best.quoting,
        header=header,
    )


def _decode(head: bytes) -> tuple[str, str]:
    """Return the encoding and the text of the beginning of a file."""
    if head.startswith(_UTF_16_MARKS):
        return "utf-16", head.decode("utf-16", "replace")
    is_complete = len(head) < _HEAD
    try:
        return UTF_8, codecs.getincrementaldecoder(UTF_8)("strict").decode(head, final=is_complete)
    except UnicodeDecodeError:
        text = codecs.getincrementaldecoder(UTF_8)("replace").decode(head, final=is_complete)
    if len(_OUTSIDE_ASCII.findall(text)) > text.count(_REPLACEMENT):
        return UTF_8, text
    try:
        return _WESTERN, head.decode(_WESTERN)
    except UnicodeDecodeError:
        return UTF_8, text


def _records(
    lines: Sequence[str], format: TextFormat, *, strict: bool = False, is_complete: bool = True
) -> list[list[str]]:
    """Return the first records that are not empty, split at the delimiter of a format.

    Args:
        lines: the first lines.
        format: the delimiter and the quoting.
        strict: return no records if a quote has no end, or text follows it.
        is_complete: whether these are all lines; otherwise the last record may have no end.
    """
    assert format.delimiter is not None
    if format.quoting == "none":
        split = [strip_line_end(line).split(format.delimiter) for line in lines[:_RECORDS]]
        return [record for record in split if any(record)]
    reader = csv.reader(lines, delimiter=format.delimiter, strict=strict)
    records: list[list[str]] = []
    try:
        records.extend(record for record in islice(reader, _RECORDS) if record)
    except csv.Error:
        return [] if is_complete or reader.line_num < len(lines) else records
    return records


def _fit(records: Sequence[Sequence[str]]) -> float:
    """Return the fraction of the records that have as many fields as the first one; 0 if that has only one field."""
    if not records or len(records[0]) < 2:
        return 0.0
    return sum(len(record) == len(records[0]) for record in records) / len(records)


def _are_quoted(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the fields that begin with a quote are quoted, and show it.

    At least one has a doubled quote inside, or those of the header are all quoted.
    """
    fields = [field for record in records for field in record if field.startswith('"')]
    if not all(map(_QUOTED.fullmatch, fields)):
        return False
    return any('""' in field[1:-1] for field in fields) or all(map(_QUOTED.fullmatch, records[0] if records else [""]))


def _is_record_per_line(path: str, encoding: str, format: TextFormat) -> bool:
    """Return whether no record of a file has several lines if quotes may enclose fields."""
    assert format.delimiter is not None
    reader = csv.reader(
        read_file_lines(path, encoding=encoding, progress=ignore_progress), delimiter=format.delimiter, strict=True
    )
    try:
        return all(number == reader.line_num for number, _ in enumerate(reader, 1))
    except csv.Error:
        return False


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first record has the names of the columns."""
    if len(records) < 2:
        return True
    first, *others = records
    if all(name in ("", str(index)) for index, name in enumerate(first)):
        return True  # as pandas names the columns of a table without names
    for column, name in enumerate(first):
        values = [record[column] for record in others if len(record) > column and record[column].strip()]
        are_numbers = bool(values) and all(map(_is_number, values))
        if name.strip() and (name in values or (are_numbers and _is_number(name))):
            return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")
