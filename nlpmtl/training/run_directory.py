"""What a run's directory holds before it starts, and the run.json that says how it was made."""

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

from nlpmtl.config import check_output, dotted, parse_run, replace_old_keys, replace_old_overrides
from nlpmtl.errors import ConfigError, RunError, plain
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION, check_format_version
from nlpmtl.fs import write_json
from nlpmtl.strict_json import dumps
from nlpmtl.training.checkpoint import latest_valid, read_state
from nlpmtl.training.lock import HOLDER, LOCK

_FREE_TO_DIFFER = (
    "output",
    "train.micro_tokens",
    "train.on_bad_step",
    "train.save_every",
    "train.keep",
    "train.trackers",
)
"""What a resumed run may change: what is learned does not depend on it (but for the draws of dropout)."""
_LENGTH = ("steps", "epochs")
"""Keys of ``[train]`` with which a run is extended."""
_SOURCE = re.compile(r"datasets\.[^.]+\.data\..+")
"""Where rows come from, which a resumed run may change too if the rows themselves are known to be the same."""
_BESIDE = (LOCK, HOLDER, "relate.json", "relate-affinity.png", "relate-tree.png")
"""What may be in the directory of a new run: its lock, and what `nlpmtl relate` writes."""
_RESULTS = ("answers.json", "best", "model", "scores.json")
"""What a run leaves that is worth keeping without its checkpoints."""
_LOGS = ("evaluations.jsonl", "metrics.jsonl")
"""Logs, which a run creates empty before its first checkpoint."""
_SHOWN = 10
_PACKAGES = ("nlpmtl", "torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")


def open_run_dir(
    directory: Path, *, config: Mapping[str, Any], resume: bool, extend: bool = True
) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from, if any, and what to tell about it.

    Args:
        directory: the run's directory.
        config: the run's config in plain values.
        resume: go on from what is there; otherwise nothing may be there.
        extend: whether `train.steps` and `train.epochs` may differ.

    Raises:
        ConfigError: no directory can be there.
        RunError: a run or something else is there already, no checkpoint is intact, or the newest is of another config.
    """
    check_place(directory)
    _check_empty(directory, resume=resume)
    if not resume:
        return None, []
    found, passed_over = latest_valid(directory / "checkpoints")
    notes = [f"passed over {line}" for line in passed_over]
    if found is None:
        return None, [*notes, f"{directory} holds no checkpoint to resume from: starting anew"]
    state = read_state(found)
    free = (*_FREE_TO_DIFFER, *(f"train.{key}" for key in _LENGTH)) if extend else _FREE_TO_DIFFER
    other = config_diff(state["config"], config, free=free, data_known="data" in state)
    length = [(key, *(one.get("train", {}).get(key) for one in (state["config"], config))) for key in _LENGTH]
    changed = [f"train.{key} was {_show(before)}, is {_show(now)}" for key, before, now in length if before != now]
    if other:
        raise RunError(f"{found} is of another config; what differs: {', '.join(other)}")
    notes.append(f"resuming from {found}")
    if changed and extend:
        notes.append(
            f"{', '.join(changed)}: the learning rates from here on are those of the new length, so the result differs "
            "from that of a run which had this length from the start"
        )
    return found, notes


def _check_empty(directory: Path, *, resume: bool) -> None:
    """Refuse to write a new run where anything else is: what a run did not write, it must not erase.

    Raises:
        RunError: a run is there already, what is left of one, or something else.
    """
    found = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    found = [name for name in found if name not in _BESIDE]
    checkpoints = [name for name in _names(directory / "checkpoints") if "step-" in name]
    if resume and any(name.startswith("step-") for name in checkpoints):
        return
    if not resume and ("run.json" in found or checkpoints):
        raise RunError(f"{directory} holds a run already: go on with --resume, or choose another output")
    own = bool(checkpoints) or _wrote_facts(directory)
    rest = [name for name in found if name in _RESULTS and (name != "best" or _names(directory / name))]
    rest += [name for name in found if name in _LOGS and own and (directory / name).stat().st_size > 0]
    if resume and rest:
        raise RunError(
            f"{directory} holds {', '.join(rest)} of an earlier run, and no checkpoint to resume from: a new run would "
            "replace them. Choose another output, or move them away"
        )
    if found and not own:
        shown = ", ".join(map(plain, found[:_SHOWN])) + (", …" if len(found) > _SHOWN else "")
        raise RunError(f"{directory} is not empty, and holds no run; found: {shown}. Choose another output")


def _wrote_facts(directory: Path) -> bool:
    """Whether a run.json was written by a run, or by one that was killed before it had written anything."""
    path = directory / "run.json"
    return path.is_file() and (path.stat().st_size == 0 or "config" in _read_facts(directory))


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def _show(value: object) -> str:
    return "not set" if value is None else str(value)


def check_place(directory: Path) -> None:
    """Check whether a run can have this directory, before anything is loaded.

    Raises:
        ConfigError: it cannot.
    """
    check_output(directory)
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise NotADirectoryError("something else is there")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise ConfigError(f"output: {str(directory)!r} cannot be the directory of a run: {error}") from None


def recorded_precision(directory: Path) -> str | None:
    """What the precision of the run in a directory became; None where none is there."""
    return _read_facts(directory).get("precision")


def recordable(overrides: Mapping[str, Any], *, config: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that run.json records, so that `--resume` need not repeat them: plain values, paths absolute.

    Args:
        overrides: dotted key = value.
        config: the config that they are part of, in plain values.
    """
    known = dotted(config)
    plain = {key: value for key, value in overrides.items() if key != "output" and _is_plain(value)}
    plain |= {
        key: known[key] for key, value in plain.items() if isinstance(value, str | Path | list | tuple) and key in known
    }
    return {key: str(Path.cwd() / str(value)) if key.endswith(".extends") else value for key, value in plain.items()}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(one is None or isinstance(one, str | int | float) for one in value)
    return value is None or isinstance(value, str | int | float | Path)


