"""Decoding of spans from the outputs of `SpanHead`, over the windows of a long text. NumPy only.

A span is scored in the window in which it is farthest from the nearer end. A span that is not inside any window cannot
be found; a span that is at most half as long as a window is always inside one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.tasks.outputs import ExampleOutputs
from nlpmtl.tasks.span_units import Units, find_units

Array = NDArray[np.floating]
_MAX_SPANS_PER_UNIT, _MAX_SPANS_IN_SHORT_TEXT = 2, 32
"""Maximum number of predicted spans: per unit of a text; and in a text with few units."""
_MAX_SCORES_PER_BLOCK = 2**22
"""Maximum number of scores that are in memory at once, unless a single span has more."""
_BLOCK_COUNT, _MIN_BLOCK_SIZE = 128, 32
"""Approximate number of blocks into which many spans are divided, and the minimum size of a block. In each, spans that
overlap kept ones are first removed together, then one by one."""


class Window(NamedTuple):
    """A token sequence of an example.

    Args:
        units: the units at which spans begin and end.
        start: start of its first unit, in characters.
        end: end of its last unit.
        outputs: name of the output -> ``[tokens, size]``.
    """

    units: Units
    start: int
    end: int
    outputs: dict[str, Array]

    def margins(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the distance of spans to the nearer end of the window, in characters; negative outside it."""
        return np.minimum(start - self.start, self.end - end)


