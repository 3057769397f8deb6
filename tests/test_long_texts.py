"""Texts much longer than the encoder reads: memory grows linearly with their length."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.long_texts import PREDICTIONS, measure
from nlpmtl import Predictor
from nlpmtl.tasks import ExampleOutputs, Prediction
from nlpmtl.tasks.labeling import Labeling
from tests.test_threads import make_predictor
from tests.tiny import write_encoder

MILLION = 1_000_000
MOST_MIB = 700
"""Limit above the loaded model for a million characters, predictions and their Python objects included."""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return make_predictor(write_encoder(tmp_path_factory.mktemp("long")))


@pytest.mark.parametrize("text", ["a " * 300, "a" * 300, "." * 300, "ada lives in turin . " * 30])
def test_each_word_is_read_in_one_window(predictor: Predictor, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    word_counts: list[int] = []
    decode = Labeling.decode

    def watch(task: Labeling, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        word_counts.extend(len(seq.words) for item in items for seq in item.sequences if seq.words is not None)
        return decode(task, items)

    monkeypatch.setattr(Labeling, "decode", watch)
    assert len(predictor.predict(text, task="tags")) == sum(word_counts)


@pytest.mark.slow
@pytest.mark.parametrize("case", PREDICTIONS)
def test_a_million_characters_take_a_few_hundred_mib(case: str) -> None:
    assert measure(case, MILLION)["MiB"] < MOST_MIB


@pytest.mark.slow
@pytest.mark.parametrize("case", ["prepare", "evaluate"])
def test_many_long_rows_are_not_held_at_once(case: str) -> None:
    """20 million characters: all encodings at once would take more than 1 GiB."""
    assert measure(case, 20 * MILLION)["MiB"] < MOST_MIB


def test_a_long_text_is_labelled_completely(predictor: Predictor) -> None:
    words = ["ada", "lives", "in", "turin"] * 200
    spans = predictor.predict({"words": words}, task="tags")
    assert [span["word"] for span in spans] == words
