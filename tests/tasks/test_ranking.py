"""Ranking: relevances and clicks, ListNet, predictions, and the one-label classifier of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

from nlpmtl import ConfigError, DataError, MultiTaskModel, Predictor
from nlpmtl.config import parse_dataset
from nlpmtl.data import Example, Input, TaskBatch
from nlpmtl.model import load_encoder
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import ExampleOutputs, MultipleChoice, Ranking, task_from_config
from tests.architectures import write_architecture
from tests.tiny import train_tiny, write_encoder, write_rows, write_tokenizer

TASK: dict[str, Any] = {"name": "relevance", "labels": [], "metrics": None, "input": "text"}


def table_of(rows: Any, **task: Any) -> dict[str, Any]:
    options = {"kind": "ranking", **task}
    input_ = {"text": "query", "choices": "documents"}
    return {"data": {"files": {"train": rows}}, "input": input_, "tasks": {"relevance": options}}


def load(directory: Path, table: dict[str, Any]) -> TaskDatasets:
    config = parse_dataset(table, where="shop")
    return load_task_datasets({"shop": config}, tokenizer=write_tokenizer(directory), max_length=24)


def row(**values: Any) -> dict[str, Any]:
    return {"query": "a lamp", "documents": ["a red lamp", "a cat", "a lamp"], **values}


def item_of(logits: list[float]) -> ExampleOutputs:
    example = Example(Input("x"), extra={"choices": [f"d{i}" for i in range(len(logits))]})
    return ExampleOutputs(example, [], {"logits": [np.array([value]) for value in logits]})


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"grades": [1, 0]}, "grades: a list with the relevance of each of the 3 choices was expected, found 2 values"),
        ({"grades": 1}, "grades: a list with the relevance of each of the 3 choices was expected"),
        ({"grades": [1, 0, -1]}, "grades: choice 2, counted from 0: a relevance of at least 0 was expected"),
        ({"grades": [1, None, 0]}, "grades: choice 1, counted from 0: a number was expected"),
        ({"grades": [1, float("inf"), 0]}, "grades: choice 1, counted from 0: a finite number was expected"),
        ({"documents": ["a lamp"], "grades": [1]}, "documents: at least 2 choices were expected"),
    ],
)
def test_bad_rows_are_reported_with_their_place(tmp_path: Path, values: dict[str, Any], rule: str) -> None:
    with pytest.raises(DataError) as failure:
        load(tmp_path, table_of([row(grades=[1, 0, 2]), row(**values)], label="grades"))
    assert f"shop: train, row 2: {rule}" in str(failure.value)


def test_clicks_are_indices_or_texts(tmp_path: Path) -> None:
    rows = [row(clicks=[2, 0]), row(clicks=["a cat"]), row(clicks=[]), row(clicks=None)]
    work = load(tmp_path, table_of(rows, clicks="clicks"))
    task, split = work.tasks["relevance"], work.splits["train"]["shop"]
    labels = split.labels["relevance"]
    assert labels.counts.tolist() == [1, 1, 0, 0]
    assert labels.targets([0, 1], first_tokens=None, sequence_length=0)["distribution"].tolist() == [
        [0.5, 0.0, 0.5],
        [0, 1, 0],
    ]
    gold = [task.gold(split.example(index, "relevance")) for index in range(4)]
    assert gold == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], None, None]
    assert "shop, train: task 'relevance': 1 rows have no clicks, and are not trained on" in work.notes
    with pytest.raises(ConfigError, match="is trained on: 1 rows have no clicks"):
        load(tmp_path, table_of([row(clicks=[])], clicks="clicks"))
    with pytest.raises(DataError, match="row 1: clicks: the text of one of the 3 choices, or its index"):
        load(tmp_path, table_of([row(clicks=[3])], clicks="clicks"))


@pytest.mark.parametrize("clicks", [[0, 0, 1], [1, 1, 1], "[0, 1, 0]"])
def test_a_0_or_1_for_each_choice_is_not_a_list_of_indices(clicks: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2: clicks: a list of the indices .* found a 0 or 1 for each choice"):
        load(tmp_path, table_of([row(clicks=[2, 2, 0]), row(clicks=clicks)], clicks="clicks"))


def test_validation_rows_without_clicks_are_reported(tmp_path: Path) -> None:
    table = table_of([row(clicks=[0])], clicks="clicks")
    table["data"]["files"]["validation"] = [row(clicks=[]), row(clicks=[])]
    note = "task 'relevance': no validation row has a gold label, so these metrics are undefined: ndcg_10, mrr"
    assert note in load(tmp_path, table).notes


def test_one_of_label_and_clicks_is_needed() -> None:
    with pytest.raises(ConfigError, match=r'label: this key is missing; write label = "…".*, or clicks = "…"'):
        parse_dataset(table_of([]), where="shop")
    with pytest.raises(ConfigError, match=r"`label` .relevances. and `clicks` are two forms of one label"):
        parse_dataset(table_of([], label="grades", clicks="clicks"), where="shop")


def test_the_loss_is_listnet() -> None:
    """Cross-entropy between the softmax of the relevances and that of the logits, by hand."""
    task = Ranking(**TASK)
    relevances, logits = np.array([3.0, 0.0, 1.0]), np.array([0.5, -0.2, 1.5])
    example = Example(Input("x"), extra={"choices": ["a", "b", "c"]}, labels={"label": relevances.tolist()})
    targets = task.targets(example, [])
    assert targets is not None
    p, q = (np.exp(values) / np.exp(values).sum() for values in (relevances, logits))
    assert targets.example["distribution"] == pytest.approx(p)
    batch = TaskBatch(
        torch.arange(3),
        {"distribution": torch.from_numpy(p).unsqueeze(0)},
        example=torch.zeros(3, dtype=torch.long),
        position=torch.arange(3),
    )
    loss = task.loss({"logits": torch.from_numpy(logits).unsqueeze(1)}, batch)
    assert loss.tolist() == [pytest.approx(-float(p @ np.log(q)))]


def test_one_click_has_the_loss_of_multiple_choice() -> None:
    choices = {"choices": ["a", "b", "c"]}
    clicked = Ranking(**TASK).targets(Example(extra=choices, labels={"clicks": [1]}), [])
    chosen = MultipleChoice(**TASK).targets(Example(extra=choices, labels={"label": 1}), [])
    assert clicked is not None
    assert clicked.example["distribution"].tolist() == chosen.example["distribution"].tolist()


def test_a_prediction_lists_the_choices_best_first() -> None:
    task = Ranking(**TASK)
    item = item_of([0.0, 2.0, -1.0, 2.0])
    (prediction,) = task.decode([item])
    formatted = task.format(prediction, item.example)
    assert [part["index"] for part in formatted] == [1, 3, 0, 2]
    assert [part["score"] for part in formatted] == pytest.approx([0.880797, 0.880797, 0.5, 0.268941], abs=1e-6)
    json.dumps(formatted, allow_nan=False)
    assert [part["index"] for part in task.format(task.decode([item_of([50.0, 60.0])])[0], item.example)] == [1, 0]
    assert task.score([prediction.value], [[0.0, 0.0, 1.0, 0.0]])["mrr"] == pytest.approx(1 / 4)


def test_a_row_is_wrong_if_another_choice_is_more_relevant() -> None:
    task = Ranking(**TASK)
    item = item_of([0.0, 2.0, -1.0])
    (prediction,) = task.decode([item])
    assert task.row_error(prediction, [1.0, 3.0, 0.0], item.example) is None
    error = task.row_error(prediction, [3.0, 1.0, 0.0], item.example)
    assert error is not None
    assert (error.gold, error.predicted, error.severity) == ("d0", "d1", 2.0)


def test_baselines_are_the_order_of_the_data_and_a_random_one() -> None:
    task, gold = Ranking(**TASK), [[0.0, 1.0, 0.0], [1.0, 0.0]]
    values = task.baselines(gold, gold, np.random.default_rng(0))
    assert values.keys() == {"order", "random"}
    assert task.score(values["order"], gold)["mrr"] == pytest.approx((1 / 2 + 1) / 2)


def test_the_export_is_a_classifier_with_one_label(tmp_path: Path) -> None:
    """Its pipeline gives the scores of the predictor: the sigmoid of the logit."""
    encoder = load_encoder(str(write_architecture("roberta", tmp_path / "encoder")))
    task = task_from_config("relevance", {"kind": "ranking", **{k: v for k, v in TASK.items() if k != "name"}})
    model = MultiTaskModel.from_encoder(encoder, tasks=[task], sharing={"kind": "hard"}, input_length=40, seed=0)
    model.train(False)
    predictor = Predictor(model, encoder.tokenizer)
    assert predictor.export(tmp_path / "stock", task="relevance") < 1e-5
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "stock").num_labels == 1
    query, documents = "a red lamp", ["a lamp", "ada lives in turin", "red", "the kettle"]
    ranking = predictor.predict({"text": query, "choices": documents}, task="relevance")
    pipe = pipeline("text-classification", model=str(tmp_path / "stock"))
    scores = pipe([{"text": query, "text_pair": document} for document in documents], truncation=True)
    assert {part["index"]: part["score"] for part in ranking} == pytest.approx(
        {index: score["score"] for index, score in enumerate(scores)}, abs=1e-5
    )
    readme = (tmp_path / "stock" / "README.md").read_text(encoding="utf-8")
    assert 'pipeline("text-classification"' in readme
    assert "pipeline_tag: text-ranking" in readme


def test_a_ranking_is_trained_and_scored(tmp_path: Path) -> None:
    rows = [row(grades=[2, 0, 1]), row(documents=["a cat", "a lamp"], grades=[0, 1]), row(grades=None)] * 10
    path = str(write_rows(tmp_path / "rows.jsonl", rows))
    table = table_of(path, label="grades")
    table["data"]["files"]["validation"] = path
    run = {
        "output": str(tmp_path / "run"),
        "encoder": {"name": str(write_encoder(tmp_path / "encoder")), "max_length": 24},
        "datasets": {"shop": table},
        "train": {"steps": 30, "batch_size": 10, "lr": 5e-3, "precision": "fp32"},
    }
    trained = train_tiny(run)
    scores = trained.result.scores
    assert scores is not None
    assert scores["relevance"]["rows"] == 20
    assert scores["relevance"]["ndcg_10"] == pytest.approx(1.0)
    predictor = Predictor.from_pretrained(trained.model_dir)
    ranking = predictor.predict({"text": "a lamp", "choices": ["a cat", "a red lamp"]}, task="relevance")
    assert ranking[0]["index"] == 1
