"""Predictions of ONNX graphs, compared with torch."""

from __future__ import annotations

import copy
import json
import math
import shutil
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from nlpmtl import ConfigError, ModelError, Predictor
from nlpmtl.cli.console import report_device
from nlpmtl.export.onnx_compare import random_batches
from nlpmtl.export.onnx_model import load_onnx, output_name
from nlpmtl.hub import load_model
from tests.exported import Exported
from tests.tiny import make_rows, numbers, read_json, without_numbers, write_encoder


@pytest.fixture
def copied(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the directory to damage."""
    return Path(shutil.copytree(exported.directory, tmp_path / "model"))


def test_onnx_predictions_equal_torch_predictions(exported: Exported) -> None:
    """Every task type, pairs, windows of long texts, single texts and batches of several sizes."""
    stock, graph = (Predictor.from_pretrained(directory) for directory in (exported.source, exported.directory))
    rows = make_rows(30, seed=4)
    texts = [row["text"] for row in rows] + ["", "ada lives in rome . " * 40, "Ada's lamp — in Turin!", "a"]
    pairs = [(text, other) for text, other in zip(texts, reversed(texts), strict=True)]
    expected = stock.predict_all([*texts, *pairs], all_scores=True)
    assert {task for prediction in expected for task in prediction} == set(stock.tasks)
    assert sum(len(prediction["places"]) for prediction in expected[: len(texts)]) > 30, "spans to compare"
    for tokens in (10, 300, 4096):
        few = Predictor(graph.model, graph.tokenizer, tokens=tokens)
        actual = few.predict_all([*texts, *pairs], all_scores=True)
        assert without_numbers(actual) == without_numbers(expected)
        assert numbers(actual) == pytest.approx(numbers(expected), abs=1e-5)
    for text, right in zip(texts[:5], expected, strict=False):
        assert numbers(graph.predict(text, task="topic")) == pytest.approx(
            numbers({key: right["topic"][key] for key in ("label", "score")}), abs=1e-5
        )


def test_only_requested_rows_are_predicted(exported: Exported) -> None:
    model, tokenizer = load_model(str(exported.source))
    graph, _ = load_onnx(exported.directory, device="cpu")
    (batch,) = random_batches(model, tokenizer, shapes=[(6, 9)])
    rows = {"places": torch.tensor([1, 4]), "mood": torch.tensor([0, 2, 5])}
    with torch.inference_mode():
        actual, expected = graph.predict_logits(batch, rows), model.predict_logits(batch, rows)
    assert list(actual) == ["places", "mood"]
    for task, logits in expected.items():
        torch.testing.assert_close(actual[task]["logits"], logits, rtol=0, atol=1e-5)


def test_onnxruntime_uses_as_many_threads_as_torch(exported: Exported) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            graph, _ = load_onnx(exported.directory, device="cpu")
            assert graph.session.get_session_options().intra_op_num_threads == threads
    finally:
        torch.set_num_threads(before)


def test_outputs_are_named_after_tasks_unless_an_input_has_the_name() -> None:
    assert output_name("topic") == "topic"
    assert output_name("input_ids") == "input_ids.logits"


@pytest.mark.parametrize("content", [b"", b"torn", None, "half"])
def test_a_broken_graph_is_a_model_error(
    copied: Path, content: bytes | str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = copied / "model.onnx"
    full = graph.read_bytes()
    graph.unlink()
    if content is not None:
        graph.write_bytes(full[: len(full) // 2] if isinstance(content, str) else content)
    with pytest.raises(ModelError, match=r"the model '.*model' cannot be loaded: "):
        load_onnx(copied, device="cpu")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"torn", b"[]", None])
def test_a_truncated_or_missing_file_is_a_model_error(copied: Path, file: str, content: bytes | None) -> None:
    if content is None:
        (copied / file).unlink()
        (copied / "tokenizer_config.json").unlink()
    else:
        (copied / file).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_onnx(copied, device="cpu")


def test_another_models_config_is_refused(copied: Path, tmp_path: Path) -> None:
    shutil.copy(write_encoder(tmp_path / "encoder") / "config.json", copied / "config.json")
    with pytest.raises(ModelError, match="model_type is 'bert'"):
        load_onnx(copied, device="cpu")


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("topic", {"labels": ["a", "b"]}, "task 'topic' has 2 logits in config.json, but 3 in model.onnx"),
        ("other", {"kind": "regression", "labels": []}, "task 'other' has 1 logits in config.json, but none in"),
        ("topic", {"kind": "no_such_kind"}, "no_such_kind"),
    ],
)
def test_a_graph_that_does_not_fit_its_config(copied: Path, task: str, change: dict[str, object], message: str) -> None:
    config = read_json(copied / "config.json")
    config["tasks"][task] = {**config["tasks"]["topic"], "metrics": None, **change}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        load_onnx(copied, device="cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        pytest.param(
            "cuda",
            "pip install onnxruntime-gpu",
            marks=pytest.mark.skipif(
                "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA"
            ),
        ),
        ("tpu", 'write "cpu" or "cuda"'),
    ],
)
def test_an_unavailable_device(exported: Exported, device: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"does not support the device '{device}': {message}"):
        load_onnx(exported.directory, device=device)


def test_a_missing_onnxruntime_is_named(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"needs onnxruntime: pip install 'nlpmtl\[onnx\]'"):
        load_onnx(exported.directory, device="cpu")


def test_auto_selects_cuda_only_if_onnxruntime_supports_it(exported: Exported) -> None:
    graph, _ = load_onnx(exported.directory, device="auto")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert (graph.provider, graph.device) == ("CPUExecutionProvider", torch.device("cpu"))
        with pytest.raises(ConfigError, match=r"onnxruntime-gpu; it supports .*CPUExecutionProvider"):
            load_onnx(exported.directory, device="cuda")
    assert Predictor.from_pretrained(exported.directory).model.device == graph.device


def test_commands_say_that_a_graph_does_not_use_the_gpu(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, _ = load_onnx(exported.directory, device="cpu")
    for has_gpu, expected in ((False, ""), (True, "device: cpu (CPUExecutionProvider)\n")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=has_gpu: found)
        report_device(graph)
        assert capsys.readouterr().err == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_of_a_graph_that_are_not_finite_are_reported(copied: Path, value: float) -> None:
    """Weights of heads are checked when the model is loaded, word embeddings when a text contains the word."""
    full = onnx.load(copied / "model.onnx")
    for name, row in (("heads.topic_head.out.weight", 0), ("word_embeddings.weight", 20)):
        graph = copy.deepcopy(full)
        (tensor,) = (initializer for initializer in graph.graph.initializer if initializer.name.endswith(name))
        array = onnx.numpy_helper.to_array(tensor).copy()
        array[row] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        onnx.save(graph, copied / "model.onnx")
        with pytest.raises(ModelError, match=r"the logits (of .* )?are not finite"):
            predict_all_words(copied)


def predict_all_words(directory: Path) -> None:
    """Predict a text of every word that the tokenizer knows."""
    model = Predictor.from_pretrained(directory)
    model.predict([*model.tokenizer.get_vocab()], task="topic")
