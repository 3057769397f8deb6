"""Experiment trackers through Accelerate, with the name and the config of the run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any

from accelerate import Accelerator

from nlpmtl.config import flatten
from nlpmtl.errors import ConfigError
from nlpmtl.strict_json import dumps

PROJECT = "nlpmtl"
_NAME_KEYS = {"wandb": "name", "trackio": "name", "mlflow": "run_name"}
"""Option of each tracker for the name of a run. TensorBoard has none: its files are in the run's directory."""


def check_trackers(names: Iterable[str]) -> None:
    """Check that trackers are installed; Accelerate would ignore a missing one.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"train.trackers: {name} is not installed: pip install 'nlpmtl[{name}]'")


def start_trackers(accelerator: Accelerator, *, config: Mapping[str, Any], name: str) -> None:
    """Start the trackers in the accelerator's ``log_with``.

    Args:
        accelerator: accelerator of the run.
        config: config of the run in plain values.
        name: name of the run.

    Raises:
        ConfigError: a tracker cannot be started, because it needs a login or a server that is not there.
    """
    options = {tracker: {key: name} for tracker, key in _NAME_KEYS.items()}
    try:
        accelerator.init_trackers(PROJECT, config=tracker_config(config), init_kwargs=options)
    except Exception as error:  # each tracker raises exceptions of its own
        names = ", ".join(map(str, accelerator.log_with))
        raise ConfigError(f"train.trackers: {names} cannot be started: {type(error).__name__}: {error}") from error


def tracker_config(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return a config as dotted keys with values that every tracker can store: lists as JSON, without nulls.

    >>> tracker_config({"train": {"lr": 0.1, "steps": None}, "plugins": ["a"]})
    {'train.lr': 0.1, 'plugins': '["a"]'}
    """
    flat = {key: value for key, value in flatten(config).items() if value is not None}
    return {key: value if isinstance(value, str | int | float) else dumps(value) for key, value in flat.items()}
