"""Data files of all formats as raw rows, each with its location. Names and first bytes show the format of a file.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = str(Path(directory, "a.jsonl"))
    ...     _ = Path(path).write_text('{"text": "Ada sings", "label": [[0, 3, "person"]]}')
    ...     describe_file(path)
    ...     list(open_file(path).rows)
    FileDescription(type='jsonl', tool='doccano', columns={})
    [(1, {'text': 'Ada sings', 'label': [[0, 3, 'person']]})]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nlpmtl.config.dataset import AUTO, BRAT
from nlpmtl.data.annotation_tools.brat import is_brat, open_brat
from nlpmtl.data.arrow_files import is_saved_dataset, open_parquet, open_saved_dataset
from nlpmtl.data.binary_files import (
    Progress,
    check_exists,
    find_files,
    find_zip,
    ignore_progress,
    member_names,
    open_zip,
    reading,
)
from nlpmtl.data.conll import HEAD_LINES, find_layout, looks_like_conll, read_conll
from nlpmtl.data.delimited import TextFormat, read_table
from nlpmtl.data.json_files import find_tool, has_json_lines, open_json, read_values
from nlpmtl.data.labels import LabelType
from nlpmtl.data.lines import UTF_8, read_file_lines, strip_line_end, undecodable
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRows
from nlpmtl.errors import ConfigError, DataError, list_some
from nlpmtl.fs import sha256_file
from nlpmtl.strict_json import dumps, has_surrogate

FILE_TYPES: Mapping[str, str] = {
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".conll": "conll",
    ".conllu": "conllu",
    ".bio": "conll",
    ".iob": "conll",
}
"""Extension = type of file. A .txt file is a CoNLL file if it looks like one, and otherwise has a text per line."""
EXTENSIONS = tuple(f"{ending}{gz}" for ending in FILE_TYPES for gz in ("", ".gz"))
"""The extensions of the supported files, except .txt and .zip."""

_TEXT, _TEXT_COLUMN = "txt", "text"
_TABLES, _JSON, _CONLL = ("csv", "tsv"), ("json", "jsonl"), ("conll", "conllu")
_MAYBE_CONLL = "tsv"
"""The type of tables that may also be CoNLL files, with `data.columns`."""
_NO_CONLL, _NO_HEADER = "data.columns names the columns of CoNLL files", "a table without a header has `header`"
_GZ, _ZIP = ".gz", ".zip"
_SUPPORTED = (
    f"supported: {', '.join(FILE_TYPES)}, and .txt with CoNLL columns or a text per line, each also with {_GZ} or in a "
    f"{_ZIP} archive; a directory of brat, or of a saved Dataset"
)


class FileDescription(NamedTuple):
    """Description of a file: its type, annotation tool and columns.

    Args:
        type: "csv", "tsv", "jsonl", "json" (an array), "parquet", "conll", "conllu", "txt" (a text per line), "brat" or
            "datasets" (a directory that `datasets` saved).
        tool: the annotation tool that exported it, a value of `data.format`; None for other files.
        columns: CoNLL files: index of each column, as in `data.columns`.
    """

    type: str
    tool: str | None
    columns: Mapping[str, int]


def describe_file(path: str, *, encoding: str = "utf-8") -> FileDescription:
    """Return the description of a file, from its name and its beginning.

    Args:
        path: a file, a directory, or a path in a zip archive, such as ``RTE.zip/RTE/train.jsonl``.
        encoding: the encoding of a text file.

    Raises:
        ConfigError: the type is not supported.
        DataError: the file does not exist, or cannot be read.
    """
    path, type_ = _find_type(path, TextFormat(encoding=encoding))
    columns: Mapping[str, int] = {}
    tool: str | None = BRAT if type_ == BRAT else None
    if type_ in _CONLL:
        layout = find_layout(_head(path, encoding=encoding), conllu=type_ == "conllu")
        columns = layout.columns if layout else {}
        type_ = "conllu" if layout and layout.conllu else type_
    elif type_ in _JSON:
        with closing(read_values(path, type_, encoding=encoding, progress=ignore_progress)) as values:
            tool, _ = find_tool(values)
    return FileDescription(type_, tool, columns)


def open_file(
    path: str,
    *,
    inputs: Collection[str] | None = None,
    labels: Mapping[str, LabelType] | None = None,
    format: TextFormat | None = None,
    progress: Progress = ignore_progress,
) -> RawRows:
    """Return the rows of a file, which is read during iteration.

    Args:
        path: a file, a directory, or a path in a zip archive; see `describe_file`.
        inputs: the columns of the input; default: all columns are read.
        labels: type of each label column.
        format: the format of a text file.
        progress: is called with the number of bytes read (for Parquet, in proportion to the rows).

    Raises:
        ConfigError: the type is not supported.
        DataError: the file does not exist, or, during iteration, it cannot be read.
    """
    labels = labels or {}
    path, type_ = _find_type(path, format or TextFormat())
    text_format = (format or TextFormat()).for_file(path)
    encoding = text_format.encoding
    columns = None if inputs is None else [*inputs, *labels]
    if type_ == "parquet":
        return open_parquet(path, columns=columns, progress=progress)
    if type_ == "datasets":
        return open_saved_dataset(path, columns=columns, progress=progress)
    if type_ == BRAT:
        return open_brat(path, encoding=encoding, progress=progress)
    if type_ in _JSON:
        return open_json(path, type_, format=text_format, inputs=inputs, labels=labels, progress=progress)
    if type_ == _TEXT and columns is not None:
        _check_text_columns(path, columns)
    lines = read_file_lines(path, encoding=encoding, progress=progress)
    rows: NumberedRows
    if type_ == _TEXT:
        texts = read_texts(lines, encoding=encoding)
        rows = (row for row in texts if isinstance(row[1], MalformedRow) or row[1][_TEXT_COLUMN].strip())
    elif type_ in _TABLES:
        rows = read_table(lines, format=text_format, labels=labels, where=path)
    else:
        conllu = type_ == "conllu"
        rows = read_conll(lines, columns=text_format.columns, conllu=conllu, encoding=encoding, where=path)
    return RawRows(path, ":", rows, uniform=True, is_table=type_ in _TABLES)


def read_texts(lines: Iterable[str], *, encoding: str) -> NumberedRows:
    """Yield each line of a text file as a row with the column ``text``."""
    for number, line in enumerate(lines, 1):
        if has_surrogate(line):
            yield number, MalformedRow(line, undecodable(encoding, line))
        else:
            yield number, {_TEXT_COLUMN: strip_line_end(line)}


def _check_text_columns(path: str, columns: Collection[str]) -> None:
    """Raise ConfigError if a file with a text per line is read for other columns than its texts."""
    others = [column for column in columns if column != _TEXT_COLUMN]
    if others:
        raise ConfigError(
            f"{path}: not CoNLL columns, which have a word with its tags on each line and an empty line after each "
            f"sentence. As a file with a text per line it has the column 'text', but no column {others[0]!r}. Write "
            "texts and labels as .csv or .jsonl, or name the columns, such as data.columns = {words = 0, tags = -1}"
        )


def fingerprint_file(path: str, *, digest: Callable[[str], str] = sha256_file) -> str | None:
    """Return a fingerprint of a file: its path, which errors contain, and its sha256; None if it does not exist.

    That of a path in a zip archive has the digest of the archive, that of a directory its file names and their digests.

    Args:
        path: the path.
        digest: returns the sha256 of a file; for several paths in one archive, a function that keeps its results.
    """
    inside = find_zip(path)
    if os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        files = sorted(find_files(path))
    else:
        files = [path if inside is None else inside.archive]
        annotation = f"{path.removesuffix('.txt')}.ann"
        files += [annotation] if path.endswith(".txt") and os.path.isfile(annotation) else []  # noqa: PTH113
    if not files or not os.path.isfile(files[0]):  # noqa: PTH113
        return None
    with reading(path):
        return dumps([path, *([os.path.relpath(file, path), digest(file)] for file in files)])


def check_extension(path: str, format: TextFormat | None = None) -> None:
    """Raise ConfigError for an unsupported file type. With `columns`, a file with any name is a CoNLL file."""
    if format is not None and format.columns is not None:
        return
    if _type_of_name(path) is None and not path.lower().endswith(_ZIP) and find_zip(path) is None:
        if os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
            return
        missing = "" if os.path.exists(path) else ", and no such directory"  # noqa: PTH110
        raise ConfigError(f"{path}: unsupported file type{missing}; {_SUPPORTED}")


def check_format(path: str, format: TextFormat) -> None:
    """Raise ConfigError if `data.columns` or `data.format` is given for a file that it does not describe."""
    type_ = _type_of_name(path)
    if format.columns is not None and type_ not in (*_CONLL, _MAYBE_CONLL, _TEXT, None):
        raise ConfigError(f"{path}: {_NO_CONLL}; {_NO_HEADER if type_ in _TABLES else 'remove it'}")
    types = {AUTO: (type_,), None: (type_,), BRAT: (_TEXT, None)}.get(format.tool, (*_JSON, None))
    if type_ not in types:
        kind = "a directory, an archive or .txt files" if format.tool == BRAT else ".json and .jsonl files"
        raise ConfigError(f'{path}: data.format = "{format.tool}" is for {kind}; remove it, or name such files')


def is_text(path: str) -> bool:
    """Return whether a path is that of an existing text file, in an archive or not, by its name."""
    if _type_of_name(path) in ("parquet", None) or os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        return False
    check_exists(path)
    return True


def _type_of_name(path: str) -> str | None:
    """Return the type of a file by its extension."""
    name = path.lower().removesuffix(_GZ)
    if name.endswith(".txt"):
        return _TEXT
    return next((type_ for ending, type_ in FILE_TYPES.items() if name.endswith(ending)), None)


def _find_type(path: str, format: TextFormat) -> tuple[str, str]:
    """Return the path to read, which is that of the only data file of an archive, and its type."""
    type_ = _type_of_name(path)
    if type_ in (None, _TEXT) and (format.tool == BRAT or (format.tool == AUTO and is_brat(path))):
        if not os.path.exists(path) and find_zip(path) is None:  # noqa: PTH110 (exists raises on a long name)
            raise DataError(f"{path}: no such file or directory")
        return path, BRAT
    if os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        if is_saved_dataset(path):
            return path, "datasets"
        if type_ is None:
            raise ConfigError(
                f"{path}: a directory that has no .ann files of brat and is not a saved Dataset; name its files, or a "
                f'pattern such as "{Path(path) / "*.jsonl"}" or "{Path(path) / "*.txt"}"'
            )
    inside = find_zip(path)
    if type_ is None and inside is not None and not (inside.member and format.columns is not None):
        return _find_type(_only_member(path), format)
    check_exists(path)
    if format.columns is not None and type_ in (None, _TEXT, _MAYBE_CONLL):
        if type_ == _MAYBE_CONLL and not looks_like_conll(_head(path, encoding=format.encoding)):
            raise ConfigError(f"{path}: {_NO_CONLL}, and this file is not one; {_NO_HEADER}")
        return path, "conll"
    check_extension(path)
    if type_ == "json" and has_json_lines(path, encoding=format.encoding):
        return path, "jsonl"
    if type_ == _TEXT and format.delimiter is not None:
        return path, "csv"
    if type_ == _TEXT:
        return path, "conll" if looks_like_conll(_head(path, encoding=format.encoding)) else _TEXT
    assert type_ is not None
    return path, type_


def _only_member(path: str) -> str:
    """Return the path of the only data file in an archive, or in a directory of it."""
    files = data_members(path)
    if len(files) == 1:
        return files[0]
    listed = list_some((f'"{name}"' for name in files), limit=5)
    if files:
        raise ConfigError(f"{path}: an archive with {len(files)} data files; specify one of them: {listed}")
    raise ConfigError(f"{path}: no data file in the archive; {_SUPPORTED}")


def data_members(path: str, *, conll_texts: bool = False) -> list[str]:
    """Return the sorted paths of the data files in an archive, or in a directory of it; none for another path.

    Empty files are skipped: doccano writes one for texts without an annotator.

    Args:
        path: path of an archive, or of a directory in it.
        conll_texts: also return .txt files that have CoNLL columns; other ones are rather a licence or a description.

    Raises:
        DataError: the archive cannot be read.
    """
    inside = find_zip(path)
    if inside is None:
        return []
    with open_zip(inside.archive) as archive:
        names = [name for name in member_names(archive) if archive.getinfo(name).file_size]
    directory = f"{inside.member}/" if inside.member else ""
    types = {f"{inside.archive}/{name}": _type_of_name(name) for name in names if name.startswith(directory)}
    return [
        name
        for name, type_ in types.items()
        if type_ not in (None, _TEXT) or (conll_texts and type_ == _TEXT and _has_conll_columns(name))
    ]


def _has_conll_columns(path: str) -> bool:
    try:
        return looks_like_conll(_head(path, encoding=UTF_8))
    except DataError:  # another encoding
        return False


def _head(path: str, *, encoding: str) -> list[str]:
    """Return the first lines of a file."""
    with closing(read_file_lines(path, encoding=encoding, progress=ignore_progress)) as lines:
        return list(islice(lines, HEAD_LINES))
