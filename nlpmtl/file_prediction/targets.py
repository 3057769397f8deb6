"""Input files of a batch prediction, and the output file of each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nlpmtl.config import check_writable
from nlpmtl.data.binary_files import find_zip
from nlpmtl.data.files import EXTENSIONS
from nlpmtl.data.shards import is_pattern, match_files
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import PART, hidden_sibling

LINES = (".txt", ".txt.gz")
"""Endings of files with one text per line."""
INPUT_ENDINGS = (*LINES, *EXTENSIONS)
OUTPUT_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".parquet")

_STAR = "*"


class Target(NamedTuple):
    """An input file, and the file of its rows with their predictions."""

    input: str
    output: Path


def find_targets(input: str, output: Path) -> list[Target]:
    """Return the input files and the output file of each.

    Args:
        input: a file, or a glob pattern of files, which are sorted by path.
        output: a file; or, for several input files, a path with a ``*`` in its name, which stands for the name of the
            input file without its ending.

    Raises:
        ConfigError: an ending is unknown, the output of several files has no ``*`` or would not be one file each, or an
            output cannot be written.
        DataError: the input does not exist.
    """
    paths = find_inputs(input)
    endings = ", ".join(OUTPUT_ENDINGS)
    if not output.name.lower().endswith(OUTPUT_ENDINGS):
        raise ConfigError(f"--output {output}: the name must end in {endings}")
    stars = str(output).count(_STAR)
    if stars > 1 or (stars and _STAR not in output.name):
        raise ConfigError(f"--output {output}: at most one * was expected, in the name of the file")
    if len(paths) > 1 and not stars:
        example = output.with_name(f"{_STAR}{_ending(output.name, OUTPUT_ENDINGS)}")
        raise ConfigError(
            f"--output {output}: {input} matches {len(paths)} files, and each needs a separate output file: write a * "
            f"for the name of the input file, such as --output '{example}'"
        )
    targets = [Target(path, output.with_name(output.name.replace(_STAR, _stem(path)))) for path in paths]
    _check_outputs(targets)
    return targets


def find_inputs(input: str) -> list[str]:
    """Return the files of a path or a glob pattern, sorted by path.

    Raises:
        ConfigError: an ending is unknown.
        DataError: the file does not exist, or is in an archive.
    """
    if find_zip(input) is None and is_pattern(input):
        paths = match_files(input)
        if not paths:
            raise DataError(f"--input {input}: no file matches this pattern")
        return [find_input(path) for path in paths]
    return [find_input(input)]


def find_input(path: str) -> str:
    """Return the path of an input file.

    Raises:
        ConfigError: the ending is unknown.
        DataError: the file does not exist, or is in an archive.
    """
    inside = find_zip(path)
    if inside is not None:
        raise DataError(
            f"--input {path}: prediction does not read zip archives: extract {inside.archive}, and name the extracted "
            "file"
        )
    if not path.lower().endswith(INPUT_ENDINGS):
        raise ConfigError(f"--input {path}: the name must end in {LINES[0]}, {', '.join(EXTENSIONS)}")
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        raise DataError(f"{path}: no such file")
    return path


def work_directory(output: Path) -> Path:
    """Return the hidden directory next to the output that has the finished parts until all rows are predicted."""
    return hidden_sibling(output.with_name(output.name.replace(_STAR, "all")), PART)


def check_absent(output: Path) -> None:
    """Raise ConfigError if an output exists."""
    if output.exists():
        raise ConfigError(f"--output {output}: it already exists; --overwrite replaces it")


def clear_work(output: Path, *, overwrite: bool) -> None:
    """Remove the work directory that an interrupted prediction of files left for an output, if it is to be overwritten.

    Raises:
        ConfigError: there is one, and it is not to be overwritten.
        RunError: a prediction uses it.
    """
    work = work_directory(output)
    if not work.is_dir():
        return
    if not overwrite:
        raise ConfigError(
            f"an interrupted prediction in {work} cannot be resumed: it predicts files. Run its command again, or "
            "start again with --overwrite"
        )
    from nlpmtl.training import hold_lock

    with hold_lock(work):
        pass
    shutil.rmtree(work)


def _check_outputs(targets: Sequence[Target]) -> None:
    inputs = {os.path.realpath(target.input): target.input for target in targets}
    outputs: dict[Path, str] = {}
    for path, output in targets:
        other = outputs.setdefault(output, path)
        if other != path:
            raise ConfigError(f"--output: {other} and {path} have the same output {output}: rename a file")
        replaced = inputs.get(os.path.realpath(output))
        if replaced is not None:
            raise ConfigError(f"--output {output}: this is the input file {replaced}: choose another name")
        check_writable(output, key="--output", file=True)


def _ending(name: str, endings: Sequence[str]) -> str:
    return next(name[len(name) - len(ending) :] for ending in endings if name.lower().endswith(ending))


def _stem(path: str) -> str:
    """Return the name of a file without its ending."""
    name = os.path.basename(path)  # noqa: PTH119
    return name.removesuffix(_ending(name, INPUT_ENDINGS))
