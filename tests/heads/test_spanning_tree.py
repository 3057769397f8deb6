"""Maximum spanning trees with one root, against the enumeration of all trees."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from nlpmtl.heads import maximum_spanning_tree
from nlpmtl.tasks.parsing import check_tree


def is_tree(heads: list[int]) -> bool:
    try:
        check_tree(heads)
    except ValueError:
        return False
    return True


@cache
def all_trees(words: int) -> NDArray[np.int64]:
    """Return the heads of all trees with one root, ``[trees, words]``."""
    choices = ([head for head in range(words + 1) if head != word + 1] for word in range(words))
    return np.array([heads for heads in product(*choices) if heads.count(0) == 1 and is_tree(list(heads))])


def total(scores: NDArray[np.float64], heads: NDArray[np.int64]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = scores[np.arange(len(scores)), heads].sum(axis=-1)
    return sums


@pytest.mark.parametrize("words", range(1, 7))
def test_there_are_as_many_trees_as_cayley_counts(words: int) -> None:
    assert len(all_trees(words)) == words ** (words - 1)


@pytest.mark.parametrize("words", range(1, 7))
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_no_tree_is_better(words: int, scale: float) -> None:
    trees = all_trees(words)
    source = np.random.default_rng(words)
    for round_ in range(60):
        scores: NDArray[np.float64] = source.normal(size=(words, words + 1)) * scale
        if round_ % 3 == 1:
            scores[:, 0] += 5 * scale  # every word wants to be the root
        elif round_ % 3 == 2:
            scores = source.integers(0, 3, scores.shape).astype(np.float64) * scale  # many equal sums
        heads = maximum_spanning_tree(scores)
        assert is_tree(heads.tolist())
        assert total(scores, heads) == pytest.approx(total(scores, trees).max(), rel=1e-9, abs=1e-9 * scale)


@pytest.mark.parametrize("words", [30, 300])
def test_predictions_for_long_sentences_are_trees(words: int) -> None:
    source = np.random.default_rng(words)
    near = -np.abs(np.arange(words)[:, None] + 1 - np.arange(words + 1))  # each word wants its neighbours: many cycles
    for scores in (source.normal(size=(words, words + 1)), near + 0.1 * source.normal(size=near.shape)):
        greedy = scores.copy()
        greedy[np.arange(words), np.arange(words) + 1] = -np.inf
        assert not is_tree(greedy.argmax(axis=1).tolist())
        assert is_tree(maximum_spanning_tree(scores).tolist())


def test_cycles_in_cycles_are_contracted() -> None:
    words = 200
    scores = np.full((words, words + 1), -100.0)
    for word in range(1, words + 1):  # 1 and 2 want each other, 3 wants 2 and 2 wants 3 a little less, …
        scores[word - 1, word - 1 or 2] = 100.0 - word
        if word < words:
            scores[word - 1, word + 1] = 99.5 - word
    assert is_tree(maximum_spanning_tree(scores).tolist())


def test_no_words_have_no_heads() -> None:
    assert maximum_spanning_tree(np.zeros((0, 1))).tolist() == []
    assert maximum_spanning_tree(np.zeros((1, 2))).tolist() == [0]


def test_the_scores_are_not_changed() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 5))
    before = scores.copy()
    maximum_spanning_tree(scores)
    assert np.array_equal(scores, before)
