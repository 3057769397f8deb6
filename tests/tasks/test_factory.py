"""Tasks from a config and data, and from saved configs."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.config import TaskOptions
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Classification, Labeling, build_task, task_from_config
from tests.tasks.kinds import config_of_kind


def options(**values: Any) -> TaskOptions:
    parsed = TASKS.parse({"label": "column", **values})
    assert isinstance(parsed, TaskOptions)
    return parsed


def test_a_task_has_the_options_of_its_config_and_the_labels_of_the_data() -> None:
    task = build_task(
        options(kind="classification", pos_label="b", label_smoothing=0.1, class_weights={"b": 2}, metrics=["f1"]),
        name="topic",
        labels=["a", "b"],
        input="pair",
    )
    assert isinstance(task, Classification)
    assert (task.name, task.labels, task.input, task.metrics) == ("topic", ("a", "b"), "pair", ("f1",))
    assert (task.pos_label, task.label_smoothing, task.class_weights) == ("b", 0.1, {"b": 2.0})
    plain = build_task(options(kind="labeling", scheme="plain"), name="pos", labels=["N", "V"], input="words")
    assert isinstance(plain, Labeling)
    assert plain.metrics == ("token_accuracy",)


@pytest.mark.parametrize(
    ("given", "labels", "input", "message"),
    [
        ({"kind": "classification"}, ["a"], "text", r"task 't': at least 2 label.*found \['a'\]"),
        ({"kind": "labeling"}, [], "words", r"task 't': at least 2 label.*found \[\]"),
        ({"kind": "multilabel"}, [], "text", r"task 't': at least 1 label.*found \[\]"),
        ({"kind": "labeling"}, ["O", "B-x"], "text", 'the input of labeling must be `words = "…"`, found `text'),
        ({"kind": "classification", "pos_label": "c"}, ["a", "b"], "text", "'c' is not among the labels"),
        (
            {"kind": "classification", "class_weights": {"aa": 1}},
            ["aaa", "b"],
            "text",
            "'aa' is not a label; did you .*aaa",
        ),
        ({"kind": "labeling", "class_weights": {"B-y": 1}}, ["O", "B-x"], "words", "'B-y' is not a label"),
        ({"kind": "multilabel", "class_weights": {"q": 1}}, ["a", "b"], "text", "'q' is not a label; known: a, b"),
        ({"kind": "classification", "metrics": ["acuracy"]}, ["a", "b"], "text", "task 't'.*did you mean 'accuracy'"),
        ({"kind": "classification", "metrics": ["f1"]}, ["a", "b"], "text", "task 't'.*pos_label"),
        ({"kind": "regression", "metrics": ["accuracy"]}, [], "text", "task 't'.*accuracy"),
        ({"kind": "labeling", "metrics": ["pearsonr"]}, ["O", "B-x"], "words", "task 't'.*pearsonr"),
    ],
)
def test_inconsistent_data_and_config(given: dict[str, Any], labels: list[str], input: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_task(options(**given), name="t", labels=labels, input=input)


def without(key: str) -> dict[str, Any]:
    spec = config_of_kind("classification")
    del spec[key]
    return spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "'kind' is missing"),
        (without("kind"), "'kind' is missing"),
        (without("labels"), "labels"),
        (without("input"), "input"),
        (without("metrics"), "metrics"),
        (config_of_kind("classification", kind="clasification"), "did you mean 'classification'"),
        (config_of_kind("classification", kind=["classification"]), "unknown task type"),
        (config_of_kind("classification", added=1), "added"),
        (config_of_kind("classification", labels=["b"]), "at least 2"),
        (config_of_kind("classification", labels="abc"), "`labels`: a list, such as"),
        (config_of_kind("classification", labels=[1, 2]), "`labels.0`: a string"),
        (config_of_kind("classification", labels=None), "`labels`: a list"),
        (config_of_kind("classification", input="txt"), "'txt'"),
        (config_of_kind("classification", metrics=3), "`metrics`: a list.* .found 3."),
        (config_of_kind("classification", metrics=["pearsonr"]), "pearsonr"),
        (config_of_kind("classification", metrics=[3]), "`metrics.0`: a string"),
        (config_of_kind("classification", pos_label="q"), "'q'"),
        (config_of_kind("sentiment", pos_label="bad", positve=1), "positve"),
        (config_of_kind("regression", target={"mean": 1.0}), "'std' is missing"),
        (config_of_kind("regression", target={}), "'mean' is missing"),
        (config_of_kind("regression", target=3), "`target`: a table was expected .found 3."),
        (config_of_kind("regression", target={"mean": "much", "std": 1.0}), "much"),
        (config_of_kind("labeling", scheme="bioes"), "'bioes'"),
        (config_of_kind("labeling", labels=["O", "I-x"]), "B-x"),
        (config_of_kind("labeling", input="text"), "words"),
        (config_of_kind("multilabel", labels=[]), "at least 1"),
        (None, "NoneType"),
        ([1], "sequence"),
    ],
)
def test_a_broken_task_config_is_a_model_error_that_names_the_task(spec: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"task 'grade' of this model cannot be made: .*{message}"):
        task_from_config("grade", spec)


def test_task_from_config_does_not_modify_its_argument() -> None:
    spec = config_of_kind("regression")
    task_from_config("t", spec)
    assert spec == config_of_kind("regression")


def test_an_unregistered_metric_does_not_prevent_loading() -> None:
    task = task_from_config("grade", config_of_kind("classification", metrics=["accuracy", "nosuch"]))
    assert task.to_config()["metrics"] == ["accuracy", "nosuch"]
    with pytest.raises(ConfigError, match="task 'grade': unknown metric 'nosuch'"):
        task.check_metrics(task.metrics, task="grade", pos_label=None)
