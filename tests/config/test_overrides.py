"""Overrides of every kind of source: files, dicts and configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nlpmtl.config import RunConfig, plugins_of, read_run
from nlpmtl.errors import ConfigError
from nlpmtl.run_config import load_config

TASK = {"kind": "classification", "label": "topic"}


def make(**tables: Any) -> dict[str, Any]:
    """Return a run with one dataset as a dict."""
    data = {"files": {"train": "a.jsonl", "validation": "b.jsonl"}}
    dataset = {"data": data, "input": {"text": "t", "pair": "u"}, "tasks": {"topic": TASK}}
    return {"encoder": {"name": "some/encoder"}, "datasets": {"d": dataset}, **tables}


def load(source: Mapping[str, Any] | RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    return load_config(source, overrides=overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"optimizer.kind": "sgd"},
        {"optimizer.kind": "sgd", "optimizer.momentum": 0.5},
        {"weighting.kind": "uncertainty"},
        {"sampling.kind": "uniform"},
        {"sharing.kind": "lora"},
        {"datasets.d.tasks.topic.kind": "multilabel"},
        {"train.schedule": {"kind": "polynomial", "power": 2.0}},
        {"train.steps": 3},
        {},
    ],
    ids=str,
)
def test_overrides_of_a_config_are_those_of_a_dict(overrides: dict[str, Any]) -> None:
    for run in (make(), make(sampling={"kind": "temperature"}, train={"schedule": {"kind": "polynomial"}})):
        config = load(run, {})
        assert load(config, overrides) == load(run, overrides)


def test_overrides_of_a_config_with_texts_of_other_datasets() -> None:
    run = make()
    run["datasets"]["texts"] = {"from": ["d"], "tasks": {"mlm": {"kind": "masked_lm"}}}
    assert load(load(run, {}), {"seed": 3}) == load(run, {"seed": 3})


def test_a_config_with_options_that_were_set_is_refused_like_a_dict() -> None:
    run = make(optimizer={"kind": "adamw", "betas": [0.9, 0.99]})
    for source in (run, load(run, {})):
        with pytest.raises(ConfigError, match=r"optimizer\.betas: unknown key"):
            load(source, {"optimizer.kind": "sgd"})


def test_rows_in_memory_of_a_config() -> None:
    rows = [{"t": "fine", "u": "x", "topic": "good"}]
    config = load(make(), {"datasets.d.data.files.train": rows})
    assert read_run(config, overrides={"seed": 3})["datasets"]["d"]["data"]["files"]["train"] == rows


def test_the_plugins_of_a_config_can_be_overridden() -> None:
    config = load(make(), {})
    assert plugins_of(config, overrides={"plugins": ["my_kinds"]}) == ["my_kinds"]
    with pytest.raises(ConfigError, match="plugins: 'no_such_module_of_test' cannot be imported"):
        load(config, {"plugins": ["no_such_module_of_test"]})
