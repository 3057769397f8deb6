"""Soft labels: distributions and votes of annotators for classification, sentiment, multilabel and multiple choice."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import nlpmtl.tasks.soft_labels
from nlpmtl import ConfigError, DataError
from nlpmtl.config import parse_dataset
from nlpmtl.data import ClassLabels, Example, TaskBatch
from nlpmtl.registry import COLUMN_TYPES
from nlpmtl.task_datasets import TaskDatasets, load_split, load_task_datasets
from nlpmtl.tasks import Classification, Multilabel
from nlpmtl.tasks.soft_labels import to_array
from tests.tiny import max_weight_difference, train_tiny, write_encoder, write_tokenizer

CHOICES = Example(extra={"choices": ["x", "y", "z"]})


def parse(type_: str, value: Any, example: Example = CHOICES) -> Any:
    return COLUMN_TYPES.get(type_).parse(value, example)  # type: ignore[attr-defined]


def table_of(rows: Any, *, kind: str = "classification", **task: Any) -> dict[str, Any]:
    options = {"kind": kind, **task}
    files = {"train": rows, "validation": rows}
    return {"data": {"files": files}, "input": {"text": "text"}, "tasks": {"mood": options}}


def load(directory: Path, *tables: dict[str, Any]) -> TaskDatasets:
    configs = {f"d{i}": parse_dataset(table, where="d") for i, table in enumerate(tables)}
    return load_task_datasets(configs, tokenizer=write_tokenizer(directory), max_length=24)


def row(label: Any = None, soft: Any = None) -> dict[str, Any]:
    return {"text": "a cat", "mood": label, "votes": soft}


def distributions(work: TaskDatasets, dataset: str = "d0") -> list[list[float]]:
    labels = work.splits["train"][dataset].labels["mood"]
    rows = np.flatnonzero(labels.counts).tolist()
    return labels.targets(rows, first_tokens=None, sequence_length=0)["distribution"].tolist()


def test_the_examples_run() -> None:
    assert doctest.testmod(nlpmtl.tasks.soft_labels).failed == 0


@pytest.mark.parametrize(
    ("type_", "value", "parsed"),
    [
        ("distribution", {"a": 0.25, "b": 0.75}, {"a": 0.25, "b": 0.75}),
        ("distribution", {"a": 0.33, "b": 0.33, "c": 0.33}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ("distribution", {"a": 1.0, "b": None}, {"a": 1.0}),
        ("distribution", ["a", "b", "a", "a"], {"a": 0.75, "b": 0.25}),
        ("distribution", [1, 1.0, "0", 0], {"1": 0.5, "0": 0.5}),
        ("distribution", '["a", "b"]', {"a": 0.5, "b": 0.5}),
        ("distribution", [0, 1], {"0": 0.5, "1": 0.5}),
        ("distribution", [3.5, 4.0], {"3.5": 0.5, "4": 0.5}),
        ("label_probabilities", {"a": 0.9, "b": 0.8}, {"a": 0.9, "b": 0.8}),
        ("label_probabilities", [["a", "b"], ["a"], [], ["a", "a"]], {"a": 0.75, "b": 0.25}),
        ("label_probabilities", [[0, 2], [1, 0], [2, 2]], {"0": 2 / 3, "1": 1 / 3, "2": 2 / 3}),
        ("choice_distribution", {"x": 0.5, "z": 0.5}, [0.5, 0.0, 0.5]),
        ("choice_distribution", ["y", 2, "C", "y"], [0.0, 0.5, 0.5]),
    ],
)
def test_values(type_: str, value: Any, parsed: Any) -> None:
    assert parse(type_, value) == (pytest.approx(parsed) if parsed is not None else None)


@pytest.mark.parametrize(
    ("type_", "value", "rule"),
    [
        ("distribution", {"a": 0.5, "b": 0.3}, "must sum to 1, and sum to 0.8"),
        ("distribution", {"a": 1.5, "b": -0.5}, "a: a probability from 0 to 1"),
        ("distribution", {"a": True}, "a: a probability from 0 to 1"),
        ("distribution", [], "a mapping from labels to probabilities, or a list of the labels"),
        ("distribution", {}, "a mapping from labels to probabilities, or a list of the labels"),
        ("distribution", "a", "a mapping from labels to probabilities, or a list of the labels"),
        ("distribution", ["a", None], "a label name was expected"),
        ("label_probabilities", ["a", "b"], "a list with the list of labels of each annotator"),
        ("label_probabilities", [], "a list with the list of labels of each annotator"),
        ("label_probabilities", [[1, 0], [0, 1, 0]], "found a 0 or 1 for each label"),
        ("label_probabilities", [[0.0, 0.0]], "found a 0 or 1 for each label"),
        ("choice_distribution", {"x": 0.5, "0": 0.5}, "0: two keys name this label"),
        ("choice_distribution", ["w"], "the text of one of the 3 choices"),
        ("choice_distribution", [1.0, 0.0, 0.0], "write probabilities as a mapping"),
        ("distribution", [0.25, 0.75], "write probabilities as a mapping"),
        ("distribution", "[0, 1.0]", "write probabilities as a mapping"),
    ],
)
def test_wrong_values_are_refused(type_: str, value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse(type_, value)


def test_a_name_may_be_an_index_unless_labels_are_numbers() -> None:
    assert to_array({"1": 0.75, "a": 0.25}, ["a", "b"]).tolist() == [0.25, 0.75]
    assert to_array({"1": 1.0}, ["1", "2"]).tolist() == [1.0, 0.0]
    for name in ("2", "c", "-1"):
        with pytest.raises(DataError, match=f"soft: '{name}' is not in the list of labels"):
            to_array({name: 1.0}, ["a", "b"])


def test_names_of_one_label_are_added() -> None:
    assert to_array({"a": 0.25, "0": 0.5, " a": 0.25}, ["a", "b"]).tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="soft: two names are the label 'a'"):
        to_array({"a": 0.75, "0": 0.75}, ["a", "b"])


@pytest.mark.parametrize(
    ("labels", "soft", "expected"),
    [
        (["a ", "b"], {" a": 0.25, "b": 0.75}, ["a", "b"]),
        (["\u00e9", "b"], {"e\u0301": 0.25, "b": 0.75}, ["b", "\u00e9"]),
        ([True, False], {"True": 0.25, "False": 0.75}, ["false", "true"]),
        ([1.0, 2], {"1.0": 0.25, "2": 0.75}, ["1", "2"]),
        ([None, None], {"1.0": 0.25, "+2": 0.75}, ["1", "2"]),
    ],
)
def test_names_are_compared_as_in_the_label_column(
    labels: list[Any], soft: Any, expected: list[str], tmp_path: Path
) -> None:
    work = load(tmp_path, table_of([row(label, soft) for label in labels], label="mood", soft="votes"))
    assert work.tasks["mood"].labels == tuple(expected)
    first = [0.25, 0.75] if expected[0] != "b" and expected[0] != "false" else [0.75, 0.25]
    assert distributions(work) == [pytest.approx(first)] * 2


@pytest.mark.parametrize("names", [(["a", "b"], [0, 1]), (["a", "b"], ["a", 1]), ([0, 1], ["a", "b"])])
def test_numbers_and_names_of_labels_without_a_list_are_refused(names: Any, tmp_path: Path) -> None:
    labels, votes = names
    rows = [row(label, votes) for label in labels]
    with pytest.raises(ConfigError, match=r"task 'mood': `label` has the labels .*, `soft` has .*: write the names"):
        load(tmp_path, table_of(rows, label="mood", soft="votes"))
    if labels == ["a", "b"]:
        work = load(tmp_path, table_of(rows, label="mood", soft="votes", labels=["a", "b"]))
        assert distributions(work) == [[0.5, 0.5]] * 2


def test_rows_have_their_distribution_or_all_of_it_on_their_label(tmp_path: Path) -> None:
    rows = [row("a", ["a", "b"]), row("b"), row(None, {"a": 0.2, "c": 0.8}), row()]
    work = load(tmp_path, table_of(rows, label="mood", soft="votes"))
    task, split = work.tasks["mood"], work.splits["train"]["d0"]
    assert task.labels == ("a", "b", "c")  # c is in no label
    assert task.metrics == ("accuracy", "soft_cross_entropy")
    assert split.labels["mood"].counts.tolist() == [1, 1, 1, 0]
    assert distributions(work) == [pytest.approx(p) for p in ([0.5, 0.5, 0], [0, 1, 0], [0.2, 0, 0.8])]
    assert [task.gold(split.example(index, "mood")) for index in range(4)] == ["a", "b", None, None]


def test_without_a_label_the_only_metric_is_the_soft_cross_entropy(tmp_path: Path) -> None:
    work = load(tmp_path, table_of([row(soft=["a", "b"]), row(soft=["b"])], soft="votes"))
    assert work.tasks["mood"].metrics == ("soft_cross_entropy",)
    assert work.tasks["mood"].labels == ("a", "b")


def test_a_task_of_two_datasets_may_have_distributions_in_one(tmp_path: Path) -> None:
    soft = table_of([row("a", ["a", "b"])], label="mood", soft="votes")
    hard = table_of([row("b"), row("a")], label="mood")
    work = load(tmp_path, soft, hard)
    assert distributions(work, "d1") == [[0.0, 1.0], [1.0, 0.0]]


def test_without_soft_labels_the_labels_are_read_as_before(tmp_path: Path) -> None:
    work = load(tmp_path, table_of([row("a"), row("b"), row()], label="mood"))
    labels = work.splits["train"]["d0"].labels["mood"]
    assert isinstance(labels, ClassLabels)
    assert work.tasks["mood"].metrics == ("accuracy",)


def test_an_unknown_label_is_an_error_with_its_place(tmp_path: Path) -> None:
    options: dict[str, Any] = {"label": "mood", "soft": "votes", "labels": ["a", "b"]}
    with pytest.raises(DataError, match=r"d0: train, row 2: task 'mood': soft: 'c' is not in the list of labels"):
        load(tmp_path, table_of([row("a"), row("b", ["a", "c"])], **options))
    with pytest.raises(DataError, match=r"d0: train, row 2: mood: 'c' is not in the list of labels"):
        load(tmp_path, table_of([row("a", ["b"]), row("c")], **options))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"loss": {"kind": "focal"}}, "`soft`: the loss function 'focal' does not support distributions"),
        ({"class_weights": {"a": 2.0}}, "`class_weights` are not defined for the distributions of `soft`"),
    ],
)
def test_options_that_do_not_go_with_distributions_are_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_dataset(table_of([], soft="votes", **options), where="d")


def test_the_loss_equals_torch() -> None:
    task = Classification(name="t", labels=("a", "b", "c"), input="text", metrics=None, label_smoothing=0.1)
    logits, target = torch.randn(4, 3), torch.rand(4, 3).softmax(dim=1)
    loss = task.loss({"logits": logits}, TaskBatch(torch.arange(4), {"distribution": target}))
    expected = functional.cross_entropy(logits, target, label_smoothing=0.1, reduction="none")
    assert torch.allclose(loss, expected)
    one_hot = functional.one_hot(torch.tensor([0, 2, 1, 1]), 3).double()
    soft = task.loss({"logits": logits}, TaskBatch(torch.arange(4), {"distribution": one_hot}))
    hard = task.loss({"logits": logits}, TaskBatch(torch.arange(4), {"label": torch.tensor([0, 2, 1, 1])}))
    assert torch.allclose(soft, hard)


def test_probabilities_of_sets_of_labels(tmp_path: Path) -> None:
    rows = [row(["a"], [["a", "b"], ["a"]]), row(["b"]), row(None, {"c": 0.4})]
    work = load(tmp_path, table_of(rows, kind="multilabel", label="mood", soft="votes"))
    task, labels = work.tasks["mood"], work.splits["train"]["d0"].labels["mood"]
    targets = labels.targets([0, 1, 2], first_tokens=None, sequence_length=0)["label"]
    assert targets.tolist() == [pytest.approx(p) for p in ([1, 0.5, 0], [0, 1, 0], [0, 0, 0.4])]
    assert isinstance(task, Multilabel)
    logits = torch.randn(3, 3)
    loss = task.loss({"logits": logits}, TaskBatch(torch.arange(3), {"label": targets}))
    expected = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    assert torch.allclose(loss, expected)


def test_an_evaluation_reads_data_without_the_distributions(tmp_path: Path) -> None:
    work = load(tmp_path, table_of([row("a", ["a", "b"]), row("b")], label="mood", soft="votes"))
    rows = [{"text": "a cat", "mood": "b"}, {"text": "a cat", "mood": "new"}]
    table = {**table_of(rows, label="mood", soft="votes"), "data": {"files": {"test": rows}}}
    options: dict[str, Any] = {"tokenizer": write_tokenizer(tmp_path), "max_length": 24, "split": "test"}
    loaded = load_split({"d": parse_dataset(table, where="d")}, tasks=work.tasks, **options)
    assert not any("is not scored" in note for note in loaded.notes)
    split = loaded.splits["test"]["d"]
    assert [loaded.tasks["mood"].gold(split.example(index, "mood")) for index in (0, 1)] == ["b", "new"]
    assert split.labels["mood"].counts.tolist() == [1, 0]


def run_of(directory: Path, rows: list[dict[str, Any]], **task: Any) -> dict[str, Any]:
    return {
        "output": str(directory),
        "encoder": {"name": str(write_encoder(directory.parent / "encoder", dropout=0.0)), "max_length": 24},
        "datasets": {"d": table_of(rows, **task)},
        "train": {"steps": 6, "batch_size": 8, "lr": 1e-3, "precision": "fp64"},
    }


@pytest.mark.slow
def test_certain_distributions_train_the_same_model_as_labels(tmp_path: Path) -> None:
    texts = ["ada lives in turin", "the kettle is awful", "a good film", "a bad book"]
    rows = [{"text": text, "mood": "ab"[i % 2], "votes": ["ab"[i % 2]] * 3} for i, text in enumerate(texts * 4)]
    hard = train_tiny(run_of(tmp_path / "hard", rows, label="mood"))
    soft = train_tiny(run_of(tmp_path / "soft", rows, label="mood", soft="votes"))
    only = train_tiny(run_of(tmp_path / "only", rows, soft="votes"))
    assert max_weight_difference(hard.model_dir, soft.model_dir) < 1e-9
    assert max_weight_difference(hard.model_dir, only.model_dir) < 1e-9
    scores = soft.result.scores
    assert scores is not None
    assert scores["mood"]["rows"] == 16
    assert scores["mood"]["score"] == scores["mood"]["accuracy"]
    alone = only.result.scores
    assert alone is not None
    assert alone["mood"]["score"] == pytest.approx(-(scores["mood"]["soft_cross_entropy"] or 0.0), abs=1e-6)
