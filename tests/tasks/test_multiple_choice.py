"""Multiple choice: choices and labels, the loss, predictions, and the models of transformers for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from datasets import Dataset
from torch.nn import functional
from transformers import AutoModelForMultipleChoice, AutoTokenizer

import nlpmtl
from nlpmtl import ConfigError, DataError, ModelError, MultiTaskModel, Predictor
from nlpmtl.config import parse_dataset
from nlpmtl.data import Collator, Example, Input, TaskBatch
from nlpmtl.model import batch_losses, load_encoder
from nlpmtl.registry import COLUMN_TYPES
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import ExampleOutputs, MultipleChoice, OutputOptions, task_from_config
from nlpmtl.tasks.multiple_choice import find_choice
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tiny import make_rows, train_tiny, write_encoder, write_rows, write_tokenizer

TASK: dict[str, Any] = {"name": "quiz", "labels": [], "metrics": None, "input": "text"}
CHOICES = ["a cat", "a dog", "2", "a bird"]
INPUT = {"text": "text", "choices": "choices"}


def quiz_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows of two to four choices; the right one has the last word of the text."""
    rows = []
    for i, row in enumerate(make_rows(count, seed=seed)):
        words = row["tokens"]
        choices = [f"{word} {i}" for word in dict.fromkeys(["lamp", "kettle", words[-1], "sings"])][: 2 + i % 3]
        label = i % len(choices)
        rows.append({"text": row["text"], "choices": choices, "label": choices[label] if i % 2 else label})
    return rows


def load(directory: Path, table: Mapping[str, Any]) -> TaskDatasets:
    """Load the data of a task called `quiz`."""
    config = parse_dataset(dict(table), where="quiz")
    return load_task_datasets({"quiz": config}, tokenizer=write_tokenizer(directory), max_length=24)


def table_of(rows: Any, *, input: Mapping[str, Any] = INPUT, **task: Any) -> dict[str, Any]:
    options = {"kind": "multiple_choice", "label": "label", **task}
    return {"data": {"files": {"train": rows}}, "input": dict(input), "tasks": {"quiz": options}}


def item_of(choices: Sequence[str], logits: Sequence[float]) -> ExampleOutputs:
    example = Example(Input("x"), extra={"choices": list(choices)})
    return ExampleOutputs(example, [], {"logits": [np.array([value], dtype=np.float32) for value in logits]})


@pytest.mark.parametrize(
    ("value", "index"),
    [("a dog", 1), (0, 0), ("0", 0), (3, 3), (3.0, 3), ("2", 2), (2, 2), ("B", 1), ("d", 3), ("1", 1)],
)
def test_a_label_is_a_text_or_an_index_or_a_letter(value: object, index: int) -> None:
    assert find_choice(value, CHOICES) == index


@pytest.mark.parametrize("value", [4, -1, "E", "ß", "a fish", "", True, 1.5, None, ["a cat"], "AB"])
def test_other_labels_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the text of one of the 4 choices, or its index, counted from 0 to 3"):
        find_choice(value, CHOICES)


