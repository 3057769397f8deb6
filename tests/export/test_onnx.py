"""ONNX export: sharing schemes, architectures and errors."""

from __future__ import annotations

import logging
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from nlpmtl import ConfigError, ModelError, MultiTaskModel, Predictor
from nlpmtl.export import export_onnx
from nlpmtl.export.onnx_compare import SHAPES, random_batches
from nlpmtl.hub import load_model
from nlpmtl.model import load_encoder
from nlpmtl.tasks import task_from_config
from tests.architectures import ARCHITECTURES, write_architecture
from tests.exported import Exported
from tests.model.sharing.schemes import CASES, stir
from tests.tasks.kinds import config_of_kind
from tests.threads import check_threads
from tests.tiny import Trained, make_rows, numbers, read_json, write_encoder

NAMES = {  # names of inputs and axes, and names that the exporter uses for values, weights and nodes
    "input_ids": "classification",
    "attention_mask": "labeling",
    "batch_size": "sentiment",
    "val_10": "regression",
    "linear": "multilabel",
    "add_1": "classification",
    "input": "regression",
}


def assemble(directory: Path, tasks: dict[str, str]) -> tuple[MultiTaskModel, Any]:
    """Return a model with tasks of these types on an encoder, and its tokenizer."""
    encoder = load_encoder(str(directory))
    built_tasks = [task_from_config(name, config_of_kind(kind)) for name, kind in tasks.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=built_tasks, sharing={"kind": "hard"}, input_length=48, seed=0)
    model.train(False)
    return model, encoder.tokenizer


SCHEMES = [pytest.param(case, marks=() if case == "layers" else pytest.mark.slow) for case in CASES if case != "hard"]


@pytest.mark.parametrize("case", SCHEMES)
@pytest.mark.slow
def test_every_sharing_scheme_is_exported_to_one_graph(case: str, tmp_path: Path) -> None:
    encoder = load_encoder(str(write_encoder(tmp_path / "encoder")))
    tasks = [task_from_config(name, config_of_kind(name)) for name in ("classification", "labeling", "regression")]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing=CASES[case], input_length=48, seed=0)
    stir(model.sharing)
    model.train(False)
    assert export_onnx(model, encoder.tokenizer, directory=tmp_path / "onnx") <= 1e-5
    texts = [row["text"] for row in make_rows(5)]
    expected = Predictor(model, encoder.tokenizer).predict_all(texts, tasks=["classification"])
    predictions = Predictor.from_pretrained(tmp_path / "onnx").predict_all(texts, tasks=["classification"])
    assert numbers(predictions) == pytest.approx(numbers(expected), abs=1e-5)
    check_threads(Predictor.from_pretrained(tmp_path / "onnx"))


def assert_nothing_left(directory: Path) -> None:
    assert list(directory.iterdir()) == []


def test_the_directory_is_complete_and_contains_no_local_paths(exported: Exported) -> None:
    names = {path.name for path in exported.directory.iterdir()}
    assert names == {"README.md", "config.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"}
    config, before = (read_json(directory / "config.json") for directory in (exported.directory, exported.source))
    assert (config["tasks"], config["input_length"]) == (before["tasks"], before["input_length"])
    assert config["tasks"]["grade"]["target"]["std"] != 1
    graph = (exported.directory / "model.onnx").read_bytes()
    for trace in (b"site-packages", b".py", str(exported.source.parent).encode()):
        assert trace not in graph
    card = (exported.directory / "README.md").read_text()
    assert "| places | labeling | `places` | `[batch_size, sequence_length, 4]` |" in card
    assert f"{exported.max_logit_difference:.0e} of the largest logit" in card


