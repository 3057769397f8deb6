"""Pearson and Spearman correlation of predicted and reference numbers.

    Pearson's r = Σ_i (p_i − p̄) · (r_i − r̄) / √(Σ_i (p_i − p̄)² · Σ_i (r_i − r̄)²)
    Spearman's ρ = Pearson's r of the ranks

Symbols:
- p_i, r_i: prediction and reference of row i; p̄, r̄: their means
- ranks: 1 for the smallest number; equal numbers share the mean of their ranks

A correlation is from −1 to 1. It is undefined if all predictions or all references are equal (up to rounding for
Pearson's r), or if a number is not finite.

References:
    Pearson (1895), Note on regression and inheritance in the case of two parents, Proceedings of the Royal Society of
        London 58, https://doi.org/10.1098/rspl.1895.0041
    Spearman (1904), The Proof and Measurement of Association between Two Things, American Journal of Psychology 15,
        https://doi.org/10.2307/1412159

Example:
    >>> from nlpmtl.metrics import Pearson, Spearman
    >>> predictions, references = [1.0, 2.0, 3.0, 10.0], [1.0, 2.0, 3.0, 4.0]
    >>> round(Pearson().compute(predictions=predictions, references=references)["pearsonr"], 3)
    0.885
    >>> round(Spearman().compute(predictions=predictions, references=references)["spearmanr"], 3)
    1.0
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

CONSTANT = 1e-11
"""Numbers count as equal if their range is at most this fraction of the largest absolute value: below it, rounding
determines the correlation."""


@METRICS.register("pearsonr")
class Pearson(Metric):
    """Pearson's correlation coefficient r of predictions and references, from −1 to 1.

    It is their covariance divided by both standard deviations. Undefined: all predictions or all references
    are equal (up to rounding), or a number is not finite.

    References:
        Pearson (1895), Proceedings of the Royal Society of London 58
    """

    other_names = "pearson pearson_correlation"

    name = "pearsonr"
    reads = frozenset({"number"})

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float | None:
        return _linear(predictions, references)


@METRICS.register("spearmanr")
class Spearman(Metric):
    """Spearman's rank correlation coefficient ρ of predictions and references, from −1 to 1.

    It is Pearson's r of the ranks; equal numbers share the mean of their ranks. Undefined: all predictions or all
    references are equal, or a number is not finite.

    References:
        Spearman (1904), American Journal of Psychology 15
    """

    other_names = "spearman_correlation"

    name = "spearmanr"
    reads = frozenset({"number"})

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float | None:
        from scipy.stats import rankdata

        return _linear(rankdata(predictions), rankdata(references))


@METRICS.register("spearman")
class EmbeddingSpearman(Spearman):
    """Spearman's rank correlation coefficient ρ of cosine similarities and reference numbers, from −1 to 1.

    It is the value of `spearmanr`, under the name that benchmarks of embeddings use. Undefined: all similarities or
    all references are equal, or a number is not finite.

    References:
        Reimers, Beyer and Gurevych (2016), Task-Oriented Intrinsic Evaluation of Semantic Textual Similarity, COLING
    """

    other_names = "cosine_spearman"

    name = "spearman"


def _linear(predictions: ArrayLike, references: ArrayLike) -> float | None:
    """Return Pearson's r; None if a side is constant."""
    if _is_constant(predictions) or _is_constant(references):
        return None
    from scipy.stats import pearsonr

    return float(pearsonr(predictions, references).statistic)


def _is_constant(numbers: ArrayLike) -> bool:
    return bool(np.ptp(numbers) <= CONSTANT * np.max(np.abs(numbers)))
