"""Evaluation: batches, ranks, scores and returned predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nlpmtl.batched_inference import Inference, to_items
from nlpmtl.data import Batch, Ragged
from nlpmtl.errors import DataError
from nlpmtl.evaluation import Predictions, Scores, evaluate, predict_splits, score
from nlpmtl.model import load_encoder
from nlpmtl.run import load_config
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import Classification
from tests.tiny import make_run, write_encoder, write_rows


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> TaskDatasets:
    config = load_config(make_run(tmp_path_factory.mktemp("evaluation"), rows=20))
    tokenizer = load_encoder(config.encoder.name).tokenizer
    return load_task_datasets(config.datasets, tokenizer=tokenizer, max_length=48)


class Watched:
    """A forward function that predicts the first label of each task, and records its batches."""

    def __init__(self, work: TaskDatasets) -> None:
        self.work = work
        self.sizes: list[tuple[int, int]] = []
        self.requests: list[Mapping[str, Tensor]] = []

    def __call__(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        row_count, sequence_length = batch.input_ids.shape
        self.sizes.append((row_count, sequence_length))
        self.requests.append(rows)
        logits = {}
        for name, indices in rows.items():
            task = self.work.tasks[name]
            assert task.outputs is not None
            outputs = torch.zeros(task.outputs)
            outputs[0] = 1.0
            shape = (len(indices), sequence_length, task.outputs) if task.windowed else (len(indices), task.outputs)
            logits[name] = outputs.expand(shape)
        return logits


def inference(forward: Any, *, tokens: int = 4096, rank: int = 0, world: int = 1) -> Inference:
    return Inference(forward, pad=0, types=True, tokens=tokens, rank=rank, world=world)


@pytest.mark.parametrize("tokens", [1, 30, 4096])
def test_every_row_is_predicted_once_within_the_token_limit(work: TaskDatasets, tokens: int) -> None:
    """A row of several tasks is encoded once, and predicted by each task that has a label for it."""
    forward = Watched(work)
    scores = evaluate(inference(forward, tokens=tokens), tasks=work.tasks, datasets=work.splits["validation"])
    assert all(row_count == 1 or row_count * sequence_length <= tokens for row_count, sequence_length in forward.sizes)
    labelled = {
        name: np.logical_or.reduce([labels.labelled for labels in split.labels.values()]).sum()
        for name, split in work.splits["validation"].items()
    }
    assert sum(row_count for row_count, _ in forward.sizes) == sum(labelled.values())
    for task in work.tasks:
        row_count = sum(
            split.labels[task].labelled.sum() for split in work.splits["validation"].values() if task in split.labels
        )
        assert sum(len(rows[task]) for rows in forward.requests if task in rows) == row_count
        assert scores[task]["rows"] == row_count


@pytest.mark.parametrize("world", [1, 2, 3, 40])
def test_rows_are_split_between_processes(work: TaskDatasets, world: int) -> None:
    single = evaluate(inference(Watched(work)), tasks=work.tasks, datasets=work.splits["validation"])
    for name, rows in work.splits["validation"].items():
        requested = {task: labels.labelled for task, labels in rows.labels.items()}
        calls: list[tuple[int, str]] = []
        for rank in range(world):
            local = inference(Watched(work), tokens=20, rank=rank, world=world)
            calls += [
                (row, task)
                for row, task, _ in local.run(
                    rows, rows_of=requested, consume=lambda task, outputs, rows: rows.tolist()
                )
            ]
        assert len(calls) == len(set(calls)) == sum(int(mask.sum()) for mask in requested.values()), name
    assert single.tasks.keys() == work.tasks.keys()


def test_gathered_predictions_are_scored(work: TaskDatasets) -> None:
    """Gathered predictions of two processes give the scores of one process."""
    texts = {"texts": work.splits["validation"]["texts"]}
    shares: list[Any] = []

    def keep(local: Iterable[Any]) -> list[Any]:
        shares.extend(local)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate(inference(Watched(work), tokens=20, rank=1, world=2), tasks=work.tasks, datasets=texts, gather=keep)
    both = evaluate(
        inference(Watched(work), tokens=20, rank=0, world=2),
        tasks=work.tasks,
        datasets=texts,
        gather=lambda local: [*local, *shares],
    )
    assert 0 < len(shares) < int(both["kinds"]["rows"] or 0)
    assert both == evaluate(inference(Watched(work)), tasks=work.tasks, datasets=texts)


def test_a_task_without_labelled_rows_is_not_scored(work: TaskDatasets) -> None:
    scores = evaluate(
        inference(Watched(work)), tasks=work.tasks, datasets={"texts": work.splits["validation"]["texts"]}
    )
    assert set(scores.tasks) == {"kinds"}
    assert scores.mean == scores["kinds"]["score"]
    nothing = evaluate(inference(Watched(work)), tasks=work.tasks, datasets={})
    assert nothing == Scores({}, 0.0)


def test_scores_of_constant_predictions(work: TaskDatasets) -> None:
    scores = evaluate(inference(Watched(work)), tasks=work.tasks, datasets=work.splits["validation"])
    labels = work.splits["validation"]["words"].labels["topic"]
    gold = labels.values(np.flatnonzero(labels.labelled).tolist())
    assert scores["topic"]["accuracy"] == pytest.approx(gold.count(work.tasks["topic"].labels[0]) / len(gold))
    assert scores["grade"]["score"] == 0.0, "the correlation with a constant is undefined and counts as 0"
    assert scores["grade"]["pearsonr"] is None
    assert scores.mean == pytest.approx(np.mean([task_scores["score"] or 0.0 for task_scores in scores.tasks.values()]))


def test_returned_predictions_are_the_scored_ones(work: TaskDatasets) -> None:
    answered = predict_splits(inference(Watched(work)), tasks=work.tasks, datasets=work.splits["validation"])
    assert list(answered) == list(work.tasks)
    assert set(answered["topic"].predicted) == {work.tasks["topic"].labels[0]}
    for name, predictions in answered.items():
        row_count = sum(
            rows.labels[name].labelled.sum() for rows in work.splits["validation"].values() if name in rows.labels
        )
        assert len(predictions.predicted) == len(predictions.gold) == row_count
    assert score(answered, tasks=work.tasks) == evaluate(
        inference(Watched(work)), tasks=work.tasks, datasets=work.splits["validation"]
    )


def test_a_score_can_be_selected() -> None:
    scores = Scores({"a": {"score": 0.5}, "b": {"score": None}}, 0.25)
    assert (scores.of("mean"), scores.of("a"), scores.of("b")) == (0.25, 0.5, 0.0)
    with pytest.raises(DataError, match=r"eval\.select: no validation row has a gold label or targets for task 'c'"):
        scores.of("c")
    assert scores.to_json() == {"tasks": {"a": {"score": 0.5}, "b": {"score": None}}, "mean": 0.25}


def test_a_score_that_is_not_a_number_is_undefined() -> None:
    """A checkpoint cannot keep NaN as the score of the best model, and no later score would be better."""

    class Broken(Classification):
        def score(self, values: Any, gold: Any) -> dict[str, float | None]:
            return {"accuracy": 1.0, "score": math.nan}

    predictions = {"topic": Predictions(["a", "b"], predicted=["a"], gold=["a"])}
    scores = score(predictions, tasks={"topic": Broken(name="topic", labels=("a", "b"), metrics=None, input="text")})
    assert scores["topic"] == {"accuracy": 1.0, "score": None, "rows": 1}
    assert scores.of("topic") == scores.mean == 0.0


def test_the_score_has_a_row_if_it_is_not_the_first_metric() -> None:
    scores = Scores({"a": {"f1": 0.5, "accuracy": 0.6, "score": 0.5}, "b": {"mae": 0.2, "rmse": 0.3, "score": -0.2}}, 0)
    assert [(task, metric) for task, metric, *_ in scores.rows()] == [
        *(("a", "f1"), ("a", "accuracy")),
        *(("b", "mae"), ("b", "rmse"), ("b", "score")),
        ("mean", ""),
    ]


def test_unknown_labels_of_two_datasets_are_errors_and_stay_distinct(tmp_path: Path) -> None:
    """Each dataset has an unknown label in validation: id 2 in both, but different classes."""
    train = [{"text": "ada", "label": "a"}, {"text": "turin", "label": "b"}]
    datasets = {}
    for name, extra in (("one", "x"), ("two", "y")):
        rows = [{"text": "ada", "label": "a"}, {"text": "a cat", "label": extra}, {"text": "a dog", "label": "a"}]
        datasets[name] = {
            "data": {
                "files": {
                    "train": str(write_rows(tmp_path / name / "train.jsonl", train)),
                    "validation": str(write_rows(tmp_path / name / "validation.jsonl", rows)),
                }
            },
            "input": {"text": "text"},
            "tasks": {"t": {"kind": "classification", "label": "label", "metrics": ["accuracy", "macro_f1"]}},
        }
    encoder = write_encoder(tmp_path / "encoder")
    config = load_config({"encoder": {"name": str(encoder)}, "datasets": datasets})
    work = load_task_datasets(config.datasets, tokenizer=load_encoder(str(encoder)).tokenizer, max_length=16)
    scores = evaluate(inference(Watched(work)), tasks=work.tasks, datasets=work.splits["validation"])
    assert scores["t"]["rows"] == 6
    assert scores["t"]["accuracy"] == pytest.approx(4 / 6)
    # `a` has precision 4/6 and recall 1; x and y, one row each, have none: three classes occur.
    assert scores["t"]["macro_f1"] == pytest.approx((2 * 4 / 6 / (1 + 4 / 6)) / 3)


def test_words_without_a_token_have_nan_logits(work: TaskDatasets) -> None:
    split = work.splits["validation"]["words"]
    tokens = split.tokens.take(np.arange(len(split)))
    assert tokens.first_tokens is not None
    first_tokens = tokens.first_tokens.values.copy()
    first_tokens[1] = -1
    holed = replace(split, tokens=replace(tokens, first_tokens=Ragged(first_tokens, tokens.first_tokens.bounds)))
    mask = np.zeros(len(split), dtype=np.bool_)
    mask[0] = True
    ((row, task, item),) = inference(Watched(work)).run(
        holed, rows_of={"places": mask}, consume=lambda task, outputs, rows: to_items(holed, task, outputs, rows)
    )
    logits = item.at_words()
    assert (row, task) == (0, "places")
    assert logits.shape == (len(tokens.first_tokens[0]), 4)
    assert np.isnan(logits[:, 0]).tolist() == [i == 1 for i in range(len(logits))]