def test_any_runtime_gets_the_logits_of_every_task(exported: Exported) -> None:
    """With onnxruntime only, in shapes that the export has not compared."""
    assert 0 <= exported.max_logit_difference <= 1e-5
    session = onnxruntime.InferenceSession(str(exported.directory / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [value_info.name for value_info in session.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids"]
    assert {tuple(value_info.shape) for value_info in session.get_inputs()} == {("batch_size", "sequence_length")}
    model, tokenizer = load_model(str(exported.source))
    assert {value_info.name for value_info in session.get_outputs()} == set(model.tasks)
    shapes = [(2, 1), (1, 11), (64, 5), (7, 48)]
    assert not set(shapes) & set(SHAPES)
    for batch in random_batches(model, tokenizer, shapes=shapes, seed=1):
        with torch.no_grad():
            expected = model(**batch.inputs)
        outputs = session.run(list(expected), {name: value.numpy() for name, value in batch.inputs.items()})
        for actual, reference in zip(outputs, expected.values(), strict=True):
            np.testing.assert_allclose(actual, reference.numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_exports_are_deterministic_and_leave_the_model_unchanged(
    exported: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = load_model(str(exported.source))
    model.train()
    attention = model.sharing.encoder.config._attn_implementation
    capfd.readouterr()
    export_onnx(model, tokenizer, directory=tmp_path / "again")
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (exported.directory / "model.onnx").read_bytes()
    assert model.training
    assert model.sharing.encoder.config._attn_implementation == attention == "sdpa"


@pytest.mark.slow
def test_only_selected_tasks_are_exported_under_any_name(tmp_path: Path) -> None:
    model, tokenizer = assemble(write_encoder(tmp_path / "encoder"), NAMES)
    names = [name for name in reversed(NAMES) if name != "add_1"]
    module: nn.Module = model  # for the types of its methods
    module.to(torch.bfloat16)
    export_onnx(model, tokenizer, directory=tmp_path / "onnx", tasks=names)
    assert set(model.tasks) == set(model.config.tasks) == set(NAMES)
    assert model.dtype == torch.bfloat16
    module.to(torch.float32)
    predictor = Predictor.from_pretrained(tmp_path / "onnx")
    assert set(predictor.tasks) == set(names)
    texts = [row["text"] for row in make_rows(5)]
    expected = Predictor(model, tokenizer).predict_all(texts, tasks=["input_ids", "attention_mask"])
    predictions = predictor.predict_all(texts)
    assert [set(prediction) for prediction in predictions] == [{"input_ids", "attention_mask", "linear"}] * 5
    for prediction, other in zip(predictions, expected, strict=True):
        assert numbers({name: prediction[name] for name in other}) == pytest.approx(numbers(other), abs=1e-5)


def test_invalid_export_arguments(trained: Trained, tmp_path: Path) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    with pytest.raises(ConfigError, match="no task 'topics'; did you mean 'topic'"):
        export_onnx(model, tokenizer, directory=tmp_path / "onnx", tasks=["mood", "topics"])
    with pytest.raises(ConfigError, match="tasks: the list is empty"):
        export_onnx(model, tokenizer, directory=tmp_path / "onnx", tasks=[])
    assert_nothing_left(tmp_path)
    (tmp_path / "kept.txt").touch()
    with pytest.raises(ConfigError, match="already exists: choose another directory"):
        export_onnx(model, tokenizer, directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'nlpmtl\[onnx\]'"):
        export_onnx(model, tokenizer, directory=tmp_path / "onnx")
    assert_nothing_left(tmp_path)


@pytest.mark.slow
def test_a_graph_with_other_logits_is_removed(trained: Trained, tmp_path: Path) -> None:
    """A head with random outputs; a graph repeats those of the traced call."""
    model, tokenizer = load_model(str(trained.model_dir))
    times = count(1)
    model.head("mood").register_forward_hook(lambda module, args, logits: logits + 1e-3 * next(times))
    with pytest.raises(ModelError, match=r"task 'mood': the logits of the ONNX graph differ .*; maximum: 1e-05"):
        export_onnx(model, tokenizer, directory=tmp_path / "onnx", tasks=["topic", "mood"])
    assert_nothing_left(tmp_path)


@pytest.mark.slow
def test_a_model_that_torch_cannot_export(trained: Trained, tmp_path: Path) -> None:
    """A head with control flow that depends on the values."""
    model, tokenizer = load_model(str(trained.model_dir))
    model.head("mood").register_forward_hook(lambda module, args, logits: -logits if logits.sum() > 0 else logits)
    with pytest.raises(ModelError, match="torch cannot write this model as an ONNX graph"):
        export_onnx(model, tokenizer, directory=tmp_path / "onnx")
    assert_nothing_left(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_and_task_type(architecture: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = assemble(write_architecture(architecture, tmp_path / "encoder"), NAMES)
    capfd.readouterr()
    assert export_onnx(model, tokenizer, directory=tmp_path / "onnx") <= 1e-5
    assert capfd.readouterr() == ("", "")
    predictor, stock = Predictor.from_pretrained(tmp_path / "onnx"), Predictor(model, tokenizer)
    rows = make_rows(30, seed=2)
    texts = [row["text"] for row in rows] + ["", "ada lives in rome . " * 40]
    for inputs in (texts, [(row["text"], row["other"]) for row in rows]):
        predictions, expected = (source.predict_all(inputs, all_scores=True) for source in (predictor, stock))
        assert numbers(predictions) == pytest.approx(numbers(expected), abs=1e-5)
        assert len(numbers(predictions)) >= 60


def test_a_missing_weights_error_names_the_alternative(exported: Exported) -> None:
    with pytest.raises(ModelError, match="it holds an ONNX graph only; use the directory that it was exported from"):
        load_model(str(exported.directory))
