"""Old names of methods call the new ones, with a warning."""

from __future__ import annotations

import pytest

from nlpmtl.deprecation import RenamedMethod
from nlpmtl.model import MultiTaskModel


class Example:
    """A class with a method and a class method that were renamed."""

    def new(self, value: int) -> int:
        return value + 1

    @classmethod
    def build(cls, value: int) -> int:
        return value * 2

    old = RenamedMethod("new")
    make = RenamedMethod("build")


def test_an_alias_calls_the_renamed_method_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match=r"^Example\.old is deprecated and will be removed in nlpmtl 0\.3: use new"):
        assert Example().old(2) == 3
    with pytest.warns(FutureWarning, match=r"^Example\.make is deprecated.*: use build instead$"):
        assert Example.make(2) == 4


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
