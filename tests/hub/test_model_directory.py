"""Saving and loading of model directories, and refusal of damaged ones."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

import nlpmtl
from nlpmtl.card import render_card
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.export import export_task
from nlpmtl.hub import atomic_directory, load_model, save_model
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.training.checkpoint import save_atomic
from tests.card.example import card_data, dataset
from tests.tiny import Trained, max_weight_difference, read_json, write_encoder


def test_the_model_directory_is_complete_without_pickles(trained: Trained) -> None:
    names = {path.name for path in trained.model_dir.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "scores.json"} <= names
    for path in trained.model_dir.rglob("*"):
        if path.is_file():
            assert path.suffix in (".json", ".safetensors", ".md", ".txt", ".yaml", ".png"), path
            assert not path.read_bytes().startswith((b"\x80", b"PK")), path
    assert read_json(trained.model_dir / "scores.json") == read_json(trained.output / "scores.json")


def test_the_weights_are_those_of_the_best_step(trained: Trained) -> None:
    best = trained.output / "best" / f"step-{trained.result.step:06d}"
    assert max_weight_difference(best, trained.model_dir) == 0.0


def test_a_loaded_model_is_in_evaluation_mode(trained: Trained) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    assert not model.training
    assert tokenizer.is_fast
    inputs = AutoTokenizer.from_pretrained(trained.model_dir)("ada lives in turin", return_tensors="pt")
    auto = AutoModel.from_pretrained(trained.model_dir).eval()
    for task, logits in model(**inputs).items():
        torch.testing.assert_close(logits, auto(**inputs)[task], rtol=0, atol=1e-7)
    assert set(model.tasks) == {"topic", "mood", "places", "grade", "kinds"}


def test_files_next_to_the_weights_are_saved_and_kept(trained: Trained, tmp_path: Path) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    data = card_data(datasets=[dataset("sst2", data={"hub": "nyu-mll/glue", "subset": "sst2"})])
    pictures = {"images/learning-curve.png": b"a", "images/answers-topic.png": b"b"}
    save_model(tmp_path, model=model, tokenizer=tokenizer, card_data=data, plots=pictures)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == render_card(data)
    assert read_json(tmp_path / "scores.json") == data.scores
    assert {path.name for path in (tmp_path / ".eval_results").iterdir()} == {"topic.yaml", "mood.yaml", "places.yaml"}
    assert {name: (tmp_path / name).read_bytes() for name in pictures} == pictures
    assert max_weight_difference(tmp_path, trained.model_dir) == 0.0
    load_model(str(tmp_path))


def test_other_files_of_a_directory_are_kept(trained: Trained, tmp_path: Path) -> None:
    """Also those in a directory with files of a model."""
    model, tokenizer = load_model(str(trained.model_dir))
    others = ("notes.txt", "images/logo.svg", "images/more/a.png", ".eval_results/own.json", "more/config.json")
    for name in (*others, "images/stale.png", ".eval_results/stale.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    save_model(tmp_path, model=model, tokenizer=tokenizer, card_data=None, plots={"images/curve.png": b"a"})
    assert {name: (tmp_path / name).read_text() for name in others} == dict(zip(others, others, strict=True))
    assert not (tmp_path / "images/stale.png").exists()
    assert not (tmp_path / ".eval_results/stale.yaml").exists()
    assert (tmp_path / "images/curve.png").read_bytes() == b"a"


def test_a_saved_model_round_trips(trained: Trained, tmp_path: Path) -> None:
    MultiTaskModel.from_pretrained(trained.model_dir).save_pretrained(tmp_path)
    assert read_json(tmp_path / "config.json") == read_json(trained.model_dir / "config.json")
    assert (tmp_path / "model.safetensors").read_bytes() == (trained.model_dir / "model.safetensors").read_bytes()


def copy(trained: Trained, to: Path) -> Path:
    shutil.copytree(trained.model_dir, to)
    return to


def test_a_wrong_directory_is_refused(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "absent", "nobody/has-this"):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_model(str(name))


def test_another_models_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        load_model(str(write_encoder(tmp_path)))


def test_another_models_config_is_refused(trained: Trained, tmp_path: Path) -> None:
    changed = copy(trained, tmp_path / "model")
    shutil.copy(write_encoder(tmp_path / "encoder") / "config.json", changed / "config.json")
    with pytest.raises(ModelError):
        load_model(str(changed))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"torn", b"[]", None])
def test_a_truncated_or_missing_file_is_a_model_error(
    trained: Trained, tmp_path: Path, file: str, content: bytes | None
) -> None:
    changed = copy(trained, tmp_path / "model")
    if content is None:
        (changed / file).unlink()
        (changed / "tokenizer_config.json").unlink()
    else:
        (changed / file).write_bytes(content)
    with pytest.raises(ModelError):
        load_model(str(changed))


def test_missing_weights_are_not_initialised(trained: Trained, tmp_path: Path) -> None:
    changed = copy(trained, tmp_path / "model")
    weights = load_file(changed / "model.safetensors")
    del weights["heads.topic_head.out.weight"]
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="topic_head"):
        load_model(str(changed))


@pytest.mark.parametrize("tensor", ["heads.topic_head.out.bias", "sharing.encoder.encoder.layer.0.output.dense.weight"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(trained: Trained, tmp_path: Path, tensor: str, value: float) -> None:
    changed = copy(trained, tmp_path / "model")
    weights = load_file(changed / "model.safetensors")
    weights[tensor].view(-1)[1] = value
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    message = rf"the tensor {re.escape(tensor)} has 1 of \d+ values that are not finite, the first is {value}"
    with pytest.raises(ModelError, match=message):
        load_model(str(changed))
    with pytest.raises(ModelError, match=message):
        load_encoder(str(changed))
    with pytest.raises(ModelError, match=message):
        nlpmtl.evaluate(changed, trained.run)


def test_inputs_whose_logits_overflow_are_refused(trained: Trained, tmp_path: Path) -> None:
    """The weights are finite, but those of one word are so large that its logits overflow."""
    changed = copy(trained, tmp_path / "model")
    weights = load_file(changed / "model.safetensors")
    (name,) = (key for key in weights if key.endswith("word_embeddings.weight"))
    token = AutoTokenizer.from_pretrained(changed).get_vocab()["turin"]
    weights[name][token] = torch.tensor([3e38, -3e38]).repeat(16)
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    model = nlpmtl.Predictor.from_pretrained(changed)
    assert model.predict("ada lives in rome", task="places") is not None
    for task in ("topic", "places", "kinds"):
        with pytest.raises(ModelError, match=rf"task '{task}': the logits are not finite for this input"):
            model.predict("ada lives in turin", task=task)
    with pytest.raises(ModelError, match="the logits are not finite for this input"):
        nlpmtl.evaluate(changed, trained.run, split="train")


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("topic", {"kind": "no_such_kind"}),
        ("topic", {"labels": ["one"]}),
        ("topic", {"labels": ["a", "b", "c", "d"]}),
        ("topic", {"surprise": 1}),
        ("places", {"input": "text"}),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    trained: Trained, tmp_path: Path, task: str, change: dict[str, object]
) -> None:
    changed = copy(trained, tmp_path / "model")
    config = read_json(changed / "config.json")
    config["tasks"][task] |= change
    (changed / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        load_model(str(changed))


def test_a_downloaded_config_imports_nothing(trained: Trained, tmp_path: Path) -> None:
    """Neither code in the directory nor a plugin named in the config."""
    changed = copy(trained, tmp_path / "model")
    config = read_json(changed / "config.json")
    config |= {"plugins": ["trap"], "auto_map": {"AutoModel": "trap.Trap", "AutoConfig": "trap.Trap"}}
    (changed / "config.json").write_text(json.dumps(config))
    (changed / "trap.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n")
    load_model(str(changed))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_directory_appears_when_complete(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "some" / "where"
    if exists:
        path.mkdir(parents=True)
    with atomic_directory(path) as part:
        (part / "one.txt").write_text("1")
        assert part.parent == path.parent
        assert not path.exists() or not list(path.iterdir())
    assert [child.name for child in path.iterdir()] == ["one.txt"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("raised", [ModelError("no"), KeyboardInterrupt(), SystemExit(143)])
def test_a_failed_directory_leaves_no_files(tmp_path: Path, raised: BaseException) -> None:
    with pytest.raises(type(raised)):
        write_and_raise(tmp_path / "model", raised)
    assert not list(tmp_path.iterdir())


def write_and_raise(path: Path, raised: BaseException) -> None:
    with atomic_directory(path) as part:
        (part / "one.txt").write_text("1")
        raise raised


def test_an_existing_path_is_not_replaced_by_a_new_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigError, match="already exists: choose another directory"), atomic_directory(path):
            pytest.fail("unreachable")
    below = tmp_path / "file" / "model"
    with pytest.raises(ConfigError, match="file/model: cannot be written: Not a directory"), atomic_directory(below):
        pytest.fail("unreachable")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_files_of_models_and_checkpoints_have_the_permissions_of_the_umask(
    trained: Trained, tmp_path: Path, umask: int
) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    before = os.umask(umask)
    try:
        save_model(tmp_path / "model", model=model, tokenizer=tokenizer, card_data=None, plots={})
        export_task(model, tokenizer, task="topic", directory=tmp_path / "stock")
        save_atomic(tmp_path / "step-000001", tensors={"model.safetensors": dict(model.state_dict())}, state={})
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}


def test_files_of_a_trained_model_have_the_permissions_of_other_files(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    expected = (tmp_path / "other").stat().st_mode
    for path in (trained.model_dir / "config.json", trained.model_dir / "model.safetensors"):
        assert path.stat().st_mode == expected, path


def test_a_run_directory_is_accepted_where_its_model_is_meant(trained: Trained, tmp_path: Path) -> None:
    assert (
        nlpmtl.Predictor.from_pretrained(trained.output).tasks.keys() == load_model(str(trained.output))[0].tasks.keys()
    )
    by_run, by_directory = load_encoder(str(trained.output)), load_encoder(str(trained.model_dir))
    assert by_run.pretrained_tasks.keys() == by_directory.pretrained_tasks.keys()
    assert nlpmtl.evaluate(trained.output, trained.run) == nlpmtl.evaluate(trained.model_dir, trained.run)
    shutil.copy(trained.output / "run.json", tmp_path)
    for load in (load_model, load_encoder):
        with pytest.raises(ModelError, match="is the directory of a run that has no model yet"):
            load(str(tmp_path))
