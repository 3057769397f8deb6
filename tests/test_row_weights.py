"""The key `weight` of tasks: weights of rows in the loss and its count, not in metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl import ConfigError, DataError
from nlpmtl.config import parse_dataset
from nlpmtl.data import Collator
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import Classification, label_shapes
from tests.tiny import max_weight_difference, train_tiny, write_encoder, write_rows, write_tokenizer

TEXTS = ["ada lives in turin", "the kettle is awful", "a good film", "a bad book"]


def rows_of(*weights: Any) -> list[dict[str, Any]]:
    return [{"text": TEXTS[i % 4], "topic": "ab"[i % 2], "w": weight} for i, weight in enumerate(weights)]


def table_of(rows: Any, validation: Any = None, **task: Any) -> dict[str, Any]:
    options = {"kind": "classification", "label": "topic", "weight": "w", **task}
    files = {"train": rows, **({} if validation is None else {"validation": validation})}
    return {"data": {"files": files}, "input": {"text": "text"}, "tasks": {"topic": options}}


def load(directory: Path, table: dict[str, Any]) -> TaskDatasets:
    config = parse_dataset(table, where="d")
    return load_task_datasets({"d": config}, tokenizer=write_tokenizer(directory), max_length=24)


def test_weights_are_in_the_loss_and_its_count(tmp_path: Path) -> None:
    work = load(tmp_path, table_of(rows_of(2, 0.5, None, 0)))
    split = work.splits["train"]["d"]
    assert split.weights["topic"].tolist() == [2.0, 0.5, 1.0, 0.0]
    assert split.labels["topic"].counts.tolist() == [1, 1, 1, 0]
    collate = Collator([split], pad=0, types=True)
    batch = collate([(0, row) for row in range(4)])
    assert batch.tasks["topic"].weight is not None
    assert batch.tasks["topic"].weight.tolist() == [2.0, 0.5, 1.0]
    stats = collate.count([(0, row) for row in range(4)])
    assert (stats.items["topic"], stats.rows["topic"]) == (3.5, 3)
    assert "topic" not in collate.count([(0, 3)]).items  # a step of rows of weight 0 has no loss


def test_weights_are_not_read_for_metrics(tmp_path: Path) -> None:
    without = [{key: value for key, value in row.items() if key != "w"} for row in rows_of(1, 1)]
    work = load(tmp_path, table_of(rows_of(2, 0.5), validation=without))
    assert work.splits["validation"]["d"].weights == {}
    work = load(tmp_path, table_of(rows_of(2, 0.5), validation=rows_of(0, 9)))
    assert work.splits["validation"]["d"].weights == {}
    assert work.splits["validation"]["d"].labels["topic"].counts.tolist() == [1, 1]


def test_rows_of_weight_0_are_not_read_for_what_a_task_computes_from_train(tmp_path: Path) -> None:
    grades, weights = (1, 3, 9999, 1e300), (1, 2, 0, 0)
    rows = [{"text": TEXTS[i], "grade": grade, "w": weights[i]} for i, grade in enumerate(grades)]
    (task,) = load(tmp_path, table_of(rows, kind="regression", label="grade")).tasks.values()
    assert task.to_config()["target"] == {"mean": 2.0, "std": 1.0}
    rows = [{"text": TEXTS[i], "topic": label, "p": None, "w": (1, 1, 0, 0)[i]} for i, label in enumerate("abbb")]
    for options in ({"class_weights": "balanced"}, {"soft": "p"}):
        (task,) = load(tmp_path, table_of(rows, **options)).tasks.values()
        assert isinstance(task, Classification)
        assert task._counts == [1, 1]


def test_rows_that_all_have_the_weight_0_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task 'topic': no labelled train row in .* all of them have the weight 0"):
        load(tmp_path, table_of(rows_of(0, 0)))


@pytest.mark.parametrize(
    ("value", "rule"),
    [(-0.5, "a weight of at least 0 was expected"), ("heavy", "a number was expected")],
)
def test_a_wrong_weight_is_reported_with_file_and_line(tmp_path: Path, value: object, rule: str) -> None:
    path = write_rows(tmp_path / "train.jsonl", rows_of(1, value))
    with pytest.raises(DataError, match=f"train.jsonl:2: w: {rule}"):
        load(tmp_path, table_of(str(path)))


def test_the_column_must_exist_in_train(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.jsonl", [{"text": "a", "topic": "a"}, {"text": "b", "topic": "b"}])
    with pytest.raises(ConfigError, match="column 'w' not found"):
        load(tmp_path, table_of(str(path)))


def test_a_weight_of_the_task_belongs_elsewhere() -> None:
    with pytest.raises(ConfigError, match=r"tasks.topic.weight: the column of the weights of rows was expected"):
        parse_dataset(table_of([], weight=0.5), where="d")


def test_a_column_cannot_be_a_weight_and_a_label() -> None:
    config = parse_dataset(table_of([], label="w", weight="w"), where="d")
    with pytest.raises(ConfigError, match="the column 'w' is read in two ways, as class and as weight"):
        label_shapes("d", config)


def run_of(directory: Path, rows: list[dict[str, Any]], *, batch_size: int, **task: Any) -> dict[str, Any]:
    return {
        "output": str(directory),
        "encoder": {"name": str(write_encoder(directory.parent / "encoder", dropout=0.0)), "max_length": 24},
        "datasets": {"d": table_of(rows, validation=rows, **task)},
        "train": {"steps": 3, "batch_size": batch_size, "lr": 1e-3, "precision": "fp64"},
    }


@pytest.mark.parametrize("kind", ["classification", pytest.param("multilabel", marks=pytest.mark.slow)])
def test_a_weight_of_two_is_the_row_twice_and_one_of_zero_leaves_it_out(tmp_path: Path, kind: str) -> None:
    """Each step has all rows, so the order in which they are drawn does not matter."""

    def rows(*weights: float) -> list[dict[str, Any]]:
        made = rows_of(*weights)
        return [{**row, "topic": [row["topic"]] if kind == "multilabel" else row["topic"]} for row in made]

    four, twice = rows(2, 1, 1, 0), rows(1, 1, 1, 1)
    table = {"kind": kind}
    weighted = train_tiny(run_of(tmp_path / "weighted", four, batch_size=4, **table))
    repeated = train_tiny(run_of(tmp_path / "repeated", [*twice[:3], twice[0]], batch_size=4, **table))
    uniform = train_tiny(run_of(tmp_path / "uniform", rows(1, 1, 1, 1), batch_size=4, **table))
    assert max_weight_difference(weighted.model_dir, repeated.model_dir) < 1e-9
    assert max_weight_difference(weighted.model_dir, uniform.model_dir) > 1e-6


def test_changed_weights_are_noticed_when_a_run_is_resumed(tmp_path: Path) -> None:
    first, second, none = (
        load(tmp_path, table_of(rows_of(2, weight), **({} if named else {"weight": None}))).fingerprint()["splits"]
        for weight, named in ((1, True), (3, True), (1, False))
    )
    labels = [splits["d"]["train"]["labels"]["topic"] for splits in (first, second, none)]
    assert len(set(labels)) == 3
    assert np.all([splits["d"]["train"]["inputs"] == first["d"]["train"]["inputs"] for splits in (second, none)])
