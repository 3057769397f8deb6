"""Trackers get the project, the run's name and its config."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate import tracking

from nlpmtl import ConfigError
from nlpmtl.training.accelerator import accelerator_context
from nlpmtl.training.trackers import _NAME_KEYS, PROJECT, start_trackers, tracker_config

CONFIG: dict[str, Any] = {
    "seed": 3,
    "output": "/runs/first",
    "plugins": [],
    "encoder": {"name": "org/encoder", "revision": None, "freeze": False},
    "datasets": {"news": {"tasks": {"topic": {"kind": "classification", "labels": ["a", "b"]}}}},
    "train": {"lr": 3e-5, "trackers": ["tensorboard"]},
}


def test_tensorboard_gets_the_config(tmp_path: Path) -> None:
    with accelerator_context(directory=tmp_path, precision="fp32", trackers=["tensorboard"]) as accelerator:
        start_trackers(accelerator, config=CONFIG, name="first")
        accelerator.log({"loss": 0.5}, step=1)
        accelerator.end_training()
    (stored,) = (tmp_path / PROJECT).rglob("hparams.yml")
    stored_config = yaml.safe_load(stored.read_text(encoding="utf-8"))
    assert (stored_config["seed"], stored_config["train.lr"], stored_config["encoder.freeze"]) == (3, 3e-5, False)
    assert stored_config["datasets.news.tasks.topic.labels"] == '["a", "b"]'
    assert "encoder.revision" not in stored_config


def test_a_tracker_that_cannot_start_is_named(tmp_path: Path) -> None:
    (tmp_path / PROJECT).write_text("a file where the tracker needs a directory")
    with (
        accelerator_context(directory=tmp_path, precision="fp32", trackers=["tensorboard"]) as accelerator,
        pytest.raises(ConfigError, match=r"train\.trackers: tensorboard cannot be started: FileExistsError"),
    ):
        start_trackers(accelerator, config=CONFIG, name="first")


def test_values_are_those_that_every_tracker_stores() -> None:
    flat = tracker_config(CONFIG)
    assert all(isinstance(value, str | int | float) for value in flat.values())
    assert flat["plugins"] == "[]"


@pytest.mark.parametrize(("tracker", "key"), _NAME_KEYS.items())
def test_accelerate_hands_the_name_to_each_tracker(tracker: str, key: str) -> None:
    """The trackers are not installed; their classes in Accelerate take the name by this key."""
    member = tracking.LOGGER_TYPE_TO_CLASS[tracker]
    parameters = inspect.signature(member.__init__).parameters
    accepts_keywords = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    assert key in parameters or accepts_keywords
