"""Texts much longer than the encoder reads: what they take grows with their length, and no faster."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.long_texts import PREDICTIONS, measure
from nlpmtl import Predictor
from nlpmtl.inference import pipeline
from nlpmtl.tasks import ExampleOutputs
from tests.test_threads import make_predictor
from tests.tiny import write_encoder

MILLION = 1_000_000
MOST_MIB = 700
"""Above the process with its model, for a million characters, the prediction with its Python objects included."""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return make_predictor(write_encoder(tmp_path_factory.mktemp("long")))


@pytest.mark.parametrize("text", ["a " * 300, "a" * 300, "." * 300, "ada lives in turin . " * 30])
def test_logits_are_kept_once_per_word(predictor: Predictor, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a window are those that belong to it, not of all words of the text."""
    kept: list[int] = []
    to_items = pipeline._to_items

    def watch(*args: Any) -> list[ExampleOutputs]:
        items = to_items(*args)
        kept.extend(len(sequence.words) for item in items for sequence in item.sequences if sequence.words is not None)
        return items

    monkeypatch.setattr(pipeline, "_to_items", watch)
    assert len(predictor.predict(text, task="tags")) == sum(kept)


@pytest.mark.slow
@pytest.mark.parametrize("case", PREDICTIONS)
def test_a_million_characters_take_a_few_hundred_mib(case: str) -> None:
    assert measure(case, MILLION)["MiB"] < MOST_MIB


@pytest.mark.slow
@pytest.mark.parametrize("case", ["prepare", "evaluate"])
def test_many_long_rows_are_not_held_at_once(case: str) -> None:
    """20 million characters: all of their encodings at once would take 1 GiB and more."""
    assert measure(case, 20 * MILLION)["MiB"] < MOST_MIB


def test_a_long_text_is_labelled_completely(predictor: Predictor) -> None:
    words = ["ada", "lives", "in", "turin"] * 200
    spans = predictor.predict({"words": words}, task="tags")
    assert [span["word"] for span in spans] == words
