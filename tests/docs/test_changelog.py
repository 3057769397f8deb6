"""The changelog names an existing test for each fixed bug."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def bug_rows() -> list[tuple[str, str]]:
    """Return bug and tests of each row of the table."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    table = changelog.partition("| bug | test |\n|---|---|\n")[2].partition("\n\n")[0]
    return [(bug.strip(), tests) for _, bug, tests, _ in (line.split("|") for line in table.splitlines())]


def collect_tests(path: Path) -> set[str]:
    """Return the test functions of a module, qualified by their class."""
    functions = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            functions.add(node.name)
        elif isinstance(node, ast.ClassDef):
            functions |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return {name for name in functions if name.rpartition("::")[2].startswith("test_")}


def test_bugs_are_listed_once() -> None:
    bugs = [bug for bug, _ in bug_rows()]
    assert bugs
    assert len(set(bugs)) == len(bugs)


@pytest.mark.parametrize("tests", [pytest.param(tests, id=bug) for bug, tests in bug_rows()])
def test_tests_of_each_bug_exist(tests: str) -> None:
    named = NAMED.findall(tests)
    assert named
    assert len(named) == tests.count("`") // 2, "each test is written as `tests/file.py::name`"
    for path, test in named:
        assert test in collect_tests(ROOT / path), f"{path}::{test}"
