"""Near-duplicates: planted pairs are found, others are not, and the time grows with the rows."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from numpy.typing import NDArray

from nlpmtl.data import Ragged
from nlpmtl.data.near_duplicates import SIMILARITY, near_duplicates


def random_rows(count: int, *, length: int = 24, seed: int = 0) -> list[NDArray[np.int64]]:
    return list(np.random.default_rng(seed).integers(1, 30_000, size=(count, length)))


def trigrams(row: NDArray[np.int64]) -> set[tuple[int, ...]]:
    return {tuple(row[i : i + 3].tolist()) for i in range(max(1, len(row) - 2))}


def similarity(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    left, right = trigrams(first), trigrams(second)
    return len(left & right) / len(left | right)


def test_planted_pairs_are_found_and_no_others() -> None:
    rows = random_rows(400)
    planted = []
    for row in range(0, 200, 2):  # a copy with one more token at the end
        planted.append((row, len(rows)))
        rows.append(np.append(rows[row], 7))
    pairs = {(first, second) for first, second in near_duplicates(Ragged.pack(rows, dtype=np.int64)).tolist()}
    assert pairs == set(planted)


def test_pairs_are_at_least_as_similar_as_promised_and_most_similar_ones_are_found() -> None:
    rows, generator = random_rows(300), np.random.default_rng(1)
    for row in range(300):  # copies with 0 to 4 changed tokens
        copy = rows[row].copy()
        copy[generator.choice(len(copy), size=row % 5, replace=False)] += 30_000
        rows.append(copy)
    pairs = near_duplicates(Ragged.pack(rows, dtype=np.int64)).tolist()
    assert all(similarity(rows[first], rows[second]) >= SIMILARITY for first, second in pairs)
    similar = {(row, row + 300) for row in range(300) if similarity(rows[row], rows[row + 300]) >= SIMILARITY}
    assert len(similar) >= 60
    assert len(similar - set(map(tuple, pairs))) <= 0.05 * len(similar)


def test_unknown_tokens_differ_from_each_other() -> None:
    """Words that the tokenizer does not know have the same id, whatever they are."""
    rows = [np.array([2, 1, 1, 1, 1, 1, 1, 3])] * 2 + [np.arange(2, 40), np.append(np.arange(2, 40), 1)]
    packed = Ragged.pack(rows, dtype=np.int64)
    assert near_duplicates(packed, unknown=1).tolist() == [[2, 3]]
    assert near_duplicates(packed).tolist() == [[0, 1], [2, 3]]


def test_a_pair_is_an_earlier_and_a_later_row_and_a_row_is_second_once() -> None:
    template = np.arange(40)
    rows = [np.append(template, 100 + number) for number in range(20)]
    pairs = near_duplicates(Ragged.pack(rows, dtype=np.int64))
    assert pairs[:, 1].tolist() == list(range(1, 20))
    assert (pairs[:, 0] < pairs[:, 1]).all()


@pytest.mark.parametrize("rows", [[[5]], [[5], [6]], [[1, 2], [1, 2, 3]], [[0, 0, 0], [0, 0]]])
def test_short_rows(rows: list[list[int]]) -> None:
    assert near_duplicates(Ragged.pack(rows)).tolist() == []


def test_equal_short_rows() -> None:
    assert near_duplicates(Ragged.pack([[5], [6], [5]])).tolist() == [[0, 2]]


def test_comparisons_are_linear_in_the_rows_even_if_all_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is compared with at most one row per band, of which there are 12; all pairs would be two million."""
    module = importlib.import_module("nlpmtl.data.near_duplicates")
    similarity, compared = module._similarity, []

    def counted(shingles: Ragged, first: int, second: int) -> float:
        compared.append((first, second))
        return float(similarity(shingles, first, second))

    monkeypatch.setattr(module, "_similarity", counted)
    template = np.arange(30)
    rows = Ragged.pack([np.append(template, 100 + number) for number in range(2000)], dtype=np.int64)
    assert len(near_duplicates(rows)) > 1000
    assert 1000 < len(compared) <= 12 * 2000
