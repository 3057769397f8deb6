"""Scores of the relations between spans from the outputs of `SpanHead`, over the windows of a long text. NumPy only.

A pair of spans is scored if a window contains both. If several windows do, the pair is scored in the window in which it
is farthest from the nearer end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.tasks.span_decoding import Array, Candidates, Window, overlapping_windows, split_relation_terms

_MAX_SCORES_PER_BLOCK = 2**22
"""Maximum number of scores that are computed at once, unless a single head span has more."""


class RelationScores(NamedTuple):
    """Scores of the relations between pairs of spans.

    Args:
        head: index of the head span of each pair, ``[pairs]``.
        tail: index of its tail span, ``[pairs]``.
        scores: score of each relation, ``[pairs, relations]``.
    """

    head: NDArray[np.int64]
    tail: NDArray[np.int64]
    scores: Array

    @classmethod
    def join(cls, parts: Iterable[RelationScores], *, relations: int) -> RelationScores:
        """Return the pairs of all parts, ordered by head, then by tail."""
        none = np.zeros(0, dtype=np.int64)
        columns = zip(cls(none, none, np.zeros((0, relations))), *parts, strict=True)
        joined = cls(*map(np.concatenate, columns))
        order = np.lexsort((joined.tail, joined.head))
        return cls(joined.head[order], joined.tail[order], joined.scores[order])

    def find(self, known: Collection[tuple[int, int, int]]) -> NDArray[np.bool_]:
        """Return a mask of the scored relations that are known, ``[pairs, relations]``.

        The pairs must have the order of `join`. Known relations of other pairs are ignored.

        Args:
            known: indices of the head span, the tail span and the label of each known relation.
        """
        head, tail, label = np.array([*known], dtype=np.int64).reshape(-1, 3).T
        count = 1 + max(self.tail.max(initial=0), tail.max(initial=0))
        scored_pairs, known_pairs = self.head * count + self.tail, head * count + tail
        index = np.searchsorted(scored_pairs, known_pairs)
        is_scored = index < np.searchsorted(scored_pairs, known_pairs, side="right")
        is_known = np.zeros(self.scores.shape, dtype=np.bool_)
        is_known[index[is_scored], label[is_scored]] = True
        return is_known


class _WindowSpans(NamedTuple):
    """Indices of the spans in a window, in ascending order, and of their first and last tokens, ``[spans]``."""

    indices: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def score_relations(windows: Sequence[Window], spans: Candidates, *, relations: int) -> Iterator[RelationScores]:
    """Yield the scores of the relations between each span and every other span that shares a window with it.

    The scores are yielded in small parts, in no particular order, to limit the memory. Each pair is in one part.
    """
    window_spans = _find_spans(windows, spans)
    for window_index, overlapping in enumerate(overlapping_windows(windows)):
        indices, first, last = window_spans[window_index]
        outputs = windows[window_index].outputs["relations"].astype(np.float64)
        vectors, terms = split_relation_terms(outputs, relations)
        heads, tails = (vectors[i][first] + vectors[i + 1][last] for i in (0, 2))
        head_terms, tail_terms = (terms[i][first] + terms[i + 1][last] for i in (0, 2))
        step = max(1, _MAX_SCORES_PER_BLOCK // max(1, len(indices) * relations))
        for start in range(0, len(indices), step):
            rows = slice(start, start + step)
            scores = np.einsum("irs,jrs->ijr", heads[rows], tails) + head_terms[rows, None] + tail_terms
            is_best = _is_best_window(
                window_index, overlapping, windows=windows, window_spans=window_spans, spans=spans, heads=rows
            )
            head, tail = np.nonzero(is_best)
            yield RelationScores(indices[rows][head], indices[tail], scores[head, tail])


def _find_spans(windows: Sequence[Window], spans: Candidates) -> list[_WindowSpans]:
    """Return, for each window, the spans that begin at the start of one of its units and end at the end of one."""
    order = np.argsort(spans.start)
    bounds = np.searchsorted(spans.start[order], [(window.start, window.end) for window in windows])
    window_spans = []
    for window, (begin, stop) in zip(windows, bounds.tolist(), strict=True):
        units, indices = window.units, np.sort(order[begin:stop])
        start, end = spans.start[indices], spans.end[indices]
        first = np.searchsorted(units.start, start).clip(max=len(units.start) - 1)
        last = np.searchsorted(units.end, end).clip(max=len(units.end) - 1)
        kept = (units.start[first] == start) & (units.end[last] == end)
        window_spans.append(_WindowSpans(indices[kept], units.first[first[kept]], units.last[last[kept]]))
    return window_spans


def _is_best_window(
    window_index: int,
    overlapping: range,
    *,
    windows: Sequence[Window],
    window_spans: Sequence[_WindowSpans],
    spans: Candidates,
    heads: slice,
) -> NDArray[np.bool_]:
    """Return a mask of the pairs of spans to score in a window: in no other window are they farther from the ends.

    Args:
        window_index: index of the window.
        overlapping: indices of the windows that overlap it, with itself. If the distances in two windows are equal, the
            first of them is chosen.
        windows: all windows.
        window_spans: the spans in each window.
        spans: all spans.
        heads: slice of the spans of the window that are the heads of the pairs.

    Returns:
        The mask, ``[heads, spans of the window]``; False for a span with itself.
    """
    indices = window_spans[window_index].indices
    start = np.minimum.outer(spans.start[indices[heads]], spans.start[indices])
    end = np.maximum.outer(spans.end[indices[heads]], spans.end[indices])
    margins = windows[window_index].margins(start, end)
    is_best: NDArray[np.bool_] = indices[heads, None] != indices
    for other in overlapping:
        if other != window_index:
            in_other = np.isin(indices, window_spans[other].indices, assume_unique=True)
            other_margins = np.where(in_other[heads, None] & in_other, windows[other].margins(start, end), -1)
            is_best &= margins > other_margins if other < window_index else margins >= other_margins
    return is_best
