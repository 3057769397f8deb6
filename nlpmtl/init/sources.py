"""Datasets on the command line: which files are splits of one dataset, and the name of each dataset."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from nlpmtl.data.annotation_tools.brat import is_brat
from nlpmtl.data.files import EXTENSIONS, data_members
from nlpmtl.data.shards import is_pattern, match_files
from nlpmtl.errors import ConfigError, DataError, find_nearest

_SPLITS = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}
"""A split word in the name of a file = the split. The archives of SuperGLUE have `val.jsonl`."""
_SPLIT_WORD = re.compile(rf"(?<![^\W\d_])({'|'.join(_SPLITS)})(?![^\W\d_])", re.IGNORECASE)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
"""Suffix that `datasets` appends to the names of the files (shards) of one split."""
_ZIP = ".zip"
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
_LONGEST_NAME = 30
RUN = "run"
"""Name of the run file without its extension, which no dataset file can have."""


@dataclass(frozen=True)
class Source:
    """The splits of one dataset.

    Args:
        name: name of the dataset: letters, digits, ``_`` and ``-``.
        files: split = its files, as written on the command line; empty for a dataset on the Hub.
        hub: id of the dataset on the Hub.
        unused: files that are a split of no dataset with a train split, such as a second validation file.
    """

    name: str
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hub: str | None = None
    unused: Sequence[str] = ()


def find_sources(arguments: Sequence[str]) -> list[Source]:
    """Return the datasets of the arguments of a command, in their order.

    Files of one directory whose names are equal without a split word (train, validation, valid, val, dev, test) are
    splits of one dataset. A split word is a whole word: there is none in "latest" or "device". A file such as
    ``dev_matched.tsv`` is a split of ``train.tsv`` if no other file is.

    Args:
        arguments: files, patterns, archives, directories saved by `datasets`, or ids of datasets on the Hub.

    Raises:
        ConfigError: an argument is repeated or is neither; two files are the same split; a dataset has no train split.
        DataError: a file does not exist.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as directory:
        ...     paths = [Path(directory, name) for name in ("reviews-train.csv", "reviews-dev.csv", "latest.csv")]
        ...     for path in paths:
        ...         _ = path.write_text("text,label")
        ...     [(source.name, list(source.files)) for source in find_sources([str(path) for path in paths])]
        [('reviews', ['train', 'validation']), ('latest', ['train'])]
    """
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    hubs: dict[tuple[str, str], str] = {}
    for path in _expand(arguments):
        if _is_hub_id(path):
            hubs[path, ""] = path
            groups[path, ""] = []
            continue
        saved = _saved_splits(path)
        if saved:
            groups[path, Path(path).name] = [(split, str(Path(path, name))) for split, name in saved]
            continue
        base, split = _without_split(_stem(path))
        groups.setdefault((str(Path(path).parent), base), []).append((split, path))
    unused = _adopt_splits(groups, given={*arguments})
    names: dict[str, None] = {}
    sources: list[Source] = []
    for (directory, base), files in groups.items():
        hub = hubs.get((directory, base))
        splits = {} if hub else _splits(files)
        base_name = directory.rpartition("/")[2] if hub else base or Path(directory).resolve().name
        name = _unused_name(to_name(_stem(base_name) if base_name.lower().endswith(_ZIP) else base_name), names)
        names[name.casefold()] = None
        sources.append(Source(name, splits, hub, () if sources else unused))
    return sources


def _adopt_splits(groups: dict[tuple[str, str], list[tuple[str, str]]], *, given: Set[str]) -> list[str]:
    """Add groups of files without a train split to the dataset of ``train.*`` in their directory; remove the groups.

    Args:
        groups: directory and name without a split word = (split, file); it is changed.
        given: the paths on the command line, unlike those of files in an archive or of a pattern.

    Returns:
        The files that are a further validation or test split, or whose directory has no such dataset; such a file on
        the command line itself stays, and is an error.
    """
    unused: list[str] = []
    with_train = {key for key, files in groups.items() if not files or {"", "train"} & {split for split, _ in files}}
    for key in [key for key in groups if key not in with_train]:
        adopting = groups.get((key[0], ""), []) if (key[0], "") in with_train else None
        if adopting is None and (not with_train or given & {path for _, path in groups[key]}):
            continue
        known = {split for split, _ in adopting or ()}
        for split, path in groups.pop(key):
            if adopting is not None and split not in known:
                adopting.append((split, path))
            else:
                unused.append(path)
    return unused


def _expand(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with patterns replaced by the files that match; every one exists or is a Hub id."""
    paths: list[str] = []
    for argument in arguments:
        exists = os.path.exists(argument)  # noqa: PTH110 (exists raises on a long name)
        matches = [argument]
        if is_pattern(argument):
            matches = match_files(argument)
            if not matches:
                raise DataError(f"{argument}: no file matches this pattern")
        elif not exists and not _is_hub_id(argument) and ".zip/" not in argument:
            raise DataError(_not_found(argument))
        elif argument.lower().endswith(_ZIP) and not is_brat(argument):
            members = data_members(argument, conll_texts=True)
            matches = members if len(members) > 1 else [argument]
        paths += matches
    real: dict[str, str] = {}
    counts = Counter(paths)
    for path in paths:
        other = real.setdefault(os.path.realpath(path), path)
        if counts[path] > 1 or other != path:
            raise ConfigError(f"{path}: given more than once{'' if other == path else f', also as {other}'}")
    return paths