def test_a_text_that_two_choices_have_is_refused_but_an_index_is_not() -> None:
    with pytest.raises(ValueError, match="choices 0 and 2 have this text: write the index"):
        find_choice("x", ["x", "y", "x"])
    assert [find_choice(value, ["x", "y", "x"]) for value in (2, "y")] == [2, 1]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (["one"], "at least 2 choices"),
        ("one", "a list of choices was expected"),
        ({"a": 1}, "a list of choices was expected"),
        (["one", 2], "choice 1, counted from 0: a string was expected"),
        (["one", None], "choice 1, counted from 0: missing or null"),
    ],
)
def test_choices_are_at_least_two_texts(value: object, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        COLUMN_TYPES.get("choices").parse(value, Example())  # type: ignore[attr-defined]
    assert COLUMN_TYPES.get("choices").parse('["a", ""]', Example()) == ["a", ""]  # type: ignore[attr-defined]


def test_bad_rows_are_reported_with_file_and_line(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "a", "choices": ["x", "y"], "label": 1},
        {"text": "a", "choices": ["x"], "label": 0},
        {"text": "a", "choices": ["x", "x"], "label": "x"},
        {"text": "a", "choices": ["x", "y"], "label": 2},
        {"text": "a", "choices": None, "label": 7},
    ]
    path = write_rows(tmp_path / "train.jsonl", rows)
    with pytest.raises(DataError) as failure:
        load(tmp_path, table_of(str(path)))
    message = str(failure.value)
    assert "3 problem(s) in 3 row(s)" in message
    for line, rule in ((2, "choices: at least 2"), (3, "label: choices 0 and 1"), (4, "label: the text of one of")):
        assert f"{path}:{line}: {rule}" in message
    work = load(tmp_path, {**table_of(str(path)), "data": {"files": {"train": str(path)}, "on_bad_row": "skip"}})
    assert work.splits["train"]["quiz"].labels["quiz"].counts.tolist() == [1, 0]  # without choices it is unlabelled


def test_a_list_of_columns_is_a_list_of_choices(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "b": "pair", "A": "x", "B": "y", "C": "z", "label": "C"},
        {"text": "a", "b": "pair", "A": "x", "B": "y", "C": None, "label": "B"},
        {"text": "a", "b": "pair", "A": "x", "B": None, "C": "z", "label": "A"},
    ]
    input_ = {"text": "text", "pair": "b", "choices": ["A", "B", "C"]}
    with pytest.raises(DataError, match=r"row 3: A, B, C: choice 1, counted from 0: missing or null"):
        load(tmp_path, table_of(rows, input=input_))
    work = load(tmp_path, table_of(rows[:2], input=input_))
    split = work.splits["train"]["quiz"]
    assert [split.example(row, "quiz").extra["choices"] for row in (0, 1)] == [["x", "y", "z"], ["x", "y"]]
    assert split.labels["quiz"].values([0, 1]) == [2, 1]
    task = work.tasks["quiz"]
    assert [(text.text, text.pair) for text in task.sequences(split.example(1, "quiz"), predict=False)] == [
        ("a", "pair x"),
        ("a", "pair y"),
    ]
    assert task.to_config()["input_columns"] == [input_]
    assert task_from_config("quiz", json.loads(json.dumps(task.to_config()))).input_columns == task.input_columns


@pytest.mark.parametrize("choices", [["A"], ["A", "A"], ["A", 1], 3, []])
def test_a_wrong_list_of_columns_is_refused(choices: object) -> None:
    with pytest.raises(ConfigError, match=r"input.choices: the name of a column of lists, or a list of at least two"):
        parse_dataset(table_of([], input={"text": "text", "choices": choices}), where="quiz")


def test_choices_that_truncation_makes_equal_are_reported(tmp_path: Path) -> None:
    passage = "the old lamp and the kettle are in turin " * 6
    rows = [{"q": "who sings ?", "p": passage, "choices": ["a cat", "a dog"], "label": i % 2} for i in range(3)]
    rows.append({"q": "who sings ?", "p": "ada", "choices": ["a cat", "a dog", "a cat"], "label": 1})
    work = load(tmp_path, table_of(rows, input={"text": "q", "pair": "p", "choices": "choices"}))
    notes = [note for note in work.notes if "different choices" in note]
    assert len(notes) == 1
    assert notes[0].startswith("quiz, train: task 'quiz': 3 rows have different choices with the same tokens")
    assert "write the longer text as `text`" in notes[0]
    work = load(tmp_path, table_of(rows, input={"text": "p", "pair": "q", "choices": "choices"}))
    assert not any("different choices" in note for note in work.notes)


def test_choices_are_needed_and_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"task 'quiz' \(multiple_choice\) needs a further input: .* choices = "):
        parse_dataset(table_of([], input={"text": "text"}), where="quiz")
    with pytest.raises(ConfigError, match="has no `labels`: each row has its own choices"):
        parse_dataset(table_of([], labels=["a", "b"]), where="quiz")
    with pytest.raises(ConfigError, match=r'label: this key is missing; write label = "…".*, or soft = "…"'):
        parse_dataset(table_of([], label=None), where="quiz")


