"""Old names of methods and attributes lead to the new ones, with a warning."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.affinity import Estimate, Grouping, Relations
from nlpmtl.comparison import CompareResult, ConditionScores, TaskResult
from nlpmtl.deprecation import RenamedAttribute, RenamedMethod
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import TrainResult
from nlpmtl.tasks import LabelCounts
from nlpmtl.weighting import StepObservation


class Example:
    """A class with a method, a class method and an attribute that were renamed."""

    size: int = 3

    def new(self, value: int) -> int:
        return value + 1

    @classmethod
    def build(cls, value: int) -> int:
        return value * 2

    old = RenamedMethod("new")
    make = RenamedMethod("build")
    length = RenamedAttribute("size")


def test_an_alias_calls_the_renamed_method_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match=r"^Example\.old is deprecated and will be removed in nlpmtl 0\.3: use new"):
        assert Example().old(2) == 3
    with pytest.warns(FutureWarning, match=r"^Example\.make is deprecated.*: use build instead$"):
        assert Example.make(2) == 4


def test_an_alias_returns_the_renamed_attribute_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match=r"^Example\.length is deprecated.*: use size instead$"):
        assert Example().length == 3


@pytest.mark.parametrize(
    ("owner", "old", "new"),
    [
        (ConditionScores, "kept", "selected"),
        (TaskResult, "mixture", "multi_task"),
        (TaskResult, "alone", "single_task"),
        (CompareResult, "mixture", "multi_task_cost"),
        (CompareResult, "alone", "single_task_cost"),
        (TrainResult, "answered", "predictions"),
        (Relations, "own", "self_affinity"),
        (Grouping, "worth", "value"),
        (Estimate, "clear", "significant"),
        (StepObservation, "shares", "label_fractions"),
        (LabelCounts, "found", "true_positives"),
        (LabelCounts, "missed", "false_negatives"),
        (LabelCounts, "wrong", "false_positives"),
    ],
)
def test_old_fields_of_results(owner: type, old: str, new: str) -> None:
    instance: Any = object.__new__(owner)
    object.__setattr__(instance, new, "value")
    with pytest.warns(FutureWarning, match=rf"^{owner.__name__}\.{old} is deprecated.*: use {new} instead$"):
        assert getattr(instance, old) == "value"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("assemble", "from_encoder"),
        ("infer", "predict_logits"),
        ("after_step", "post_step"),
        ("relations", "task_relations"),
    ],
)
def test_a_model_has_its_old_method_names(old: str, new: str) -> None:
    assert callable(getattr(MultiTaskModel, new))
    assert getattr(MultiTaskModel, old).__doc__ is None, "only the new name is documented"