def _not_found(name: str) -> str:
    folder = Path(name).parent
    nearest = find_nearest(Path(name).name, (path.name for path in folder.iterdir())) if folder.is_dir() else None
    hint = f"; did you mean {str(folder / nearest)!r}?" if nearest else ""
    return f"{name}: no such file{hint or '; the id of a dataset on the Hub looks like owner/name'}"


def _is_hub_id(name: str) -> bool:
    """Return whether a name can only be the id of a dataset on the Hub, such as ``nyu-mll/glue``."""
    if os.path.exists(name) or name.lower().endswith(EXTENSIONS) or ".zip/" in name:  # noqa: PTH110 (as above)
        return False
    parent = name.partition("/")[0]
    return _HUB_ID.fullmatch(name) is not None and not os.path.isdir(parent)  # noqa: PTH112 (as above)


def _saved_splits(path: str) -> list[tuple[str, str]]:
    """Return the splits of a directory that `DatasetDict.save_to_disk` wrote: name of the split, and its directory."""
    file = Path(path, "dataset_dict.json")
    if not os.path.isfile(file):  # noqa: PTH113 (is_file raises on a long name)
        return []
    try:
        names = json.loads(file.read_text(encoding="utf-8"))["splits"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{file}: not that of a saved dataset: {error!r}") from error
    return [(_SPLITS[name], name) for name in names if name in _SPLITS]


def _stem(path: str) -> str:
    """Return the name of a file without the extension of its format."""
    name = Path(path).name
    endings = [ending for ending in (*EXTENSIONS, ".txt", ".txt.gz", _ZIP) if name.lower().endswith(ending)]
    return name[: len(name) - len(max(endings, key=len))] if endings else name


def _without_split(stem: str) -> tuple[str, str]:
    """Return a name without its last split word, and the split; the split is "" without such a word."""
    stem = _SHARD.sub("", stem)
    matches = list(_SPLIT_WORD.finditer(stem))
    if not matches:
        return stem, ""
    word = matches[-1]
    before, after = stem[: word.start()].rstrip("_-. "), stem[word.end() :].lstrip("_-. ")
    return f"{before}_{after}" if before and after else before or after, _SPLITS[word[0].lower()]


def _splits(files: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {}
    for split, path in files:
        splits.setdefault(split or "train", []).append(path)
    for split, paths in splits.items():
        if len(paths) > 1 and not all(_SHARD.search(_stem(path)) for path in paths):
            raise ConfigError(
                f"{paths[0]} and {paths[1]} are both the {split} split of one dataset: rename or remove one of them"
            )
    if "train" not in splits:
        split, paths = next(iter(splits.items()))
        raise ConfigError(
            f"{paths[0]}: by its name, this file is the {split} split of a dataset without a train split: add the "
            f"file of the train split, or rename this file"
        )
    order = ("train", "validation", "test")
    return {split: sorted(splits[split]) for split in order if split in splits}


def to_name(text: str) -> str:
    """Return a name that a dataset or a task can have: letters, digits, ``_`` and ``-``, not starting with a digit."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_text).strip("_")[:_LONGEST_NAME]
    return f"_{name}" if name[:1].isdigit() else name


def _unused_name(name: str, names: Collection[str]) -> str:
    """Return a name that no other dataset has, in upper or lower case, and that is not that of the run file."""
    name = name or "dataset"
    candidates = (name, *(f"{name}_{number}" for number in range(2, len(names) + 4)))
    return next(candidate for candidate in candidates if candidate.casefold() not in {*names, RUN})
