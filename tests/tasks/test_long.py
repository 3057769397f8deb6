"""`long`: windows over long texts for the task types that predict from one vector for a text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nlpmtl
from nlpmtl import MultiTaskModel, Predictor
from nlpmtl.data import Collator, TaskBatch, tokenize_windows, without_truncation
from nlpmtl.model import batch_losses
from nlpmtl.registry import TASKS as TASK_TYPES
from nlpmtl.run import load_config
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.tasks import task_from_config
from nlpmtl.tasks.outputs import softmax
from tests.tasks.kinds import SPECS, config_of_kind, make
from tests.tiny import Trained, interrupt, make_rows, max_weight_difference, read_json, train_tiny, write_encoder

LENGTH = 12
KINDS = [kind for kind in SPECS if kind != "labeling"]
TASKS: dict[str, dict[str, Any]] = {
    "topic": {"kind": "classification", "label": "topic", "long": "mean"},
    "mood": {"kind": "sentiment", "label": "mood", "labels": ["negative", "neutral", "positive"], "long": "max"},
    "grade": {"kind": "regression", "label": "grade", "long": "mean"},
    "kinds": {"kind": "multilabel", "label": "kinds", "long": "max"},
    "short": {"kind": "classification", "label": "topic"},
}
LONG = "a cat lives in turin . the old lamp was awful , and ada sings . " * 3


def rows(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Return rows of which two thirds are longer than a window."""
    return [{**row, "text": " ".join([row["text"]] * (1 + i % 3))} for i, row in enumerate(make_rows(count, seed=seed))]


