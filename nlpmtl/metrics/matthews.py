"""The Matthews correlation coefficient."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import matthews_corrcoef

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


@METRICS.register("matthews_correlation")
class MatthewsCorrelation(Metric):
    """The correlation of predicted and right classes, from −1 to 1; 0 is what chance would give.

    With two classes: (tp·tn − fp·fn) / √((tp+fp)(tp+fn)(tn+fp)(tn+fn)); with more, Gorodkin's generalisation.
    Undefined: all predictions, or all references, are of one class (scikit-learn gives 0 there).

    Source: Matthews, Biochimica et Biophysica Acta 405 (1975); Gorodkin, Computational Biology and Chemistry 28 (2004).
    """

    name = "matthews_correlation"
    reads = frozenset({"label"})

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> float | None:
        if len(set(predictions)) < 2 or len(set(references)) < 2:
            return None
        return float(matthews_corrcoef(references, predictions))
