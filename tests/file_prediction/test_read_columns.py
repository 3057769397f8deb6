"""Columns that are read: the printed text is that of the predictions, and other columns are not checked."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from nlpmtl import Predictor, predict_files
from nlpmtl.cli import app

if TYPE_CHECKING:
    from tests.tiny import Trained

WORDS = ["A", "cat", "'s", "here", "."]


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """A model whose task `topic` was trained on texts in the column `sentence`."""
    return change_columns(trained.model_dir, tmp_path / "model", topic={"text": "sentence"})


def change_columns(model: Path, copy: Path, **columns: dict[str, str]) -> Path:
    shutil.copytree(model, copy)
    config = json.loads((copy / "config.json").read_text())
    for task, read in columns.items():
        config["tasks"][task]["input_columns"] = [read]
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def predict(model: Path, path: Path, *tasks: str) -> dict[str, Any]:
    """Return the only line that `nlpmtl predict` prints for a file."""
    options = [part for task in tasks for part in ("--task", task)]
    result = CliRunner().invoke(app, ["predict", str(model), "--input", str(path), *options])
    assert result.exit_code == 0, result.output
    row: dict[str, Any] = json.loads(result.stdout)
    return row


@pytest.mark.parametrize(
    ("name", "content", "task", "printed", "read"),
    [
        (
            "a.jsonl",
            json.dumps({"text": "A cat's  here.", "words": WORDS}),
            "mood",
            {"text": "A cat's  here.", "words": WORDS},
            "A cat's  here.",
        ),
        ("a.jsonl", json.dumps({"words": WORDS}), "mood", {"text": "A cat 's here ."}, {"words": WORDS}),
        ("a.csv", "words\nA cat.\n", "mood", {"text": "A cat."}, {"words": ["A", "cat."]}),
        ("a.jsonl", json.dumps({"text": "ada", "words": 4}), "mood", {"text": "ada", "words": 4}, "ada"),
        (
            "a.csv",
            "sentence,words\nA small cat.,3\n",
            "topic",
            {"sentence": "A small cat.", "words": "3"},
            "A small cat.",
        ),
        (
            "a.csv",
            "sentence,words\nA small cat.,\"['A', 'small']\"\n",
            "topic",
            {"sentence": "A small cat.", "words": "['A', 'small']"},
            "A small cat.",
        ),
    ],
)
def test_the_printed_text_is_the_one_that_was_read(
    name: str, content: str, task: str, printed: dict[str, Any], read: Any, model: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    row = predict(model, tmp_path / name, task)
    predictions = row.pop("predictions")
    assert row == printed
    assert predictions == {task: Predictor.from_pretrained(model).predict(read, task=task)}


def test_a_text_in_the_column_words(trained: Trained, tmp_path: Path) -> None:
    model = change_columns(trained.model_dir, tmp_path / "model", topic={"text": "words"})
    (tmp_path / "a.jsonl").write_text(json.dumps({"words": "A small cat."}))
    row = predict(model, tmp_path / "a.jsonl", "topic")
    assert row == {"words": "A small cat.", "predictions": row["predictions"]}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"sentence": "a cat", "words": [3, 4]}, None),
        ({"sentence": "a cat", "words": ["x", "y"]}, None),
        ({"words": ["x", "y"]}, "x y"),
        ({"text": None, "words": ["x", "y"]}, None),
    ],
)
def test_a_file_has_the_text_of_words_that_were_read(
    row: dict[str, Any], text: str | None, model: Path, tmp_path: Path
) -> None:
    """Offsets refer to it; it is not added to a row whose words no task reads."""
    (tmp_path / "new.jsonl").write_text(json.dumps(row))
    predict_files(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl", tasks=["topic"])
    written = json.loads((tmp_path / "out.jsonl").read_text())
    assert written.pop("predictions").keys() == {"topic"}
    assert written == (row if text is None else {**row, "text": text})


def test_words_that_no_task_reads_are_not_checked(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("sentence,words\nA small cat.,\"['A', 'small']\"\n")
    predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", tasks=["topic"])
    with (tmp_path / "out.csv").open() as file:
        [row] = csv.DictReader(file)
    expected = Predictor.from_pretrained(model).predict("A small cat.", task="topic")
    assert (row["words"], row["topic"]) == ("['A', 'small']", expected["label"])


@pytest.mark.parametrize(
    ("header", "columns", "options"),
    [
        ("text,pair", {}, {}),
        ("review,answer", {}, {"text_column": ["review", "answer"]}),
        ("text,other", {"grade": {"text": "text", "pair": "other"}}, {}),
        ("premise,other", {"grade": {"text": "premise", "pair": "other"}, "topic": {"text": "premise"}}, {}),
    ],
)
def test_an_empty_cell_of_the_pair(
    header: str, columns: dict[str, Any], options: dict[str, Any], trained: Trained, tmp_path: Path
) -> None:
    """The row is a single text, or an empty second text if all tasks to predict read pairs."""
    model = change_columns(trained.model_dir, tmp_path / "model", **columns)
    (tmp_path / "new.csv").write_text(f"{header}\na cat,\na cat,b\n")
    predict_files(model, tmp_path / "new.csv", tmp_path / "all.jsonl", **options)
    predict_files(model, tmp_path / "new.csv", tmp_path / "grade.jsonl", tasks=["grade"], **options)
    first, second = predicted(tmp_path / "all.jsonl")
    assert ("topic" in first, "grade" in first, "grade" in second) == (True, False, True)
    expected = Predictor.from_pretrained(model).predict([("a cat", ""), ("a cat", "b")], task="grade")
    assert predicted(tmp_path / "grade.jsonl") == [{"grade": prediction} for prediction in expected]


def test_an_empty_cell_that_another_task_reads_as_its_text(trained: Trained, tmp_path: Path) -> None:
    columns = {"grade": {"text": "text", "pair": "other"}, "kinds": {"text": "other"}}
    model = change_columns(trained.model_dir, tmp_path / "model", **columns)
    (tmp_path / "new.csv").write_text("text,other\na cat,\n")
    predict_files(model, tmp_path / "new.csv", tmp_path / "out.jsonl", tasks=["grade", "kinds"])
    predictor = Predictor.from_pretrained(model)
    expected = {"grade": predictor.predict(("a cat", ""), task="grade"), "kinds": predictor.predict("", task="kinds")}
    assert predicted(tmp_path / "out.jsonl") == [expected]


def predicted(path: Path) -> list[Any]:
    return [json.loads(line)["predictions"] for line in path.read_text().splitlines()]
