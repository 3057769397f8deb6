"""Directory of a run: create it, resume from it, or refuse it; write run.json, the metadata of the run."""

from __future__ import annotations

import json
import platform
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from nlpmtl.config import check_output, flatten, parse_run, replace_old_keys, replace_old_overrides, resolve_path
from nlpmtl.errors import ConfigError, RunError, escape_control_characters, list_some
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION, check_format_version
from nlpmtl.fs import PART, REMOVED, clear_leftovers, hidden_sibling, write_json
from nlpmtl.strict_json import dumps
from nlpmtl.training.checkpoint import CHECKPOINT_NAME, latest_valid, quarantine_corrupt, read_state
from nlpmtl.training.lock import HOLDER, LOCK

_FREE_TO_DIFFER = (
    "output",
    "train.micro_tokens",
    "train.on_bad_step",
    "train.save_every",
    "train.keep",
    "train.trackers",
)
"""Keys that a resumed run may change: the weights do not depend on them, except for dropout masks."""
_LENGTH = ("steps", "epochs")
"""Keys of ``[train]`` that set the number of steps."""
_SOURCE = re.compile(r"datasets\.[^.]+\.data\..+")
"""Source of the rows: a resumed run may change it if the rows are known to be the same."""
_REPLACED = ("run.json", "metrics.jsonl", "evaluations.jsonl", "scores.json", "report.html", "answers.json", "model")
"""Files and directories of a run that are replaced atomically."""
FILES_BEFORE_A_RUN = (LOCK, HOLDER, "relate.json", "relate-affinity.png", "relate-tree.png")
"""Files that the directory of a new run may contain: its lock, and the output of `nlpmtl relate`."""
_LEFTOVERS = [
    hidden_sibling(Path(name), ending).name for name in (*_REPLACED, *FILES_BEFORE_A_RUN) for ending in (PART, REMOVED)
]
"""Files that a process leaves behind if it is killed while it replaces a file or a directory."""
_RESULTS = ("answers.json", "best", "model", "report.html", "scores.json")
"""Results of a run that are worth keeping without its checkpoints."""
_LOGS = ("evaluations.jsonl", "metrics.jsonl")
"""Logs, which a run creates before its first checkpoint."""
_MAX_LISTED = 10
_MISSING = object()
_PACKAGES = ("nlpmtl", "torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")


def open_run_dir(
    directory: Path, *, config: Mapping[str, Any], resume: bool, extend: bool = True
) -> tuple[Path | None, list[str]]:
    """Return the checkpoint to resume from, or None, and notes for the user.

    Args:
        directory: directory of the run.
        config: config of the run in plain values.
        resume: resume the run in the directory; otherwise the directory must be empty.
        extend: whether `train.steps` and `train.epochs` may differ.

    Raises:
        ConfigError: the path cannot be a directory.
        RunError: the directory contains another run or other files, no checkpoint is intact, or the latest one was
            written with a different config.
    """
    check_run_dir(directory)
    _check_empty(directory, resume=resume)
    if not resume:
        return None, []
    checkpoint, damaged = latest_valid(directory / "checkpoints")
    notes = [f"skipped {line}" for line in damaged]
    if checkpoint is None:
        return None, [*notes, f"{directory} contains no checkpoint to resume from: starting from scratch"]
    state = read_state(checkpoint)
    free = (*_FREE_TO_DIFFER, *(f"train.{key}" for key in _LENGTH)) if extend else _FREE_TO_DIFFER
    changed_keys = config_diff(state["config"], config, free=free, data_known="data" in state)
    if changed_keys:
        raise RunError(f"{checkpoint} was written with a different config; changed keys: {', '.join(changed_keys)}")
    notes.append(f"resuming from {checkpoint}")
    if extend:
        notes += _length_changes(state["config"].get("train", {}), config.get("train", {}))
    return checkpoint, notes


