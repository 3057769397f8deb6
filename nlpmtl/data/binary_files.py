"""Binary streams of data files: plain files, gzip, and members of zip archives, which are never extracted to disk."""

from __future__ import annotations

import gzip
import io
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from nlpmtl.errors import DataError, escape_control_characters, find_nearest

LARGEST_MEMBER = 4 * 2**30
"""Maximum number of bytes of a decompressed member of a zip archive."""
MOST_MEMBERS = 100_000
"""Maximum number of members of a zip archive."""

Progress = Callable[[int], object]
"""A callback that receives the number of bytes read."""

_BUFFER = 1 << 16
_ZIP_END = re.compile(r"\.zip(?=$|/)", re.IGNORECASE)
_ENCRYPTED = 0x1
_MAX_LISTED = 10
_UNREADABLE = (
    *(OSError, EOFError, UnicodeError, zlib.error, pa.ArrowException),
    *(zipfile.BadZipFile, NotImplementedError),  # the latter for a version or a compression that zipfile does not know
)
_EXTRACT = "extract the archive, and name the extracted file"


def ignore_progress(count: int) -> None:
    """Do nothing with the number of bytes read."""


class CountedFile(io.FileIO):
    """A read-only file that reports the number of bytes of each read.

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
    """Convert errors of reading a file into DataError with the file's name."""
    try:
        yield
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be read: {escape_control_characters(error)}") from error


class ZipPath(NamedTuple):
    """A path in a zip archive; the member "" is the archive itself."""

    archive: str
    member: str


def find_zip(path: str) -> ZipPath | None:
    """Return the archive and the member of a path such as ``data/RTE.zip/RTE/train.jsonl``; None for another path."""
    path = path.replace(os.sep, "/")
    for end in _ZIP_END.finditer(path):
        archive = path[: end.end()]
        if os.path.isfile(archive):  # noqa: PTH113 (is_file raises on a long name)
            return ZipPath(archive, path[end.end() :].strip("/"))
    return None


@contextmanager
def open_zip(path: str, *, progress: Progress = ignore_progress) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive.

    Raises:
        DataError: it cannot be read, or has more than `MOST_MEMBERS` members.
    """
    with ExitStack() as stack:
        with reading(path):
            file = stack.enter_context(io.BufferedReader(CountedFile(path, progress), _BUFFER))
            opened = stack.enter_context(zipfile.ZipFile(file))
        if len(opened.filelist) > MOST_MEMBERS:
            raise DataError(f"{path}: more than {MOST_MEMBERS:,} files in one archive; extract it")
        yield opened


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the sorted names of the files of an archive, without hidden files and those that macOS adds."""
    names = {info.filename for info in archive.filelist if not info.is_dir()}
    return sorted(name for name in names if not _is_hidden(name.split("/")))


def find_files(directory: str) -> Iterator[str]:
    """Yield the paths of the files under a directory, without hidden files and those that macOS adds."""
    for file in Path(directory).rglob("*"):
        if not _is_hidden(file.relative_to(directory).parts) and file.is_file():
            yield str(file)


def _is_hidden(parts: Sequence[str]) -> bool:
    """Return whether a path, given its parts, is hidden, in a hidden directory, or added by macOS."""
    return any(part.startswith((".", "__MACOSX")) for part in parts)


def open_member(archive: zipfile.ZipFile, name: str, *, where: str) -> IO[bytes]:
    """Open a member of an archive.

    Args:
        archive: the archive.
        name: the name of the member.
        where: its path in errors.

    Raises:
        DataError: the archive has no such member, or it is encrypted, too large or damaged.
    """
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise DataError(f"{where}: no such file in the archive; {_suggest(name, member_names(archive))}") from None
    if info.is_dir():
        raise DataError(f"{where}: a directory of the archive; {_suggest(name, member_names(archive))}")
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{where}: encrypted; {_EXTRACT}")
    if info.file_size > LARGEST_MEMBER:
        size = f"{info.file_size:,} bytes when decompressed"
        raise DataError(f"{where}: {size}, and the limit in archives is {LARGEST_MEMBER:,}; {_EXTRACT}")
    with reading(where):
        return archive.open(info)


def _suggest(name: str, names: Sequence[str]) -> str:
    """Return the end of an error: a file of the same name in another directory, a similar name, or some names."""
    file = name.rpartition("/")[2]
    same = next((other for other in names if other.rpartition("/")[2] == file), None)
    nearest = same or find_nearest(name, names[:1000])
    if nearest is not None:
        return f"did you mean {escape_control_characters(nearest)!r}?"
    more = f", … ({len(names)} files)" if len(names) > _MAX_LISTED else ""
    return f"it contains {', '.join(map(escape_control_characters, names[:_MAX_LISTED])) or 'no files'}{more}"


def check_exists(path: str) -> None:
    """Raise DataError if a path is neither a file nor a member of a zip archive."""
    inside = find_zip(path)
    if inside is not None and inside.member:
        with open_zip(inside.archive) as archive:
            open_member(archive, inside.member, where=path).close()
    elif not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        raise DataError(f"{path}: no such file")


@contextmanager
def open_binary(path: str, *, progress: Progress = ignore_progress) -> Iterator[IO[bytes]]:
    """Open a file, or a member of a zip archive, for reading; ``.gz`` is decompressed.

    Args:
        path: the path, such as ``train.csv.gz`` or ``RTE.zip/RTE/train.jsonl``.
        progress: is called with the number of bytes of each read of the file on disk.

    Raises:
        DataError: it does not exist, or cannot be read.
    """
    inside = find_zip(path)
    with reading(path), ExitStack() as stack:
        file: Any
        if inside is None:
            file = stack.enter_context(io.BufferedReader(CountedFile(path, progress), _BUFFER))
        else:
            archive = stack.enter_context(open_zip(inside.archive, progress=progress))
            file = stack.enter_context(open_member(archive, inside.member, where=path))
        if path.lower().endswith(".gz"):
            file = stack.enter_context(gzip.open(file))
        yield file


@contextmanager
def open_seekable(path: str) -> Iterator[str | IO[bytes]]:
    """Return a path, or for a compressed file an open copy in a temporary file, for readers that move in the file.

    Raises:
        DataError: it cannot be read, or has more than `LARGEST_MEMBER` bytes when decompressed.
    """
    if find_zip(path) is None and not path.lower().endswith(".gz"):
        with reading(path):
            yield path
        return
    with open_binary(path) as file, tempfile.TemporaryFile() as copy:
        size = 0
        while data := file.read(_BUFFER):
            size += len(data)
            if size > LARGEST_MEMBER:
                raise DataError(f"{path}: more than {LARGEST_MEMBER:,} bytes when decompressed; {_EXTRACT}")
            copy.write(data)
        copy.seek(0)
        yield copy
