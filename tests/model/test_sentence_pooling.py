"""The pooling of sentence-transformers models: found, used, recorded, and kept by continued and resumed runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nlpmtl
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.heads import Head
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskConfig, load_encoder
from nlpmtl.preflight import check
from nlpmtl.run import TrainingStarted, load_config, load_inputs, run_events
from nlpmtl.task_datasets import load_task_datasets
from tests.tiny import checkpoint, digest, interrupt, make_run, read_json, train_tiny, write_encoder

TRAIN = {"steps": 6, "batch_size": 6, "lr": 1e-3, "save_every": 2, "keep": 9, "precision": "fp32"}
FLAGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def flags(*modes: str) -> dict[str, Any]:
    """Return the config of a Pooling module with one key per mode."""
    return {"word_embedding_dimension": 32} | {f"pooling_mode_{flag}": flag in modes for flag in FLAGS}


def add_pooling(encoder: Path, config: object, *, path: str = "1_Pooling") -> Path:
    """Make a directory one of sentence-transformers."""
    modules = [("", "Transformer"), (path, "Pooling"), ("2_Normalize", "Normalize")]
    content = [
        {"idx": i, "name": str(i), "path": name, "type": f"sentence_transformers.models.{kind}"}
        for i, (name, kind) in enumerate(modules)
    ]
    (encoder / "modules.json").write_text(json.dumps(content), encoding="utf-8")
    (encoder / "1_Pooling").mkdir(exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (encoder / "1_Pooling" / "config.json").write_text(text, encoding="utf-8")
    return encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (flags("mean_tokens"), "mean"),
        (flags("cls_token"), "first"),
        (flags("max_tokens"), "max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"word_embedding_dimension": 32}, "mean"),
        ({"pooling_mode": "cls"}, "first"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
    ids=str,
)
def test_a_supported_pooling_is_the_default(config: dict[str, Any], pooling: str, encoder: Path) -> None:
    loaded = load_encoder(str(add_pooling(encoder, config)))
    assert loaded.pooling == loaded.default_pooling == pooling
    assert loaded.sentence_pooling is not None
    assert loaded.sentence_pooling.file == "1_Pooling/config.json"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (flags("weightedmean_tokens"), "nlpmtl does not have its pooling 'weightedmean'"),
        (flags("lasttoken"), "nlpmtl does not have its pooling 'lasttoken'"),
        (flags("mean_sqrt_len_tokens"), "nlpmtl does not have its pooling 'mean_sqrt_len_tokens'"),
        (flags("mean_tokens", "cls_token"), "nlpmtl does not have its pooling 'cls + mean'"),
        ({"pooling_mode": ["mean", "max"]}, "nlpmtl does not have its pooling 'mean + max'"),
        ("{", "config.json cannot be read"),
        ([], "config.json is not a JSON object"),
    ],
    ids=str,
)
def test_another_pooling_is_not_used(config: object, problem: str, encoder: Path) -> None:
    loaded = load_encoder(str(add_pooling(encoder, config)))
    assert (loaded.pooling, loaded.default_pooling) == (None, "first")
    assert loaded.sentence_pooling is not None
    assert problem in loaded.sentence_pooling.problem


@pytest.mark.parametrize("path", ["../1_Pooling", "/tmp", "a/../../b", "a\nb"])
def test_a_file_outside_of_the_directory_is_not_read(path: str, encoder: Path) -> None:
    loaded = load_encoder(str(add_pooling(encoder, flags("mean_tokens"), path=path)))
    assert loaded.pooling is None
    assert loaded.sentence_pooling is not None
    assert "is not a directory of the model" in loaded.sentence_pooling.problem


def test_a_damaged_list_of_modules_is_not_used(encoder: Path) -> None:
    for content in ("{", "{}", "[1]", "[" * 100_000):
        (encoder / "modules.json").write_text(content, encoding="utf-8")
        loaded = load_encoder(str(encoder))
        assert loaded.pooling is None
        assert loaded.sentence_pooling is not None
        assert loaded.sentence_pooling.problem
    (encoder / "modules.json").unlink()
    assert load_encoder(str(encoder)).sentence_pooling is None


def test_a_saved_model_with_an_unknown_pooling_is_refused() -> None:
    assert MultiTaskConfig(pooling="max").pooling == "max"
    assert "pooling" not in json.loads(MultiTaskConfig().to_json_string())
    with pytest.raises(ModelError, match=r"pooling: one of first, mean, max, attention was expected, found 'sum'"):
        MultiTaskConfig(pooling="sum")  # type: ignore[arg-type]


def sentence_run(directory: Path, pooling: str = "mean_tokens") -> dict[str, Any]:
    """Return a run from a sentence-transformers model; two of its tasks have a pooling of their own."""
    run = make_run(directory, rows=20, train=TRAIN, eval={"every": 2})
    add_pooling(Path(run["encoder"]["name"]), flags(pooling))
    run["datasets"]["words"]["tasks"]["mood"]["pooling"] = "first"
    run["datasets"]["pairs"]["tasks"]["grade"]["pooling"] = "mean"
    return run


def poolings(model: Any) -> dict[str, str]:
    """Return the pooling of each head for sequences."""
    heads = {name: model.head(name) for name in model.tasks}
    return {n: h.config.pooling for n, h in heads.items() if isinstance(h, Head) and h.level == "sequence"}


POOLINGS = {"topic": "mean", "mood": "first", "grade": "mean", "kinds": "mean"}


def test_one_note_names_the_pooling_and_the_tasks(tmp_path: Path) -> None:
    run = sentence_run(tmp_path)
    _, datasets = load_inputs(load_config(run))
    notes = [note for note in datasets.notes if "ooling" in note]
    assert notes == [
        "pooling of topic, kinds: 'mean', as in 1_Pooling/config.json of the encoder; for another one, write `pooling` "
        "in the table of a task"
    ]
    assert [note for note in check(run).notes if "ooling" in note] == notes
    add_pooling(Path(run["encoder"]["name"]), flags("lasttoken"))
    _, datasets = load_inputs(load_config(run))
    notes = [note for note in datasets.notes if "ooling" in note]
    assert notes == [
        "1_Pooling/config.json of the encoder is not used (nlpmtl does not have its pooling 'lasttoken'): the pooling "
        "of topic, kinds is 'first'"
    ]


@pytest.mark.slow
def test_a_saved_model_and_what_continues_it_keep_the_pooling(tmp_path: Path) -> None:
    run = sentence_run(tmp_path)
    trained = train_tiny(run, tmp_path / "first")
    saved = read_json(trained.model_dir / "config.json")
    assert saved["pooling"] == "mean"
    assert {name: task.get("pooling") for name, task in saved["tasks"].items()} == {
        **dict.fromkeys(saved["tasks"]),
        "mood": "first",
    }
    model, tokenizer = load_model(str(trained.model_dir))
    assert poolings(model) == POOLINGS
    prediction = nlpmtl.Predictor(model, tokenizer).predict_all("ada lives in turin")
    model.save_pretrained(tmp_path / "copy")
    tokenizer.save_pretrained(tmp_path / "copy")
    assert nlpmtl.Predictor.from_pretrained(tmp_path / "copy").predict_all("ada lives in turin") == prediction

    run["encoder"]["name"] = str(trained.model_dir)
    tasks = run["datasets"]["words"]["tasks"]
    del tasks["mood"]["pooling"]  # it keeps that of the model
    tasks["topic"]["pooling"] = "mean"  # the default of the model
    tasks["new"] = {"kind": "classification", "label": "topic"}
    continued = train_tiny(run, tmp_path / "second")
    assert poolings(load_model(str(continued.model_dir))[0]) == {**POOLINGS, "new": "mean"}

    config = load_config({**run, "output": str(tmp_path / "third")})
    encoder = load_encoder(str(trained.model_dir))
    assert encoder.sentence_pooling is None
    tasks["topic"]["pooling"] = "max"
    with pytest.raises(ConfigError, match=r"'topic': .*whose pooling is None, not 'max'"):
        load_task_datasets(
            load_config(run).datasets,
            tokenizer=encoder.tokenizer,
            max_length=config.encoder.max_length,
            earlier=encoder.pretrained_tasks,
            pooling=encoder.default_pooling,
        )


@pytest.mark.slow
def test_a_resumed_run_keeps_its_pooling(tmp_path: Path) -> None:
    run = sentence_run(tmp_path)
    modules = Path(run["encoder"]["name"]) / "modules.json"
    expected, actual = train_tiny(run, tmp_path / "expected"), tmp_path / "actual"
    interrupt(run, actual, step=4)
    modules.rename(tmp_path / "modules.json")  # the checkpoint decides
    train_tiny(run, actual, resume=True)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert digest(checkpoint(expected.output, 6), name) == digest(checkpoint(actual, 6), name), name
    assert poolings(load_model(str(actual / "model"))[0]) == POOLINGS


@pytest.mark.slow
def test_a_run_of_an_earlier_version_is_resumed_with_the_pooling_of_the_architecture(tmp_path: Path) -> None:
    """Earlier versions did not read modules.json and did not record a default pooling."""
    run, actual = sentence_run(tmp_path), tmp_path / "actual"
    modules = Path(run["encoder"]["name"]) / "modules.json"
    modules.rename(tmp_path / "modules.json")
    expected = train_tiny(run, tmp_path / "expected")
    interrupt(run, actual, step=4)
    remove_from_state(checkpoint(actual, 2), "pooling")
    (tmp_path / "modules.json").rename(modules)
    config = load_config({**run, "output": str(actual)})
    first, *_ = run_events(config, output=actual, resume=True)
    assert isinstance(first, TrainingStarted)
    assert "pooling of topic, kinds: 'first', as in the checkpoint" in first.notes
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert digest(checkpoint(expected.output, 6), name) == digest(checkpoint(actual, 6), name), name


def remove_from_state(directory: Path, key: str) -> None:
    """Remove a key of a checkpoint's state, as an earlier version would have written it."""
    state = read_json(directory / "state.json")
    del state[key]
    (directory / "state.json").write_text(json.dumps(state), encoding="utf-8")
    manifest = read_json(directory / "manifest.json")
    manifest["sha256"]["state.json"] = digest(directory, "state.json")
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
