"""How sure an answer may be: temperatures, thresholds, and how far confidence is from being right. NumPy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax

_BINS = 15
_WIDEST = 3.0
"""The largest |log T| that is tried: a temperature from 1/20 to 20."""


def fit_temperature(logits: NDArray[np.floating], gold: NDArray[np.integer]) -> float:
    """The temperature that makes labels most likely under a softmax (Guo et al. 2017, On Calibration of Modern Neural
    Networks, section 4.2).

    Args:
        logits: ``[items, labels]``.
        gold: the right label of each, ``[items]``.
    """
    at = np.arange(len(gold))
    return _least(lambda t: -float(log_softmax(logits / t, axis=-1)[at, gold].mean()))


def fit_temperature_of_each(logits: NDArray[np.floating], hot: NDArray[np.bool_]) -> float:
    """The same where each label is answered by itself, under a sigmoid.

    Args:
        logits: ``[items, labels]``.
        hot: whether each label is right, ``[items, labels]``.
    """
    signed = np.where(hot, logits, -logits)
    return _least(lambda t: -float(log_expit(signed / t).mean()))


def _least(loss: Callable[[float], float]) -> float:
    found = minimize_scalar(lambda x: loss(float(np.exp(x))), bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(found.x))


def best_threshold(sure: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """The threshold of a label's probability with the best F1; 0.5 where it is never right.

    It lies midway between two probabilities that occur, or between 0 and the smallest, so that all are above it (−1 if
    the smallest is 0). Of several as good it is the nearest to 0.5. It takes O(items · log items).

    Args:
        sure: the label's probability, ``[items]``.
        right: whether it is right, ``[items]``.
    """
    if not right.any():
        return 0.5
    values = np.unique(np.append(sure, 0.5))
    lowest = values[0] / 2 if values[0] / 2 > 0 else -1.0
    cuts = np.concatenate([[lowest], (values[:-1] + values[1:]) / 2, [0.5]])
    order = np.argsort(sure, kind="stable")
    hits = np.append(np.cumsum(right[order][::-1])[::-1], 0)  # of those right, from each place in the order on
    first = np.searchsorted(sure[order].astype(np.float64), cuts, side="right")
    f1 = 2 * hits[first] / (len(sure) - first + right.sum())
    best = cuts[f1 >= f1.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def expected_calibration_error(sure: NDArray[np.floating], right: NDArray[np.bool_]) -> float | None:
    """The mean distance between confidence and the share that is right, over 15 equal bins (Guo et al. 2017, eq. 3).

    Args:
        sure: the probability of each answer, ``[items]``.
        right: whether it is right, ``[items]``.
    """
    if not len(sure):
        return None
    bins = np.clip(np.ceil(sure * _BINS).astype(int) - 1, 0, _BINS - 1)
    many = np.bincount(bins, minlength=_BINS)
    apart = np.bincount(bins, weights=sure - right, minlength=_BINS)
    return float(np.abs(apart).sum() / many.sum())
