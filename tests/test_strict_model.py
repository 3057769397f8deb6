"""The strict pydantic base class of configs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from nlpmtl.strict_model import StrictModel


class Inner(StrictModel):
    rate: float = 0.1
    """Speed."""


class Outer(StrictModel):
    inner: Inner = Inner()
    steps: int = Field(3, gt=0)
    """Count."""
    quiet: bool = False
    name: str = "x"
    either: int | str = 1
    maybe: float | None = None

    @model_validator(mode="after")
    def _rule(self) -> Outer:
        if self.name == "forbidden":
            raise ValueError("`name` is forbidden")
        return self


def errors_of(value: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(value)
    return [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in caught.value.errors()]


def test_plain_values_pass_unchanged() -> None:
    given = {"inner": {"rate": 1}, "steps": 5, "quiet": True, "name": "1", "either": "a", "maybe": 2}
    assert Outer.model_validate(given).model_dump() == given
    assert Outer.model_validate({}).maybe is None


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        ({"stps": 1}, "stps", "unknown key; did you mean 'steps'?"),
        ({"inner": {"rates": 1}}, "inner.rates", "unknown key; did you mean 'rate'?"),
        ({"zz": 1}, "zz", "unknown key; known: either, inner, maybe, name, quiet, steps"),
        ({"steps": 0}, "steps", "must be greater than 0"),
    ],
)
def test_an_unknown_key_is_reported_with_its_path(value: dict[str, Any], where: str, message: str) -> None:
    assert errors_of(value) == [(where, message)]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("steps", "5", "a whole number"),
        ("steps", 5.0, "a whole number"),
        ("steps", True, "a whole number"),
        ("quiet", 1, "true or false"),
        ("quiet", "yes", "true or false"),
        ("name", 3, "a string in quotes"),
        ("either", 1.5, "a whole number or a string in quotes"),
        ("maybe", "2e-5", "a number"),
        ("maybe", False, "a number"),
    ],
)
def test_values_are_not_converted_between_types(key: str, value: Any, expected: str) -> None:
    assert errors_of({key: value}) == [(key, f"{expected} was expected")]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_are_finite(value: float) -> None:
    assert errors_of({"maybe": value})[0][0] == "maybe"


def test_all_problems_are_reported_together() -> None:
    assert [where for where, _ in errors_of({"inner": {"rate": "a"}, "steps": "b", "zz": 1})] == [
        "inner.rate",
        "steps",
        "zz",
    ]


def test_a_validator_of_the_table_keeps_its_message() -> None:
    assert errors_of({"name": "forbidden"}) == [("", "`name` is forbidden")]


def test_values_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer().steps = 4  # type: ignore[misc]


def test_field_docstrings_are_descriptions() -> None:
    assert Outer.model_json_schema()["properties"]["steps"]["description"] == "Count."
    assert Outer.model_json_schema()["additionalProperties"] is False