def recorded_overrides(directory: Path, *, but: Collection[str]) -> dict[str, Any]:
    """The overrides that the run in a directory was started with; none where no run is there.

    Args:
        directory: the run's.
        but: dotted keys that are given anew, and everything inside them.
    """
    found = _read_facts(directory).get("overrides", {})
    known = replace_old_overrides(found, warn=False) if isinstance(found, dict) else {}
    return {key: value for key, value in known.items() if not any(f"{key}.".startswith(f"{one}.") for one in but)}


def _read_facts(directory: Path) -> dict[str, Any]:
    """What run.json says; nothing where there is none, or a broken one."""
    try:
        facts = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(facts, dict):
        return {}
    check_format_version(facts, where=str(directory / "run.json"), error=RunError)
    return facts


def run_metadata(config: Mapping[str, Any], *, precision: str, processes: int, device: str) -> dict[str, Any]:
    """What run.json says: enough to run it again and to know why another machine's numbers differ."""
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


def write_metadata(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write run.json, the first file of a run.

    Raises:
        RunError: it cannot be written.
    """
    try:
        write_json(directory / "run.json", facts)
    except OSError as error:
        raise RunError(f"output: {directory} cannot be written: {error}") from error


def write_failures(directory: Path, facts: Mapping[str, Any], failures: list[str]) -> None:
    """Record what failed after the last step: the model is written, so that this may fail too is one failure more."""
    try:
        write_json(directory / "run.json", {**facts, "failures": failures})
    except OSError as error:
        failures.append(f"run.json is not written again: {error}")


def config_diff(
    before: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str], data_known: bool = False
) -> list[str]:
    """The dotted keys of two configs whose values differ, with both values.

    A key that the earlier config lacks, because an earlier version of nlpmtl did not know it, means its default.

    Args:
        before: the earlier config.
        now: the present one.
        free: keys that may differ.
        data_known: whether the rows themselves are compared, so that where they come from may differ.
    """
    before = replace_old_keys(before, where="run.json", warn=False)
    old, new = dotted(before), dotted(now)
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and key not in free]
    if data_known:
        keys = [key for key in keys if not _SOURCE.fullmatch(key)]
    keys = [key for key in keys if key in old or not _is_default(key, before, now)]
    told = [f"{key} (was {old.get(key)!r}, is {new.get(key)!r})" for key in keys]
    return [*_other_order("datasets", before, now), *told]


def _other_order(table: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Datasets or tasks that are in another order: checkpoints and samplers count them by their place."""
    old, new = (config.get(table, {}) for config in (before, now))
    if list(old) != list(new) and old.keys() == new.keys():
        yield f"the order of {table} (was {', '.join(old)}, is {', '.join(new)})"
    for name in old.keys() & new.keys() if table == "datasets" else ():
        one, other = ({f"datasets.{name}.tasks": dataset[name].get("tasks", {})} for dataset in (old, new))
        yield from _other_order(f"datasets.{name}.tasks", one, other)


def _is_default(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a config would say the same without a key, or without the table around it, that another one lacks."""
    raw: Any = json.loads(dumps(now))
    table: Any = raw
    known: Any = before
    for name in key.split("."):
        if not isinstance(known, Mapping) or name not in known:
            del table[name]
            break
        table, known = table[name], known[name]
    try:
        plain = parse_run(raw, where="config").model_dump(mode="json")
    except ConfigError:  # it is needed
        return False
    missing = object()
    return bool(dotted(plain).get(key, missing) == dotted(now)[key])
