"""Columns of predictions: the types that task types declare, and JSON text for others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nlpmtl import DataError, Predictor, RunError
from nlpmtl.data.delimited import TextFormat
from nlpmtl.file_prediction.inputs import RowInput
from nlpmtl.file_prediction.output_columns import output_columns
from nlpmtl.file_prediction.output_formats import Delimited, Layout, Parquet, PredictedChunk, check_text_schema
from nlpmtl.file_prediction.row_files import Chunk
from nlpmtl.tasks import Classification, OutputOptions, Task, task_from_config

OPTIONS = [
    OutputOptions(),
    OutputOptions(all_scores=True),
    OutputOptions(aggregation="none"),
    OutputOptions(all_scores=True, aggregation="none"),
]
TEXTS = ["Ada lives in Turin.", "a cat"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_predictions_have_the_declared_type(options: OutputOptions, model: Path) -> None:
    predictor = Predictor.from_pretrained(model)
    arguments: dict[str, Any] = {
        "all_scores": options.all_scores,
        "aggregation_strategy": options.aggregation,
    }
    rows = [*predictor.predict_all(TEXTS, **arguments), predictor.predict_all(("a", "b"), **arguments)]
    for name, task in predictor.tasks.items():
        values = [row[name] for row in rows if name in row]
        type_ = task.output_type(options)
        assert pa.array(values, type=type_).to_pylist() == values  # no field is lost
    for column in output_columns(predictor.tasks, options=options):
        assert column.array([*rows, None]).to_pylist()[-1] is None


@pytest.mark.parametrize(
    ("kind", "input_", "prediction", "expected"),
    [
        (
            "multiple_choice",
            "text",
            {"label": "rome", "index": 1, "score": 0.75, "scores": {"turin": 0.25, "rome": 0.75}},
            {"a": "rome", "a_index": 1, "a_score": 0.75, "a_scores": [("turin", 0.25), ("rome", 0.75)]},
        ),
        (
            "question_answering",
            "pair",
            {"answer": "in Turin", "score": 0.5, "start": 4, "end": 12},
            {"a": "in Turin", "a_score": 0.5, "a_start": 4, "a_end": 12},
        ),
        ("translation", "text", {"translation_text": "un gatto"}, {"a": "un gatto"}),
        ("ranking", "text", [{"index": 0, "score": 0.5}], {"a": [{"index": 0, "score": 0.5}]}),
    ],
)
def test_each_field_has_a_column(kind: str, input_: str, prediction: Any, expected: dict[str, Any]) -> None:
    task = task_from_config("a", {"kind": kind, "labels": [], "input": input_, "metrics": None})
    columns = output_columns({"a": task}, options=OutputOptions(all_scores=True))
    assert {column.name: column.array([{"a": prediction}])[0].as_py() for column in columns} == expected


class Reversed(Classification):
    """A type whose predictions have another form."""

    kind = "reversed"

    def format(self, prediction: Any, example: Any, options: Any = None) -> Any:
        return {"name": prediction.value[::-1]}


def test_a_new_format_is_written_as_json() -> None:
    task = Reversed(name="a", labels=["x", "y"], input="text")
    assert task.output_type() is None
    assert type(task).output_type is Task.output_type
    (column,) = output_columns({"a": task}, options=OutputOptions())
    assert (column.name, column.type) == ("a", None)
    assert json.loads(column.value({"a": {"name": "é"}})) == {"name": "é"}
    assert column.array([{"a": {"name": "é"}}, {}, None]).to_pylist() == ['{"name": "é"}', None, None]


def test_a_value_of_another_type_is_named() -> None:
    task = Classification(name="a", labels=["x", "y"], input="text")
    column = output_columns({"a": task}, options=OutputOptions())[1]
    with pytest.raises(
        RunError, match=r"task 'a': format\(\) returned a value that is not of its output_type\(\), double"
    ):
        column.array([{"a": {"label": "x", "score": "high"}}])


@pytest.mark.parametrize("value", ["a\tb", "a\nb", "a\rb"])
def test_a_cell_that_needs_quotes_is_refused_in_a_file_without_quotes(value: str) -> None:
    layout = Layout(columns=["text"], predictions=[], errors=False)
    plain = Delimited(layout, compress=False, format=TextFormat("\t", "none"))
    assert plain._line(['say "a"', {"b": "c\td"}]) == 'say "a"\t{"b": "c\\td"}\n'
    with pytest.raises(DataError, match=r"the file has no quotes, as the input.* write \.jsonl or \.parquet"):
        plain._line(["x", value])
    quoted = Delimited(layout, compress=False, format=TextFormat("\t", "minimal"))
    assert quoted._line(["x", value]) == f'x\t"{value}"\n'


@pytest.mark.parametrize("type_", [pa.binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary())])
def test_a_column_of_bytes_is_not_written_as_text(type_: pa.DataType) -> None:
    with pytest.raises(DataError, match=r"a\.parquet: the column 'x' has the type .*: write \.parquet"):
        check_text_schema(pa.schema([("x", type_)]), where="a.parquet")


def test_a_value_without_the_type_of_its_column_is_reported_with_its_rows() -> None:
    schema = pa.schema([("n", pa.float64())])
    chunk = Chunk("a.jsonl:", [1, 2], [{"n": 1}, {"n": 2**53 + 1}])
    output = Parquet(Layout(columns=["n"], predictions=[], errors=False, schema=schema), compress=False)
    with pytest.raises(
        DataError, match=r"a\.jsonl:1 to 2: a value cannot be written to Parquet .*9007199254740993.*write \.jsonl"
    ):
        output.encode(PredictedChunk(chunk, [RowInput({}, ())] * 2, [None, None]))
