"""Check that a resumed run has the same data, encoder and plugins as before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nlpmtl.data import describe_changes
from nlpmtl.errors import RunError, quote

_MAX_CHARACTERS = 300
"""Maximum number of characters of a label list in an error."""

Fingerprints = Mapping[str, Any]
"""``data``: the result of `TaskDatasets.fingerprint`; ``encoder_config``: `Encoder.outputs_config`; ``plugins``: the
result of `digest_plugins`."""


def check_same_data(before: Fingerprints, now: Fingerprints, *, run: Path) -> list[str]:
    """Compare the fingerprints of an earlier run with the current ones, and return notes for the user.

    Args:
        before: fingerprints in a checkpoint or in run.json of the earlier run.
        now: fingerprints of this run.
        run: path of the earlier run, for messages.

    Raises:
        RunError: the texts, the labels, the rows, a label list or the config of the encoder have changed.
    """
    notes = [
        f"plugins: the code of {name!r} has changed since {run} was written, so results may differ"
        for name, digest in before.get("plugins", {}).items()
        if now["plugins"].get(name, digest) != digest
    ]
    _check_encoder(before.get("encoder_config", {}), now["encoder_config"], run=run)
    if "data" not in before:
        return [
            *notes,
            f"{run} does not contain fingerprints of its data (an earlier version of nlpmtl wrote it): not compared",
        ]
    changes = list(_changes(before["data"], now["data"]))
    if changes:
        raise RunError(
            f"{run} was trained on different data:\n"
            + "\n".join(changes)
            + "\nRestore the data to resume the run, or start a new run in another output"
        )
    return notes


def _check_encoder(before: Mapping[str, Any], now: Mapping[str, Any], *, run: Path) -> None:
    """Compare the keys that both configs have: another version of transformers may have other keys."""
    changes = [
        f"{key} (was {quote(before[key], limit=_MAX_CHARACTERS)}, is {quote(now[key], limit=_MAX_CHARACTERS)})"
        for key in before
        if key in now and before[key] != now[key]
    ]
    if changes:
        raise RunError(
            f"{run} was written with another config.json of the encoder; changed keys: {', '.join(changes)}\nRestore "
            "the encoder to resume the run, or start a new run in another output"
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line per change."""
    for task, labels in now["labels"].items():
        earlier = before["labels"].get(task)
        if earlier is not None and earlier != labels:
            names = [
                name
                for name, splits in now["splits"].items()
                if any(task in _labels(split) for split in splits.values())
            ]
            before_list, now_list = (quote(label_list, limit=_MAX_CHARACTERS) for label_list in (earlier, labels))
            where = f"dataset {', '.join(map(repr, names))}, task {task!r}"
            yield f"{where}: label list {before_list} → {now_list}"
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
    if old is not None and new is not None:
        return describe_changes(old, new)
    if new is not None:
        return f"the split is new, with {new['rows']} rows"
    return None if old is None else f"the split is missing; it had {old['rows']} rows"
