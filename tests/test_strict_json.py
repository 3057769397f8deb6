"""JSON without NaN and infinity."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path

import pytest

import nlpmtl
from nlpmtl.strict_json import dumps

INF, NAN = math.inf, math.nan


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"loss": NAN, "weights": {"a": INF, "b": 1.5}}, {"loss": None, "weights": {"a": None, "b": 1.5}}),
        ([(1, -INF), [NAN, [NAN]], "NaN"], [[1, None], [None, [None]], "NaN"]),
        (NAN, None),
        (
            {"step": 3, "text": "∞", "missing": None, "right": True},
            {"step": 3, "text": "∞", "missing": None, "right": True},
        ),
        ({NAN: 1}, {"null": 1}),
    ],
)
def test_numbers_that_are_not_finite_become_null(value: object, expected: object) -> None:
    for indent in (None, 2):
        assert json.loads(dumps(value, indent=indent), parse_constant=refuse) == expected


def test_a_finite_value_is_written_as_by_the_standard_library() -> None:
    value = {"a": [1.5, 2, "é"], "b": {"c": None}}
    assert dumps(value, indent=2) == json.dumps(value, indent=2)
    assert dumps(value, ensure_ascii=False) == json.dumps(value, ensure_ascii=False)


def test_no_other_file_of_the_package_writes_json_that_may_hold_nan() -> None:
    """Digests and schemas contain only strings and integers, profiles are not written; everything else uses `dumps`."""
    allowed = {"strict_json.py", "cli/schema.py", "data/dataset_loader.py", "init/profile.py"}
    package = Path(nlpmtl.__file__).parent
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "json.dump" in text else ():
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("json.dump", "json.dumps"):
                assert path.relative_to(package).as_posix() in allowed, path
