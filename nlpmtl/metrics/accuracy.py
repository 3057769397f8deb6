"""Accuracy: fraction of rows whose prediction is correct.

    accuracy = 1/N · Σ_i [p_i = r_i]

Symbols:
- N: number of rows
- p_i, r_i: prediction and reference of row i; for a set of labels, the whole set
- [·]: 1 if the condition holds, otherwise 0

It equals scikit-learn's `accuracy_score`; for sets of labels that is the subset accuracy. It is undefined without rows.

References:
    scikit-learn, `accuracy_score`, https://scikit-learn.org/stable/modules/model_evaluation.html#accuracy-score

Example:
    >>> from nlpmtl.metrics import Accuracy
    >>> Accuracy().compute(predictions=[0, 1, 1, 1], references=[0, 1, 1, 0])
    {'accuracy': 0.75}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


@METRICS.register("accuracy")
class Accuracy(Metric):
    """Accuracy: fraction of rows whose prediction equals the reference, from 0 to 1.

    For a row with a set of labels, the whole set must be equal (subset accuracy). Undefined: no rows.
    """

    other_names = "acc eval_accuracy"

    name = "accuracy"
    takes_arrays = True
    reads = frozenset({"label", "label_set"})

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        if isinstance(predictions, np.ndarray) and self.reads_as == "label_set":
            return float(np.mean((predictions == np.asarray(references)).all(axis=1)))
        pairs = zip(predictions, references, strict=True)
        return float(np.mean([prediction == reference for prediction, reference in pairs]))