class Candidates(NamedTuple):
    """The spans of an example with the highest scores, the highest first.

    Args:
        start: start of each span in characters, ``[spans]``.
        end: its end, ``[spans]``.
        label: id of its label, ``[spans]``.
        scores: its score with each label, ``[spans, labels]``.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: NDArray[np.int64]
    scores: Array

    @property
    def score(self) -> Array:
        """Score of each span with its label, ``[spans]``."""
        score: Array = self.scores[np.arange(len(self.label)), self.label]
        return score

    def take(self, indices: NDArray[Any] | Sequence[int]) -> Candidates:
        """Return some of the spans."""
        rows = np.asarray(indices, dtype=np.int64)
        return Candidates(self.start[rows], self.end[rows], self.label[rows], self.scores[rows])


def split_span_terms(outputs: Any, labels: int) -> tuple[Any, Any, Any, Any]:
    """Return query, key, and the scores of labels at a first and a last token, each ``[…, size]``.

    Args:
        outputs: the output "spans" of `SpanHead`, an array or a tensor, ``[…, 2 · size + 2 · labels]``.
        labels: number of labels.
    """
    size = outputs.shape[-1] // 2 - labels
    bounds = (0, size, 2 * size, 2 * size + labels, 2 * size + 2 * labels)
    query, key, first, last = (outputs[..., a:b] for a, b in pairwise(bounds))
    return query, key, first, last


def split_relation_terms(outputs: Any, relations: int) -> tuple[list[Any], list[Any]]:
    """Split the output for relations into the vectors and the scores of head and tail spans.

    Args:
        outputs: the output "relations" of `SpanHead`, an array or a tensor, ``[…, 4 · relations · (size + 1)]``.
        relations: number of labels of relations.

    Returns:
        Four vectors, ``[…, relations, size]``, and four scores, ``[…, relations]``: for the first token of a head, its
        last token, and the first and the last token of a tail.
    """
    size = outputs.shape[-1] // (4 * relations) - 1
    vectors = outputs[..., : 4 * relations * size].reshape(*outputs.shape[:-1], 4, relations, size)
    scores = outputs[..., 4 * relations * size :].reshape(*outputs.shape[:-1], 4, relations)
    return [vectors[..., i, :, :] for i in range(4)], [scores[..., i, :] for i in range(4)]


def read_windows(item: ExampleOutputs, *, by_word: bool) -> list[Window]:
    """Return the windows of an example that have a unit, in the order of the text.

    With a tokenizer that truncates on the left, the first sequence is at the end of the text.
    """
    windows = []
    for i, sequence in enumerate(item.sequences):
        units = find_units(item.example, sequence, by_word=by_word)
        if len(units.first):
            outputs = {name: arrays[i] for name, arrays in item.outputs.items()}
            windows.append(Window(units, int(units.start[0]), int(units.end[-1]), outputs))
    return sorted(windows, key=lambda window: window.start)


def find_candidates(windows: Sequence[Window], *, labels: int, flat: bool) -> Candidates:
    """Return the spans with the highest scores: at most two per unit of the text, but up to 32 in a short text.

    Args:
        windows: the windows of an example.
        labels: number of labels.
        flat: return all spans that do not overlap a returned span with a higher score, and no others.
    """
    parts = [
        _best_spans(window_index, windows, overlapping, labels=labels, flat=flat)
        for window_index, overlapping in enumerate(overlapping_windows(windows))
    ]
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Candidates(none, none, none, np.zeros((0, labels)))
    joined = Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    candidates = joined.take(np.lexsort((joined.label, joined.end, joined.start, -joined.score)))
    if flat:
        return candidates.take(_without_overlaps(candidates.start, candidates.end))
    units = np.unique(np.concatenate([window.units.start for window in windows]))
    return candidates.take(np.arange(min(len(candidates.start), _limit(len(units)))))


def _limit(units: int) -> int:
    """Return the maximum number of spans of a text, which includes equal spans with different labels."""
    return max(_MAX_SPANS_PER_UNIT * units, _MAX_SPANS_IN_SHORT_TEXT)


def overlapping_windows(windows: Sequence[Window]) -> list[range]:
    """Return, for each window, the range of the windows that overlap it, with itself. Windows are in text order."""
    start, end = np.array([(window.start, window.end) for window in windows], dtype=np.int64).reshape(-1, 2).T
    first, stop = np.searchsorted(end, start, side="right"), np.searchsorted(start, end, side="left")
    return list(map(range, first.tolist(), stop.tolist()))


def _best_spans(
    window_index: int, windows: Sequence[Window], overlapping: range, *, labels: int, flat: bool
) -> Candidates:
    """Return the best spans of a window, among the spans that are farther from the ends there than in other windows.

    With `flat`, they include the best spans that do not overlap, even if many overlapping spans have higher scores.
    """
    units, outputs = windows[window_index].units, windows[window_index].outputs["spans"].astype(np.float64)
    query, key, first, last = split_span_terms(outputs, labels)
    pairs = np.triu_indices(len(units.first))
    start, end = units.start[pairs[0]], units.end[pairs[1]]
    if len(overlapping) > 1:
        margins = np.stack([windows[i].margins(start, end) for i in overlapping])
        is_best = margins.argmax(axis=0) == overlapping.index(window_index)
        pairs, start, end = (pairs[0][is_best], pairs[1][is_best]), start[is_best], end[is_best]
    first_tokens, last_tokens = units.first[pairs[0]], units.last[pairs[1]]
    products = (query[units.first] @ key[units.last].T)[pairs]

    def score(spans: slice | NDArray[np.int64]) -> Array:
        """Return the scores of some of the spans, ``[spans, labels]``."""
        scores: Array = products[spans, None] + first[first_tokens[spans]] + last[last_tokens[spans]]
        return scores

    count, block_size = _limit(len(units.first)), max(1, _MAX_SCORES_PER_BLOCK // labels)
    best_scores = np.zeros(len(products))  # score of each span with its best label
    top_indices: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    top_scores: list[Array] = [np.zeros(0)]
    for block_start in range(0, len(products), block_size):
        scores = score(slice(block_start, block_start + block_size))
        best_scores[block_start : block_start + block_size] = scores.max(axis=1)
        top = _top(scores.ravel(), count)
        top_indices.append(block_start * labels + top)
        top_scores.append(scores.ravel()[top])
    selected = np.concatenate(top_indices)[_top(np.concatenate(top_scores), count)]
    if flat:
        order = np.argsort(-best_scores, kind="stable")
        kept = order[_without_overlaps(start[order], end[order])]
        selected = np.union1d(selected, kept * labels + score(kept).argmax(axis=1))
    span, label = np.divmod(selected, labels)
    return Candidates(start[span], end[span], label, score(span))


def _top(values: Array, count: int) -> NDArray[np.int64]:
    """Return the indices of the highest values."""
    if count >= len(values):
        return np.arange(len(values))
    return np.argpartition(-values, count)[:count]


def _without_overlaps(start: NDArray[np.int64], end: NDArray[np.int64]) -> list[int]:
    """Return the indices of the spans to keep: those that do not overlap a kept span before them.

    Args:
        start: start of each span in characters, the best span first, ``[spans]``.
        end: its end, ``[spans]``.
    """
    kept: list[int] = []
    if not len(start):
        return kept
    offset = start.min()
    start, end = start - offset, end - offset
    is_covered = bytearray(int(end.max()))  # whether a kept span has each character
    block_size = max(_MIN_BLOCK_SIZE, len(start) // _BLOCK_COUNT)
    for block_start in range(0, len(start), block_size):
        block = slice(block_start, block_start + block_size)
        covered_before = np.append(0, np.cumsum(np.frombuffer(is_covered, dtype=np.uint8), dtype=np.int64))
        free = np.flatnonzero(covered_before[start[block]] == covered_before[end[block]]) + block_start
        for i, first, stop in zip(free.tolist(), start[free].tolist(), end[free].tolist(), strict=True):
            if is_covered.find(1, first, stop) < 0:
                is_covered[first:stop] = b"\1" * (stop - first)
                kept.append(i)
    return kept