def clear_run_dir(directory: Path) -> None:
    """Remove what a killed run left partly written in its directory, and rename its damaged checkpoints."""
    quarantine_corrupt(directory / "checkpoints")
    clear_leftovers(directory / "best")
    clear_leftovers(directory, (*_REPLACED, *FILES_BEFORE_A_RUN))


def _length_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note if the number of steps has changed."""
    changes = [
        f"train.{key} was {_format(before.get(key))}, is {_format(now.get(key))}"
        for key in _LENGTH
        if before.get(key) != now.get(key)
    ]
    if changes:
        yield (
            f"{', '.join(changes)}: from here on, the learning rates and the phases of samplers follow "
            "the new length, so the result differs from that of a run with this length from the start"
        )


def _check_empty(directory: Path, *, resume: bool) -> None:
    """Refuse a directory with other files: a run must not delete what it did not write.

    Raises:
        RunError: the directory contains a run, the remains of one, or other files.
    """
    names = sorted(name for name in _names(directory) if name not in (*FILES_BEFORE_A_RUN, *_LEFTOVERS))
    checkpoints = [name for name in _names(directory / "checkpoints") if CHECKPOINT_NAME.search(name)]
    if resume and any(map(CHECKPOINT_NAME.fullmatch, checkpoints)):
        return
    if not resume and ("run.json" in names or checkpoints):
        raise RunError(
            f"{directory} already contains a run: resume it with --resume (Python: resume=True), delete the directory, "
            "or choose another --output (Python: output=…)"
        )
    is_run = bool(checkpoints) or _has_metadata(directory)
    results = [name for name in names if name in _RESULTS and (name != "best" or _names(directory / name))]
    results += [name for name in names if name in _LOGS and is_run and (directory / name).stat().st_size > 0]
    if resume and results:
        raise RunError(
            f"{directory} contains {', '.join(results)} of an earlier run, but no checkpoint to resume from: a new run "
            "would replace them. Choose another output, or move them"
        )
    if names and not is_run:
        listed = list_some(map(escape_control_characters, names), limit=_MAX_LISTED)
        raise RunError(f"{directory} is not empty and does not contain a run; found: {listed}. Choose another output")


def _has_metadata(directory: Path) -> bool:
    """Return whether run.json was written by a run; it is empty if the run was killed at that moment."""
    path = directory / "run.json"
    return path.is_file() and (path.stat().st_size == 0 or "config" in _read_metadata(directory))


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def _format(value: object) -> str:
    return "not set" if value is None else str(value)


def check_run_dir(directory: Path) -> None:
    """Check that a path can be the directory of a run, before anything is loaded.

    Raises:
        ConfigError: it cannot.
    """
    check_output(directory)
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise NotADirectoryError("it is not a directory")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise ConfigError(f"output: {str(directory)!r} cannot be the directory of a run: {error}") from None


def recorded_precision(directory: Path) -> str | None:
    """Return the precision of the run in a directory; None without a run."""
    return _read_metadata(directory).get("precision")


def recordable_overrides(overrides: Mapping[str, Any], *, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides to record in run.json, so that `--resume` need not repeat them: paths are absolute.

    Args:
        overrides: dotted key → value.
        config: config with these overrides, in plain values.
    """
    known = flatten(config)
    plain = {
        key: value
        for key, value in overrides.items()
        if key != "output" and not _has_rows(key, value) and _is_plain(value)
    }
    plain |= {
        key: known[key] for key, value in plain.items() if isinstance(value, str | Path | list | tuple) and key in known
    }
    return {
        key: str(resolve_path(Path.cwd(), str(value))) if key.endswith(".extends") else value
        for key, value in plain.items()
    }


def _has_rows(key: str, value: Any) -> bool:
    """Return whether an override replaces a file by rows in memory."""
    if isinstance(value, Mapping):
        return any(_has_rows(f"{key}.{name}", item) for name, item in value.items())
    is_list = isinstance(value, list | tuple)
    return ".data.files" in key and is_list and any(isinstance(row, Mapping) for row in value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | Path)