def test_the_loss_is_the_cross_entropy_over_the_choices_of_each_row() -> None:
    task = MultipleChoice(**TASK)
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5, 0.1], dtype=torch.float64, requires_grad=True).unsqueeze(1)
    targets = {"distribution": torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, math.nan]], dtype=torch.float64)}
    example, position = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1])
    batch = TaskBatch(torch.arange(5), targets, example=example, position=position)
    loss = task.loss({"logits": logits}, batch)
    expected = [
        functional.cross_entropy(logits[:3, 0], torch.tensor(2)),
        functional.cross_entropy(logits[3:, 0], torch.tensor(1)),
    ]
    assert torch.allclose(loss, torch.stack(expected))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.allclose(gradient[3:, 0], torch.softmax(logits[3:, 0], dim=0) - torch.tensor([0.0, 1.0]))
    uncertainty = task.uncertainty({"logits": logits.detach() * 0}, batch)
    assert float(uncertainty) == pytest.approx(2.0)  # equal logits: 1 for each of two rows


def test_a_prediction_is_the_best_choice_with_its_probability() -> None:
    task = MultipleChoice(**TASK, temperature=2.0)
    item = item_of(["x", "y", "z"], [0.0, 2 * math.log(6.0), 2 * math.log(3.0)])
    (prediction,) = task.decode([item])
    assert prediction.value == 1
    assert task.format(prediction, item.example) == {"label": "y", "index": 1, "score": pytest.approx(0.6)}
    scores = task.format(prediction, item.example, OutputOptions(all_scores=True))["scores"]
    assert scores == pytest.approx({"x": 0.1, "y": 0.6, "z": 0.3})
    assert task.decode([]) == []
    error = task.row_error(prediction, 2, item.example)
    assert error is not None
    assert (error.gold, error.predicted) == ("z", "y")
    assert error.confidence == pytest.approx(0.6)
    assert task.row_error(prediction, 1, item.example) is None


def test_equal_choices_have_one_probability() -> None:
    task = MultipleChoice(**TASK)
    item = item_of(["x", "y", "x"], [math.log(5.0), math.log(3.0), math.log(2.0)])
    formatted = task.format(task.decode([item])[0], item.example, OutputOptions(all_scores=True))
    assert (formatted["label"], formatted["index"], formatted["score"]) == ("x", 0, pytest.approx(0.5))
    assert formatted["scores"] == pytest.approx({"x": 0.7, "y": 0.3})


def test_the_temperature_is_fitted_over_rows_with_different_numbers_of_choices() -> None:
    rng = np.random.default_rng(0)
    items, gold = [], []
    for i in range(400):
        logits = rng.normal(size=2 + i % 3)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        gold.append(int(rng.choice(len(logits), p=probabilities)))
        items.append(item_of(["x", "y", "z", "w"][: len(logits)], (3 * logits).tolist()))
    task = MultipleChoice(**TASK)
    task.calibrate(items, gold)
    assert task.temperature == pytest.approx(3.0, rel=0.15)
    confidence, right = task.confidence(task.decode(items)[0], gold[0])
    assert confidence.shape == right.shape == (1,)


def predictor_of(directory: Path) -> Predictor:
    """Return an untrained model with two tasks."""
    encoder = load_encoder(str(directory))
    specs: dict[str, dict[str, Any]] = {
        "quiz": {"kind": "multiple_choice", "temperature": 1.7},
        "topic": {"kind": "classification", "labels": ["a", "b"]},
    }
    tasks = [task_from_config(name, {"labels": [], "metrics": None, "input": "text", **s}) for name, s in specs.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=40, seed=0)
    with torch.no_grad():
        for weight in model.heads.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    model.train(False)
    return Predictor(model, encoder.tokenizer)


