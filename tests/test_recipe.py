"""Runs with pooling and loss functions other than the defaults: training, resuming, loading and exporting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nlpmtl
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.export import export_task
from nlpmtl.heads import Head
from nlpmtl.hub import load_model
from nlpmtl.run import load_config
from tests.tiny import checkpoint, digest, interrupt, make_run, train_tiny

TRAIN = {"steps": 6, "batch_size": 8, "lr": 1e-3, "save_every": 2, "keep": 9, "precision": "fp32"}
FOCAL = {"kind": "focal", "gamma": 1.5}
POOLINGS = {"topic": "max", "mood": "mean", "grade": "attention", "kinds": "attention"}


def recipe(directory: Path) -> dict[str, Any]:
    """Return a run in which each task has another pooling, and those with labels focal loss."""
    run = make_run(directory, rows=20, train=TRAIN, eval={"every": 2})
    for dataset in run["datasets"].values():
        for name, task in dataset["tasks"].items():
            if name in POOLINGS:
                task["pooling"] = POOLINGS[name]
            if name != "grade":
                task["loss"] = FOCAL
    return run


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit_and_its_model_keeps_the_pooling(tmp_path: Path) -> None:
    run = recipe(tmp_path)
    expected = train_tiny(run, tmp_path / "expected")
    interrupt(run, tmp_path / "actual", step=4)
    train_tiny(run, tmp_path / "actual", resume=True)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert digest(checkpoint(expected.output, 6), name) == digest(checkpoint(tmp_path / "actual", 6), name), name
    model, tokenizer = load_model(str(expected.model_dir))
    for name, pooling in POOLINGS.items():
        head = model.head(name)
        assert isinstance(head, Head)
        assert head.config.pooling == pooling
    assert any(weight.any() for weight in [model.head("grade").pooling.query])
    predictor = nlpmtl.Predictor(model, tokenizer)
    texts = ["ada lives in turin", "good", "the old lamp is big " * 4]
    for text, together in zip(texts, predictor.predict_all(texts, all_scores=True), strict=True):
        alone = predictor.predict_all(text, all_scores=True)
        for task in ("topic", "mood", "kinds"):
            assert together[task]["scores"] == pytest.approx(alone[task]["scores"], abs=1e-5), "padding is not pooled"
    with pytest.raises(ModelError, match="its pooling is 'attention', and the model of transformers has 'first'"):
        export_task(model, tokenizer, task="kinds", directory=tmp_path / "stock")


def test_a_task_that_reads_tokens_has_no_pooling(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4)
    run["datasets"]["words"]["tasks"]["places"]["pooling"] = "mean"
    with pytest.raises(ConfigError, match="pooling"):
        load_config(run)
    run["datasets"]["words"]["tasks"]["places"].pop("pooling")
    run["datasets"]["words"]["tasks"]["topic"]["pooling"] = "average"
    with pytest.raises(ConfigError, match="pooling"):
        load_config(run)
