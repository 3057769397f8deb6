"""Continued training of a model: heads are kept, trained further, or added."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nlpmtl import ConfigError, ModelError, Predictor
from nlpmtl.preflight import check
from nlpmtl.run import TrainingStarted, iter_train, load_config
from tests.tiny import (
    Trained,
    checkpoint,
    digest,
    make_rows,
    make_run,
    numbers,
    read_json,
    train_tiny,
    weights,
    write_rows,
)

TEXTS = ["Ada lives in Turin.", "a cat", "big red lamp and old blue kettle", "Rome, not Paris!"]
PAIRS = [("a cat", "a dog"), ("Ada sings", "Ada runs")]


@pytest.fixture
def run(tmp_path: Path, trained: Trained) -> dict[str, Any]:
    """A run that adds the task `tone` to the trained model."""
    rows = [{"text": row["text"], "tone": row["mood"] or "neutral"} for row in make_rows(40, seed=3)]
    files = {split: str(write_rows(tmp_path / f"{split}.jsonl", rows)) for split in ("train", "validation")}
    return {
        "seed": 1,
        "output": str(tmp_path / "out"),
        "encoder": {"name": str(trained.model_dir), "max_length": 48},
        "datasets": {
            "tones": {
                "data": {"files": files},
                "input": {"text": "text"},
                "tasks": {"tone": {"kind": "classification", "label": "tone"}},
            }
        },
        "train": {"steps": 4, "batch_size": 8, "lr": 1e-3, "save_every": 2, "precision": "fp32"},
    }


def with_datasets_of_model(run: dict[str, Any], trained: Trained, *names: str) -> dict[str, Any]:
    """Return the run with some of the datasets of the model."""
    return {**run, "datasets": {**run["datasets"], **{name: trained.run["datasets"][name] for name in names}}}


def predict_old_tasks(directory: Path, tasks: list[str]) -> list[Any]:
    predictor = Predictor.from_pretrained(directory)
    paired = [task for task in tasks if predictor.tasks[task].takes_pairs]
    single = [task for task in tasks if task not in paired]
    return [predictor.predict_all(TEXTS, tasks=single, all_scores=True), predictor.predict_all(PAIRS, tasks=paired)]


def test_a_frozen_encoder_keeps_predictions_and_adds_a_task(run: dict[str, Any], trained: Trained) -> None:
    run["encoder"]["freeze"] = True
    after = train_tiny(run)
    old = ["topic", "mood", "places", "kinds", "grade"]
    before, now = weights(trained.model_dir), weights(after.model_dir)
    assert all(torch.equal(before[name], now[name]) for name in before)
    assert numbers(predict_old_tasks(after.model_dir, old)) == pytest.approx(
        numbers(predict_old_tasks(trained.model_dir, old)), abs=1e-6
    )
    prediction = Predictor.from_pretrained(after.model_dir).predict_all("a good book")
    assert set(prediction) == {"topic", "mood", "places", "kinds", "tone"}


def test_kept_heads_are_unchanged_and_a_note_says_so(run: dict[str, Any], trained: Trained) -> None:
    events = list(iter_train(load_config(run)))
    assert isinstance(events[0], TrainingStarted)
    note = "kept, but not trained while the encoder changes: topic, mood, places, grade, kinds."
    assert note in " ".join(events[0].notes)
    before, after = weights(trained.model_dir), weights(Path(run["output"]) / "model")
    heads = [name for name in before if name.startswith("heads.")]
    assert len(heads) > 10
    assert all(torch.equal(before[name], after[name]) for name in heads)
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("sharing."))


def test_a_task_of_the_run_continues_with_its_head(run: dict[str, Any], trained: Trained) -> None:
    run = with_datasets_of_model(run, trained, "words", "pairs")
    run["train"] |= {"lr": 1e-12}  # so small that a new head would be far from the old one
    before, after = weights(trained.model_dir), weights(train_tiny(run).model_dir)
    assert before.keys() < after.keys()
    assert all(torch.allclose(before[name], after[name], rtol=0, atol=1e-6) for name in before)


@pytest.mark.slow
def test_the_scale_of_a_regression_is_kept(run: dict[str, Any], trained: Trained) -> None:
    run = with_datasets_of_model(run, trained, "pairs")
    run["datasets"]["pairs"] = copy.deepcopy(run["datasets"]["pairs"])
    rows = [{**row, "grade": 100.0 + i} for i, row in enumerate(make_rows(20))]
    run["datasets"]["pairs"]["data"]["files"] = {"train": str(write_rows(Path(run["output"] + ".jsonl"), rows))}
    after = read_json(train_tiny(run).model_dir / "config.json")["tasks"]["grade"]["target"]
    assert after == read_json(trained.model_dir / "config.json")["tasks"]["grade"]["target"]


@pytest.mark.slow
def test_labels_missing_in_the_new_rows_are_kept(run: dict[str, Any], trained: Trained) -> None:
    run = with_datasets_of_model(run, trained, "words")
    run["datasets"]["words"] = copy.deepcopy(run["datasets"]["words"])
    rows = [row for row in make_rows(60, seed=9) if row["topic"] == "animals"]
    run["datasets"]["words"]["data"]["files"] = {"train": str(write_rows(Path(run["output"] + ".jsonl"), rows))}
    checked = {task.name: task.labels for task in check(run).tasks}
    assert checked["topic"] == ("animals", "places", "things")
    after = read_json(train_tiny(run).model_dir / "config.json")["tasks"]["topic"]["labels"]
    assert after == ["animals", "places", "things"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "multilabel", "label": "tone"}, r"whose kind is 'classification', not 'multilabel'"),
        ({"kind": "sentiment", "label": "tone", "labels": ["negative", "neutral", "positive"]}, "whose kind is"),
        (
            {"kind": "classification", "label": "tone", "labels": ["negative", "neutral", "positive"]},
            r"whose labels is \('animals', 'places', 'things'\), not \('negative', 'neutral', 'positive'\)",
        ),
    ],
)
def test_a_different_task_with_the_same_name_is_refused(
    run: dict[str, Any], task: dict[str, Any], message: str
) -> None:
    run["datasets"]["tones"]["tasks"] = {"topic": task}
    if task["kind"] == "multilabel":
        rows = [{"text": "a cat", "tone": ["animals"]}, {"text": "a lamp", "tone": []}]
        run["datasets"]["tones"]["data"] = {"files": {"train": rows}}
    with pytest.raises(ConfigError, match=f"task 'topic': the model to start from has a task of this name {message}"):
        train_tiny(run)


def test_a_pair_task_cannot_become_a_text_task(run: dict[str, Any]) -> None:
    rows = [{"text": "a cat", "grade": 1.5}, {"text": "a lamp", "grade": 2.5}]
    run["datasets"]["tones"] = {
        "data": {"files": {"train": rows}},
        "input": {"text": "text"},
        "tasks": {"grade": {"kind": "regression", "label": "grade"}},
    }
    with pytest.raises(ConfigError, match="whose takes pairs is True, not False"):
        train_tiny(run)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_weights(run: dict[str, Any], tmp_path: Path) -> None:
    full = train_tiny(run)
    shutil.copytree(full.output, tmp_path / "again")
    shutil.rmtree(checkpoint(tmp_path / "again", 4))
    again = train_tiny(run, tmp_path / "again", resume=True)
    assert digest(again.model_dir) == digest(full.model_dir)


def test_a_model_that_lacks_weights_is_refused(run: dict[str, Any], trained: Trained, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    damaged = shutil.copytree(trained.model_dir, tmp_path / "damaged")
    kept = {name: value for name, value in weights(damaged).items() if not name.startswith("heads.topic")}
    save_file(kept, damaged / "model.safetensors", metadata={"format": "pt"})
    run["encoder"]["name"] = str(damaged)
    with pytest.raises(ModelError, match=r"has missing weights: heads\.topic_head"):
        train_tiny(run)


@pytest.mark.slow
def test_continuing_twice(run: dict[str, Any], trained: Trained, tmp_path: Path) -> None:
    first = train_tiny(run)
    second = make_run(tmp_path / "second", rows=20)
    del second["datasets"]["pairs"], second["datasets"]["texts"]
    second["encoder"] = {"name": str(first.model_dir), "max_length": 48}
    after = train_tiny({**second, "train": {"steps": 2, "batch_size": 8}})
    tasks = read_json(after.model_dir / "config.json")["tasks"]
    assert set(tasks) == {"topic", "mood", "places", "grade", "kinds", "tone"}
