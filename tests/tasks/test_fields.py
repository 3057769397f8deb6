"""The fields of a task type: config keys, JSON Schema, what is saved, loading, and what a continued run takes over."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import Field, ValidationError

import nlpmtl.tasks.regression
from nlpmtl.config import TaskOptions
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Regression, Task, build_task, task_from_config


class Rating(Regression):
    """A number between two others."""

    kind = "rating_of_test"
    metrics = ("mae",)
    fitted = frozenset({"target", "counts"})
    calibrated = frozenset({"temperature", "shift"})
    changeable = frozenset({"unit"})

    low: float = 0.0
    """The lowest rating."""
    high: float
    """The highest rating."""
    margin: float = Field(0.5, ge=0, exclude=True)
    """Errors up to this cost nothing."""
    unit: str | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    shift: float = 0.0

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        super().fit(values)
        self.counts = {"rows": len(values["label"])}


class Parsing(Regression):
    """A type with two label columns."""

    kind = "parsing_of_test"
    columns: ClassVar[Mapping[str, str]] = {"heads": "number", "deprels": "tags"}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(TASKS._members)
    TASKS.register("rating_of_test")(Rating)
    TASKS.register("parsing_of_test")(Parsing)
    yield
    TASKS._members = before


def rating(**values: Any) -> Rating:
    return Rating(**{"name": "stars", "input": "text", "labels": [], "high": 5.0, **values})


def options(**values: Any) -> TaskOptions:
    parsed = TASKS.parse({"kind": "rating_of_test", "label": "stars", **values})
    assert isinstance(parsed, TaskOptions)
    return parsed


def test_config_keys_are_the_fields_that_are_not_learned() -> None:
    model = TASKS.options("rating_of_test")
    assert set(model.model_fields) == {
        "kind",
        "label",
        "labels",
        "metrics",
        "lr",
        "weight",
        "pooling",
        "long",
        "low",
        "high",
        "margin",
        "unit",
    }
    schema = model.model_json_schema()
    assert schema["properties"]["low"]["description"] == "The lowest rating."
    assert schema["properties"]["margin"]["minimum"] == 0
    assert set(schema["required"]) == {"kind", "label", "high"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "high"),
        ({"high": "5"}, "a number was expected"),
        ({"high": 5, "margin": -1}, "must be at least 0"),
        ({"high": 5, "counts": {}}, "unknown key"),
        ({"high": 5, "labels": ["a"]}, "has no `labels`"),
    ],
)
def test_wrong_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options(**values)


def test_a_task_is_built_from_its_options() -> None:
    task = build_task(options(high=5, margin=0.25), name="stars", labels=[], input="text")
    assert isinstance(task, Rating)
    assert (task.low, task.high, task.margin, task.metrics) == (0.0, 5.0, 0.25, ("mae",))
    assert options(high=5, margin=0.25).model_dump()["margin"] == 0.25


def test_saved_fields_and_loading() -> None:
    task = rating(margin=0.25, shift=1.5, temperature=2.0)
    task.fit({"label": [1.0, 2.0, 3.0]})
    config = json.loads(json.dumps(task.to_config()))
    assert config == {
        "kind": "rating_of_test",
        "labels": [],
        "metrics": ["mae"],
        "input": "text",
        "temperature": 2.0,
        "target": {"mean": 2.0, "std": task.target["std"]},
        "low": 0.0,
        "high": 5.0,
        "counts": {"rows": 3},
        "shift": 1.5,
    }
    loaded = task_from_config("stars", config)
    assert isinstance(loaded, Rating)
    assert loaded.to_config() == config
    assert (loaded.margin, loaded.counts) == (0.5, {"rows": 3})


def test_a_continued_run_takes_over_what_fit_learned_only() -> None:
    earlier, task = rating(unit="stars", shift=1.0, temperature=2.0), rating(margin=0.0)
    earlier.fit({"label": [1.0, 2.0, 3.0]})
    task.fit({"label": [5.0]})
    task.continue_from(earlier)
    assert (task.target, task.counts) == (earlier.target, {"rows": 3})
    assert (task.shift, task.temperature, task.unit) == (0.0, 1.0, None)
    earlier.counts["rows"] = 4
    assert task.counts == {"rows": 3}


@pytest.mark.parametrize(("field", "value"), [("high", 7.0), ("low", 1.0), ("input", "pair")])
def test_a_continued_run_describes_the_same_task(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match="task 'stars': the model to start from has a task of this name whose"):
        rating(**{field: value}).continue_from(rating())


def test_errors_name_the_task_and_the_field() -> None:
    with pytest.raises(ConfigError, match=r"task 'stars': `high`: a number was expected \(found 'five'\)"):
        rating(high="five")
    with pytest.raises(ConfigError, match="task 'stars': `hihg`: unknown key; did you mean 'high'"):
        rating(hihg=3.0)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("classification", {"labels": ["a", "b"], "temperature": 1e-320}, "`temperature`: must be at least 1e-06"),
        ("classification", {"labels": ["a", "b"], "temperature": 1e30}, "`temperature`: must be at most 1000000"),
        ("multilabel", {"labels": ["a", "b"], "thresholds": [0.5, 1e300]}, "`thresholds.1`: must be at most 1"),
        ("multilabel", {"labels": ["a", "b"], "thresholds": [-2, 0.5]}, "`thresholds.0`: must be at least -1"),
        ("regression", {"target": {"mean": 0.0, "std": 0.0}}, "`target`: 'std' must be greater than 0"),
        ("regression", {"target": {"mean": 0.0, "std": -2}}, "`target`: 'std' must be greater than 0"),
        ("regression", {"target": {"mean": 0.0, "std": 1e308}}, r"`target`: 'std' must be .* at most 1e\+200"),
        ("regression", {"target": {"mean": 0.0, "std": True}}, "`target.std`: a number was expected"),
        ("regression", {"target": {"mean": "1", "std": 1.0}}, "`target.mean`: a number was expected"),
        ("spans", {"labels": ["a"], "threshold": 7}, "`threshold`: must be at most 1"),
        ("spans", {"labels": ["a"], "relation_temperature": 0}, "`relation_temperature`: must be at least 1e-06"),
        ("spans", {"labels": ["a"], "relation_temperature": -1}, "`relation_temperature`: must be at least 1e-06"),
        ("spans", {"labels": ["a"], "relation_threshold": -1.5}, "`relation_threshold`: must be at least -1"),
        ("embedding", {"similarity_temperature": 1e-300}, "`similarity_temperature`: must be at least 1e-06"),
        ("embedding", {"label_range": [1.0, 1.0]}, "`label_range`: the smallest number and a larger one were expected"),
        ("embedding", {"label_range": [-1e308, 1e308]}, "`label_range`: the smallest number and a larger one"),
        ("question_answering", {"input": "pair", "threshold": -1e308}, "`threshold`: must be at least -1000000000"),
    ],
)
def test_saved_numbers_with_which_no_prediction_is_right_are_refused(
    kind: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=f"task 't' of this model cannot be made: {message}"):
        task_from_config("t", {"kind": kind, "labels": [], "metrics": None, "input": "text", **values})


def test_saved_numbers_that_training_writes_are_accepted() -> None:
    """A threshold of −1 predicts a label always. Targets may be tiny or large."""
    values: dict[str, Any]
    for std in (5e-324, 1e-300, 1.3e154):
        target = {"mean": 1.0, "std": std}
        values = {"kind": "regression", "labels": [], "metrics": None, "input": "text", "target": target}
        assert task_from_config("t", values).to_config()["target"] == target
    for temperature in (math.exp(-3), math.exp(3)):
        values = {"kind": "spans", "labels": ["a"], "metrics": None, "input": "text", "temperature": temperature}
        values |= {"threshold": -1.0, "relation_threshold": 1.0, "relation_temperature": temperature}
        saved = task_from_config("t", values).to_config()
        assert saved == {**saved, **values, "metrics": saved["metrics"]}


def test_keys_of_several_label_columns() -> None:
    parsed = TASKS.parse({"kind": "parsing_of_test", "heads": "head", "deprels": "relation"})
    assert isinstance(parsed, TaskOptions)
    assert parsed.label_columns == {"heads": ("head",), "deprels": ("relation",)}
    assert parsed.columns == ("head", "relation")
    with pytest.raises(ValidationError, match="deprels"):
        TASKS.parse({"kind": "parsing_of_test", "heads": "head"})


class TestFormsOfTheFirstVersion:
    def test_an_init_method(self) -> None:
        with pytest.raises(ConfigError, match=r"Old has an `__init__`.*annotated fields"):

            class Old(Task):  # type: ignore[unused-ignore]
                def __init__(self, *, low: float, **task: Any) -> None:
                    super().__init__(**task)

    def test_a_model_of_options(self) -> None:
        with pytest.raises(ConfigError, match=r"Rating is registered with TaskOptions.*\('stars_of_test'\)"):
            TASKS.register("stars_of_test", TaskOptions)(Rating)

    def test_the_options_class_of_a_built_in_type(self) -> None:
        with pytest.raises(ConfigError, match=r"RegressionOptions does not exist any more.*subclass of Regression"):
            nlpmtl.tasks.regression.RegressionOptions  # noqa: B018
