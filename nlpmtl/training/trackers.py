"""Experiment trackers through Accelerate, with the name and the config of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator

from nlpmtl.config import flatten
from nlpmtl.strict_json import dumps

PROJECT = "nlpmtl"
_NAME_KEYS = {"wandb": "name", "trackio": "name", "mlflow": "run_name"}
"""Option of each tracker for the name of a run. TensorBoard has none: its files are in the run's directory."""


def start_trackers(accelerator: Accelerator, *, config: Mapping[str, Any], name: str) -> None:
    """Start the trackers in the accelerator's ``log_with``.

    Args:
        accelerator: accelerator of the run.
        config: config of the run in plain values.
        name: name of the run.
    """
    options = {tracker: {key: name} for tracker, key in _NAME_KEYS.items()}
    accelerator.init_trackers(PROJECT, config=tracker_config(config), init_kwargs=options)


def tracker_config(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return a config as dotted keys with values that every tracker can store: lists as JSON, without nulls.

    >>> tracker_config({"train": {"lr": 0.1, "steps": None}, "plugins": ["a"]})
    {'train.lr': 0.1, 'plugins': '["a"]'}
    """
    flat = {key: value for key, value in flatten(config).items() if value is not None}
    return {key: value if isinstance(value, str | int | float) else dumps(value) for key, value in flat.items()}
