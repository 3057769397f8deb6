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

_BLOCK = 2**22
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
        pairs, places = self.head * count + self.tail, head * count + tail
        index = np.searchsorted(pairs, places)
        scored = index < np.searchsorted(pairs, places, side="right")
        is_known = np.zeros(self.scores.shape, dtype=np.bool_)
        is_known[index[scored], label[scored]] = True
        return is_known


class _Inside(NamedTuple):
    """Indices of the spans in a window, in ascending order, and of their first and last tokens, ``[spans]``."""

    spans: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def score_relations(windows: Sequence[Window], spans: Candidates, *, relations: int) -> Iterator[RelationScores]:
    """Yield the scores of the relations between each span and every other span that shares a window with it.

    The scores are yielded in small parts, in no particular order, to limit the memory. Each pair is in one part.
    """
    inside = _find_spans(windows, spans)
    for number, near in enumerate(overlapping_windows(windows)):
        here, first, last = inside[number]
        vectors, terms = split_relation_terms(windows[number].outputs["relations"].astype(np.float64), relations)
        heads, tails = (vectors[i][first] + vectors[i + 1][last] for i in (0, 2))
        head_terms, tail_terms = (terms[i][first] + terms[i + 1][last] for i in (0, 2))
        step = max(1, _BLOCK // max(1, len(here) * relations))
        for start in range(0, len(here), step):
            rows = slice(start, start + step)
            scores = np.einsum("irs,jrs->ijr", heads[rows], tails) + head_terms[rows, None] + tail_terms
            head, tail = np.nonzero(_are_farthest(number, near, windows, inside, spans=spans, rows=rows))
            yield RelationScores(here[rows][head], here[tail], scores[head, tail])


def _find_spans(windows: Sequence[Window], spans: Candidates) -> list[_Inside]:
    """Return, for each window, the spans that begin at the start of one of its units and end at the end of one."""
    order = np.argsort(spans.start)
    bounds = np.searchsorted(spans.start[order], [(window.low, window.high) for window in windows])
    inside = []
    for window, (low, high) in zip(windows, bounds.tolist(), strict=True):
        units, indices = window.units, np.sort(order[low:high])
        start, end = spans.start[indices], spans.end[indices]
        first = np.searchsorted(units.start, start).clip(max=len(units.start) - 1)
        last = np.searchsorted(units.end, end).clip(max=len(units.end) - 1)
        kept = (units.start[first] == start) & (units.end[last] == end)
        inside.append(_Inside(indices[kept], units.first[first[kept]], units.last[last[kept]]))
    return inside


def _are_farthest(
    number: int, near: range, windows: Sequence[Window], inside: Sequence[_Inside], *, spans: Candidates, rows: slice
) -> NDArray[np.bool_]:
    """Return a mask of the pairs of spans to score in a window: in no other window are they farther from the ends.

    Args:
        number: index of the window.
        near: indices of the windows that overlap it. If the distances in two windows are equal, the first is chosen.
        windows: all windows.
        inside: the spans in each window.
        spans: all spans.
        rows: slice of the spans of the window that are the heads of the pairs.

    Returns:
        The mask, ``[heads, spans of the window]``; False for a span with itself.
    """
    here = inside[number].spans
    low = np.minimum.outer(spans.start[here[rows]], spans.start[here])
    high = np.maximum.outer(spans.end[here[rows]], spans.end[here])
    margins = windows[number].margins(low, high)
    chosen: NDArray[np.bool_] = here[rows, None] != here
    for other in near:
        if other != number:
            there = np.isin(here, inside[other].spans, assume_unique=True)
            others = np.where(there[rows, None] & there, windows[other].margins(low, high), -1)
            chosen &= margins > others if other < number else margins >= others
    return chosen
