"""Whether a run that is resumed has the data and the plugins that it was started with."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpmtl.data import describe_changes
from nlpmtl.errors import RunError, quote

_SHOWN = 300
"""Characters of a label list in an error."""

Facts = Mapping[str, Any]
"""``data``: as `TaskDatasets.fingerprint` gives it; ``plugins``: as `digest_plugins` does."""


def check_same_data(before: Facts, now: Facts, *, run: Path) -> list[str]:
    """Compare what an earlier run recorded with what is there now, and return notes for the user.

    Args:
        before: what a checkpoint or run.json of the earlier run says.
        now: the same of this run.
        run: where the earlier run is, for messages.

    Raises:
        RunError: the texts, the labels, the rows or a label list are not those of the earlier run.
    """
    notes = [
        f"plugins: the code of {name!r} has changed since {run} was written: what it computes may differ"
        for name, digest in before.get("plugins", {}).items()
        if now["plugins"].get(name, digest) != digest
    ]
    if "data" not in before:
        return [
            *notes,
            f"{run} does not record its data (an earlier nlpmtl wrote it): that they are the same is not checked",
        ]
    changes = list(_changes(before["data"], now["data"]))
    if changes:
        raise RunError(
            f"{run} was trained on other data:\n"
            + "\n".join(changes)
            + "\nRestore the data to resume the run, or start a new run in another output"
        )
    return notes


def digest_plugins(names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of each plugin's source: of the module's file, or of all Python files of a package."""
    found = {}
    for name in names:
        digest = hashlib.sha256()
        files = _sources(name)
        for path in files:
            digest.update(path.read_bytes())
        if files:
            found[name] = digest.hexdigest()
    return found


def _sources(name: str) -> list[Path]:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    packages: Sequence[str] = list(getattr(module, "__path__", ()))
    paths = [path for package in packages for path in sorted(Path(package).rglob("*.py"))]
    return [path for path in paths or ([Path(file)] if file else []) if path.is_file()]


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each change."""
    for task, labels in now["labels"].items():
        had = before["labels"].get(task)
        if had is not None and had != labels:
            names = [
                name for name, splits in now["splits"].items() if any(task in _labels(one) for one in splits.values())
            ]
            told = f"label list {quote(had, most=_SHOWN)} → {quote(labels, most=_SHOWN)}"
            yield f"dataset {', '.join(map(repr, names))}, task {task!r}: {told}"
    for name in dict.fromkeys([*before["splits"], *now["splits"]]):
        old, new = before["splits"].get(name, {}), now["splits"].get(name, {})
        for split in dict.fromkeys([*old, *new]):
            change = _change(old.get(split), new.get(split))
            if change is not None:
                yield f"dataset {name!r}, split {split!r}: {change}"


def _labels(split: Mapping[str, Any] | None) -> Mapping[str, Any]:
    labels: Mapping[str, Any] = (split or {}).get("labels", {})
    return labels


def _change(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str | None:
    if old is None or new is None:
        return (
            f"the split is new, with {new['rows']} rows"
            if new
            else f"the split is gone; it had {old['rows']} rows"
            if old
            else None
        )
    return describe_changes(old, new)
