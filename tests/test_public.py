"""The public names of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nlpmtl


def test_the_public_names() -> None:
    errors = {"ConfigError", "DataError", "ModelError", "NlpmtlError", "RunError", "StoppedError"}
    classes = {"MultiTaskConfig", "MultiTaskModel", "Predictor", "RunConfig"}
    results = {"CompareResult", "PredictedFiles", "Relations", "TrainResult"}
    functions = {"compare", "evaluate", "iter_train", "predict_files", "relate", "train"}
    assert set(nlpmtl.__all__) == errors | classes | results | functions
    assert set(nlpmtl.__all__) <= set(dir(nlpmtl))
    assert all(getattr(nlpmtl, name).__module__.startswith("nlpmtl.") for name in nlpmtl.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Trainer"):
        _ = nlpmtl.Trainer


def test_importing_loads_no_torch() -> None:
    code = "import sys, nlpmtl; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "datasets", "accelerate", "evaluate", "numpy", "pandas", "sklearn", "scipy"}
    assert heavy.isdisjoint(result.stdout.split())
    assert result.stderr == ""


def test_a_run_config_is_made_without_other_imports() -> None:
    task = {"kind": "classification", "label": "topic"}
    dataset = {"data": {"files": {"train": "train.jsonl"}}, "input": {"text": "text"}, "tasks": {"topic": task}}
    run = {"encoder": {"name": "encoder"}, "datasets": {"messages": dataset}}
    code = f"import sys, nlpmtl; print(nlpmtl.RunConfig(**{run!r}).sampling.kind, 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.stdout.split(), result.stderr) == (["proportional", "False"], "")
