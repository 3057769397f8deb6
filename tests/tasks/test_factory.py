from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.config import TaskOptions
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Classification, Labeling, build_task, task_from_spec
from tests.tasks.kinds import spec_of


def options(**values: Any) -> TaskOptions:
    parsed = TASKS.parse({"label": "column", **values})
    assert isinstance(parsed, TaskOptions)
    return parsed


def test_a_task_has_the_options_of_its_config_and_the_labels_that_were_found() -> None:
    made = build_task(
        options(kind="classification", positive="b", label_smoothing=0.1, class_weights={"b": 2}, metrics=["f1"]),
        name="topic",
        labels=["a", "b"],
        input="pair",
    )
    assert isinstance(made, Classification)
    assert (made.name, made.labels, made.input, made.metrics) == ("topic", ("a", "b"), "pair", ("f1",))
    assert (made.positive, made.label_smoothing, made.class_weights) == ("b", 0.1, {"b": 2.0})
    plain = build_task(options(kind="labeling", scheme="plain"), name="pos", labels=["N", "V"], input="words")
    assert isinstance(plain, Labeling)
    assert plain.metrics == ("token_accuracy",)


@pytest.mark.parametrize(
    ("given", "labels", "input", "said"),
    [
        ({"kind": "classification"}, ["a"], "text", r"task 't': at least 2 label.*found \['a'\]"),
        ({"kind": "labeling"}, [], "words", r"task 't': at least 2 label.*found \[\]"),
        ({"kind": "multilabel"}, [], "text", r"task 't': at least 1 label.*found \[\]"),
        ({"kind": "labeling"}, ["O", "B-x"], "text", 'its input must be `words = "…"`'),
        ({"kind": "classification", "positive": "c"}, ["a", "b"], "text", "'c' is not among the labels"),
        (
            {"kind": "classification", "class_weights": {"aa": 1}},
            ["aaa", "b"],
            "text",
            "'aa' is no label; did you .*aaa",
        ),
        ({"kind": "labeling", "class_weights": {"B-y": 1}}, ["O", "B-x"], "words", "'B-y' is no label"),
        ({"kind": "multilabel", "class_weights": {"q": 1}}, ["a", "b"], "text", "'q' is no label; known: a, b"),
        ({"kind": "classification", "metrics": ["acuracy"]}, ["a", "b"], "text", "task 't'.*did you mean 'accuracy'"),
        ({"kind": "classification", "metrics": ["f1"]}, ["a", "b"], "text", "task 't'.*positive"),
        ({"kind": "regression", "metrics": ["accuracy"]}, [], "text", "task 't'.*accuracy"),
        ({"kind": "labeling", "metrics": ["pearsonr"]}, ["O", "B-x"], "words", "task 't'.*pearsonr"),
    ],
)
def test_what_data_and_config_cannot_do_together(
    given: dict[str, Any], labels: list[str], input: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build_task(options(**given), name="t", labels=labels, input=input)


def without(key: str) -> dict[str, Any]:
    spec = spec_of("classification")
    del spec[key]
    return spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "'kind' is missing"),
        (without("kind"), "'kind' is missing"),
        (without("labels"), "labels"),
        (without("input"), "input"),
        (without("metrics"), "metrics"),
        (spec_of("classification", kind="clasification"), "did you mean 'classification'"),
        (spec_of("classification", kind=["classification"]), "unknown kind of task"),
        (spec_of("classification", added=1), "added"),
        (spec_of("classification", labels=["b"]), "at least 2"),
        (spec_of("classification", labels="abc"), "a list of names"),
        (spec_of("classification", labels=[1, 2]), "a list of names"),
        (spec_of("classification", labels=None), "a list of names"),
        (spec_of("classification", input="txt"), "'txt'"),
        (spec_of("classification", metrics=3), "int"),
        (spec_of("classification", metrics=["pearsonr"]), "pearsonr"),
        (spec_of("classification", metrics=[3]), "a list of names"),
        (spec_of("classification", positive="q"), "'q'"),
        (spec_of("sentiment", positive="bad", positve=1), "positve"),
        (spec_of("regression", target={"mean": 1.0}), "'std' is missing"),
        (spec_of("regression", target={}), "'mean' is missing"),
        (spec_of("regression", target=3), "int"),
        (spec_of("regression", target={"mean": "much", "std": 1.0}), "much"),
        (spec_of("labeling", scheme="bioes"), "'bioes'"),
        (spec_of("labeling", labels=["O", "I-x"]), "B-x"),
        (spec_of("labeling", input="text"), "words"),
        (spec_of("multilabel", labels=[]), "at least 1"),
        (None, "NoneType"),
        ([1], "sequence"),
    ],
)
def test_a_broken_description_is_an_error_of_the_model_that_names_the_task(spec: Any, said: str) -> None:
    with pytest.raises(ModelError, match=f"task 'grade' of this model cannot be made: .*{said}"):
        task_from_spec("grade", spec)


def test_a_description_is_left_as_it_is() -> None:
    spec = spec_of("regression")
    task_from_spec("t", spec)
    assert spec == spec_of("regression")


def test_a_metric_that_is_not_registered_is_no_reason_not_to_load() -> None:
    task = task_from_spec("grade", spec_of("classification", metrics=["accuracy", "nosuch"]))
    assert task.spec()["metrics"] == ["accuracy", "nosuch"]
    with pytest.raises(ConfigError, match="task 'grade': unknown metric 'nosuch'"):
        task.check_metrics()
