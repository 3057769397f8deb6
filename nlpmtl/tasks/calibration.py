"""Calibration: temperature scaling, decision thresholds and the expected calibration error. Needs only NumPy and SciPy.

    p = softmax(z / T)        T = argmin_T −mean_i log p_i[y_i]
    ECE = Σ_b |B_b| / N · |accuracy(B_b) − confidence(B_b)|

Symbols:
- z: logits of an item; p: calibrated probabilities; T: temperature
- y_i: gold label of item i, of N items
- B_b: items whose confidence is in bin b, of 15 bins of equal width

References:
    Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks, ICML, equation 3 and section 4.2,
        https://arxiv.org/abs/1706.04599

Example:
    >>> import numpy as np
    >>> from nlpmtl.tasks.calibration import best_threshold, expected_calibration_error
    >>> probabilities, is_gold = np.array([0.1, 0.3, 0.4]), np.array([False, True, True])
    >>> round(best_threshold(probabilities, is_gold), 3)
    0.2
    >>> round(expected_calibration_error(probabilities, is_gold), 3)
    0.467
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_BINS = 15
_MAX_LOG_TEMPERATURE = 3.0
"""Maximum |log T| of the search: temperatures from 1/20 to 20."""


def fit_temperature(logits: NDArray[np.floating], gold: NDArray[np.integer]) -> float:
    """Return the temperature that maximises the likelihood of the gold labels under a softmax.

    Args:
        logits: ``[items, labels]``.
        gold: id of the gold label of each item, ``[items]``.
    """
    from scipy.special import log_softmax

    items = np.arange(len(gold))
    return _minimize(lambda t: -float(log_softmax(logits / t, axis=-1)[items, gold].mean()))


def fit_sigmoid_temperature(logits: NDArray[np.floating], hot: NDArray[np.bool_]) -> float:
    """Return the temperature that maximises the likelihood of independent labels, each under a sigmoid.

    Args:
        logits: ``[items, labels]``.
        hot: whether each label is a gold label of the item, ``[items, labels]``.
    """
    from scipy.special import log_expit

    signed = np.where(hot, logits, -logits)
    return _minimize(lambda t: -float(log_expit(signed / t).mean()))


def _minimize(loss: Callable[[float], float]) -> float:
    """Return the temperature with the smallest loss."""
    from scipy.optimize import minimize_scalar

    bounds = (-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE)
    result = minimize_scalar(lambda x: loss(float(np.exp(x))), bounds=bounds, method="bounded")
    return float(np.exp(result.x))


def fit_confidence_temperature(
    confidence: Callable[[float], NDArray[np.floating]], correct: NDArray[np.bool_]
) -> float:
    """Return the temperature that maximises the likelihood of which predictions are correct.

    It is for predictions without a fixed number of classes, which the temperature does not change.

    Args:
        confidence: the probability of each prediction at a temperature, ``[items]``.
        correct: whether each prediction is correct, ``[items]``.
    """

    def loss(temperature: float) -> float:
        probabilities = np.clip(confidence(temperature), 1e-12, 1 - 1e-12)
        return -float(np.log(np.where(correct, probabilities, 1 - probabilities)).mean())

    return _minimize(loss)


def best_cut(
    scores: NDArray[np.floating], *, above: NDArray[np.floating], below: NDArray[np.floating], default: float
) -> float:
    """Return the threshold on scores with the highest mean value; the default if none is better.

    It is midway between two neighbouring scores, or by 1 below the lowest or above the highest one. Of several
    thresholds with the same mean it is the nearest to the default. Takes O(items · log items).

    >>> best_cut(np.array([1.0, 2.0, 4.0]), above=np.array([0, 1, 1]), below=np.array([1, 0, 0]), default=0.0)
    1.5

    Args:
        scores: score of each item, ``[items]``; one of -inf is below every threshold.
        above: value of each item if its score is above the threshold, ``[items]``.
        below: value of each item otherwise, ``[items]``.
        default: the threshold that is returned if no other one is better.
    """
    finite = np.isfinite(scores)
    order = np.argsort(scores[finite], kind="stable")
    values, above, below = scores[finite][order], above[finite][order], below[finite][order]
    if not len(values):
        return default
    # The total with the first k items below the threshold, for each k from 0 to the number of items.
    totals = np.append(0.0, np.cumsum(below)) + np.append(np.cumsum(above[::-1])[::-1], 0.0)
    candidates = np.concatenate([[values[0] - 1], (values[:-1] + values[1:]) / 2, [values[-1] + 1]])
    is_cut = np.concatenate([[True], values[1:] > values[:-1], [True]])
    is_best = totals >= totals[is_cut].max() - 1e-12
    if is_best[np.searchsorted(values, default, side="right")]:
        return default
    best = candidates[is_cut & is_best]
    return float(best[np.abs(best - default).argmin()])


def best_threshold(probabilities: NDArray[np.floating], is_gold: NDArray[np.bool_], *, missed: int = 0) -> float:
    """Return the decision threshold of a label with the highest F1; 0.5 if the label never occurs.

    It is midway between two neighbouring probabilities, or between 0 and the smallest one, so that the label is
    predicted for all items (−1 if the smallest is 0). Of several thresholds with the same F1 it is the nearest to 0.5.
    Takes O(items · log items).

    Args:
        probabilities: probability of the label, ``[items]``.
        is_gold: whether the label is a gold label of the item, ``[items]``.
        missed: number of further items that have the label and are never predicted.
    """
    if not is_gold.any():
        return 0.5
    values = np.unique(np.append(probabilities, 0.5))
    lowest = values[0] / 2 if values[0] / 2 > 0 else -1.0
    candidates = np.concatenate([[lowest], (values[:-1] + values[1:]) / 2, [0.5]])
    order = np.argsort(probabilities, kind="stable")
    true_positives = np.append(np.cumsum(is_gold[order][::-1])[::-1], 0)  # of the items from each position on
    first = np.searchsorted(probabilities[order].astype(np.float64), candidates, side="right")
    f1 = 2 * true_positives[first] / (len(probabilities) - first + is_gold.sum() + missed)
    best = candidates[f1 >= f1.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def fit_detection(scores: NDArray[np.floating], is_gold: NDArray[np.bool_], *, gold: int) -> tuple[float, float] | None:
    """Return the temperature and the threshold of a detector, such as of spans; None if no scored item is gold.

    Args:
        scores: logits of the items that may be predicted, ``[items]``.
        is_gold: whether each is a gold item, ``[items]``.
        gold: number of gold items, with those that are not scored.
    """
    if not is_gold.any():
        return None
    temperature = fit_sigmoid_temperature(scores, is_gold)
    return temperature, best_threshold(sigmoid(scores / temperature), is_gold, missed=gold - int(is_gold.sum()))


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the probabilities of logits."""
    values: NDArray[np.floating] = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return values


def expected_calibration_error(confidences: NDArray[np.floating], correct: NDArray[np.bool_]) -> float | None:
    """Return the expected calibration error (ECE) over 15 bins of equal width; None without predictions.

    Args:
        confidences: probability of each prediction, ``[items]``.
        correct: whether the prediction is correct, ``[items]``.
    """
    if not len(confidences):
        return None
    bins = np.clip(np.ceil(confidences * _BINS).astype(int) - 1, 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    differences = np.bincount(bins, weights=confidences - correct, minlength=_BINS)
    return float(np.abs(differences).sum() / counts.sum())
