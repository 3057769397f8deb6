"""Batch prediction: all columns are passed through, with the predictions that `Predictor` makes."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from typer.testing import CliRunner

from nlpmtl import ConfigError, DataError, Predictor, predict_files
from nlpmtl.cli import app
from tests.tiny import make_rows, make_run, train_tiny, write_rows

TEXTS = ["Ada lives in Turin.", "a cat", "", "the kettle is awful", "rome and paris", "NA"]
SINGLE = ["topic", "topic_score", "mood", "mood_score", "mood_polarity", "places", "kinds"]


def read_csv(path: Path, *, delimiter: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        return list(reader.fieldnames or ()), list(reader)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def predictions(model: Path) -> list[dict[str, Any]]:
    predicted: list[dict[str, Any]] = Predictor.from_pretrained(model).predict_all(TEXTS)
    return predicted


def check_cells(rows: list[dict[str, str]], predictions: list[dict[str, Any]]) -> None:
    for row, expected in zip(rows, predictions, strict=True):
        assert row["topic"] == expected["topic"]["label"]
        assert float(row["topic_score"]) == pytest.approx(expected["topic"]["score"], abs=1e-6)
        assert [span["word"] for span in json.loads(row["places"])] == [span["word"] for span in expected["places"]]


def test_csv_cells_keep_their_text(model: Path, predictions: list[dict[str, Any]], tmp_path: Path) -> None:
    codes = ["007", "NA", "1.10", "", 'a "b"; c', "x\r\ny"]
    lines = [
        "\ufeff;text;code;",
        *(
            f'{i:03};{text};"{code.replace(chr(34), chr(34) * 2)}"'
            for i, (text, code) in enumerate(zip(TEXTS, codes, strict=True))
        ),
    ]
    (tmp_path / "new.csv").write_text("\n".join(lines), encoding="utf-8", newline="")
    result = predict_files(model, tmp_path / "new.csv", tmp_path / "out" / "new.csv")
    assert (result.rows, result.bad_rows, result.device) == (6, 0, "cpu")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.csv"]
    columns, rows = read_csv(tmp_path / "out" / "new.csv", delimiter=";")
    assert columns == ["Unnamed: 0", "text", "code", "Unnamed: 3", *SINGLE]
    assert [row["code"] for row in rows] == codes
    assert [row["Unnamed: 0"] for row in rows] == [f"{i:03}" for i in range(6)]
    check_cells(rows, predictions)


def test_csv_to_parquet_has_typed_columns(model: Path, predictions: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = [f"{text},{i:02}" for i, text in enumerate(TEXTS)]
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress("\n".join(["text,id", *rows]).encode()))
    predict_files(model, tmp_path / "new.csv.gz", tmp_path / "new.parquet", tasks=["topic", "places"], all_scores=True)
    table = pq.read_table(tmp_path / "new.parquet")
    assert table.column("id").to_pylist() == [f"{i:02}" for i in range(6)]
    assert table.column_names == ["text", "id", "topic", "topic_score", "topic_scores", "places"]
    assert table.schema.field("topic_score").type == pa.float64()
    assert table.column("topic").to_pylist() == [row["topic"]["label"] for row in predictions]
    scores = table.column("topic_scores").to_pylist()[0]
    assert sum(scores.values()) == pytest.approx(1)
    assert [[span["word"] for span in spans] for spans in table.column("places").to_pylist()] == [
        [span["word"] for span in row["places"]] for row in predictions
    ]


def test_parquet_keeps_its_schema(model: Path, tmp_path: Path) -> None:
    features = Features({"text": Value("large_string"), "label": ClassLabel(names=["a", "b"])})
    dataset = Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0, 1, 0, -1]}, features=features)
    dataset.to_parquet(tmp_path / "d.parquet")
    table = pq.read_table(tmp_path / "d.parquet").append_column("day", pa.array([date(2026, 1, 2)] * 6))
    table = table.append_column("image", pa.array([b"\xff"] * 6)).append_column(
        pa.field("n", pa.int16(), nullable=False), pa.array(range(6), pa.int16())
    )
    pq.write_table(table, tmp_path / "d.parquet")
    predict_files(model, tmp_path / "d.parquet", tmp_path / "new.parquet", tasks=["mood"])
    schema = pq.read_schema(tmp_path / "new.parquet")
    assert [schema.field(name) for name in table.column_names] == list(table.schema)
    assert schema.names == [*table.column_names, "mood", "mood_score", "mood_polarity"]
    assert schema.metadata == table.schema.metadata
    assert pq.read_table(tmp_path / "new.parquet").select(table.column_names).equals(table)
    loaded = load_dataset("parquet", data_files=str(tmp_path / "new.parquet"), split="train", cache_dir=str(tmp_path))
    assert loaded.features["label"].names == ["a", "b"]
    assert set(loaded["mood"]) <= {"negative", "neutral", "positive"}
    assert list(pd.read_parquet(tmp_path / "new.parquet").columns) == schema.names
    with pytest.raises(DataError, match=r"d\.parquet: the column 'image' has the type binary, which only Parquet"):
        predict_files(model, tmp_path / "d.parquet", tmp_path / "new.csv")


def test_parquet_to_text(model: Path, tmp_path: Path) -> None:
    columns = {
        "text": pa.array(TEXTS).dictionary_encode(),
        "day": pa.array([date(2026, 1, 2)] * 6),
        "price": pa.array([Decimal("1.50")] * 6),
        "tags": pa.array([["a", "b"]] * 6),
        "flag": pa.array([True, None] * 3),
        "share": pa.array([float("nan"), float("-inf")] * 3),
    }
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    predict_files(model, tmp_path / "d.parquet", tmp_path / "new.jsonl", tasks=["topic"])
    first = read_lines(tmp_path / "new.jsonl")[0]
    assert list(first) == [*columns, "predictions"]
    assert (first["day"], first["price"], first["tags"], first["flag"]) == ("2026-01-02", "1.50", ["a", "b"], True)
    assert first["share"] is None
    predict_files(model, tmp_path / "d.parquet", tmp_path / "new.tsv.gz", tasks=["topic"])
    header, line, second = gzip.decompress((tmp_path / "new.tsv.gz").read_bytes()).decode().splitlines()[:3]
    assert second.split("\t")[4:6] == ["", "-inf"]
    assert header.split("\t") == [*columns, "topic", "topic_score"]
    assert line.split("\t")[1:6] == ["2026-01-02", "1.50", '"[""a"", ""b""]"', "true", "nan"]


def test_json_lines_keep_their_fields(model: Path, predictions: list[dict[str, Any]], tmp_path: Path) -> None:
    extra: list[dict[str, Any]] = [
        {"id": 1, "label": [[0, 3, "x"]]},
        {"id": "7"},
        {"n": 1.5},
        {"words_": None},
        {"é": "\u2028"},
        {"a": {"b": []}},
    ]
    rows = [{"text": text, **fields} for text, fields in zip(TEXTS, extra, strict=True)]
    rows.append({"words": ["ada", "sings"], "id": 10**30})
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_files(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl.gz")
    lines = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode().splitlines()
    written = [json.loads(line) for line in lines]
    assert [{**row, "predictions": None} for row in written[:-1]] == [{**row, "predictions": None} for row in rows[:-1]]
    assert [row["predictions"]["topic"]["label"] for row in written[:-1]] == [
        row["topic"]["label"] for row in predictions
    ]
    assert (written[-1]["text"], written[-1]["words"], written[-1]["id"]) == ("ada sings", ["ada", "sings"], 10**30)


def test_json_lines_to_columns(model: Path, tmp_path: Path) -> None:
    rows = [{"text": "a", "n": 1}, {"text": "b", "n": 1.5, "more": {"x": [1]}}, {"text": "c", "other": "d"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_files(model, tmp_path / "new.jsonl", tmp_path / "new.parquet")
    table = pq.read_table(tmp_path / "new.parquet")
    assert table.column_names[:4] == ["text", "n", "more", "other"]
    assert table.select(["n", "more"]).to_pylist()[:2] == [{"n": 1.0, "more": None}, {"n": 1.5, "more": {"x": [1]}}]
    assert table.column("grade").to_pylist()[:2] == [None, None]  # only the last row is a pair
    assert table.column("grade").to_pylist()[2] is not None
    predict_files(model, tmp_path / "new.jsonl", tmp_path / "new.csv")
    assert read_csv(tmp_path / "new.csv")[1][1]["more"] == '{"x": [1]}'
    (tmp_path / "new.jsonl").write_text('{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n')
    with pytest.raises(DataError, match=r"new\.jsonl:1 to 2: the values of 'n' cannot be a column of Parquet: "):
        predict_files(model, tmp_path / "new.jsonl", tmp_path / "new.parquet", overwrite=True)


def test_lines_of_text(model: Path, predictions: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("\n".join(TEXTS[:2]))
    predict_files(model, tmp_path / "new.txt", tmp_path / "new.csv")
    columns, rows = read_csv(tmp_path / "new.csv")
    assert columns == ["text", *SINGLE]
    check_cells(rows, predictions[:2])


def test_named_text_columns(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id,review,reply\n1,Ada sings,a cat\n2,a dog,\n")
    predictor = Predictor.from_pretrained(model)
    predict_files(model, tmp_path / "new.csv", tmp_path / "one.csv", text_column="review", tasks=["topic"])
    assert [row["topic"] for row in read_csv(tmp_path / "one.csv")[1]] == [
        predictor.predict(text, task="topic")["label"] for text in ("Ada sings", "a dog")
    ]
    predict_files(model, tmp_path / "new.csv", tmp_path / "two.csv", text_column=["review", "reply"])
    first, second = read_csv(tmp_path / "two.csv")[1]
    value = predictor.predict(("Ada sings", "a cat"), task="grade")["value"]
    assert float(first["grade"]) == pytest.approx(value, abs=1e-6)
    assert (first["topic"], second["grade"]) == ("", "")
    predict_files(model, tmp_path / "new.csv", tmp_path / "pairs.csv", text_column=["review", "reply"], tasks=["grade"])
    value = predictor.predict(("a dog", ""), task="grade")["value"]
    assert float(read_csv(tmp_path / "pairs.csv")[1][1]["grade"]) == pytest.approx(value, abs=1e-6)
    for column, message in (
        ("revue", r"new\.csv: no column 'revue', which --text-column names; did you mean 'review'\?"),
        (None, r"the file .*new\.csv lacks the input of task 'topic'.* or name the column of the text with --text-col"),
    ):
        with pytest.raises(DataError, match=message):
            predict_files(model, tmp_path / "new.csv", tmp_path / "three.csv", text_column=column)
    with pytest.raises(ConfigError, match="--text-column: the column of the text was expected"):
        predict_files(model, tmp_path / "new.csv", tmp_path / "three.csv", text_column=["a", "b", "c"])


def test_words_in_the_cells_of_a_table(model: Path, tmp_path: Path) -> None:
    """The cells that the model was trained on: a JSON list, or words separated by spaces; a text stays a text."""
    (tmp_path / "new.csv").write_text('tokens,n\n"[""Ada"", ""sings.""]",1\nAda sings.,2\n')
    predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", tasks=["topic"])
    columns, rows = read_csv(tmp_path / "out.csv")
    expected = Predictor.from_pretrained(model).predict({"words": ["Ada", "sings."]}, task="topic")
    assert [float(row["topic_score"]) for row in rows] == [pytest.approx(expected["score"], abs=1e-6)] * 2
    assert (columns[:2], rows[0]["tokens"]) == (["tokens", "n"], '["Ada", "sings."]')


@pytest.mark.parametrize("words", [["Ada", "it's"], np.array(["Ada", "it's"])], ids=["list", "array"])
def test_lists_of_words_that_pandas_wrote(words: Any, model: Path, tmp_path: Path) -> None:
    """They are not words with brackets and quotes."""
    pd.DataFrame({"tokens": [words, words]}).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match=r"new\.csv:2: tokens: a list is written as JSON, .*found .*Ada"):
        predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", tasks=["topic"])
    result = predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", tasks=["topic"], on_bad_row="skip")
    assert (result.rows, result.bad_rows) == (2, 2)


def test_an_empty_list_of_words(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("tokens,n\n[],1\n")
    with pytest.raises(DataError, match=r"new\.csv:2: tokens: at least one word was expected"):
        predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", tasks=["topic"])


def test_a_column_of_texts_that_is_called_words(tmp_path: Path) -> None:
    """Only the columns that had words in training are split."""
    rows = [{"words": row["text"], "topic": row["topic"]} for row in make_rows(20)]
    topics = {
        "data": {"files": {"train": str(write_rows(tmp_path / "train.jsonl", rows))}},
        "input": {"text": "words"},
        "tasks": {"topic": {"kind": "classification", "label": "topic"}},
    }
    train = {"steps": 1, "batch_size": 8}
    model = train_tiny(make_run(tmp_path, datasets={"topics": topics}, train=train)).model_dir
    (tmp_path / "new.csv").write_text("words\nAda sings.\n")
    predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv")
    expected = Predictor.from_pretrained(model).predict("Ada sings.", task="topic")
    assert float(read_csv(tmp_path / "out.csv")[1][0]["topic_score"]) == pytest.approx(expected["score"], abs=1e-6)


def test_words_are_read_as_in_training(tmp_path: Path) -> None:
    """By the index of their column in CoNLL files, or by the separator in one cell."""
    names = [(row["tokens"], row["tags"]) for row in make_rows(20) if row["tags"]]
    lines = ["".join(f"{tag} {word}\n" for word, tag in zip(*row, strict=True)) for row in names]
    (tmp_path / "train.conll").write_text("\n".join(lines))
    cells = [f"{'|'.join(words)},{'|'.join(tags)}\n" for words, tags in names]
    (tmp_path / "train.csv").write_text("tokens,tags\n" + "".join(cells))
    columns, task = {"tags": 0, "tokens": 1}, {"kind": "labeling", "label": "tags"}
    datasets = {
        "lines": {
            "data": {"files": {"train": str(tmp_path / "train.conll")}, "columns": columns},
            "input": {"words": "tokens"},
            "tasks": {"places": task},
        },
        "cells": {
            "data": {"files": {"train": str(tmp_path / "train.csv")}, "separator": "|"},
            "input": {"words": "tokens"},
            "tasks": {"places": task},
        },
    }
    model = train_tiny(make_run(tmp_path, datasets=datasets, train={"steps": 1, "batch_size": 8})).model_dir
    config = json.loads((model / "config.json").read_text())["tasks"]["places"]
    assert (config["conll_columns"], config["word_separator"]) == ({"tokens": 1}, "|")
    expected = Predictor.from_pretrained(model).predict({"words": ["Ada", "sings"]}, task="places")
    for name, content in {
        "tags-first.conll": "O Ada\nO sings\n",
        "words-only.conll": "Ada\nsings\n",
        "cells.csv": "tokens\nAda|sings\n",
    }.items():
        (tmp_path / name).write_text(content)
        predict_files(model, tmp_path / name, tmp_path / "out.jsonl", overwrite=True)
        [row] = read_lines(tmp_path / "out.jsonl")
        assert row["tokens"] == ("Ada|sings" if name.endswith(".csv") else ["Ada", "sings"])
        assert row["predictions"]["places"] == expected
        printed = CliRunner().invoke(app, ["predict", str(model), "--input", str(tmp_path / name)])
        assert json.loads(printed.stdout)["predictions"]["places"] == expected


def test_several_files(model: Path, tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"text,n\n{name} cat,1\n")
    result = predict_files(model, tmp_path / "?.csv", tmp_path / "out" / "*.parquet", tasks=["topic"])
    assert [path.name for path in result.paths] == ["a.parquet", "b.parquet"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.parquet", "b.parquet"]
    assert pq.read_table(result.paths[1]).column("text").to_pylist() == ["b cat"]


def test_invalid_rows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text('{"text": "a", "id": 1}\n{"text": 3, "id": 2}\n{"text"\n{"text": "b"}\n')
    with pytest.raises(DataError, match=r"new\.jsonl:2: text: a string was expected"):
        predict_files(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]
    result = predict_files(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl", on_bad_row="skip")
    assert (result.rows, result.bad_rows) == (4, 2)
    rows = read_lines(tmp_path / "out.jsonl")
    assert [(row.get("id"), row["predictions"] is None, "error" in row) for row in rows] == [
        (1, False, False),
        (2, True, True),
        (None, True, True),
        (None, False, False),
    ]
    assert "new.jsonl:3: not valid JSON" in rows[2]["error"]
    (tmp_path / "new.csv").write_text("text,n\na,1\nb\nc,3\n")
    predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", on_bad_row="skip", tasks=["topic"])
    _, cells = read_csv(tmp_path / "out.csv")
    assert [(row["text"], row["n"], bool(row["topic"])) for row in cells] == [
        ("a", "1", True),
        ("", "", False),
        ("c", "3", True),
    ]
    assert [row["error"].rpartition("/")[2] for row in cells] == [
        *("", "new.csv:3: 1 field(s), but the header has 2", "")
    ]


def test_no_rows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text,id\n")
    assert predict_files(model, tmp_path / "new.csv", tmp_path / "out.csv", tasks=["topic"]).rows == 0
    assert (tmp_path / "out.csv").read_text() == "text,id,topic,topic_score\n"
    predict_files(model, tmp_path / "new.csv", tmp_path / "out.parquet", tasks=["topic"])
    assert pq.read_schema(tmp_path / "out.parquet").names == ["text", "id", "topic", "topic_score"]


@pytest.mark.parametrize(
    ("header", "output", "message"),
    [
        (
            "text,topic",
            "out.csv",
            r"new\.csv: the column 'topic' has the name of a column of predictions",
        ),
        ("text,topic_score", "out.parquet", r"the column 'topic_score'.* write \.jsonl"),
        ("text,predictions", "out.jsonl", r"new\.csv: the field 'predictions'"),
    ],
)
def test_equal_names_are_refused(header: str, output: str, message: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(f"{header}\na,b\n")
    with pytest.raises(ConfigError, match=message):
        predict_files(model, tmp_path / "new.csv", tmp_path / output)


def test_unknown_options(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text\na\n")
    arguments = (model, tmp_path / "new.csv", tmp_path / "out.csv")
    with pytest.raises(TypeError, match="unexpected keyword arguments: task"):
        predict_files(*arguments, task="topic")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match='on_bad_row: "stop" or "skip" was expected'):
        predict_files(*arguments, on_bad_row="drop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"this model has no task 'topik'; did you mean 'topic'\?"):
        predict_files(*arguments, tasks=["topik"])
    with pytest.raises(ConfigError, match="tasks: a list of task names was expected"):
        predict_files(*arguments, tasks="topic")
