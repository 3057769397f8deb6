"""nDCG@10 and mean reciprocal rank, by hand and compared with scikit-learn."""

from __future__ import annotations

import doctest
import importlib
import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from nlpmtl.metrics import NDCG10, MeanReciprocalRank
from nlpmtl.metrics.base import Metric


def test_by_hand() -> None:
    rows = {"predictions": [[0.1, 0.9, 0.5], [2.0, 1.0]], "references": [[2.0, 0.0, 1.0], [0.0, 1.0]]}
    best, found = 2 + 1 / math.log2(3), 1 / math.log2(3) + 2 / 2
    assert NDCG10().compute(**rows)["ndcg_10"] == pytest.approx((found / best + 1 / math.log2(3)) / 2)
    assert MeanReciprocalRank().compute(**rows)["mrr"] == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_rows_without_a_relevant_item_are_left_out() -> None:
    scores, relevances = [[0.1, 0.9], [0.5, 0.2]], [[0.0, 0.0], [1.0, 0.0]]
    assert NDCG10().value(scores, relevances) == MeanReciprocalRank().value(scores, relevances) == 1.0
    assert NDCG10().value([[0.1, 0.9]], [[0.0, 0.0]]) is None
    assert MeanReciprocalRank().value([], []) is None


@pytest.mark.parametrize("metric", [NDCG10, MeanReciprocalRank])
def test_equal_scores_give_the_mean_over_all_orders(metric: type[Metric]) -> None:
    """The mean over the scores with all tiny differences that would order the equal ones."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        size = int(rng.integers(1, 6))
        scores, relevances = rng.integers(0, 2, size=size).astype(float), rng.integers(0, 3, size=size).astype(float)
        relevances[0] += not relevances.any()
        orders = [scores + 1e-3 * np.array(order) for order in permutations(range(size))]
        values: list[Any] = [metric().value([order.tolist()], [relevances.tolist()]) for order in orders]
        assert metric().value([scores.tolist()], [relevances.tolist()]) == pytest.approx(np.mean(values))


def test_equal_scores_of_many_items_equal_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    scores, relevances = rng.integers(0, 4, size=(50, 30)), rng.integers(0, 3, size=(50, 30)).astype(float)
    expected = ndcg_score(relevances, scores, k=10)
    assert NDCG10().value(scores.astype(float).tolist(), relevances.tolist()) == pytest.approx(expected)


def test_the_score_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for size in (2, 5, 10, 11, 40):
        scores, relevances = rng.normal(size=(20, size)), rng.integers(0, 4, size=(20, size)).astype(float)
        relevances[:, 0] = 1
        value = NDCG10().value(scores.tolist(), relevances.tolist())
        assert value == pytest.approx(ndcg_score(relevances, scores, k=10))


def test_the_examples_run() -> None:
    for name in ("ranking", "soft_cross_entropy"):
        assert doctest.testmod(importlib.import_module(f"nlpmtl.metrics.{name}")).failed == 0
