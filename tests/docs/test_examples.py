"""Examples in docstrings run, and each registered method has one in its module."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, WEIGHTINGS, Registry

PACKAGES = ("nlpmtl.weighting", "nlpmtl.sampling", "nlpmtl.metrics", "nlpmtl.model.sharing")
REGISTRIES = {"weighting": WEIGHTINGS, "sampler": SAMPLERS, "metric": METRICS, "sharing scheme": SHARINGS}


def modules() -> list[str]:
    names = list(PACKAGES)
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.iter_modules(path, f"{package}.")]
    return names


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
