"""Examples in docstrings run, and each registered method has one in its module."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import nlpmtl
from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, WEIGHTINGS, Registry

PACKAGE = Path(nlpmtl.__file__).parent
REGISTRIES = {"weighting": WEIGHTINGS, "sampler": SAMPLERS, "metric": METRICS, "sharing scheme": SHARINGS}


def modules() -> list[str]:
    """Return the names of the modules with an example."""
    paths = [path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths]
    return sorted(".".join(part for part in names if part != "__init__") for names in parts)


@pytest.mark.parametrize("name", modules())
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_each_method_has_an_example(registry: Registry) -> None:
    finder = doctest.DocTestFinder()
    files = {registry.get(name).__module__ for name in registry.names()}
    tests = {name: finder.find(importlib.import_module(name), name) for name in files}
    assert not sorted(name for name, items in tests.items() if not any(test.examples for test in items))
