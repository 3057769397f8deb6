"""What a run's directory holds before it starts, and the run.json that says how it was made."""

from __future__ import annotations

import json
import platform
import re
import stat
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from nlpmtl.config import dotted, parse_run
from nlpmtl.errors import ConfigError, RunError
from nlpmtl.training.checkpoint import newest

_FREE_TO_DIFFER = (
    "output",
    "train.micro_tokens",
    "train.on_bad_step",
    "train.save_every",
    "train.keep",
    "train.trackers",
)
"""What a resumed run may change: what is learned does not depend on it (but for the draws of dropout)."""
_SOURCE = re.compile(r"datasets\.[^.]+\.data\..+")
"""Where rows come from, which a resumed run may change too if the rows themselves are known to be the same."""
_PACKAGES = ("nlpmtl", "torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")


def open_run(directory: Path, *, config: Mapping[str, Any], resume: bool) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from, if any, and what to tell about it.

    Args:
        directory: the run's directory.
        config: the run's config in plain values.
        resume: go on from what is there; otherwise nothing may be there.

    Raises:
        ConfigError: no directory can be there.
        RunError: a run is there already, no checkpoint is intact, or the newest is of another config.
    """
    _check_place(directory)
    checkpoints = directory / "checkpoints"
    if not resume:
        if (directory / "run.json").exists() or checkpoints.exists():
            raise RunError(f"{directory} holds a run already: go on with --resume, or choose another output")
        return None, []
    found, passed_over = newest(checkpoints)
    notes = [f"passed over {line}" for line in passed_over]
    if found is None:
        return None, [*notes, f"{directory} holds no checkpoint to resume from: starting anew"]
    state = json.loads((found / "state.json").read_text(encoding="utf-8"))
    other = differing(state["config"], config, free=_FREE_TO_DIFFER, data_known="data" in state)
    if other:
        raise RunError(f"{found} is of another config; what differs: {', '.join(other)}")
    return found, [*notes, f"resuming from {found}"]


def _check_place(directory: Path) -> None:
    """Find out before anything is loaded, not when the first file is written."""
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise NotADirectoryError("something else is there")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise ConfigError(f"output: {str(directory)!r} cannot be the directory of a run: {error}") from None


def pinned_precision(directory: Path) -> str | None:
    """What the precision of the run in a directory became; None where none is there."""
    try:
        facts = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts.get("precision") if isinstance(facts, dict) else None


def run_facts(config: Mapping[str, Any], *, precision: str, processes: int, device: str) -> dict[str, Any]:
    """What run.json says: enough to run it again and to know why another machine's numbers differ."""
    return {
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


def differing(
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
    old, new = dotted(before), dotted(now)
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and key not in free]
    if data_known:
        keys = [key for key in keys if not _SOURCE.fullmatch(key)]
    keys = [key for key in keys if key in old or not _is_default(key, before, now)]
    return [f"{key} (was {old.get(key)!r}, is {new.get(key)!r})" for key in keys]


def _is_default(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a config would say the same without a key, or without the table around it, that another one lacks."""
    raw: Any = json.loads(json.dumps(now))
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
