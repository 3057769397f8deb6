"""Mistakes in the class of a task type: each is refused with the class or the task, and what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl import ConfigError, DataError
from nlpmtl.config import parse_dataset
from nlpmtl.data import ColumnType, Example, Input, TaskBatch, TextInput, parse_value
from nlpmtl.errors import RunError, describe_exception
from nlpmtl.heads import HeadContext, Outputs, check_outputs
from nlpmtl.inference.input_batch import collect_texts
from nlpmtl.inference.pipeline import check_format
from nlpmtl.inference.task_inputs import InputReader
from nlpmtl.model import MultiTaskModel, load_encoder, weighted_losses
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.tasks import Classification, ExampleOutputs, OutputOptions, Prediction, Task, decode_all
from tests.tiny import write_encoder
from tests.tiny_tokenizers import token


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (TASKS, COLUMN_TYPES, METRICS):
        monkeypatch.setattr(registry, "_members", dict(registry._members))


class Complete(Task):
    """A task type with the default column, a class label."""

    kind = "complete"
    metrics = ("accuracy", "macro_f1")

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return functional.cross_entropy(outputs["logits"], batch.targets["label"], reduction="none")

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction(self.labels[int(item.outputs["logits"][0].argmax())]) for item in items]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions | None = None) -> Any:
        return prediction.value


class Incomplete(Task):
    """A task type without `loss` and `decode`."""

    kind = "incomplete"

    def format(self, prediction: Prediction, example: Example, options: OutputOptions | None = None) -> Any:
        return prediction.value


def make(task_type: type[Task] = Complete, **fields: Any) -> Task:
    return task_type(**{"name": "t", "input": "text", "labels": ("a", "b"), **fields})


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"columns": {"label": "klass"}}, "`columns`: unknown column type 'klass'; did you mean 'class'"),
        ({"extra_inputs": {"hint": "klass"}}, "`extra_inputs`: unknown column type 'klass'"),
        ({"inputs": frozenset({"image"})}, "`inputs` must be a set of 'pair', 'text', 'words', found frozenset"),
        ({"inputs": "text"}, "`inputs` must be a set of 'pair', 'text', 'words', found 'text'"),
        (
            {"columns": {"label": "class", "kind": "class"}},
            "`columns` contains 'kind', which is already a key of the task's config",
        ),
        (
            {"columns": {"label": "class", "metrics": "class"}},
            "`columns` contains 'metrics', which is already a key of the task's config",
        ),
        ({"any_of": frozenset({"labels"})}, "`any_of` contains 'labels', which is not in `columns`"),
        ({"extra_inputs": {"words": "class"}}, "`extra_inputs` contains 'words', which is already a key of the text"),
        (
            {"mean": 0.0, "fitted": frozenset({"means"})},
            "`fitted` contains 'means', which is not a field; did you mean 'mean'",
        ),
        ({"lr": 0.0}, "`lr` cannot be a field, because it is a key of every task's config"),
        ({"kind": "another"}, "is registered as 'broken', but its attribute `kind` is 'another'"),
        pytest.param(
            {"outputs": 0.0},
            "`outputs` cannot be a field, because Task has an attribute of this name",
            marks=pytest.mark.filterwarnings("ignore:Field name"),
        ),
    ],
)
def test_a_broken_class_is_refused_when_it_is_registered(members: dict[str, Any], message: str) -> None:
    annotations = {name: float for name, value in members.items() if isinstance(value, float)}
    values = {"kind": "broken", "__module__": __name__, "__annotations__": annotations, **members}
    with pytest.raises(ConfigError, match=message):
        TASKS.register("broken")(type("Broken", (Complete,), values))


def test_a_subclass_may_read_other_columns_than_its_base() -> None:
    """It inherits `any_of`, some of whose keys it does not have."""

    class Fewer(Classification):
        kind = "fewer"
        columns: ClassVar[Mapping[str, str]] = {"label": "class"}

    assert Fewer.any_of == {"label", "soft"}
    options = Fewer.options_model()
    assert "soft" not in options.model_fields
    assert options.model_validate({"kind": "fewer", "label": "y"}).label_columns == {"label": ("y",)}
    with pytest.raises(ValidationError, match='label\n  this key is missing; write label = "…"'):
        options.model_validate({"kind": "fewer"})


def test_missing_methods_are_named_when_it_is_registered() -> None:
    with pytest.raises(ConfigError, match=r"Incomplete: it must define `decode`; it must define `loss`"):
        TASKS.register("incomplete")(Incomplete)


def test_label_columns_are_scored_by_the_metrics_of_labels() -> None:
    class Sets(Complete):
        """A set of labels per row."""

        kind = "sets"
        columns: ClassVar[Mapping[str, str]] = {"label": "set"}
        prediction_types = ()
        metrics = ("micro_f1", "macro_f1")

    assert make().score(["a", "b"], ["a", "c"])["accuracy"] == 0.5
    assert make(Sets).score([["a", "b"], []], [["a"], []])["micro_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [0, np.int64(1), ["a"], "c"])
def test_predictions_that_are_not_labels_are_named(value: Any) -> None:
    with pytest.raises(RunError, match=r"task 't': its metrics compare label names, but decode\(\) or gold\(\) ret"):
        make().score([value], ["a"])


@pytest.mark.parametrize("input", ["text", "words"])
def test_an_input_of_another_shape_is_named(input: str) -> None:
    class Pairs(Complete):
        """A task type on pairs."""

        kind = "pairs"
        inputs = frozenset({"pair"})

    with pytest.raises(ConfigError, match=f'the input of pairs must be `text = "…"` and `pair = "…"`, found `{input}'):
        make(Pairs, input=input)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_decode_returns_a_prediction_per_example(count: int) -> None:
    class Other(Complete):
        """A type that decodes another number of examples."""

        kind = "other"

        def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
            return [Prediction("a")] * count

    items = [ExampleOutputs(Example(), [], {})] * 2
    with pytest.raises(
        RunError, match=rf"task 't': decode\(\) must return .* each of 2 examples, found {count} values"
    ):
        decode_all(make(Other), items)


@pytest.mark.parametrize(
    "loss", [torch.tensor(0.5), torch.ones(2, 1), 0.5, torch.ones(1), torch.ones(3), torch.ones(2).long()]
)
def test_the_loss_is_a_number_per_example(loss: Any) -> None:
    class Other(Complete):
        """A type with another loss."""

        kind = "other"

        def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
            return loss  # type: ignore[no-any-return]

    part = TaskBatch(torch.arange(2), {"label": torch.tensor([0, 1])}, torch.tensor([1.0, 2.0]))
    assert float(weighted_losses(make(), {"logits": torch.zeros(2, 2)}, part).sum()) == pytest.approx(3 * np.log(2))
    with pytest.raises(RunError, match=r"task 't': loss\(\) must return the loss of each example.*found (shape|float)"):
        weighted_losses(make(Other), {}, part)


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0])])
def test_an_example_of_several_sequences_has_one_loss(weight: Tensor | None) -> None:
    labels, example, position = (torch.tensor(values) for values in ([0, 1, 0], [0, 0, 1], [0, 1, 0]))
    part = TaskBatch(torch.arange(3), {"label": labels}, weight, example=example, position=position)
    assert part.examples == 2
    with pytest.raises(RunError, match=r"found shape \(3,\) of torch.float32 for 2 examples"):
        weighted_losses(make(), {"logits": torch.zeros(3, 2)}, part)


@pytest.mark.parametrize(
    "outputs",
    [torch.zeros(1, 2), torch.tensor(0.0), {"logits": torch.zeros(3, 2)}, {"logits": [0.0]}, {}, (1, 2), None],
)
def test_outputs_of_a_head_begin_with_the_sequences(outputs: Any) -> None:
    assert check_outputs(torch.zeros(2, 5), task="t", sequences=2)["logits"].shape == (2, 5)
    message = (
        r"task 't': its head must return a tensor \[sequences, \.\.\.\], or tensors by name, for 2 sequences; found"
    )
    with pytest.raises(RunError, match=message):
        check_outputs(outputs, task="t", sequences=2)


@pytest.mark.parametrize("head", [None, len])
def test_a_head_is_a_module(head: Any, tmp_path: Path) -> None:
    class Other(Complete):
        """A type with another head."""

        kind = "other"

        def build_head(self, context: HeadContext) -> nn.Module:
            return head  # type: ignore[no-any-return]

    TASKS.register("other")(Other)
    encoder = load_encoder(str(write_encoder(tmp_path)))
    with pytest.raises(ConfigError, match=r"task 't': build_head\(\) must return an nn\.Module, found"):
        MultiTaskModel.from_encoder(encoder, tasks=[make(Other)], sharing={"kind": "hard"}, input_length=16, seed=0)


def test_failures_of_a_method_name_it_and_the_task() -> None:
    class Other(Complete):
        """A type that reads an output that its head does not have."""

        kind = "other"

        def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
            return [Prediction(item.outputs["logit"]) for item in items]

    with pytest.raises(KeyError) as raised:
        decode_all(make(Other), [ExampleOutputs(Example(), [], {})])
    assert describe_exception(raised.value) == "task 't': decode(): KeyError: 'logit'"


def test_saved_sets_are_sorted() -> None:
    class Other(Complete):
        """A type with a set as an option."""

        kind = "other"
        names: frozenset[str] = frozenset()
        """Names."""

    names = [f"n{i}" for i in range(50)]
    assert make(Other, names=names).to_config()["names"] == sorted(names)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "a list of at least one TextInput was expected, found"),
        (["a cat"], "a list of at least one TextInput was expected, found"),
        ([TextInput("a", None), TextInput(None)], "the texts of a TextInput must be strings"),  # type: ignore[arg-type]
        ([TextInput("a", stride=-1)], 'the stride must be an integer of at least 0 or "half", found -1'),
        ([TextInput("a", stride="all")], "the stride must be an integer .*, found 'all'"),  # type: ignore[arg-type]
        (TextInput("a"), "not iterable"),
    ],
)
def test_sequences_are_text_inputs(texts: Any, message: str) -> None:
    class Other(Complete):
        """A type that returns these texts."""

        kind = "other"

        def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
            return texts  # type: ignore[no-any-return]

    with pytest.raises(RunError, match=rf"task 't': sequences\(\) failed: .*{message}"):
        collect_texts([[(Example(Input("a cat")), ("t",))]], {"t": make(Other)})


def test_sequences_may_be_generated() -> None:
    class Other(Complete):
        """A type that yields its texts."""

        kind = "other"

        def sequences(self, example: Example, *, predict: bool) -> Any:
            return (TextInput(text) for text in ("a", "b"))

    assert collect_texts([[(Example(Input("a cat")), ("t",))]], {"t": make(Other)})[0].inputs == [
        TextInput("a"),
        TextInput("b"),
    ]


class Pair(ColumnType):
    """Two numbers in order; comparing other values raises a TypeError."""

    @staticmethod
    def parse(value: Any, example: Example) -> Any:
        if value[0] > value[1]:
            raise ValueError("two numbers in order were expected")
        return np.array(value) if value == [0, 0] else value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([2, 1], "two numbers in order were expected"),
        ([1, "a"], "the column type 'pair_of_test' cannot read this value: TypeError"),
        (5, "the column type 'pair_of_test' cannot read this value: TypeError"),
        ([], "the column type 'pair_of_test' cannot read this value: IndexError"),
        ([0, 0], "the column type 'pair_of_test' cannot read this value: TypeError.*ndarray"),
    ],
)
def test_a_row_is_named_if_its_column_type_fails(value: Any, message: str) -> None:
    COLUMN_TYPES.register("pair_of_test")(Pair)

    class Spans(Complete):
        """A class label of a span."""

        kind = "spans_of_test"
        extra_inputs: ClassVar[Mapping[str, str]] = {"span": "pair_of_test"}

    TASKS.register("spans_of_test")(Spans)
    rows = [{"text": "a cat", "span": span, "topic": topic} for span, topic in (([1, 2], "x"), (value, "y"))]
    tables = {
        "data": {"files": {"train": rows}},
        "input": {"text": "text", "span": "span"},
        "tasks": {"t": {"kind": "spans_of_test", "label": "topic"}},
    }
    with pytest.raises(DataError, match=f"d: train, row 2: span: {message}"):
        load_task_datasets(
            {"d": parse_dataset(tables, where="d.toml")}, tokenizer=token(), max_length=8, splits=("train",)
        )
    if value != [0, 0]:  # a prediction does not store the parsed value
        with pytest.raises(ValueError, match=f"span: {message}"):
            InputReader({"t": make(Spans)}, names=["t"]).read({"text": "a cat", "span": value})


@pytest.mark.parametrize("value", [[1, 2], (1, 2), np.array([1, 2])], ids=repr)
def test_arrays_and_tuples_are_lists_for_a_column_type(value: Any) -> None:
    class Listed(ColumnType):
        """A list."""

        @staticmethod
        def parse(value: Any, example: Example) -> Any:
            assert type(value) is list
            assert [type(part) for part in value] == [int, int]
            return value

    COLUMN_TYPES.register("listed_of_test")(Listed)
    assert parse_value(value, Example(), type="listed_of_test") == [1, 2]


@pytest.mark.parametrize("value", [np.float32(1), [np.int64(1)], {"scores": np.ones(2)}, {1, 2}], ids=repr)
def test_a_formatted_prediction_is_plain_json(value: Any) -> None:
    with pytest.raises(RunError, match=r"task 't': format\(\) must return JSON values.*Object of type"):
        check_format(make(), value)
    check_format(make(), {"label": "a", "scores": [1.0, float("nan")]})


@pytest.mark.parametrize("source", ["csv", "table"])
def test_an_empty_cell_of_a_further_input_is_null(source: str, tmp_path: Path) -> None:
    class Hint(ColumnType):
        """A text."""

        @staticmethod
        def parse(value: Any, example: Example) -> Any:
            return value

    COLUMN_TYPES.register("hint_of_test")(Hint)

    class Hinted(Complete):
        """A class label of a text with a hint."""

        kind = "hinted_of_test"
        extra_inputs: ClassVar[Mapping[str, str]] = {"hint": "hint_of_test"}

    TASKS.register("hinted_of_test")(Hinted)
    table = pd.DataFrame({"text": ["a", "b", ""], "hint": ["x", None, "y"], "topic": ["u", "v", "v"]})
    table.to_csv(tmp_path / "train.csv", index=False)
    tables = {
        "data": {"files": {"train": table if source == "table" else str(tmp_path / "train.csv")}},
        "input": {"text": "text", "hint": "hint"},
        "tasks": {"t": {"kind": "hinted_of_test", "label": "topic"}},
    }
    datasets = load_task_datasets(
        {"d": parse_dataset(tables, where="d.toml")}, tokenizer=token(), max_length=8, splits=("train",)
    )
    assert datasets.splits["train"]["d"].labels["t"].labelled.tolist() == [True, False, True]
