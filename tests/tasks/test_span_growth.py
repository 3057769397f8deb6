"""Spans of long texts and of many labels, compared with simple implementations, and how memory and work grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pytest
from numpy.typing import NDArray

from nlpmtl.data import Example, TokenSequence, WordSplitting, to_input
from nlpmtl.data.example import Input
from nlpmtl.data.word_alignment import Span
from nlpmtl.tasks import ExampleOutputs
from nlpmtl.tasks.span_decoding import Window, _overlapping, find_candidates, read_windows
from nlpmtl.tasks.span_units import Units, find_units

SIZE = 4


class CountedWords(Sequence[Span]):
    """The spans of words, which count how many of them are read."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.reads = 0

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        part = self.spans[index]
        self.reads += len(part) if isinstance(index, slice) else 1
        return part

    def __iter__(self) -> Iterator[Span]:
        self.reads += len(self.spans)
        return iter(self.spans)


def random_words(source: np.random.Generator, count: int) -> list[str]:
    """Return words of up to 9 characters, some of which are empty."""
    return ["".join(source.choice(list("ab."), size=source.integers(0, 10))) for _ in range(count)]


def random_tokens(source: np.random.Generator, text: str) -> NDArray[np.int64]:
    """Return the offsets of tokens, some of which begin with a space, or share a character, or have none."""
    offsets, place = [], 0
    while place < len(text):
        end = min(len(text), place + int(source.integers(0, 4)))
        offsets.append((place, end))
        place = end if source.random() < 0.9 else max(place, end - 1) + (end == place)
        place += int(place < len(text) and text[place] == " " and source.random() < 0.5)
    return np.array(offsets, dtype=np.int64).reshape(-1, 2)


def cut(offsets: NDArray[np.int64], size: int, step: int) -> list[TokenSequence]:
    """Return windows of tokens, each between two special tokens."""
    starts = range(0, max(1, len(offsets) - size + step), step)
    special = np.full((1, 2), -1)
    windows = [np.concatenate([special, offsets[start : start + size], special]) for start in starts]
    return [TokenSequence(np.arange(len(window)), offsets=window) for window in windows]


def simple_words(example: Example, sequence: TokenSequence) -> Units:
    """Find the words of a window among all words of the text."""
    assert sequence.offsets is not None
    tokens = np.flatnonzero((sequence.offsets[:, 0] >= 0) & (sequence.offsets[:, 0] < sequence.offsets[:, 1]))
    starts, ends = sequence.offsets[tokens].T
    encoded = np.array(list(example.text_input(words=True).words or ()), dtype=np.int64).reshape(-1, 2)
    first = np.searchsorted(ends, encoded[:, 0], side="right")
    last = np.searchsorted(starts, encoded[:, 1], side="left") - 1
    here = np.flatnonzero((first <= last) & (encoded[:, 0] < encoded[:, 1]))
    words = np.array(list(example.words), dtype=np.int64).reshape(-1, 2)[here]
    return Units(tokens[first[here]], tokens[last[here]], words[:, 0], words[:, 1])


@pytest.mark.parametrize("seed", range(40))
def test_words_of_a_window_are_those_among_all_words(seed: int) -> None:
    source = np.random.default_rng(seed)
    words = random_words(source, int(source.integers(0, 40)))
    splitting = Input(" ".join(words), splitting=WordSplitting("every_mark"))
    for example in (Example(to_input({"words": words or [""]})), Example(splitting)):
        size = int(source.integers(1, 12))
        for sequence in cut(random_tokens(source, example.text_input().text), size, max(1, size // 2)):
            units, expected = find_units(example, sequence, by_word=True), simple_words(example, sequence)
            assert [values.tolist() for values in units] == [values.tolist() for values in expected]


def test_the_words_of_a_text_are_read_once_per_window_that_has_them() -> None:
    """Reading all words in each window would be 800 times 8,000 reads."""
    text, count = " ".join("a" * 8000), 8000
    words = CountedWords([(2 * i, 2 * i + 1) for i in range(count)])
    offsets = np.array(words.spans)
    sequences = cut(offsets, 20, 10)
    outputs = {"spans": [np.zeros((len(sequence.ids), 4)) for sequence in sequences]}
    windows = read_windows(ExampleOutputs(Example(Input(text, given=words)), sequences, outputs), by_word=True)
    assert len(windows) == 799
    assert {len(window.units.first) for window in windows} == {20}
    assert words.reads < 15 * count


class CountedInt(int):
    """An integer that counts its comparisons."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        type(self).comparisons += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        type(self).comparisons += 1
        return int(self) > int(other)


def make_windows(source: np.random.Generator, count: int, *, labels: int, relations: int = 0) -> list[Window]:
    """Return the windows of a text of one-character units with random outputs."""
    size = int(source.integers(1, 12))
    sequences = cut(np.array([(2 * i, 2 * i + 1) for i in range(count)]), size, max(1, size // 2))
    outputs: dict[str, list[Any]] = {
        name: [source.normal(size=(len(sequence.ids), width)).astype(np.float32) for sequence in sequences]
        for name, width in (("spans", 2 * SIZE + 2 * labels), ("relations", 4 * relations * (SIZE + 1)))
    }
    text = " ".join("a" * count)
    return read_windows(ExampleOutputs(Example(to_input(text)), sequences, outputs), by_word=False)


@pytest.mark.parametrize("seed", range(20))
def test_windows_that_overlap(seed: int) -> None:
    source = np.random.default_rng(seed)
    windows = make_windows(source, int(source.integers(1, 60)), labels=1)
    near = [
        [i for i, other in enumerate(windows) if other.low < window.high and window.low < other.high]
        for window in windows
    ]
    assert list(map(list, _overlapping(windows))) == near
    assert _overlapping([]) == []


def test_a_window_is_not_compared_with_all_other_windows() -> None:
    source = np.random.default_rng(0)
    windows = make_windows(source, 600, labels=2)
    counted = [window._replace(low=CountedInt(window.low), high=CountedInt(window.high)) for window in windows]
    CountedInt.comparisons = 0
    found = find_candidates(counted, labels=2, flat=False)
    assert len(found.start) == 1200
    assert CountedInt.comparisons < 20 * len(windows)
