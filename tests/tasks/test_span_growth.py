"""Spans of long texts and of many labels, compared with simple implementations, and how memory and work grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pytest
from numpy.typing import NDArray

from nlpmtl.data import Example, TokenSequence, WordSplitting, to_input
from nlpmtl.data.example import Input
from nlpmtl.data.word_alignment import Span
from nlpmtl.tasks import ExampleOutputs, SpanExtraction, relation_decoding, span_decoding
from nlpmtl.tasks.calibration import fit_detection, sigmoid
from nlpmtl.tasks.relation_decoding import RelationScores, score_relations
from nlpmtl.tasks.span_decoding import (
    Candidates,
    Window,
    _limit,
    _top,
    _without_overlaps,
    find_candidates,
    overlapping_windows,
    read_windows,
    split_relation_terms,
    split_span_terms,
)
from nlpmtl.tasks.span_units import Units, find_units
from tests.slow import slow_except

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


@pytest.mark.parametrize("seed", slow_except(range(40), *range(10)))
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
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        type(self).comparisons += 1
        return int.__eq__(self, other) is True

    def __lt__(self, other: int) -> bool:
        type(self).comparisons += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        type(self).comparisons += 1
        return int(self) > int(other)


def make_item(
    source: np.random.Generator, offsets: Any, text: str, *, size: int, labels: int, relations: int = 0
) -> ExampleOutputs:
    """Return the random outputs of the windows of a text, each of which has at most `size` tokens."""
    sequences = cut(np.array(offsets), size, max(1, size // 2))
    outputs: dict[str, list[Any]] = {
        name: [source.normal(size=(len(sequence.ids), width)).astype(np.float32) for sequence in sequences]
        for name, width in (("spans", 2 * SIZE + 2 * labels), ("relations", 4 * relations * (SIZE + 1)))
    }
    return ExampleOutputs(Example(to_input(text)), sequences, outputs)


def make_windows(source: np.random.Generator, count: int, **sizes: int) -> list[Window]:
    """Return the windows of a text of one-character units."""
    item = make_item(
        source,
        [(2 * i, 2 * i + 1) for i in range(count)],
        " ".join("a" * count),
        size=int(source.integers(1, 12)),
        **sizes,
    )
    return read_windows(item, by_word=False)


@pytest.mark.parametrize("seed", slow_except(range(20), *range(6)))
def test_windows_that_overlap(seed: int) -> None:
    source = np.random.default_rng(seed)
    windows = make_windows(source, int(source.integers(1, 60)), labels=1)
    near = [
        [i for i, other in enumerate(windows) if other.start < window.end and window.start < other.end]
        for window in windows
    ]
    assert list(map(list, overlapping_windows(windows))) == near
    assert overlapping_windows([]) == []


def test_a_window_is_not_compared_with_all_other_windows() -> None:
    source = np.random.default_rng(0)
    windows = make_windows(source, 600, labels=2)
    counted = [window._replace(start=CountedInt(window.start), end=CountedInt(window.end)) for window in windows]
    CountedInt.comparisons = 0
    candidates = find_candidates(counted, labels=2, flat=False)
    assert len(candidates.start) == 1200
    assert CountedInt.comparisons < 20 * len(windows)


def simple_candidates(windows: Sequence[Window], *, labels: int, flat: bool) -> Candidates:
    """Return the best spans of all windows from a matrix of the scores of all spans and labels of each window."""
    parts = []
    for number, window in enumerate(windows):
        units = window.units
        query, key, first, last = split_span_terms(window.outputs["spans"].astype(np.float64), labels)
        pairs = np.triu_indices(len(units.first))
        start, end = units.start[pairs[0]], units.end[pairs[1]]
        margins = np.stack([other.margins(start, end) for other in windows])
        chosen = margins.argmax(axis=0) == number
        pairs, start, end = (pairs[0][chosen], pairs[1][chosen]), start[chosen], end[chosen]
        begins, ends = units.first[pairs[0]], units.last[pairs[1]]
        products = (query[units.first] @ key[units.last].T)[pairs]
        scores = products[:, None] + first[begins] + last[ends]
        best = _top(scores.ravel(), _limit(len(units.first)))
        if flat:
            order = np.argsort(-scores.max(axis=1), kind="stable")
            kept = order[_without_overlaps(start[order], end[order])]
            best = np.union1d(best, kept * labels + scores[kept].argmax(axis=1))
        span, label = np.divmod(best, labels)
        parts.append(Candidates(start[span], end[span], label, scores[span]))
    joined = Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    candidates = joined.take(np.lexsort((joined.label, joined.end, joined.start, -joined.score)))
    if flat:
        return candidates.take(_without_overlaps(candidates.start, candidates.end))
    units_of_text = np.unique(np.concatenate([window.units.start for window in windows]))
    return candidates.take(np.arange(min(len(candidates.start), _limit(len(units_of_text)))))


@pytest.mark.parametrize("block", [None, 1, 7, 100])
@pytest.mark.parametrize("seed", slow_except(range(20), *range(6)))
def test_candidates_are_those_of_a_matrix_of_all_scores(
    block: int | None, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block is not None:
        monkeypatch.setattr(span_decoding, "_MAX_SCORES_PER_BLOCK", block)
    source = np.random.default_rng(seed)
    text, labels = " ".join(random_words(source, int(source.integers(1, 30)))), int(source.integers(1, 6))
    item = make_item(source, random_tokens(source, text), text, size=int(source.integers(1, 40)), labels=labels)
    windows = read_windows(item, by_word=False)
    for flat in (False, True):
        candidates = find_candidates(windows, labels=labels, flat=flat)
        if not windows:
            assert len(candidates.start) == 0
            continue
        expected = simple_candidates(windows, labels=labels, flat=flat)
        for values, others in zip(candidates, expected, strict=True):
            assert np.array_equal(values, others)  # to the last bit


def test_the_scores_of_many_labels_need_little_memory() -> None:
    """The scores of all spans with all labels would take 322 MB, and were copied several times."""
    source = np.random.default_rng(0)
    offsets, text = [(2 * i, 2 * i + 1) for i in range(200)], " ".join("a" * 200)
    windows = read_windows(make_item(source, offsets, text, size=200, labels=2000), by_word=False)
    tracemalloc.start()
    try:
        candidates = find_candidates(windows, labels=2000, flat=True)
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()
    assert len(candidates.start) > 5


def simple_relations(windows: Sequence[Window], spans: Candidates, *, relations: int) -> NDArray[np.float64]:
    """Return the score of each relation between all pairs of spans, −inf where it is not scored."""
    count = len(spans.start)
    scores = np.full((count, count, relations), -np.inf)
    margins = np.full((count, count), -1)
    low, high = np.minimum.outer(spans.start, spans.start), np.maximum.outer(spans.end, spans.end)
    for window in windows:
        units = window.units
        begin = np.searchsorted(units.start, spans.start).clip(max=len(units.start) - 1)
        end = np.searchsorted(units.end, spans.end).clip(max=len(units.end) - 1)
        inside = np.flatnonzero((units.start[begin] == spans.start) & (units.end[end] == spans.end))
        begin, end, pairs = units.first[begin[inside]], units.last[end[inside]], np.ix_(inside, inside)
        vectors, terms = split_relation_terms(window.outputs["relations"].astype(np.float64), relations)
        heads, tails = (vectors[i][begin] + vectors[i + 1][end] for i in (0, 2))
        head_terms, tail_terms = (terms[i][begin] + terms[i + 1][end] for i in (0, 2))
        window_scores = np.einsum("irs,jrs->ijr", heads, tails) + head_terms[:, None] + tail_terms
        window_margins = window.margins(low[pairs], high[pairs])
        farther = window_margins > margins[pairs]
        scores[pairs] = np.where(farther[..., None], window_scores, scores[pairs])
        margins[pairs] = np.maximum(margins[pairs], window_margins)
    scores[np.arange(count), np.arange(count)] = -np.inf
    return scores


def random_spans(source: np.random.Generator, windows: Sequence[Window], count: int) -> Candidates:
    """Return spans of which most begin and end at units of a window, in no order."""
    spans: set[tuple[int, int, int]] = set()
    for _ in range(count):
        units = windows[int(source.integers(len(windows)))].units
        first, last = np.sort(source.integers(len(units.start), size=2))
        shift = int(source.random() < 0.1)
        spans.add((int(units.start[first]) + shift, int(units.end[last]) + shift, int(source.integers(3))))
    start, end, label = np.array(source.permutation(sorted(spans))).reshape(-1, 3).T
    return Candidates(start, end, label, np.zeros((len(start), 3)))


@pytest.mark.parametrize("block", [None, 1, 7, 64])
@pytest.mark.parametrize("seed", slow_except(range(25), *range(8)))
def test_relations_are_those_of_a_matrix_of_all_pairs(
    block: int | None, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block is not None:
        monkeypatch.setattr(relation_decoding, "_MAX_SCORES_PER_BLOCK", block)
    source = np.random.default_rng(seed)
    text, relations = " ".join(random_words(source, 30)), int(source.integers(1, 4))
    size = int(source.integers(1, 12))
    item = make_item(source, random_tokens(source, text), text, size=size, labels=3, relations=relations)
    windows = read_windows(item, by_word=False)
    spans = random_spans(source, windows, int(source.integers(1, 40)))
    parts = list(score_relations(windows, spans, relations=relations))
    if block == 1:
        assert max(len(part.head) for part in parts) < len(spans.start)
    scored = RelationScores.join(parts, relations=relations)
    expected = simple_relations(windows, spans, relations=relations)
    pairs = np.argwhere(np.isfinite(expected).any(axis=2))
    assert np.array_equal(np.stack([scored.head, scored.tail], axis=1), pairs)
    assert np.array_equal(scored.scores, expected[scored.head, scored.tail])  # to the last bit
    known = {tuple(row) for row in source.integers((len(spans.start),) * 2 + (relations,), size=(50, 3)).tolist()}
    rows = zip(scored.head.tolist(), scored.tail.tolist(), strict=True)
    assert scored.find(known).tolist() == [[(*row, label) in known for label in range(relations)] for row in rows]


@pytest.mark.parametrize("seed", slow_except(range(5), 2, 4))
def test_predicted_and_calibrated_relations_are_those_of_all_pairs(seed: int) -> None:
    source = np.random.default_rng(seed)
    types, labels = ("r", "s"), ("a", "b")
    offsets, text = [(2 * i, 2 * i + 1) for i in range(60)], " ".join("a" * 60)
    items = [make_item(source, offsets, text, size=8, labels=2, relations=2) for _ in range(4)]
    task = SpanExtraction(name="t", labels=labels, input="text", relation_labels=types, threshold=0.9)
    predictions = task.decode(items)
    scores, hits, count = [np.zeros(0)], [], 0
    gold = [{**prediction.value, "relations": prediction.value["relations"][::3]} for prediction in predictions]
    for item, prediction, row in zip(items, predictions, gold, strict=True):
        windows = read_windows(item, by_word=False)
        spans = task._predict_spans(task._candidates(windows))
        matrix = simple_relations(windows, spans, relations=2)
        probabilities = sigmoid(matrix)
        places = np.argwhere(np.isfinite(matrix) & (probabilities > 0.5)).tolist()
        assert prediction.value["relations"] == [[head, tail, types[label]] for head, tail, label in places]
        assert prediction.extra[0] == [probabilities[tuple(place)] for place in places]
        scored = np.argwhere(np.isfinite(matrix))
        scores.append(matrix[tuple(scored.T)])
        hits += [[head, tail, types[label]] in row["relations"] for head, tail, label in scored.tolist()]
        count += len(row["relations"])
    expected = fit_detection(np.concatenate(scores), np.array(hits), gold=count)
    task._calibrate_relations(
        [read_windows(item, by_word=False) for item in items],
        [task._predict_spans(task._candidates(read_windows(item, by_word=False))) for item in items],
        gold,
    )
    assert sum(hits) > 100
    assert (task.relation_temperature, task.relation_threshold) == expected


def test_relations_of_many_spans_need_little_memory() -> None:
    """A matrix of all pairs would take 96 MB."""
    source = np.random.default_rng(0)
    offsets, text = [(2 * i, 2 * i + 1) for i in range(1000)], " ".join("a" * 1000)
    item = make_item(source, offsets, text, size=10, labels=2, relations=3)
    task = SpanExtraction(
        name="t",
        labels=("a", "b"),
        input="text",
        relation_labels=("r", "s", "t"),
        threshold=-1.0,
        relation_threshold=1.0,
    )
    tracemalloc.start()
    try:
        (prediction,) = task.decode([item])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(prediction.value["entities"]) == 2000
    assert prediction.value["relations"] == []
    assert peak < 10 * 2**20


def test_predicted_spans_are_not_compared_with_all_gold_spans() -> None:
    source = np.random.default_rng(0)
    offsets, text = [(2 * i, 2 * i + 1) for i in range(100)], " ".join("a" * 100)
    item = make_item(source, offsets, text, size=10, labels=2, relations=1)
    values = {"relation_labels": ("r",), "threshold": 0.9, "relation_threshold": 0.9}
    task = SpanExtraction(name="t", labels=("a", "b"), input="text", **values)
    (prediction,) = task.decode([item])
    entities, relations = prediction.value["entities"], prediction.value["relations"]
    assert len(entities) > 100
    assert len(relations) > 100
    spans = [[CountedInt(start), end, label] for start, end, label in entities[::-1]]
    count = len(spans)
    gold = {"entities": spans, "relations": [[count - 1 - head, count - 1 - tail, "r"] for head, tail, _ in relations]}
    CountedInt.comparisons = 0
    assert task.row_error(prediction, gold, item.example) is None
    assert task.confidence(prediction, gold)[1].all()
    task.calibrate([item], [gold])
    assert CountedInt.comparisons < 20 * (count + len(relations))
