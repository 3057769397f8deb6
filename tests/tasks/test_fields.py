"""The fields of a task type: config keys, JSON Schema, what is saved, loading, and what a continued run takes over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import Field, ValidationError

import nlpmtl.tasks.regression
from nlpmtl.config import TaskOptions
from nlpmtl.errors import ConfigError
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
