"""Texts for which a tokenizer gives no token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

import nlpmtl
from tests.tiny import make_run, read_json, train_tiny

EMPTY = ["", "\u200b", " ", "\t\n", "\x00\x01", "\ufeff", "\u200b \u200d"]


@pytest.fixture(
    scope="module", params=[pytest.param(True, marks=pytest.mark.slow), False], ids=["special tokens", "none"]
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A run with empty texts among its rows, and its model; the tokenizer adds special tokens, or none."""
    directory = tmp_path_factory.mktemp("empty")
    run = make_run(directory, rows=20, train={"steps": 2, "batch_size": 8, "lr": 1e-3, "precision": "fp32"})
    path = directory / "encoder" / "tokenizer.json"
    if not request.param:
        tokenizer = read_json(path)
        tokenizer["post_processor"] = None
        Tokenizer.from_str(json.dumps(tokenizer)).save(str(path))
    for name, row in {
        "words": {"tokens": ["\u200b"], "topic": "things", "mood": "neutral", "tags": ["O"]},
        "pairs": {"text": "", "other": "\u200b", "grade": 1.0},
        "texts": {"text": "", "kinds": ["x"]},
    }.items():
        for file in run["datasets"][name]["data"]["files"].values():
            with Path(file).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
    return run, train_tiny(run).model_dir


@pytest.mark.slow
def test_texts_without_tokens_are_trained_on_and_evaluated(model: tuple[dict[str, Any], Path]) -> None:
    run, directory = model
    scores = nlpmtl.evaluate(directory, run, split="validation")
    assert scores["grade"]["rows"] == 12


def test_texts_without_tokens_have_no_labelled_words_and_other_predictions(model: tuple[dict[str, Any], Path]) -> None:
    predictor = nlpmtl.Predictor.from_pretrained(model[1])
    predictions = predictor.predict_all(["a cat", *EMPTY, "Rome"])
    for prediction in predictions[1:-1]:
        assert prediction["places"] == []
        assert prediction["topic"]["label"] in predictor.tasks["topic"].labels
    for text in EMPTY:
        assert predictor.predict(text, task="places") == []
        assert set(predictor.predict((text, text), task="grade")) == {"value"}
    assert predictor.predict({"words": ["\u200b", ""]}, task="places") == []
