"""Config keys of nlpmtl 0.1: accepted with a warning in files, overrides, Python and saved files, until 0.3."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import ConfigError
from nlpmtl.config import RunConfig, TrainConfig, parse_run, read_run, replace_old_keys, replace_old_overrides, schemas
from nlpmtl.registry import SAMPLERS, TASKS, WEIGHTINGS
from nlpmtl.tasks import task_from_config
from nlpmtl.training import config_diff, recorded_overrides

OLD_KEYS = {
    "train.clip": ("train.max_grad_norm", 0.5),
    "encoder.attention": ("encoder.attn_implementation", "sdpa"),
    "sampling.keep": ("sampling.ema_decay", 0.5),
    "sampling.explore": ("sampling.epsilon", 0.5),
    "weighting.keep": ("weighting.ema_decay", 0.5),
    "datasets.mood.tasks.mood.positive": ("datasets.mood.tasks.mood.pos_label", "good"),
    "datasets.mood.use": ("datasets.mood.extends", "mood.toml"),
}
DATASET = """
[data]
files = { train = "train.jsonl" }
[input]
text = "text"
[tasks.mood]
kind = "classification"
label = "mood"
labels = ["bad", "good"]
"""
RUN = """
[encoder]
name = "bert-base-uncased"
[datasets.mood]
{dataset_keys}
[sampling]
kind = "loss_ratio"
{sampling_keys}
[weighting]
kind = "scale"
[train]
lr = 1e-4
{train_keys}
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    (tmp_path / "mood.toml").write_text(DATASET, encoding="utf-8")
    return write(tmp_path, dataset_keys='extends = "mood.toml"')


def write(directory: Path, *, dataset_keys: str, sampling_keys: str = "", train_keys: str = "") -> Path:
    path = directory / "run.toml"
    text = RUN.format(dataset_keys=dataset_keys, sampling_keys=sampling_keys, train_keys=train_keys)
    path.write_text(text, encoding="utf-8")
    return path


def resolve(path: Path, **overrides: Any) -> RunConfig:
    return parse_run(read_run(path, overrides=overrides), where=str(path))


def value_at(config: RunConfig, key: str) -> Any:
    value: Any = config.model_dump()
    for part in key.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("old", OLD_KEYS)
def test_an_old_key_is_accepted_as_an_override(
    run_file: Path, old: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    new, value = OLD_KEYS[old]
    with pytest.warns(
        FutureWarning, match=f"^`{old}` is now called `{new}`; the old name is accepted until nlpmtl 0.3$"
    ):
        config = resolve(run_file, **{old: value})
    assert config == resolve(run_file, **{new: value})
    if new != "datasets.mood.extends":
        assert value_at(config, new) == value


def test_old_keys_are_accepted_in_files(tmp_path: Path) -> None:
    old_dataset = DATASET + 'positive = "good"\n'
    (tmp_path / "mood.toml").write_text(old_dataset, encoding="utf-8")
    path = write(tmp_path, dataset_keys='use = "mood.toml"', sampling_keys="keep = 0.5", train_keys="clip = 0.5")
    with pytest.warns(FutureWarning) as caught:
        config = resolve(path)
    assert config.train.max_grad_norm == 0.5
    assert (value_at(config, "sampling.ema_decay"), value_at(config, "datasets.mood.tasks.mood.pos_label")) == (
        0.5,
        "good",
    )
    messages = [str(warning.message).partition(";")[0] for warning in caught]
    assert messages == [
        f"{path}: `datasets.mood.use` is now called `datasets.mood.extends`",
        f"{path}: `sampling.keep` is now called `sampling.ema_decay`",
        f"{path}: `train.clip` is now called `train.max_grad_norm`",
        f"{tmp_path / 'mood.toml'}: `tasks.mood.positive` is now called `tasks.mood.pos_label`",
    ]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_override_wins_over_a_file_whatever_their_names(run_file: Path, tmp_path: Path) -> None:
    old = write(tmp_path, dataset_keys='extends = "mood.toml"', train_keys="clip = 0.5")
    assert resolve(old, **{"train.max_grad_norm": 2.0}).train.max_grad_norm == 2.0
    new = write(tmp_path, dataset_keys='extends = "mood.toml"', train_keys="max_grad_norm = 0.5")
    assert resolve(new, **{"train.clip": 2.0}).train.max_grad_norm == 2.0


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("old", OLD_KEYS)
def test_both_names_of_a_key_are_refused(run_file: Path, old: str) -> None:
    new, value = OLD_KEYS[old]
    rule = f"`{old}` is the old name of `{new}`, and both are given: write `{new}` only"
    with pytest.raises(ConfigError, match=f"^{rule}$"):
        resolve(run_file, **{old: value, new: value})


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_both_names_in_a_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, dataset_keys='extends = "mood.toml"', train_keys="clip = 1.0\nmax_grad_norm = 1.0")
    with pytest.raises(
        ConfigError, match=r"run\.toml: `train\.clip` is the old name of `train\.max_grad_norm`, and both"
    ):
        resolve(path)


def test_models_accept_old_keys_as_arguments() -> None:
    with pytest.warns(FutureWarning, match="`clip` is now called `max_grad_norm`"):
        assert TrainConfig(clip=0.5) == TrainConfig(max_grad_norm=0.5)  # type: ignore[call-arg]
    with pytest.warns(FutureWarning, match="`positive` is now called `pos_label`"):
        TASKS.parse({"kind": "classification", "label": "mood", "positive": "good"})
    with pytest.warns(FutureWarning, match="`explore` is now called `epsilon`"):
        SAMPLERS.parse({"kind": "uncertainty", "explore": 0.5})


def test_the_keep_of_train_is_another_key() -> None:
    assert replace_old_keys({"train": {"keep": 3}}, where="") == {"train": {"keep": 3}}
    assert replace_old_overrides({"train.keep": 3}) == {"train.keep": 3}


def test_schemas_have_new_names_only() -> None:
    text = json.dumps(schemas())
    for name in ("max_grad_norm", "attn_implementation", "ema_decay", "epsilon", "pos_label", "extends"):
        assert f'"{name}"' in text
    for name in ("clip", "attention", "explore", "positive", "use"):
        assert f'"{name}":' not in text
    assert "keep" not in WEIGHTINGS.options("scale").model_fields


def test_a_saved_task_of_0_1_is_read_without_a_warning() -> None:
    saved = {"kind": "classification", "labels": ["a", "b"], "metrics": ["f1"], "input": "text", "positive": "b"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = task_from_config("mood", saved)
    assert task.to_config()["pos_label"] == "b"


def test_a_run_with_old_keys_is_resumed_without_a_difference(tmp_path: Path) -> None:
    old = {"train": {"clip": 0.5}, "sampling": {"kind": "loss_ratio", "keep": 0.9}}
    new = {"train": {"max_grad_norm": 0.5}, "sampling": {"kind": "loss_ratio", "ema_decay": 0.9}}
    assert config_diff(old, new, free=()) == []
    assert config_diff(old, new | {"train": {"max_grad_norm": 1.0}}, free=()) == [
        "train.max_grad_norm (was 0.5, is 1.0)"
    ]
    (tmp_path / "run.json").write_text(json.dumps({"config": old, "overrides": {"train.clip": 0.5}}), encoding="utf-8")
    assert recorded_overrides(tmp_path, excluding=()) == {"train.max_grad_norm": 0.5}
    assert recorded_overrides(tmp_path, excluding=["train.max_grad_norm"]) == {}