def test_only_rows_with_choices_are_predicted(tmp_path: Path) -> None:
    predictor = predictor_of(write_encoder(tmp_path))
    row = {"text": "ada lives in", "choices": ["turin", "a book", "rome"]}
    for missing in (None, float("nan"), pd.NA, "null"):  # as sources and pandas write it
        assert predictor.predict_all({"text": "ada", "choices": missing}).keys() == {"topic"}
    assert predictor.predict_all("ada").keys() == {"topic"}
    assert predictor.predict_all(row).keys() == {"quiz", "topic"}
    prediction = predictor.predict(row, task="quiz", all_scores=True)
    assert prediction["label"] == row["choices"][prediction["index"]]
    assert prediction["score"] == pytest.approx(max(prediction["scores"].values()))
    assert sum(prediction["scores"].values()) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match=r"task 'quiz' needs `choices`: pass a row, \{\"text\": …, \"choices\": …\}"):
        predictor.predict("ada", task="quiz")
    with pytest.raises(DataError, match="input 1: choices: at least 2 choices were expected"):
        predictor.predict([{"text": "ada", "choices": ["x"]}], task="quiz")


FAST = ("bert", "roberta", "electra")
"""Architectures whose heads have different names of layers."""


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_logits_and_loss_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    """The export gives the same logits as the model, and its loss is that of the task, in float64."""
    predictor = predictor_of(write_architecture(name, tmp_path / "encoder"))
    task, model = predictor.tasks["quiz"], predictor.model
    assert isinstance(model, MultiTaskModel)
    assert predictor.export(tmp_path / "stock", task="quiz") < 1e-5
    rows = [row for row in quiz_rows(30) if len(row["choices"]) == 3]
    expected = predictor.predict(rows, task="quiz", all_scores=True)
    stock = AutoModelForMultipleChoice.from_pretrained(tmp_path / "stock").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "stock")
    texts = [row["text"] for row in rows for _ in row["choices"]]
    choices = [choice for row in rows for choice in row["choices"]]
    inputs = tokenizer(texts, choices, truncation=True, padding=True, return_tensors="pt")
    labels = torch.tensor([find_choice(row["label"], row["choices"]) for row in rows])
    with torch.inference_mode():
        output = stock(**{key: value.view(len(rows), 3, -1) for key, value in inputs.items()}, labels=labels)
    probabilities = output.logits.softmax(dim=-1).tolist()
    assert probabilities == [pytest.approx(list(item["scores"].values()), abs=1e-5) for item in expected]
    assert np.ptp(probabilities, axis=1).max() > 0.01  # so that the comparison is meaningful
    split = load(tmp_path, table_of(rows)).splits["train"]["quiz"] if name == "bert" else None
    one_hot = functional.one_hot(labels, 3).double()
    example, position = torch.arange(len(rows)).repeat_interleave(3), torch.arange(3).repeat(len(rows))
    batch = TaskBatch(torch.arange(3 * len(rows)), {"distribution": one_hot}, example=example, position=position)
    losses = task.loss({"logits": output.logits.reshape(-1, 1)}, batch)
    assert float(losses.mean()) == pytest.approx(float(output.loss), abs=1e-5)
    assert split is None or split.labels["quiz"].counts.tolist() == [1] * len(rows)


def test_an_encoder_without_a_model_for_multiple_choice_is_refused(tmp_path: Path) -> None:
    predictor = predictor_of(write_architecture("bert", tmp_path / "encoder"))
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    head: Any = model.head("quiz")
    object.__setattr__(head.config, "pooling", "mean")
    with pytest.raises(ModelError, match="'quiz' cannot be exported to transformers: its pooling is 'mean'"):
        predictor.export(tmp_path / "stock", task="quiz")
    assert not (tmp_path / "stock").exists()


