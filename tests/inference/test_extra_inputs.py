"""Task types with further inputs, tasks that are predicted by name only, and heads that cannot be exported."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from nlpmtl import ConfigError, DataError, MultiTaskModel, Predictor
from nlpmtl.cli import app
from nlpmtl.data import ColumnType, Example, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.heads import HeadContext, Outputs
from nlpmtl.model import load_encoder
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.serving import Limits
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, Task, task_from_config
from tests.serving.conftest import running
from tests.tiny import write_encoder


class Texts(ColumnType):
    """A list of texts."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": 2}

    @staticmethod
    def parse(value: Any, example: Example) -> list[str]:
        if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value) or len(value) < 2:
            raise ValueError("a list of at least two texts was expected")
        return list(value)


class Choice(Task):
    """One of the row's own choices: a sequence per choice."""

    kind = "choice_of_test"
    columns: ClassVar[dict[str, str]] = {"label": "number"}
    extra_inputs: ClassVar[dict[str, str]] = {"choices": "texts_of_test"}
    inputs = frozenset({"text"})
    prediction_types = ("number",)

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [TextInput(example.text, choice) for choice in example.extra["choices"]]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        return Targets(example={"label": int(example.labels["label"])})

    def build_head(self, context: HeadContext) -> nn.Module:
        return context.sequence_head(1)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = batch.by_example(outputs["logits"].squeeze(-1), fill=-math.inf)
        return functional.cross_entropy(logits, batch.targets["label"], reduction="none")

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        rows = [np.concatenate(item.outputs["logits"]) for item in items]
        return [Prediction(int(row.argmax())) for row in rows]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = OutputOptions()) -> Any:  # noqa: B008
        return {"label": example.extra["choices"][prediction.value], "index": prediction.value}


class Hidden(Choice):
    """The same, predicted by name only; its head cannot be traced."""

    kind = "hidden_of_test"
    only_by_name = True
    exportable = False


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    before = dict(COLUMN_TYPES._members), dict(TASKS._members)
    COLUMN_TYPES.register("texts_of_test")(Texts)
    TASKS.register("choice_of_test")(Choice)
    TASKS.register("hidden_of_test")(Hidden)
    yield
    COLUMN_TYPES._members, TASKS._members = before


@pytest.fixture(scope="module")
def model_dir(registered: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("extra")
    encoder = load_encoder(str(write_encoder(directory / "encoder")))
    common = {"metrics": None, "input": "text"}
    trained = [{"text": "question", "choices": "options"}]
    tasks = [
        task_from_config("topic", {"kind": "classification", "labels": ["a", "b"], **common}),
        task_from_config("choice", {"kind": "choice_of_test", "labels": [], "input_columns": trained, **common}),
        task_from_config("hidden", {"kind": "hidden_of_test", "labels": [], **common}),
    ]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=48, seed=0)
    model.save_pretrained(directory / "model")
    encoder.tokenizer.save_pretrained(directory / "model")
    return directory / "model"


@pytest.fixture(scope="module")
def predictor(model_dir: Path) -> Predictor:
    return Predictor.from_pretrained(model_dir)


ROW: dict[str, Any] = {"text": "ada lives", "choices": ["in turin", "a cat", "a kettle"]}


def test_further_inputs_are_keys_of_a_row(predictor: Predictor) -> None:
    assert set(predictor.predict_all("a cat")) == {"topic"}
    assert set(predictor.predict_all(ROW)) == {"topic", "choice"}
    prediction = predictor.predict(ROW, task="choice")
    assert prediction["label"] == ROW["choices"][prediction["index"]]
    fewer = {**ROW, "choices": ROW["choices"][:2]}
    rows = [fewer, ROW, fewer]
    assert predictor.predict(rows, task="choice") == [predictor.predict(row, task="choice") for row in rows]


