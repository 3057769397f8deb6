"""ClassLabel features: their names replace the integers that `datasets` stores, also in lists and in objects."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from nlpmtl.config import parse_dataset
from nlpmtl.data import class_labels
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.tasks import Task
from tests.tiny import write_tokenizer

NAMES = ["neg", "pos", "neu"]
SPAN = {"start": Value("int32"), "end": Value("int32"), "label": ClassLabel(names=["PER", "LOC"])}
COLUMNS: dict[str, tuple[Any, Any]] = {
    "text": (Value("string"), ["ada sings", "rome", "a cat"]),
    "votes": (List(ClassLabel(names=NAMES)), [[0, 0], [1, 1], [2, 1]]),
    "sets": (List(List(ClassLabel(names=NAMES))), [[[0, 2]], [[1], []], [[]]]),
    "choices": (List(Value("string")), [["x", "y"]] * 3),
    "class": (ClassLabel(names=["no", "yes"]), [1, -1, 1]),
    "spans": (List(SPAN), [[{"start": 0, "end": 3, "label": 0}], [{"start": 0, "end": 4, "label": 1}], []]),
}


@pytest.fixture(scope="module", params=["in memory", "parquet", "saved"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    features = Features({name: feature for name, (feature, _) in COLUMNS.items()})
    dataset = Dataset.from_dict({name: values for name, (_, values) in COLUMNS.items()}, features=features)
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    if request.param == "in memory":
        return dataset
    dataset.to_parquet(path) if request.param == "parquet" else dataset.save_to_disk(path)
    return str(path)


def labels_of(rows: Any, directory: Path, *, input: dict[str, str], **task: Any) -> tuple[Task, list[Any]]:
    """Return a task, and the parsed labels of its rows."""
    table = {"data": {"files": {"train": rows}}, "input": input, "tasks": {"t": task}}
    work = load_task_datasets(
        {"d": parse_dataset(table, where="d")}, tokenizer=write_tokenizer(directory), max_length=24
    )
    labels = work.splits["train"]["d"].labels["t"]
    return work.tasks["t"], [labels.example_labels(row) for row in range(3)]


def test_the_examples_run() -> None:
    assert doctest.testmod(class_labels) == doctest.TestResults(failed=0, attempted=6)


def test_votes_are_names_whatever_the_order_of_the_labels(rows: Any, tmp_path: Path) -> None:
    declared = ["neg", "neu", "pos"]
    text = {"text": "text"}
    _, labels = labels_of(rows, tmp_path, input=text, kind="classification", soft="votes", labels=declared)
    assert [row["soft"] for row in labels] == [{"neg": 1.0}, {"pos": 1.0}, {"neu": 0.5, "pos": 0.5}]
    _, labels = labels_of(rows, tmp_path, input=text, kind="multilabel", soft="sets", labels=declared)
    assert [row["soft"] for row in labels] == [{"neg": 1.0, "neu": 1.0}, {"pos": 0.5}, {}]


def test_the_labels_of_spans_are_names(rows: Any, tmp_path: Path) -> None:
    task, labels = labels_of(rows, tmp_path, input={"text": "text"}, kind="spans", label="spans")
    assert task.labels == ("LOC", "PER")
    assert [row["label"] for row in labels] == [[[0, 3, "PER"]], [[0, 4, "LOC"]], []]
    task, labels = labels_of(rows, tmp_path, input={"words": "text"}, kind="labeling", label="spans")
    assert set(task.labels) == {"O", "B-LOC", "B-PER"}
    assert [row["label"] for row in labels] == [["B-PER", "O"], ["B-LOC"], ["O", "O"]]


@pytest.mark.parametrize(("kind", "label"), [("multiple_choice", 1), ("embedding", "1")])
def test_minus_one_is_no_label(kind: str, label: Any, rows: Any, tmp_path: Path) -> None:
    inputs = {"text": "text", "choices": "choices"} if kind == "multiple_choice" else {"text": "text"}
    _, labels = labels_of(rows, tmp_path, input=inputs, kind=kind, label="class")
    assert labels == [{"label": label}, {}, {"label": label}]
