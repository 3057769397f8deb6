"""A split in files: one, a list of them, or patterns such as ``train-*.jsonl``."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence

from nlpmtl.config.dataset import InputConfig
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.files import check_extension, check_lists, fingerprint_file, open_file
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import FilePart, MalformedRow, NumberedRows, RawRows
from nlpmtl.errors import ConfigError, DataError

_SHOWN = 3


class Shards:
    """The files of a split, read one after another.

    Args:
        names: paths and patterns; the files of a pattern are sorted by their paths.
        inputs: the shape of the input.
        labels: the columns of labels, and the shape of each.
        format: how text files are written.

    Raises:
        ConfigError: a file is of a kind that cannot be read, or is listed twice.
    """

    def __init__(
        self, names: Sequence[str], *, inputs: InputConfig, labels: Mapping[str, LabelType], format: TextFormat
    ) -> None:
        self._names, self._inputs, self._labels, self._format = names, inputs, labels, format
        self._check([name for name in names if not _is_pattern(name)])

    def paths(self) -> list[str]:
        """The files.

        Raises:
            ConfigError: a file is of a kind that cannot be read, or is listed twice.
            DataError: there is no such file, or none that matches a pattern.
        """
        found: list[str] = []
        for name in self._names:
            files = sorted(filter(os.path.isfile, glob.glob(name, recursive=True))) if _is_pattern(name) else [name]  # noqa: PTH207
            if not files:
                raise DataError(f"{name}: no file matches this pattern")
            found += files
        self._check(found)
        return found

    def open(self) -> RawRows:
        """Begin to read them; errors as of `paths` and `open_file`."""
        streams = [
            open_file(path, inputs=self._inputs.columns, labels=self._labels, format=self._format)
            for path in self.paths()
        ]
        first = streams[0]
        if len(streams) == 1:
            return first
        for other in streams[1:]:
            if other.class_names != first.class_names:
                raise DataError(f"{other.where}: the names of its labels differ from those of {first.where}")
        parts: list[FilePart] = []
        uniform = all(stream.uniform for stream in streams)
        rows = self._read(streams, parts)
        where = ", ".join(self._names) if len(self._names) <= _SHOWN else f"{self._names[0]}, … ({len(streams)} files)"
        return RawRows(where, ": row ", rows, class_names=first.class_names, files=parts, uniform=uniform)

    def fingerprint(self) -> str | None:
        """The paths, which errors name, and the contents of all files; None if one is missing."""
        try:
            found = [fingerprint_file(path) for path in self.paths()]
        except DataError:
            return None
        return None if None in found else "\n".join(map(str, found))

    def _check(self, paths: Sequence[str]) -> None:
        for path in paths:
            check_extension(path)
            check_lists(path, words=self._inputs.words, labels=self._labels)
        files: dict[str, str] = {}
        for path in paths:
            real = os.path.realpath(path)
            other = files.get(real)
            files[real] = path
            if other is not None:
                same = "" if other == path else f", also as {other}"
                raise ConfigError(f"{path}: listed more than once among the files of a split{same}")

    def _read(self, streams: Sequence[RawRows], parts: list[FilePart]) -> NumberedRows:
        """The rows of all files. Each must have the same of the needed columns, or one would be lost silently."""
        needed = {*self._inputs.columns, *self._labels}
        before, first, columns = 0, "", set[str]()
        for stream in streams:
            parts.append(FilePart(before, f"{stream.where}{stream.separator}"))
            found, seen, number = needed & set(stream.columns), set(stream.columns), 0
            for number, row in stream.rows:
                if len(found) < len(needed) and not isinstance(row, MalformedRow):
                    found |= needed & row.keys()
                    seen.update(row)
                yield before + number, row
            before += number
            if not first and seen:
                first, columns = stream.where, found
            if seen and found != columns:
                _refuse(stream.where, found=found, first=first, columns=columns)


def _refuse(path: str, *, found: set[str], first: str, columns: set[str]) -> None:
    lacking, lacks = (path, columns - found) if columns - found else (first, found - columns)
    other = first if lacking == path else path
    raise ConfigError(
        f"{lacking}: no column {', '.join(map(repr, sorted(lacks)))}, which {other} has: the files of a split need the "
        "same columns; write null where a row has no label"
    )


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not os.path.exists(name)  # noqa: PTH110 (exists raises on a long name)
