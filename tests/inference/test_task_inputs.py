"""Inputs that `Predictor.predict` accepts and refuses."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from nlpmtl import ConfigError, DataError, MultiTaskModel, Predictor
from nlpmtl.inference.containers import open_container
from tests.tiny import Trained, make_rows, read_json

ROWS = make_rows(7, seed=21)
TEXTS = [row["text"] for row in ROWS]
FRAME = pd.DataFrame(ROWS)


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor.from_pretrained(trained.model_dir)


class CountedName(str):
    """A column name that counts its comparisons."""

    comparisons: ClassVar[int] = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.comparisons += 1
        return str.__eq__(self, other)


class Mood(StrEnum):
    SAD = "an awful film"


def test_each_column_name_of_a_table_is_compared_with_few_others() -> None:
    names = [CountedName(f"column {number}") for number in range(2000)]
    frame = pd.DataFrame([["a"] * 2000], columns=pd.Index(names, dtype=object))
    CountedName.comparisons = 0
    container = open_container(frame)
    assert container is not None
    assert container.columns == tuple(names)
    assert CountedName.comparisons < 4 * len(names)


@pytest.mark.parametrize(
    "make",
    [
        lambda texts: pd.DataFrame({"text": texts, "id": range(len(texts))}),
        lambda texts: pd.DataFrame({"id": range(len(texts)), "text": texts}, index=range(len(texts), 0, -1)),
        lambda texts: pd.DataFrame({0: texts, "text": texts}).astype(object),
        pd.Series,
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pd.DataFrame({"title": texts})["title"],
        pd.Index,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
        pa.array,
        lambda texts: pa.chunked_array([texts[:2], texts[2:]]),
        lambda texts: pa.table({"text": texts}),
        lambda texts: pa.record_batch({"text": texts}),
        lambda texts: datasets.Dataset.from_dict({"text": texts, "n": list(range(len(texts)))}),
        lambda texts: datasets.Dataset.from_dict({"text": texts}).with_format("numpy"),
        lambda texts: datasets.Dataset.from_dict({"text": texts}).with_format("pandas"),
        lambda texts: datasets.Dataset.from_dict({"text": [*texts, "x"]}).select(range(len(texts))),
        lambda texts: datasets.Dataset.from_dict({"text": texts})["text"],
        lambda texts: dict(enumerate(texts)).values(),
        lambda texts: dict.fromkeys(texts),
        lambda texts: [{"text": text, "id": 1} for text in texts],
        lambda texts: [pa.scalar(text) for text in texts],
    ],
)
def test_one_prediction_per_row_in_row_order(predictor: Predictor, make: Callable[[list[str]], Any]) -> None:
    inputs = make(TEXTS)
    if isinstance(inputs, dict):
        inputs = inputs.keys()
    predictions = predictor.predict(inputs, task="topic")
    assert isinstance(predictions, list)
    assert predictions == predictor.predict(TEXTS, task="topic")


@pytest.mark.parametrize(
    "make",
    [
        iter,
        lambda texts: (text for text in texts),
        lambda texts: map(str, texts),
        lambda texts: datasets.Dataset.from_dict({"text": texts}).to_iterable_dataset(),
        lambda texts: (row for _, row in pd.DataFrame({"text": texts}).to_dict("index").items()),
    ],
)
def test_inputs_without_a_length_give_an_iterator(predictor: Predictor, make: Callable[[list[str]], Any]) -> None:
    predictions = predictor.predict(make(TEXTS), task="topic")
    assert isinstance(predictions, Iterator)
    assert list(predictions) == predictor.predict(TEXTS, task="topic")


@pytest.mark.parametrize("text", [np.str_("an awful film"), Mood.SAD, pa.scalar("an awful film")])
def test_other_kinds_of_strings_are_one_text(predictor: Predictor, text: Any) -> None:
    expected = predictor.predict_all("an awful film")
    assert predictor.predict_all([text]) == [expected]
    if isinstance(text, str):
        assert predictor.predict_all(text) == expected


@pytest.mark.parametrize(
    "table",
    [FRAME, datasets.Dataset.from_list(ROWS), pa.Table.from_pylist(ROWS), ROWS],
    ids=["DataFrame", "Dataset", "Table", "dicts"],
)
def test_a_table_with_the_training_columns_serves_every_task(predictor: Predictor, table: Any) -> None:
    """`topic`, `mood` and `places` were trained on `tokens`, `kinds` on `text`, `grade` on `text` and `other`."""
    predictions = predictor.predict_all(table)
    assert [list(prediction) for prediction in predictions] == [list(predictor.tasks)] * len(ROWS)
    words = [{"words": row["tokens"]} for row in ROWS]
    pairs = [(row["text"], row["other"]) for row in ROWS]
    for task, inputs in {"places": words, "topic": words, "kinds": TEXTS, "grade": pairs}.items():
        expected = predictor.predict(inputs, task=task)
        assert predictor.predict(table, task=task) == expected
        assert json.dumps([prediction[task] for prediction in predictions])[:80] == json.dumps(expected)[:80]
    assert [list(prediction) for prediction in predictor.predict_all(table, tasks=["grade", "topic"])] == [
        ["grade", "topic"]
    ] * 7


def test_training_columns_take_precedence_over_text_and_words(predictor: Predictor) -> None:
    frame = pd.DataFrame({"text": ["a cat"] * 2, "tokens": [["ada", "lives"], ["rome"]]})
    assert predictor.predict(frame, task="topic") == predictor.predict(
        [{"words": ["ada", "lives"]}, {"words": ["rome"]}], task="topic"
    )
    assert predictor.predict(frame, task="kinds") == predictor.predict(["a cat"] * 2, task="kinds")
    assert predictor.predict(frame[["text"]], task="topic") == predictor.predict(["a cat"] * 2, task="topic")


def test_pairs_and_words_of_a_table(predictor: Predictor) -> None:
    pairs = pd.DataFrame({"pair": ["b", "rome"], "text": ["a", "a cat"]})
    assert predictor.predict(pairs, task="grade") == predictor.predict([("a", "b"), ("a cat", "rome")], task="grade")
    words = [["ada", "lives"], ["rome"]]
    expected = predictor.predict([{"words": row} for row in words], task="places")
    for column in (words, [np.array(row) for row in words], [tuple(row) for row in words]):
        assert predictor.predict(pd.DataFrame({"words": column}), task="places") == expected
    assert predictor.predict(pa.table({"words": words}), task="places") == expected


def test_a_table_without_rows_gives_no_prediction(predictor: Predictor) -> None:
    for empty in (
        FRAME.iloc[:0],
        pd.Series([], dtype=object),
        np.array([], dtype=str),
        pa.table({"text": []}),
        iter(()),
    ):
        assert list(predictor.predict_all(empty)) == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, r"input 1: .* found None"),
        (float("nan"), r"input 1: .* found nan \(float\)"),
        (3, r"input 1: .* found 3 \(int\)"),
        (b"a cat", r"input 1: .* found b'a cat' \(bytes\)"),
        ({"a cat"}, r"input 1: .* found {'a cat'} \(set\)"),
        (pd.NA, r"input 1: .* found <NA> \(NAType\)"),
        (Path("a.txt"), r"input 1: .* \(PosixPath\)"),
        (object, r"input 1: .* found <class 'object'> \(type\)"),
        (["a", None], "input 2: missing or null, found None"),
        (["a", float("nan")], r"input 2: a string was expected, found nan \(float\)"),
        (["a", 7], r"input 2: a string was expected, found 7 \(int\)"),
        (["a", b"b"], r"input 2: a string was expected, found b'b' \(bytes\)"),
        (["a", ["b", "c"]], "input 2: pass pre-tokenized words as"),
        (["a", ("b", 3)], r"input 2: a string was expected, found 3 \(int\)"),
        (("a", "b", "c"), "input 1: a pair has two texts, found 3; pass several inputs as a list"),
        ((), "input 1: a pair has two texts, found 0"),
        (pd.Series(["a", None]), r"input 2: .* found (nan \(float\)|None)"),
        (pd.Series([1.5, 2.5]), r"input 1: a string was expected, found 1.5 \(float\)"),
        (np.array([1, 2]), r"input 1: a string was expected, found np.int64\(1\) \(int64\)"),
        (np.array([["a", "b"]]), r"one dimension, found ndarray of shape \(1, 2\)"),
        (np.array("a"), r"one dimension, found ndarray of shape \(\)"),
        (np.array([b"a"]), r"input 1: a string was expected, found np.bytes_"),
        (torch.ones(2), r"input 1: a string was expected, found .* \(Tensor\)"),
        (pa.array([1]), r"input 1: a string was expected, found 1 \(int\)"),
        (pd.DataFrame(), "the DataFrame lacks the input of task 'topic': .* found: none"),
        (
            pd.DataFrame({"sentence": ["a"]}),
            r"`text` \(optionally with `pair`\), or `words`, or .*`tokens`; found: sentence",
        ),
        (pd.DataFrame({"token": ["a"]}), "found: token; did you mean 'tokens'?"),
        (pd.DataFrame({1: ["a"]}), r"the column names of the DataFrame are not strings, found 1 \(int\)"),
        (
            pd.DataFrame([["a", "b"]], columns=["text", "text"]),
            "the DataFrame: duplicate column names: text; give each column its own name",
        ),
        (pd.DataFrame({"text": ["a", None]}), r"input 2: text: .* found (nan \(float\)|None)"),
        (pd.DataFrame({"tokens": [["a"], None]}), r"input 2: tokens: .* found (nan \(float\)|None)"),
        (pd.DataFrame({"tokens": ["a b"]}), r"input 1: tokens: a list of words was expected, found 'a b' \(str\)"),
        (pd.DataFrame({"tokens": [["a", 3]]}), "input 1: tokens: word 2 is not a string"),
        (FRAME.iloc[0], "a Series is read as a column of texts, found a row .* row.to_dict()"),
        (datasets.DatasetDict({"test": datasets.Dataset.from_dict({"text": ["a"]})}), "input 1: text: .* found: test"),
        ([{"Text": "a"}], "input 1: text: missing or null; .* found: Text; did you mean 'text'?"),
        ([{}], "input 1: text: missing or null; .* found: none"),
        ({"text": ["a", "b"]}, r"input 1: text: a string was expected, found \['a', 'b'\] \(list\)"),
        ({1: "a"}, "input 1: text: missing or null"),
        (iter(["a", 3.0]), r"input 2: a string was expected, found 3.0 \(float\)"),
    ],
)
def test_invalid_inputs_are_reported_with_their_index(predictor: Predictor, inputs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(predictor.predict(inputs, task="topic"))


def test_the_task_whose_column_is_missing_is_named(predictor: Predictor) -> None:
    columns = (
        r"expected columns: `text` \(optionally with `pair`\), or `words`, or the columns of its training data, `text`"
    )
    for inputs, message in (
        ({"tokens": ["ada"]}, rf"input 1: the input of task 'kinds' is missing; {columns}; found: tokens$"),
        (pd.DataFrame({"tokens": [["ada"]]}), rf"lacks the input of task 'kinds': {columns}; found: tokens$"),
    ):
        with pytest.raises(DataError, match=message):
            predictor.predict_all(inputs, tasks=["topic", "kinds"])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (None, r"task: the task name must be a string, found None; tasks: topic, mood, places, grade, kinds"),
        (["topic"], r"task: .* found \['topic'\] \(list\); .* use predict_all"),
        (0, r"task: .* found 0 \(int\)"),
        (b"topic", r"task: .* \(bytes\)"),
        ("Topic", "no task 'Topic'; did you mean 'topic'"),
        ("", "no task ''; known: "),
    ],
)
def test_a_task_argument_that_is_not_a_string(predictor: Predictor, task: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predictor.predict("a cat", task=task)


@pytest.mark.parametrize("tasks", ["topic", 0, [None], [["topic"]], [], {}, {"topic": 1}, ["topic", 3], b"topic"])
def test_tasks_that_are_not_a_list_of_names(predictor: Predictor, tasks: Any) -> None:
    with pytest.raises(ConfigError, match="tasks: "):
        predictor.predict_all("a cat", tasks=tasks)
    assert list(predictor.predict_all("a cat", tasks=("mood", "topic", "mood"))) == ["mood", "topic"]


def test_a_model_without_recorded_columns_reads_the_usual_ones(
    predictor: Predictor, trained: Trained, tmp_path: Path
) -> None:
    config = read_json(trained.model_dir / "config.json")
    assert config["tasks"]["grade"]["input_columns"] == [{"text": "text", "pair": "other"}]
    older = shutil.copytree(trained.model_dir, tmp_path / "older")
    for task in config["tasks"].values():
        del task["input_columns"]
    (older / "config.json").write_text(json.dumps(config))
    old = Predictor.from_pretrained(older)
    assert old.predict(FRAME, task="topic") == predictor.predict(TEXTS, task="topic")
    with pytest.raises(
        ConfigError, match=r"task 'grade' expects a text pair \(text, pair\), found a single text \(input 1\)"
    ):
        old.predict(FRAME, task="grade")


@pytest.mark.parametrize(
    "columns", [{"text": "a"}, [{"text": 3}], [{"pair": "a"}], ["a"], [{"text": "a", "words": "b"}]]
)
def test_invalid_recorded_columns_are_refused(trained: Trained, columns: Any) -> None:
    config = copy.deepcopy(Predictor.from_pretrained(trained.model_dir).model.config)
    config.tasks["topic"]["input_columns"] = columns
    with pytest.raises(Exception, match="task 'topic' of this model cannot be made: `input_columns"):
        MultiTaskModel(config)
