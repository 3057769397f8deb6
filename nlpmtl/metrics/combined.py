"""Means of two metrics, for tasks that are selected and compared by both.

    combined = (first + second) / 2

A metric that is undefined counts as 0, unless both are: then the mean is undefined as well.

Example:
    >>> from nlpmtl.metrics import PearsonSpearman
    >>> predictions, references = [1.0, 2.0, 3.0, 10.0], [1.0, 2.0, 3.0, 4.0]
    >>> round(PearsonSpearman().compute(predictions=predictions, references=references)["pearson_spearman"], 3)
    0.943
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, ClassVar

from nlpmtl.metrics.accuracy import Accuracy
from nlpmtl.metrics.base import Metric
from nlpmtl.metrics.correlation import Pearson, Spearman
from nlpmtl.metrics.f1 import F1, MacroF1, MicroF1
from nlpmtl.registry import METRICS


class CombinedMetric(Metric):
    """Mean of the metrics `parts`, which read the same types of predictions; those that read sets take arrays."""

    takes_arrays = True
    parts: ClassVar[tuple[type[Metric], ...]]

    def _compute(
        self, *, predictions: Sequence[Any], references: Sequence[Any], pos_label: int | None = None
    ) -> dict[str, float | None]:
        values = [
            part(reads_as=self.reads_as).value(predictions, references, pos_label=pos_label) for part in self.parts
        ]
        defined = any(value is not None for value in values)
        return {self.name: fmean(value or 0.0 for value in values) if defined else None}

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        return self._compute(predictions=predictions, references=references)[self.name]


@METRICS.register("accuracy_f1")
class AccuracyF1(CombinedMetric):
    """Mean of accuracy and the F1 score of the class `pos_label`, from 0 to 1: GLUE's score of MRPC and QQP.

    `compute` requires `pos_label`, the id of that class, and raises ValueError without it. Undefined: no rows.

    References:
        Wang et al. (2019), GLUE, https://arxiv.org/abs/1804.07461, section 3
    """

    name = "accuracy_f1"
    reads = frozenset({"label"})
    needs_positive = True
    parts = (Accuracy, F1)


@METRICS.register("accuracy_macro_f1")
class AccuracyMacroF1(CombinedMetric):
    """Mean of accuracy and macro F1, from 0 to 1. Undefined: no rows."""

    name = "accuracy_macro_f1"
    reads = frozenset({"label"})
    parts = (Accuracy, MacroF1)


@METRICS.register("micro_macro_f1")
class MicroMacroF1(CombinedMetric):
    """Mean of micro F1 and macro F1, from 0 to 1. Undefined: no rows."""

    name = "micro_macro_f1"
    reads = frozenset({"label", "label_set"})
    parts = (MicroF1, MacroF1)


@METRICS.register("pearson_spearman")
class PearsonSpearman(CombinedMetric):
    """Mean of Pearson's r and Spearman's ρ, from −1 to 1: GLUE's score of STS-B. Undefined: both are.

    References:
        Wang et al. (2019), GLUE, https://arxiv.org/abs/1804.07461, section 3
    """

    name = "pearson_spearman"
    reads = frozenset({"number"})
    parts = (Pearson, Spearman)
