"""Directories whose config.json or tokenizer is damaged or hostile are refused when they are loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import ModelError, Predictor
from nlpmtl.hub import load_model
from nlpmtl.model import load_encoder
from tests.exported import Exported
from tests.tiny import Trained, read_json, write_encoder


def change(directory: Path, key: str, value: Any, *, file: str = "config.json") -> None:
    """Set a dotted key of a JSON file."""
    content = read_json(directory / file)
    *parents, last = key.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    (directory / file).write_text(json.dumps(content), encoding="utf-8")


BROKEN: list[tuple[str, Any, str]] = [
    ("input_length", None, "input_length: an integer of at least 4 was expected, found null"),
    ("input_length", -1, "found -1"),
    ("input_length", True, "found true"),
    ("input_length", "48", 'found "48"'),
    ("input_length", 129, "input_length is 129, but the encoder reads at most 128 tokens"),
    ("input_length", 10**30, "input_length"),
    ("encoder_config.num_hidden_layers", 10**7, "encoder_config.num_hidden_layers: 10000000, at most 1000"),
    ("encoder_config.num_labels", 10**7, "encoder_config.num_labels: 10000000, at most 100000"),
    ("num_labels", 10**7, "num_labels: 10000000"),
    ("encoder_config.hidden_size", 10**12, "encoder_config.hidden_size"),
    ("tasks.grade.target", {"mean": float("nan"), "std": 1.0}, "`target` must be finite"),
    ("tasks.topic.temperature", float("inf"), "`temperature` must be finite"),
]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *BROKEN,
        ("encoder_config.num_attention_heads", -1, "cannot be computed"),
        ("encoder_config.hidden_dropout_prob", float("nan"), "cannot be computed"),
        ("encoder_config.layer_norm_eps", float("nan"), "the logits of the task 'topic' are not finite"),
        ("encoder_config.chunk_size_feed_forward", "x", "cannot be computed"),
    ],
)
def test_a_broken_value_is_refused(trained: Trained, tmp_path: Path, key: str, value: Any, message: str) -> None:
    directory = Path(shutil.copytree(trained.model_dir, tmp_path / "model"))
    change(directory, key, value)
    with pytest.raises(ModelError, match=message):
        load_model(str(directory))


@pytest.mark.parametrize(("key", "value", "message"), BROKEN)
def test_a_broken_value_next_to_a_graph_is_refused(
    exported: Exported, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    directory = Path(shutil.copytree(exported.directory, tmp_path / "model"))
    change(directory, key, value)
    with pytest.raises(ModelError, match=message):
        Predictor.from_pretrained(directory)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("tokenizer_config.json", "extra_special_tokens", [f"<{i}>" for i in range(20_000)]),
        ("tokenizer_config.json", "added_tokens_decoder", {str(i): {"content": f"<{i}>"} for i in range(20_000)}),
        ("tokenizer.json", "added_tokens", [{"id": i, "content": f"<{i}>"} for i in range(20_000)]),
    ],
)
def test_more_added_tokens_than_the_vocabulary_has_are_refused(
    trained: Trained, tmp_path: Path, file: str, key: str, value: Any
) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    model = Path(shutil.copytree(trained.model_dir, tmp_path / "model"))
    for directory in (encoder, model):
        change(directory, key, value, file=file)
    message = f"{file} adds 20000 tokens, at most 108 were expected"
    with pytest.raises(ModelError, match=message):
        load_encoder(str(encoder))
    with pytest.raises(ModelError, match=message):
        load_model(str(model))


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(trained: Trained, tmp_path: Path) -> None:
    """A tokenizer with more ids than the model."""
    directory = Path(shutil.copytree(trained.model_dir, tmp_path / "model"))
    tokenizer = read_json(directory / "tokenizer.json")
    change(directory, "model.vocab", {**tokenizer["model"]["vocab"], "beyond": 108}, file="tokenizer.json")
    with pytest.raises(ModelError, match="tokens with the id 108, the largest of its tokenizer, cannot be computed"):
        load_model(str(directory))


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_labels"])
def test_absurd_sizes_of_an_encoder_config_are_refused(tmp_path: Path, key: str) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    change(encoder, key, 10**7)
    with pytest.raises(ModelError, match=f"config.json: {key}: 10000000, at most"):
        load_encoder(str(encoder))
