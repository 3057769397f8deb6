"""Metrics of rankings: normalised discounted cumulative gain of the first 10 items, and mean reciprocal rank.

    nDCG@10 = DCG(predicted order) / DCG(best order)        DCG = Σ_{i=1}^{10} g_i / log2(i + 1)
    MRR = mean of 1 / r

Symbols:
- g_i: relevance, at least 0, of the item at rank i
- r: rank of the first item whose relevance is above 0

Both are means over the rows with a relevance above 0, and undefined if there is none. The gain is the relevance itself,
as in scikit-learn's `ndcg_score` and in trec_eval; other programs use 2^g − 1. Of items with equal scores, both metrics
are the expected value over all of their orders, as in `ndcg_score`, so they do not depend on the order of the data.

References:
    Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4),
        https://doi.org/10.1145/582415.582418
    McSherry and Najork (2008), Computing information retrieval performance measures efficiently in the presence of tied
        scores, ECIR, https://doi.org/10.1007/978-3-540-78646-7_38
    Voorhees (1999), The TREC-8 Question Answering Track Report, https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf

Example:
    >>> from nlpmtl.metrics import MeanReciprocalRank, NDCG10
    >>> rows = {"predictions": [[0.2, 0.9, 0.5]], "references": [[1.0, 0.0, 2.0]]}
    >>> round(NDCG10().compute(**rows)["ndcg_10"], 4)
    0.6697
    >>> MeanReciprocalRank().compute(**rows)
    {'mrr': 0.5}
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

_DEPTH = 10
"""Number of ranks that nDCG@10 reads."""


class RankingMetric(Metric):
    """Base of metrics of rankings: the mean over the rows with a relevance above 0; undefined if there is none."""

    reads = frozenset({"relevances"})

    def score(self, predictions: Sequence[Sequence[float]], references: Sequence[Sequence[float]]) -> float | None:
        values = []
        for scores, relevances in zip(predictions, references, strict=True):
            gains, sorted_scores = np.asarray(relevances, dtype=np.float64), np.sort(scores)[::-1]
            if (gains > 0).any():
                starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
                values.append(self._score_row(gains[np.argsort(-np.asarray(scores), kind="stable")], starts))
        return float(np.mean(values)) if values else None

    @staticmethod
    @abstractmethod
    def _score_row(gains: NDArray[np.float64], starts: NDArray[np.intp]) -> float:
        """Return the value of a row.

        Args:
            gains: relevances in the predicted order, ``[items]``.
            starts: index of the first item of each group of items with equal scores.
        """


@METRICS.register("ndcg_10")
class NDCG10(RankingMetric):
    """nDCG@10: discounted cumulative gain of the first 10 items, divided by that of the best order, from 0 to 1.

    Rows without a relevance above 0 are excluded. Undefined: all rows are excluded.
    """

    other_names = "ndcg ndcg@10 ndcg_at_10 ndcg_cut_10 eval_ndcg@10"

    name = "ndcg_10"

    @staticmethod
    def _score_row(gains: NDArray[np.float64], starts: NDArray[np.intp]) -> float:
        sizes = np.diff([*starts, len(gains)])
        expected = np.repeat(np.add.reduceat(gains, starts) / sizes, sizes)
        best = np.sort(gains)[::-1][:_DEPTH]
        discounts = 1.0 / np.log2(np.arange(2, len(best) + 2))
        return float(expected[:_DEPTH] @ discounts / (best @ discounts))


@METRICS.register("mrr")
class MeanReciprocalRank(RankingMetric):
    """Mean reciprocal rank: 1 / rank of the first item with a relevance above 0, from 0 to 1.

    Rows without such an item are excluded. Undefined: all rows are excluded.
    """

    other_names = "mean_reciprocal_rank reciprocal_rank mrr@10 recip_rank"

    name = "mrr"

    @staticmethod
    def _score_row(gains: NDArray[np.float64], starts: NDArray[np.intp]) -> float:
        relevant = gains > 0
        group = int(np.searchsorted(starts, np.argmax(relevant), side="right")) - 1
        start, end = (int(bound) for bound in (*starts, len(gains))[group : group + 2])
        count, expected, remaining = int(relevant[start:end].sum()), 0.0, 1.0
        for rank in range(start, end):  # `remaining`: probability that no relevant item of the group is before it
            first = count / (end - rank)
            expected += remaining * first / (rank + 1)
            remaining *= 1.0 - first
            if not remaining:
                break
        return expected
