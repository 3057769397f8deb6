"""The files of a split, read one after another."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from nlpmtl.config import flatten_columns
from nlpmtl.config.dataset import InputConfig
from nlpmtl.data.annotation_tools import list_choices, single_labels
from nlpmtl.data.binary_files import find_zip, member_names, open_zip
from nlpmtl.data.column_types import ColumnType, column_type
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.files import check_extension, check_format, fingerprint_file, open_file
from nlpmtl.data.labels import LabelType
from nlpmtl.data.list_cells import read_list_cells
from nlpmtl.data.raw_rows import FilePart, MalformedRow, NumberedRows, RawRows
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import sha256_file

_MAX_LISTED_FILES = 3


class Shards:
    """The files of a split, read one after another.

    Args:
        names: paths and patterns; the files that match a pattern are sorted by path.
        inputs: the columns of the input.
        labels: type of each label column.
        format: the format of text files.

    Raises:
        ConfigError: a file has an unsupported type, or is listed twice.
    """

    def __init__(
        self, names: Sequence[str], *, inputs: InputConfig, labels: Mapping[str, LabelType], format: TextFormat
    ) -> None:
        self._names, self._inputs, self._labels, self._format = names, inputs, labels, format
        self._check([name for name in names if not is_pattern(name)])

    def paths(self) -> list[str]:
        """Return the paths of all files.

        Raises:
            ConfigError: a file has an unsupported type, or is listed twice.
            DataError: no file matches a pattern.
        """
        paths: list[str] = []
        for name in self._names:
            files = match_files(name) if is_pattern(name) else [name]
            if not files:
                raise DataError(f"{name}: no file matches this pattern")
            paths += files
        self._check(paths)
        return paths

    def open(self) -> RawRows:
        """Open all files. Raises the errors of `paths` and `open_file`."""
        # Declared as a label, an empty cell of a further input is null, as in the other sources.
        further = set(flatten_columns(self._inputs.extra.values())) - {self._inputs.text, self._inputs.pair}
        labels = {**dict.fromkeys(further, "class"), **self._labels}
        shards = [self._open_file(path, labels) for path in self.paths()]
        first = shards[0]
        if len(shards) == 1:
            return first
        for other in shards[1:]:
            if other.class_names != first.class_names:
                raise DataError(f"{other.where}: its ClassLabel names differ from those of {first.where}")
        parts: list[FilePart] = []
        uniform = all(shard.uniform for shard in shards)
        rows = self._read(shards, parts)
        all_listed = len(self._names) <= _MAX_LISTED_FILES
        where = ", ".join(self._names) if all_listed else f"{self._names[0]}, … ({len(shards)} files)"
        return RawRows(where, ": row ", rows, class_names=first.class_names, files=parts, uniform=uniform)

    def _open_file(self, path: str, labels: Mapping[str, LabelType]) -> RawRows:
        opened = open_file(path, inputs=self._inputs.columns, labels=labels, format=self._format)
        types = {column: column_type(type_) for column, type_ in labels.items()}
        separator = self._format.separator
        rows = _list_choices(opened.rows, {column: types[column] for column in self._labels}, separator=separator)
        if separator is not None or opened.is_table:
            rows = read_list_cells(
                rows,
                words=self._inputs.words,
                lists=[column for column, type_ in types.items() if type_.in_list],
                tags=[column for column, type_ in types.items() if type_.per_word],
                separator=separator,
                is_labelled=bool(self._labels),
            )
        return replace(opened, rows=rows)

    def fingerprint(self) -> str | None:
        """Return the paths, which errors contain, and the digests of all files; None if a file is missing."""
        digest = cache(sha256_file)  # the files may be in one archive
        try:
            fingerprints = [fingerprint_file(path, digest=digest) for path in self.paths()]
        except DataError:
            return None
        return None if None in fingerprints else "\n".join(map(str, fingerprints))

    def _check(self, paths: Sequence[str]) -> None:
        for path in paths:
            check_extension(path, self._format)
            check_format(path, self._format)
        files: dict[str, str] = {}
        for path in paths:
            real = os.path.realpath(path)
            other = files.get(real)
            files[real] = path
            if other is not None:
                same = "" if other == path else f", also as {other}"
                raise ConfigError(f"{path}: listed more than once in one split{same}")

    def _read(self, shards: Sequence[RawRows], parts: list[FilePart]) -> NumberedRows:
        """Yield the rows of all files, which must have the same needed columns: a missing one would read as null."""
        needed = {*self._inputs.columns, *self._labels}
        before, first, columns = 0, "", set[str]()
        for shard in shards:
            first_part, documents = len(parts), 0
            parts.append(FilePart(before, f"{shard.where}{shard.separator}"))
            present, existing, number = needed & set(shard.columns), set(shard.columns), 0
            for number, row in shard.rows:
                if documents < len(shard.files):  # the shard has several documents
                    documents = len(shard.files)
                    parts[first_part:] = [FilePart(before + part.before, part.prefix) for part in shard.files]
                if len(present) < len(needed) and not isinstance(row, MalformedRow):
                    present |= needed & row.keys()
                    existing.update(row)
                yield before + number, row
            before += number
            if not first and existing:
                first, columns = shard.where, present
            if existing and present != columns:
                _raise_missing_column(shard.where, present=present, first=first, columns=columns)


def _list_choices(rows: NumberedRows, types: Mapping[str, type[ColumnType]], *, separator: str | None) -> NumberedRows:
    """Yield rows with the choices of Label Studio as lists, or as a single label where one is read."""
    single = [column for column, type_ in types.items() if type_.coding in ("name", "number")]
    sets = [column for column, type_ in types.items() if type_.coding == "names" and not type_.per_word]
    for number, row in rows:
        listed = list_choices(row, labels=types, sets=sets if separator is None else ())
        yield number, row if listed is row else single_labels(listed, single)


def _raise_missing_column(path: str, *, present: set[str], first: str, columns: set[str]) -> None:
    lacking, missing = (path, columns - present) if columns - present else (first, present - columns)
    other = first if lacking == path else path
    raise ConfigError(
        f"{lacking}: no column {', '.join(map(repr, sorted(missing)))}, which {other} has: all files of a split need "
        "the same columns; write null for a row without a label"
    )


def is_pattern(name: str) -> bool:
    """Return whether a path is a pattern, which no file has as its name."""
    return glob.has_magic(_split_pattern(name)[1]) and not os.path.exists(name)  # noqa: PTH110 (raises on a long name)


def _split_pattern(name: str) -> tuple[str, str]:
    """Return the longest existing directory with which a path begins, and the rest of the path.

    The name of the directory may look like a pattern, such as ``data [v1]``.
    """
    directory = os.path.dirname(name)  # noqa: PTH120 (an empty one stays empty)
    while directory and not os.path.isdir(directory):  # noqa: PTH112 (is_dir raises on a long name)
        directory = os.path.dirname(directory)  # noqa: PTH120
    return directory, name[len(directory) :]


def match_files(pattern: str) -> list[str]:
    """Return the files that match a pattern, sorted; also those in a zip archive, such as ``SNLI.zip/SNLI/*.tsv``.

    In both, ``*`` does not match a slash, and ``**`` matches any number of directories. A directory that exists is not
    read as a pattern.
    """
    inside = find_zip(pattern)
    if inside is None:
        directory, rest = _split_pattern(pattern)
        paths = glob.glob(f"{glob.escape(directory)}{rest}", recursive=True)  # noqa: PTH207
        return sorted(filter(os.path.isfile, paths))
    with open_zip(inside.archive) as archive:
        names = member_names(archive)
    parts = inside.member.split("/")
    return [f"{inside.archive}/{name}" for name in names if name == inside.member or _matches(name.split("/"), parts)]


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return _matches(path, pattern[1:]) or (bool(path) and _matches(path[1:], pattern))
    if not path or not (path[0] == pattern[0] or fnmatch.fnmatchcase(path[0], pattern[0])):
        return False
    return _matches(path[1:], pattern[1:])
