"""Matthews correlation coefficient, MCC (Matthews, 1975), for two or more classes (Gorodkin, 2004).

    MCC = (c · s − Σ_k p_k · r_k) / √((s² − Σ_k p_k²) · (s² − Σ_k r_k²))
    two classes: (TP · TN − FP · FN) / √((TP + FP) · (TP + FN) · (TN + FP) · (TN + FN))

Symbols:
- s: number of rows; c: number of rows whose prediction is correct
- p_k, r_k: number of rows with class k in the predictions and in the references
- TP, TN, FP, FN: number of true and false positives and negatives

The value is from −1 to 1, and 0 is expected from random predictions. It is undefined if all predictions or all
references are of one class.

Departures from scikit-learn:
- `matthews_corrcoef` returns 0 where the value is undefined.

References:
    Matthews (1975), Comparison of the predicted and observed secondary structure of T4 phage lysozyme, Biochimica et
        Biophysica Acta 405, https://doi.org/10.1016/0005-2795(75)90109-9
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient, Computational Biology
        and Chemistry 28, https://doi.org/10.1016/j.compbiolchem.2004.09.006

Example:
    >>> from nlpmtl.metrics import MatthewsCorrelation
    >>> value = MatthewsCorrelation().compute(predictions=[0, 1, 1, 1], references=[0, 1, 1, 0])
    >>> round(value["matthews_correlation"], 3)
    0.577
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


@METRICS.register("matthews_correlation")
class MatthewsCorrelation(Metric):
    """Matthews correlation coefficient of predicted and reference classes, from −1 to 1; 0 for random predictions.

    With two classes it is (TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)); with more, Gorodkin's generalisation.
    Undefined: all predictions or all references are of one class (scikit-learn returns 0).

    References:
        Matthews (1975), Biochimica et Biophysica Acta 405
        Gorodkin (2004), Computational Biology and Chemistry 28
    """

    other_names = "mcc matthews matthews_corrcoef"

    name = "matthews_correlation"
    reads = frozenset({"label"})

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> float | None:
        if len(set(predictions)) < 2 or len(set(references)) < 2:
            return None
        classes, ids = np.unique(np.concatenate([predictions, references]), return_inverse=True)
        predicted, gold = ids[: len(predictions)], ids[len(predictions) :]
        p, r = (np.bincount(side, minlength=len(classes)).astype(np.float64) for side in (predicted, gold))
        rows, correct = float(len(gold)), float(np.count_nonzero(predicted == gold))
        return float((correct * rows - p @ r) / np.sqrt((rows**2 - p @ p) * (rows**2 - r @ r)))