def recorded_overrides(directory: Path, *, excluding: Collection[str]) -> dict[str, Any]:
    """Return the overrides that the run in a directory was started with; none without a run.

    Args:
        directory: directory of the run.
        excluding: dotted keys that are overridden again; keys inside them are excluded too.
    """
    recorded = _read_metadata(directory).get("overrides", {})
    overrides = replace_old_overrides(recorded, warn=False) if isinstance(recorded, dict) else {}
    return {
        key: value
        for key, value in overrides.items()
        if not any(f"{key}.".startswith(f"{excluded}.") for excluded in excluding)
    }


def _read_metadata(directory: Path) -> dict[str, Any]:
    """Return the content of run.json; empty if it is missing or broken."""
    try:
        content = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    check_format_version(content, where=str(directory / "run.json"), error=RunError)
    return content


def run_metadata(config: Mapping[str, Any], *, precision: str, processes: int, device: str) -> dict[str, Any]:
    """Return the content of run.json: enough to repeat the run, and to explain differences to other machines."""
    return {
        FORMAT_KEY: FORMAT_VERSION,
        "config": config,
        "seed": config["seed"],
        "precision": precision,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "device": device,
        "machine": {
            "system": platform.platform(),
            "processor": torch.backends.cpu.get_cpu_capability(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "python": platform.python_version(),
        },
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def write_metadata(directory: Path, content: Mapping[str, Any]) -> None:
    """Write run.json, the first file of a run.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        write_json(directory / "run.json", content)
    except OSError as error:
        raise RunError(f"output: {directory} cannot be written: {error}") from error


def write_failures(directory: Path, content: Mapping[str, Any], failures: list[str]) -> None:
    """Add failures after the last step to run.json; if that fails, it is one failure more: the model is written."""
    try:
        write_json(directory / "run.json", {**content, "failures": failures})
    except OSError as error:
        failures.append(f"run.json is not updated: {error}")


def config_diff(
    before: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str], data_known: bool = False
) -> list[str]:
    """Return the dotted keys whose values differ between two configs, with both values.

    A key that is missing in the earlier config, because an earlier version of nlpmtl wrote it, has its default value.

    Args:
        before: earlier config in plain values.
        now: current config in plain values.
        free: keys that may differ.
        data_known: whether the rows are compared elsewhere, so that their source may differ.
    """
    before = replace_old_keys(before, where="run.json", warn=False)
    old, new = flatten(before), flatten(now)
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and key not in free]
    if data_known:
        keys = [key for key in keys if not _SOURCE.fullmatch(key)]
    keys = [key for key in keys if key in old or not _is_default(key, before, now)]
    changes = [f"{key} (was {old.get(key)!r}, is {new.get(key)!r})" for key in keys]
    return [*_order_changes(before.get("datasets", {}), now.get("datasets", {})), *changes]


def _order_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for datasets or tasks in another order: checkpoints and samplers use their indices."""
    tables = {"datasets": (before, now)}
    for name in before:
        if name in now:
            tables[f"datasets.{name}.tasks"] = before[name].get("tasks", {}), now[name].get("tasks", {})
    for key, (old, new) in tables.items():
        if list(old) != list(new) and old.keys() == new.keys():
            yield f"the order of {key} (was {', '.join(old)}, is {', '.join(new)})"


def _is_default(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a key has its default value: the config is the same without it, or without a table around it."""
    raw: Any = json.loads(dumps(now))  # a copy, from which the key or a table around it is removed
    table: Any = raw
    table_before: Any = before
    for name in key.split("."):
        if not isinstance(table_before, Mapping) or name not in table_before:
            del table[name]
            break
        table, table_before = table[name], table_before[name]
    try:
        plain = parse_run(raw, where="config").model_dump(mode="json")
    except ConfigError:  # the key is required
        return False
    return bool(flatten(plain).get(key, _MISSING) == flatten(now)[key])
