"""Accuracy: the share of rows that are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


@METRICS.register("accuracy")
class Accuracy(Metric):
    """The share of rows whose prediction equals the reference, from 0 to 1.

    A row of several labels is right when the whole set is, as in scikit-learn's `accuracy_score`. Undefined: no rows.
    """

    name = "accuracy"
    takes_arrays = True
    reads = frozenset({"label", "label_set"})

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        if isinstance(predictions, np.ndarray) and self.reads_as == "label_set":
            return float(np.mean((predictions == np.asarray(references)).all(axis=1)))
        return float(np.mean([said == right for said, right in zip(predictions, references, strict=True)]))
