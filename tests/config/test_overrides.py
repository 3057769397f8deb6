"""Overrides of every kind of source: files, dicts and configs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl.config import AdamWOptions, RunConfig, flatten, plugins_of, read_run
from nlpmtl.errors import ConfigError
from nlpmtl.run_config import load_config
from nlpmtl.training import config_diff, recordable_overrides

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


def test_keys_with_a_dot_in_tables() -> None:
    weights = {"v1.2": 2.0, "U.S.": 1.0}
    tables = {"datasets": {"d": {"tasks": {"topic": {"class_weights": weights}}}}}
    key = "datasets.d.tasks.topic.class_weights"
    assert flatten(tables) == {key: weights}
    assert flatten({"train": {"lr": 1.0}, "eval.every": 3}) == {"train.lr": 1.0, "eval.every": 3}
    assert load(make(), flatten(tables)).tasks["topic"].model_dump()["class_weights"] == weights


def test_an_added_table_whose_keys_have_a_dot_is_a_change_of_the_config() -> None:
    key = "datasets.d.tasks.topic.class_weights"
    before, now = (load(make(), added).model_dump(mode="json") for added in ({}, {key: {"v1.2": 2.0}}))
    assert config_diff(before, now, free=()) == [f"{key} (was None, is {{'v1.2': 2.0}})"]


def test_words_replace_a_pair() -> None:
    assert read_run(make(), overrides={"datasets.d.input.words": "w"})["datasets"]["d"]["input"] == {"words": "w"}


FILES: dict[str, Any] = {"files": {"train": "a"}}
HUB: dict[str, Any] = {"hub": "o/n"}


@pytest.mark.parametrize(
    ("source", "overrides", "expected"),
    [
        ({**FILES, "delimiter": ";", "on_bad_row": "skip"}, HUB, {**HUB, "on_bad_row": "skip"}),
        ({**FILES, "validation": 0.1}, {**HUB, "subset": "s"}, {**HUB, "subset": "s", "validation": 0.1}),
        ({**FILES, "validation": 0.1}, {"subset": "s", **HUB}, {**HUB, "subset": "s", "validation": 0.1}),
        (
            {**FILES, "validation": 0.1},
            {**HUB, "splits.validation": "dev"},
            {**HUB, "splits": {"validation": "dev"}},
        ),
        ({**HUB, "revision": "v1", "splits": {"train": "t"}, "subset": "s"}, {"files.train": "a"}, FILES),
        ({**HUB, "validation": 0.1}, {"files": {"train": "a", "validation": "b"}}, None),
        ({**HUB, "revision": "v1"}, {"hub": "o/m"}, {"hub": "o/m", "revision": "v1"}),
        ({"files": {"train": "b", "test": "c"}}, {"files.train": "a"}, {"files": {"train": "a", "test": "c"}}),
    ],
    ids=str,
)
def test_another_source_replaces_the_one_of_the_run(
    source: dict[str, Any], overrides: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    run = make()
    run["datasets"]["d"]["data"] = source
    data = load(run, {f"datasets.d.data.{key}": value for key, value in overrides.items()}).datasets["d"].data
    assert data.model_dump(exclude_unset=True) == (overrides if expected is None else expected)


def test_two_sources_in_the_overrides_are_refused() -> None:
    with pytest.raises(ConfigError, match="exactly one source is needed"):
        load(make(), {"datasets.d.data.hub": "o/n", "datasets.d.data.files.train": "a"})


def test_a_tilde_in_overrides_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tables = '[input]\ntext = "t"\n[tasks.topic]\nkind = "classification"\nlabel = "topic"\n'
    (tmp_path / "d.toml").write_text(f'[data]\nfiles.train = "c.csv"\n{tables}', encoding="utf-8")
    files = read_run(
        make(datasets={"d": {}}),
        overrides={"datasets.d.extends": "~/d.toml", "datasets.d.data.files.test": ["~/x.csv", "~/y.csv"]},
    )["datasets"]["d"]["data"]["files"]
    assert files == {"train": str(tmp_path / "c.csv"), "test": [str(tmp_path / "x.csv"), str(tmp_path / "y.csv")]}
    paths = {"datasets.d.data": {"files": {"train": "~/x.csv"}}}
    assert read_run(make(), overrides=paths)["datasets"]["d"]["data"]["files"] == {"train": str(tmp_path / "x.csv")}
    assert paths == {"datasets.d.data": {"files": {"train": "~/x.csv"}}}
    recorded = recordable_overrides({"datasets.d.extends": "~/d.toml"}, config={})
    assert recorded == {"datasets.d.extends": str(tmp_path / "d.toml")}


def test_numbers_of_numpy() -> None:
    run = make(optimizer={"kind": "adamw", "betas": [np.float32(0.5), np.float64(0.75)]}, seed=np.int64(3))
    run["datasets"]["d"]["limit"] = {"train": np.int32(5)}
    overrides = flatten({"train": {"lr": np.float64(0.5), "batch_size": np.array(8)}, "encoder.freeze": np.bool_(True)})
    config = load(run, {**overrides, "encoder.name": np.str_("other")})
    assert (config.seed, config.datasets["d"].limit) == (3, {"train": 5})
    assert (config.train.lr, config.train.batch_size, config.encoder.freeze) == (0.5, 8, True)
    assert config.optimizer == AdamWOptions(kind="adamw", betas=(0.5, 0.75))
    assert [*map(type, overrides.values())] == [float, int, bool]
    assert recordable_overrides(flatten({"seed": np.int64(3)}), config={"seed": 3}) == {"seed": 3}
    for wrong in ({"train.batch_size": np.float64(8.5)}, {"train.lr": np.bool_(True)}, {"train.lr": np.array([0.5])}):
        with pytest.raises(ConfigError, match=r"train\.\w+: a (whole )?number was expected"):
            load(run, wrong)


def test_quoted_numbers_in_lists_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.betas\.0: a number was expected .found '0\.9'.\n.*betas\.1"):
        load(make(), {"optimizer": {"kind": "adamw", "betas": ["0.9", "0.99"]}})
    task = {"kind": "embedding", "dimensions": ["8"]}
    with pytest.raises(ConfigError, match=r"dimensions\.0: a whole number was expected .found '8'."):
        load(make(), {"datasets.d.tasks": {"similar": task}})