def run_of(directory: Path, *, dropout: float = 0.0, **train: Any) -> dict[str, Any]:
    files = {"train": rows(24, seed=0), "validation": rows(12, seed=1)}
    dataset = {"data": {"files": files}, "input": {"text": "text"}, "tasks": TASKS}
    pairs = {
        "data": {"files": files},
        "input": {"text": "other", "pair": "text"},
        "tasks": {"pair": {"kind": "classification", "label": "topic", "long": "max"}},
    }
    encoder = write_encoder(directory / "encoder", dropout=dropout)
    return {
        "output": str(directory / "run"),
        "encoder": {"name": str(encoder), "max_length": LENGTH},
        "datasets": {"texts": dataset, "pairs": pairs},
        "train": {"steps": 4, "batch_size": 12, "lr": 1e-3, "save_every": 2, "precision": "fp64", **train},
        "eval": {"every": 2},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(run_of(tmp_path_factory.mktemp("long")))


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor.from_pretrained(trained.model_dir)


def window_logits(predictor: Predictor, task: str, text: str, pair: str | None = None) -> np.ndarray:
    """Return the logits of each window, ``[windows, outputs]``, each computed by itself."""
    windows = tokenize_windows(
        without_truncation(predictor.tokenizer), [text], pairs=None if pair is None else [pair], max_length=LENGTH
    )
    logits = []
    for i in range(len(windows.text)):
        sequence = windows.pieces.sequence(i)
        types = np.zeros(len(sequence.ids)) if sequence.type_ids is None else sequence.type_ids
        inputs = (torch.from_numpy(np.array(values, dtype=np.int64))[None] for values in (sequence.ids, types))
        ids, segments = inputs
        with torch.no_grad():
            logits.append(predictor.model(ids, token_type_ids=segments)[task][0].double().numpy())  # type: ignore[operator]
    return np.stack(logits)


def test_predictions_combine_the_logits_of_the_windows(predictor: Predictor) -> None:
    assert len(window_logits(predictor, "topic", LONG)) > 2
    predicted = predictor.predict_all(LONG, all_scores=True)
    assert {"truncated" in predicted[task] for task in TASKS if task != "short"} == {False}
    assert predicted["short"]["truncated"] is True
    topic = softmax(window_logits(predictor, "topic", LONG).mean(axis=0))
    assert list(predicted["topic"]["scores"].values()) == pytest.approx(topic.tolist(), abs=1e-5)
    mood = softmax(window_logits(predictor, "mood", LONG).max(axis=0))
    assert list(predicted["mood"]["scores"].values()) == pytest.approx(mood.tolist(), abs=1e-5)
    kinds = 1 / (1 + np.exp(-window_logits(predictor, "kinds", LONG).max(axis=0)))
    assert list(predicted["kinds"]["scores"].values()) == pytest.approx(kinds.tolist(), abs=1e-5)
    target = predictor.tasks["grade"].target  # type: ignore[attr-defined]
    grade = float(window_logits(predictor, "grade", LONG).mean()) * target["std"] + target["mean"]
    assert predicted["grade"]["value"] == pytest.approx(grade, abs=1e-5)
    pair = predictor.predict(("a cat", LONG), task="pair", all_scores=True)
    expected = softmax(window_logits(predictor, "pair", "a cat", LONG).max(axis=0))
    assert list(pair["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_text_of_one_window_is_predicted_as_before(trained: Trained, predictor: Predictor) -> None:
    truncating = Predictor.from_pretrained(trained.model_dir)
    for task in truncating.tasks.values():
        if task.window_stride is not None:
            task.long = "truncate"  # type: ignore[attr-defined]
    assert truncating.predict_all("a cat") == predictor.predict_all("a cat")
    assert truncating.predict(LONG, task="topic") != predictor.predict(LONG, task="topic")


def test_evaluation_reads_the_windows_too(trained: Trained, predictor: Predictor) -> None:
    scores = read_json(trained.model_dir / "scores.json")["tasks"]
    validation = [row for row in rows(12, seed=1) if row["topic"] is not None]
    predicted = predictor.predict([row["text"] for row in validation], task="topic")
    right = np.mean([value["label"] == row["topic"] for value, row in zip(predicted, validation, strict=True)])
    assert scores["topic"]["accuracy"] == pytest.approx(right)
    assert nlpmtl.evaluate(trained.model_dir, trained.run)["topic"] == pytest.approx(scores["topic"])
    assert "truncated" in (trained.model_dir / "README.md").read_text(encoding="utf-8")
    assert "`pair` read longer texts in overlapping windows" in (trained.model_dir / "README.md").read_text(
        encoding="utf-8"
    )


def test_a_row_is_one_item_of_the_loss(trained: Trained, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir, dtype=torch.float64)
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    config = load_config(trained.run)
    loaded = load_task_datasets(config.datasets, tokenizer=predictor.tokenizer, max_length=LENGTH)
    datasets = list(loaded.splits["train"].values())
    labels = datasets[0].labels["topic"]
    assert set(labels.counts.tolist()) == {0, 1}
    sizes = datasets[0].sequences_of("topic").lengths
    assert sizes.max() > 1
    assert (sizes[~labels.labelled] == 0).all()
    collate = Collator(datasets, pad=predictor.tokenizer.pad_token_id, types=True)
    picked = [(0, int(row)) for row in np.flatnonzero(labels.labelled)[:6]]
    batch = collate(picked, tasks=["topic"])
    part: TaskBatch = batch.tasks["topic"]
    assert len(part.sequences) == sum(sizes[row] for _, row in picked) > len(picked)
    together = batch_losses(model, batch, loaded.tasks)["topic"].loss
    alone = [batch_losses(model, collate([row], tasks=["topic"]), loaded.tasks)["topic"].loss for row in picked]
    assert float(together.detach()) == pytest.approx(sum(float(loss.detach()) for loss in alone), rel=1e-9)


@pytest.mark.parametrize(("task", "combine"), [("topic", np.mean), ("mood", np.max)])
def test_the_loss_is_that_of_the_combined_logits(task: str, combine: Any, trained: Trained) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir, dtype=torch.float64)
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    loaded = load_task_datasets(load_config(trained.run).datasets, tokenizer=predictor.tokenizer, max_length=LENGTH)
    datasets = list(loaded.splits["train"].values())
    collate = Collator(datasets, pad=predictor.tokenizer.pad_token_id, types=True)
    lengths = np.where(datasets[0].labels[task].labelled, datasets[0].sequences_of(task).lengths, 0)
    row = int(lengths.argmax())
    example = datasets[0].example(row, task)
    probabilities = softmax(combine(window_logits(predictor, task, example.text), axis=0))
    expected = -np.log(probabilities[loaded.tasks[task].labels.index(example.labels["label"])])
    loss = batch_losses(model, collate([(0, row)], tasks=[task]), loaded.tasks)[task].loss
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.slow
def test_micro_batches_change_nothing_and_a_resumed_run_is_equal(trained: Trained, tmp_path: Path) -> None:
    by_row = train_tiny({**trained.run, "train": {**trained.run["train"], "micro_tokens": 1}}, tmp_path / "by-row")
    assert max_weight_difference(trained.model_dir, by_row.model_dir) < 1e-10
    noisy = run_of(tmp_path, dropout=0.1)
    whole = train_tiny(noisy, tmp_path / "whole")
    interrupt(noisy, tmp_path / "resumed", step=2)
    resumed = train_tiny(noisy, tmp_path / "resumed", resume=True)
    assert max_weight_difference(whole.model_dir, resumed.model_dir) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_option_is_saved(kind: str) -> None:
    assert "long" not in make(kind).to_config()
    task = task_from_config("t", {**config_of_kind(kind), "long": "max"})
    assert task.to_config()["long"] == "max"
    assert task.window_stride == "half"
    task.continue_from(make(kind))
    stock = task.stock_model()
    assert stock is not None
    assert any("takes the maximum of their logits" in sentence for sentence in stock.omitted)


@pytest.mark.slow
@pytest.mark.parametrize(("long", "epochs", "learns"), [("mean", 60, True), ("max", 30, True), ("truncate", 10, False)])
def test_the_end_of_a_text_is_learned(long: str, epochs: int, learns: bool, tmp_path: Path) -> None:
    """The label is a word near the end of the text, which truncation removes."""
    source = random.Random(0)

    def make_row() -> dict[str, Any]:
        label = source.choice(["cat", "dog", "bird"])
        words = [source.choice(["the", "old", "lamp", "is", "in", "turin", "and", "ada", "sings"]) for _ in range(30)]
        return {"text": " ".join([*words, label, "today"]), "label": label}

    files = {"train": [make_row() for _ in range(200)], "validation": [make_row() for _ in range(60)]}
    task = {"kind": "classification", "label": "label", "long": long}
    run = run_of(tmp_path, steps=None, epochs=epochs, lr=2e-3, precision="fp32", save_every=1000)
    del run["train"]["steps"]
    run["datasets"] = {"texts": {"data": {"files": files}, "input": {"text": "text"}, "tasks": {"animal": task}}}
    run["eval"] = {"every": 1000}
    scores = train_tiny(run).result.scores
    assert scores is not None
    assert (float(scores["animal"]["accuracy"] or 0) > 0.75) is learns


@pytest.mark.parametrize("kind", ["multiple_choice", "ranking", "embedding"])
def test_task_types_that_read_several_texts_of_a_row_have_no_long(kind: str) -> None:
    assert {"pooling", "long"} & TASK_TYPES.options(kind).model_fields.keys() == {"pooling"}
