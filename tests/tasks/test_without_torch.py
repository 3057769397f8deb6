"""Configs and data are checked where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

NO_TORCH = """
import importlib, importlib.util, pkgutil, sys

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split(".")[0] == "torch" else find_spec(name, *rest)

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
"""

TASKS = """
import nlpmtl.tasks
for module in pkgutil.iter_modules(nlpmtl.tasks.__path__):
    importlib.import_module(f"nlpmtl.tasks.{module.name}")

from nlpmtl.config import parse_dataset
from nlpmtl.data_checks import check_datasets
from nlpmtl.errors import NlpmtlError

def check(**options):
    rows = [{"text": "a cat", "topic": "animals"}, {"text": "a lamp", "topic": "things"}]
    topic = {"kind": "classification", "label": "topic", **options}
    raw = {"data": {"files": {"train": rows}}, "input": {"text": "text"}, "tasks": {"topic": topic}}
    try:
        check_datasets({"texts": parse_dataset(raw, where="texts.toml")}, splits=["train"])
    except NlpmtlError as error:
        print(error)
    else:
        print("valid")

labels = ["animals", "things"]
check(class_weights="balanced")
check(labels=labels, class_weights={"animals": 2.0}, metrics=["f1"], pos_label="things")
check(label_smoothing=2.0)
check(labels=labels, class_weights={"animal": 2.0})
check(labels=labels, metrics=["f1"])
check(label="topics")
assert "torch" not in sys.modules
"""


RUNS = """
from nlpmtl.errors import ConfigError
from nlpmtl.registry import SAMPLERS, SHARINGS, WEIGHTINGS
from nlpmtl.run_config import load_config

def run(**tables):
    rows = [{"text": "a cat", "topic": "animals"}, {"text": "a lamp", "topic": "things"}]
    topic = {"kind": "classification", "label": "topic", "metrics": ["accuracy"]}
    texts = {"data": {"files": {"train": rows}}, "input": {"text": "text"}, "tasks": {"topic": topic}}
    return load_config({"encoder": {"name": "somewhere"}, "datasets": {"texts": texts}, **tables})

for name, registry in {"sampling": SAMPLERS, "weighting": WEIGHTINGS, "sharing": SHARINGS}.items():
    for kind in registry.names():
        config = run(**{name: {"kind": kind}})
        assert getattr(config, name).kind == kind
        print(name, kind)
try:
    run(sharing={"kind": "lora", "rnk": 4}, train={"steps": 0})
except ConfigError as error:
    print(error)
assert "torch" not in sys.modules
"""


def printed(code: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", NO_TORCH + code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.slow
def test_the_config_of_a_run_is_checked_without_torch() -> None:
    *kinds, misspelled, invalid = printed(RUNS)
    assert {"sampling exp3", "weighting gradvac", "weighting uncertainty", "sharing hard", "sharing lora"} <= {*kinds}
    assert "sharing.rnk: unknown key; did you mean 'rank'" in misspelled
    assert "train.steps" in invalid


def test_tasks_and_data_are_checked_without_torch() -> None:
    lines = printed(TASKS)
    assert lines[:2] == ["valid", "valid"]
    for line, expected in zip(
        lines[2:],
        (
            "label_smoothing: must be less than 1",
            "'animal' is not a label; did you mean 'animals'",
            "pos_label",
            "'topics'",
        ),
        strict=True,
    ):
        assert expected in line