def test_the_readme_of_an_export_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of(write_encoder(tmp_path / "encoder"))
    predictor.export(tmp_path / "stock", task="quiz")
    readme = (tmp_path / "stock" / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: multiple-choice" in readme
    code = (
        readme.split("```python\n")[1].split("```")[0].replace("this-directory-or-repository", str(tmp_path / "stock"))
    )
    names: dict[str, Any] = {}
    exec(code.replace("model(**", "result = model(**"), names)
    row = {"text": "A text.", "choices": names["choices"]}
    scores = predictor.predict(row, task="quiz", all_scores=True)["scores"]
    assert names["result"].tolist()[0] == pytest.approx(list(scores.values()), abs=1e-5)


def test_a_model_is_trained_and_reads_the_columns_of_its_training(tmp_path: Path) -> None:
    rows = []
    for row in quiz_rows(40):
        choices = dict(zip(("first", "second", "third"), [*row["choices"], None], strict=False))
        rows.append({"q": row["text"], **choices, "right": min(2, find_choice(row["label"], row["choices"]))})
    dataset = table_of(rows, input={"text": "q", "choices": ["first", "second", "third"]}, label="right")
    dataset["data"]["files"]["validation"] = rows
    run = {
        "output": str(tmp_path / "run"),
        "encoder": {"name": str(write_encoder(tmp_path / "encoder")), "max_length": 24},
        "datasets": {"quiz": dataset},
        "train": {"steps": 4, "batch_size": 8, "precision": "fp32"},
    }
    trained = train_tiny(run)
    scores = trained.result.scores
    assert scores is not None
    assert scores["quiz"].keys() == {"accuracy", "score", "rows"}
    predictor = Predictor.from_pretrained(trained.model_dir)
    plain = predictor.predict([{"text": "a cat", "choices": ["x", "y"]}], task="quiz")
    assert predictor.predict([{"q": "a cat", "first": "x", "second": "y"}], task="quiz") == plain
    assert predictor.predict([{"q": "a cat", "first": "x", "second": "y", "third": None}], task="quiz") == plain
    table = {"q": ["a cat"], "first": ["x"], "second": ["y"], "third": [None]}
    assert predictor.predict(pa.table(table), task="quiz") == plain
    for frame in (pd.DataFrame(table), pd.DataFrame(table, dtype="string")):
        assert predictor.predict(frame, task="quiz") == plain
    fewer = {name: table[name] for name in ("q", "first", "second")}
    for container in (pa.table(fewer), pd.DataFrame(fewer), Dataset.from_dict(fewer)):
        assert predictor.predict(container, task="quiz") == plain
    with pytest.raises(DataError, match="input 1: first, second, third: at least 2 choices were expected"):
        predictor.predict(pd.DataFrame(fewer)[["q", "first"]], task="quiz")
    path = tmp_path / "new.csv"
    path.write_text("q,first,second,third\na cat,x,y,\n", encoding="utf-8")
    nlpmtl.predict_files(trained.model_dir, path, tmp_path / "out.jsonl")
    written = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert written["predictions"]["quiz"]["label"] == plain[0]["label"]
    card = (trained.model_dir / "README.md").read_text(encoding="utf-8")
    assert 'model.predict_all({"text": "A text.", "choices": ["A text.", "Another text."]})' in card
    assert "one of the choices" in card


def test_the_loss_of_a_batch_equals_that_of_its_rows(tmp_path: Path) -> None:
    """With a real model: rows with two, three and four choices in one batch."""
    predictor = predictor_of(write_encoder(tmp_path / "encoder", dropout=0.0))
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    split = load(tmp_path / "encoder", table_of(quiz_rows(9))).splits["train"]["quiz"]
    collate = Collator([split], pad=predictor.tokenizer.pad_token_id, types=True)
    tasks = {"quiz": predictor.tasks["quiz"]}

    def loss(rows: Sequence[int]) -> float:
        with torch.no_grad():
            return float(batch_losses(model, collate([(0, row) for row in rows]), tasks)["quiz"].loss)

    assert loss(range(9)) == pytest.approx(sum(loss([row]) for row in range(9)), rel=1e-5)
