"""brat (https://brat.nlplab.org/standoff.html): texts in .txt files, and their spans in .ann files of the same name."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import IO, NamedTuple
from zipfile import ZipFile

from nlpmtl.data.annotation_tools.spans import SpanError, find_offsets
from nlpmtl.data.binary_files import (
    MOST_MEMBERS,
    Progress,
    find_files,
    find_zip,
    member_names,
    open_binary,
    open_member,
    open_zip,
    reading,
)
from nlpmtl.data.lines import LONGEST_LINE, decode_bytes
from nlpmtl.data.raw_rows import FilePart, MalformedRow, NumberedRows, RawRows
from nlpmtl.errors import DataError

TEXT, ANNOTATION = ".txt", ".ann"
_SPAN = re.compile(r"T\S*\t(\S+) ([0-9]+) ([0-9]+)((?:;[0-9]+ [0-9]+)*)\t(.*)")
_LINE = re.compile(r"(.*?)(\r\n|\n|\r|\Z)", re.DOTALL)
_MARK = "\ufeff"
_Read = Callable[[str], bytes]


class Document(NamedTuple):
    """A text and its annotation.

    Args:
        path: path of the text.
        text: the text.
        annotation: the content of the .ann file; None without such a file.
    """

    path: str
    text: str
    annotation: str | None


def is_brat(path: str) -> bool:
    """Return whether a path is a directory or a zip archive with .ann files, or a .txt file next to one."""
    inside = find_zip(path)
    if inside is not None:
        with open_zip(inside.archive) as archive:
            return any(name.endswith(ANNOTATION) for name in _find_members(archive, inside.member))
    if os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        return any(name.endswith(ANNOTATION) for name in find_files(path))
    return path.endswith(TEXT) and os.path.isfile(path.removesuffix(TEXT) + ANNOTATION)  # noqa: PTH113


def open_brat(path: str, *, encoding: str, progress: Progress) -> RawRows:
    """Return the lines of the documents as rows with ``text``, and ``label``, the spans ``[start, end, name]`` in it.

    ``label`` is None without an .ann file. A line with a discontinuous span, with a span over two lines,
    or with a span that does not fit the text is malformed. Empty lines are ignored.

    Args:
        path: a directory, a zip archive, a directory in one, or a .txt file, also in an archive.
        encoding: the name of a codec.
        progress: is called with the number of bytes read.
    """
    parts: list[FilePart] = []
    rows = _read_documents(path, parts, encoding=encoding, progress=progress)
    return RawRows(path, ":", rows, columns=("text", "label"), files=parts, uniform=True)


def _read_documents(path: str, parts: list[FilePart], *, encoding: str, progress: Progress) -> NumberedRows:
    """Yield the rows of all documents, sorted by name, and add each document to `parts`."""
    before = 0
    with _open_files(path, progress=progress) as (names, read):
        known = set(names)
        for name in names:
            if name.endswith(ANNOTATION) and name.removesuffix(ANNOTATION) + TEXT not in known:
                raise DataError(f"{name}: the text file {name.removesuffix(ANNOTATION)}{TEXT} does not exist")
        for name in names:
            if not name.endswith(TEXT):
                continue
            annotation = name.removesuffix(TEXT) + ANNOTATION
            document = Document(
                name,
                decode_bytes(read(name), encoding=encoding),
                decode_bytes(read(annotation), encoding=encoding) if annotation in known else None,
            )
            parts.append(FilePart(before, f"{name}:"))
            number = 0
            for number, row in read_document(document):
                yield before + number, row
            before += number


@contextmanager
def _open_files(path: str, *, progress: Progress) -> Iterator[tuple[list[str], _Read]]:
    """Return the sorted paths of the .txt and .ann files under a path, and a function that reads them."""
    inside = find_zip(path)
    if inside is None:
        yield _find_files(path), lambda name: _read_file(name, progress)
        return
    with open_zip(inside.archive, progress=progress) as archive:
        prefix = f"{inside.archive}/"

        def read(name: str) -> bytes:
            with open_member(archive, name.removeprefix(prefix), where=name) as file:
                return _read_all(file, where=name)

        yield [f"{prefix}{name}" for name in _find_members(archive, inside.member)], read


def _find_members(archive: ZipFile, path: str) -> list[str]:
    """Return the sorted .txt and .ann files in a directory of an archive, or one text and its annotation."""
    files = (path, path.removesuffix(TEXT) + ANNOTATION) if path.endswith(TEXT) else ()
    directory = f"{path}/" if path else ""
    return [
        name
        for name in member_names(archive)
        if name in files or (name.startswith(directory) and name.endswith((TEXT, ANNOTATION)))
    ]


def _find_files(path: str) -> list[str]:
    """Return the sorted paths of the .txt and .ann files in a directory, or of one text and its annotation."""
    if not os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        annotation = path.removesuffix(TEXT) + ANNOTATION
        return [path, *filter(os.path.isfile, [annotation])]
    files = (name for name in find_files(path) if name.endswith((TEXT, ANNOTATION)))
    names = list(islice(files, MOST_MEMBERS + 1))
    if len(names) > MOST_MEMBERS:
        raise DataError(f"{path}: more than {MOST_MEMBERS:,} files in one directory")
    return sorted(names)


def _read_file(name: str, progress: Progress) -> bytes:
    with open_binary(name, progress=progress) as file:
        return _read_all(file, where=name)


def _read_all(file: IO[bytes], *, where: str) -> bytes:
    with reading(where):
        content = file.read(LONGEST_LINE + 1)
    if len(content) > LONGEST_LINE:
        raise DataError(f"{where}: the document is longer than the limit of {LONGEST_LINE:,} bytes")
    return content


def read_document(document: Document) -> NumberedRows:
    """Yield the rows of a document; the number of a row is that of its line."""
    lines = [(match.start(1), match.end(1)) for match in _LINE.finditer(document.text) if match[0]]
    spans, problems = _spans_of_lines(document, [start for start, _ in lines])
    for number, (start, end) in enumerate(lines):
        start += document.text.startswith(_MARK) and number == 0
        text = document.text[start:end]
        if number in problems:
            yield number + 1, MalformedRow(text, problems[number])
        elif text.strip():
            label = [[first - start, last - start, name] for first, last, name in spans.get(number, ())]
            yield number + 1, {"text": text, "label": None if document.annotation is None else label}


def _spans_of_lines(
    document: Document, starts: Sequence[int]
) -> tuple[dict[int, list[tuple[int, int, str]]], dict[int, str]]:
    """Return the spans of each line, and the rule that a line breaks; lines are counted from 0."""
    spans: dict[int, list[tuple[int, int, str]]] = {}
    problems: dict[int, str] = {}
    for number, line in enumerate((document.annotation or "").removeprefix(_MARK).split("\n"), 1):
        if not line.startswith("T"):  # relations, events, attributes and notes
            continue
        match = _SPAN.fullmatch(line.rstrip("\r"))
        place = f"{document.path.removesuffix(TEXT)}{ANNOTATION}:{number}"
        if match is None:
            problems |= dict.fromkeys(
                range(len(starts)), f"{place}: not a span such as T1<tab>name 0 5<tab>text: {line!r}"
            )
            break
        name, start, end = match[1], int(match[2]), int(match[3])
        rule = "discontinuous" if match[4] else None
        last = max([end, *(int(offset) for offset in re.findall(r"[0-9]+", match[4]))])
        try:
            if rule is None:
                start, end = find_offsets(document.text, start, end, covered=match[5])
                last = end
        except SpanError as error:
            rule = str(error)
        first_line, last_line = (bisect_right(starts, offset) - 1 for offset in (start, max(start, last - 1)))
        if rule is None and first_line != last_line:
            rule = "on more than one line"
        if rule is None:
            spans.setdefault(first_line, []).append((start, end, name))
        else:
            problems |= dict.fromkeys(range(first_line, last_line + 1), f"{place}: {name}: {rule}")
    return spans, problems
