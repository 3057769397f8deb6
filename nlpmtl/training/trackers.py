"""Experiment trackers, through Accelerate: each gets the project, the run's name and its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator

from nlpmtl.config import dotted
from nlpmtl.strict_json import dumps

PROJECT = "nlpmtl"
_NAME_KEYS = {"wandb": "name", "trackio": "name", "mlflow": "run_name"}
"""What the trackers call the name of a run. TensorBoard has none: its files are in the run's directory."""


def start_trackers(accelerator: Accelerator, *, config: Mapping[str, Any], name: str) -> None:
    """Start the trackers that the accelerator was made with.

    Args:
        accelerator: made with ``log_with``.
        config: the run's config in plain values.
        name: the run's name.
    """
    options = {tracker: {key: name} for tracker, key in _NAME_KEYS.items()}
    accelerator.init_trackers(PROJECT, config=flatten(config), init_kwargs=options)


def flatten(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return a config as dotted keys with values that every tracker can store: lists as JSON, and nothing that is null.

    >>> flatten({"train": {"lr": 0.1, "steps": None}, "plugins": ["a"]})
    {'train.lr': 0.1, 'plugins': '["a"]'}
    """
    flat = {key: value for key, value in dotted(config).items() if value is not None}
    return {key: value if isinstance(value, str | int | float) else dumps(value) for key, value in flat.items()}
