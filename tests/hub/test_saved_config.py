"""The JSON files of a saved model are checked, and compared with its weights, before anything is built from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import ModelError
from nlpmtl.errors import escape_control_characters
from nlpmtl.hub import load_model, push
from nlpmtl.model import check_files
from tests.hub.test_broken_directories import change
from tests.tiny import Trained, read_json


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.model_dir, tmp_path / "model"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("encoder_config.num_hidden_layers", 900, "weights are missing: ", marks=pytest.mark.slow),
        ("encoder_config.num_hidden_layers", 1, "there are weights that config.json does not describe: "),
        (
            "encoder_config.vocab_size",
            10**8,
            r"has the shape \[100000000, 32\] in config.json, but \[108, 32\] in the file of weights",
        ),
        ("encoder_config.intermediate_size", 10**8, "the file of weights"),
        ("encoder_config.max_position_embeddings", 10**8, "the file of weights"),
        ("tasks.topic.labels", ["a", "b", "c", "d"], "the file of weights"),
        (
            "tasks.topic.labels",
            ["a", "b", "b"],
            "`labels`: each label must be listed once, 'b' is listed several times",
        ),
        ("tasks.topic.temperature", 0, "`temperature` must be a number from 1e-06 to 1e.06, found 0"),
        ("tasks.topic.temperature", 1e-320, "`temperature` must be a number from 1e-06 to 1e.06, found 1e-320"),
        ("tasks.topic.temperature", 1e308, "`temperature` must be a number from 1e-06 to 1e.06, found 1e.308"),
        ("tasks.topic.temperature", True, "`temperature` must be a number from 1e-06 to 1e.06, found True"),
        ("tasks.topic.temperature", "1", "`temperature` must be a number from 1e-06 to 1e.06, found '1'"),
        ("tasks.grade.target.std", 0, "`target`: 'std' must be greater than 0 and at most 1e.200"),
        ("tasks.grade.target.std", 1e308, "`target`: 'std' must be greater than 0"),
        ("tasks.kinds.thresholds", [0.5, 1e308, 0.5], "`thresholds.1`: must be at most 1"),
        ("tasks", [], "config.json: tasks: a table with entries was expected"),
        ("tasks", {}, "config.json: tasks: a table with entries was expected"),
        ("encoder_config", None, "config.json: encoder_config: a table with entries was expected"),
        ("configuration_files", ["config.5.0.0.json"], "config.json: configuration_files: "),
        ("transformers_weights", "other.safetensors", "config.json: transformers_weights: "),
    ],
)
def test_values_that_do_not_fit_the_weights_are_refused(model: Path, key: str, value: Any, message: str) -> None:
    change(model, key, value)
    with pytest.raises(ModelError, match=message):
        load_model(str(model))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("input_length", None, "input_length"),
        ("encoder_config.num_hidden_layers", 10**7, "encoder_config.num_hidden_layers"),
        ("tasks", [], "tasks"),
        ("tasks.topic", "classification", "tasks.topic: a table was expected, found 'classification'"),
        ("tasks.topic.temperature", float("nan"), "tasks.topic: `temperature` must be finite"),
        ("tasks.topic.temperature", 0, "tasks.topic: `temperature` must be a number from 1e-06 to 1e.06, found 0"),
        ("tasks.grade.target", {"mean": 1.0, "std": float("inf")}, "`target` must be finite, found inf in target.std"),
        ("tasks.kinds.thresholds", [0.5, float("-inf"), 0.5], "`thresholds` must be finite"),
        ("tasks.kinds.labels", ["x", "y", "\ud800"], r"tasks.kinds: `labels` must be valid Unicode, found '.ud800'"),
    ],
)
def test_broken_models_are_not_pushed(model: Path, key: str, value: Any, message: str) -> None:
    change(model, key, value)
    with pytest.raises(ModelError, match=f"cannot be pushed.*{message}"):
        push(model, "me/model", token="hf_x")


@pytest.mark.parametrize("weight_map", [None, [], {}, ["a"], {"w": 1}, {"w": "../model.safetensors"}, {"w": "w.bin"}])
def test_an_index_that_names_no_files_of_weights_is_refused(model: Path, weight_map: Any) -> None:
    (model / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": weight_map}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelError, match=r"cannot be pushed: model.safetensors.index.json: weight_map: "):
        push(model, "me/model", token="hf_x")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(model))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"model_type": "nlpmtl", "x": "' + "x" * 2**26 + '"}'),
        ("config.json", "[" * 100_000),
        ("config.json", '{"input_length": ' + "9" * 10_000 + "}"),
        ("tokenizer.json", "[]"),
    ],
    ids=["large", "deep", "digits", "no table"],
)
def test_files_that_are_too_large_or_deep_are_refused(model: Path, file: str, content: str) -> None:
    (model / file).write_text(content)
    with pytest.raises(ModelError, match=f"cannot be loaded: {file}"):
        load_model(str(model))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", ["a", "b", "\ud800"]),
        ("metrics", ["accuracy", "\udfff of a plugin"]),
        ("input_columns", [{"text": "a", "pair": "\ud800"}]),
        ("input_columns", [{"words": ["a", "\ud800"]}]),
        ("split_marks", ["-\ud800"]),
        ("whole_words", ["\udc00."]),
        ("target", {"mean": 0.0, "std": 1.0, "\ud800": 1.0}),
        ("\ud800", 1),
        ("relation_labels", ["is \ud800"]),
    ],
)
def test_strings_of_tasks_that_cannot_be_encoded_are_refused(model: Path, key: str, value: Any) -> None:
    config = read_json(model / "config.json")
    config["tasks"]["topic"][key] = value
    (model / "config.json").write_text(json.dumps(config))
    shown = escape_control_characters(key).replace("\\", ".")
    with pytest.raises(
        ModelError, match=f"config.json: tasks.topic: `{shown}` must be valid Unicode, found '"
    ) as error:
        load_model(str(model))
    str(error.value).encode()


def test_keys_that_are_not_known_are_accepted(model: Path) -> None:
    config = read_json(model / "config.json") | {"written_by": "a newer version", "numbers": [1, {"a": None}]}
    (model / "config.json").write_text(json.dumps(config))
    load_model(str(model))


@pytest.mark.parametrize("key", ["num_params", "encoder_config.total_flos", "encoder_config.notes"])
def test_large_integers_that_no_model_is_built_from_are_accepted(model: Path, key: str) -> None:
    """Users may add the number of parameters, or a time, to config.json."""
    change(model, key, {"time": 10**18, "parameters": 10**12} if key.endswith("notes") else 7 * 10**9)
    load_model(str(model))


@pytest.mark.parametrize(
    ("model_type", "changes", "key"),
    [
        ("bert", {"intermediate_size": 10**12}, "intermediate_size"),
        ("gpt2", {"n_inner": 10**12}, "n_inner"),
        ("gpt2", {"hidden_size": 10**12}, "hidden_size"),
        ("deberta-v2", {"pooler_hidden_size": 10**12}, "pooler_hidden_size"),
        ("clip", {"text_config": {"model_type": "clip_text_model", "hidden_size": 10**12}}, "text_config.hidden_size"),
        ("clip", {"text_config": {"intermediate_size": 10**12}}, "text_config.intermediate_size"),
    ],
)
def test_sizes_that_the_config_class_declares_are_bounded(
    tmp_path: Path, model_type: str, changes: dict[str, Any], key: str
) -> None:
    config = {"model_type": model_type, "num_params": 10**12, **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=rf"config.json: {key}: {10**12}, at most"):
        check_files(str(tmp_path), error_prefix="it cannot be loaded")