def test_choices_count_for_the_inputs_that_are_tokenized_together(predictor: Predictor) -> None:
    """The text is read with each choice, so few inputs of many long choices are buffered."""
    rows = iter([{"text": "ada lives " * 1000, "choices": ["in turin"] * 8}] * 20)
    next(predictor.predict(rows, task="choice"))
    assert len(list(rows)) == 20 - (400_000 // 80_064 + 1)


def test_columns_of_the_training_data(predictor: Predictor) -> None:
    expected = predictor.predict(ROW, task="choice")
    table = pd.DataFrame([{"question": ROW["text"], "options": ROW["choices"]}])
    assert predictor.predict(table, task="choice") == [expected]
    assert predictor.predict({"question": ROW["text"], "options": ROW["choices"]}, task="choice") == expected


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            "a cat",
            ConfigError,
            r"'choice' needs `choices`: pass a row, \{\"text\": …, \"choices\": …\} \(input 1\)",
        ),
        ({"text": "a", "choices": None}, ConfigError, "task 'choice' needs `choices`"),
        ({**ROW, "choices": "a"}, DataError, "input 1: choices: a list of at least two texts was expected"),
        ({"question": "a", "options": []}, DataError, "input 1: options: a list of at least two texts was expected"),
        (("a", "b"), ConfigError, "task 'choice' expects a single text, found a text pair"),
        ({"txt": "a", "choices": ["a", "b"]}, DataError, "expected columns: `text`"),
    ],
)
def test_inputs_that_a_task_cannot_read(predictor: Predictor, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        predictor.predict(value, task="choice")


def test_a_missing_value_of_a_table_is_null(predictor: Predictor) -> None:
    expected = predictor.predict_all([ROW, "a cat"])
    for missing in (None, float("nan"), pd.NA):
        row = {"text": "a cat", "choices": missing, "pair": missing}
        assert predictor.predict_all([{**ROW, "pair": missing}, row]) == expected
        assert predictor.predict_all(pd.DataFrame([{**ROW, "pair": missing}, row])) == expected


def test_truncated_inputs_of_every_container(predictor: Predictor) -> None:
    rows = [{**ROW, "text": "ada lives " * 40}, ROW, {**ROW, "choices": ["a cat", "a kettle " * 40]}]
    expected = {"choice": [True, False, True], "topic": [True, False, False]}
    for task, truncated in expected.items():
        for inputs in (rows, iter(rows), pd.DataFrame(rows), Dataset.from_list(rows), np.array(rows, dtype=object)):
            assert predictor.find_truncated(inputs, tasks=[task]) == truncated
        assert [predictor.find_truncated(row, tasks=[task]) for row in rows] == truncated
    assert predictor.find_truncated("ada lives " * 40) is True
    with pytest.raises(DataError, match="the DataFrame lacks the input of task 'topic'"):
        predictor.find_truncated(pd.DataFrame({"txt": ["a"]}), tasks=["topic"])


def test_a_task_that_is_predicted_by_name_only(predictor: Predictor) -> None:
    assert set(predictor.predict_all(ROW, tasks=["hidden", "topic"])) == {"hidden", "topic"}
    assert "hidden" not in predictor.predict_all(ROW)


def test_a_table_for_a_model_whose_tasks_are_predicted_by_name_only(model_dir: Path) -> None:
    encoder = load_encoder(str(model_dir.parent / "encoder"))
    task = task_from_config("hidden", {"kind": "hidden_of_test", "labels": [], "metrics": None, "input": "text"})
    model = MultiTaskModel.from_encoder(encoder, tasks=[task], sharing={"kind": "hard"}, input_length=48, seed=0)
    predictor = Predictor(model.train(False), encoder.tokenizer)
    frame = pd.DataFrame([ROW])
    tables = (frame, Dataset.from_list([ROW]), pa.Table.from_pylist([ROW]), pd.DataFrame({"sentence": ["a"]}))
    for call in (predictor.predict_all, predictor.find_truncated):
        for inputs in (ROW, *tables):
            with pytest.raises(ConfigError, match=r"the tasks of this model must be requested by name, .*: hidden"):
                call(inputs)
    assert len(predictor.predict_all(frame, tasks=["hidden"])) == 1


def test_a_file_on_the_command_line(model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROW, {"text": "a cat"})))
    result = CliRunner().invoke(app, ["predict", str(model_dir), "--input", str(path)])
    assert result.exit_code == 0, result.output
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["predictions"].keys(), second["predictions"].keys()) == ({"topic", "choice"}, {"topic"})


def test_requests_to_the_server(predictor: Predictor) -> None:
    expected = predictor.predict_all(ROW)
    with running(predictor, Limits()) as server, server.client() as client:
        assert client.post("/predict", {"inputs": ROW}).json == expected
        assert client.post("/predict/choice", {"inputs": [ROW, ROW]}).json == [expected["choice"]] * 2
        reply = client.post("/predict/choice", {"inputs": [ROW, {"text": "a"}]})
        assert (reply.status, "input 2: task 'choice' needs `choices`" in reply.json["error"]) == (422, True)
        reply = client.post("/predict", {"inputs": {**ROW, "choices": 3}})
        assert (reply.status, "choices: a list of at least two texts" in reply.json["error"]) == (422, True)
        reply = client.post("/predict", {"inputs": {"text": "a", "options": []}})
        assert (reply.status, "known: text, pair, words, choices" in reply.json["error"]) == (422, True)
        schema = client.get("/openapi.json").json["components"]["schemas"]["PredictRequest"]
        (row,) = [option for option in schema["properties"]["inputs"]["anyOf"] if option["type"] == "object"]
        assert row["properties"]["choices"] == Texts.json_schema
        assert client.get("/info").json["tasks"]["choice"]["extra_inputs"] == ["choices"]


@pytest.mark.slow
def test_heads_that_cannot_be_traced_are_left_out_of_an_export(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task 'hidden' cannot be exported to ONNX: the head .*'hidden_of_test'"):
        predictor.export(tmp_path / "hidden", to="onnx", task="hidden")
    predictor.export(tmp_path / "onnx", to="onnx")
    exported = Predictor.from_pretrained(tmp_path / "onnx")
    assert list(exported.tasks) == ["topic", "choice"]
    assert exported.predict(ROW, task="choice") == predictor.predict(ROW, task="choice")
