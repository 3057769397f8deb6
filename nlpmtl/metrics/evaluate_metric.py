"""A metric of nlpmtl as an `evaluate.Metric`. Importing this module imports `evaluate`, which takes seconds."""

from __future__ import annotations

from collections.abc import Callable

import evaluate
from datasets import Features, Json, List, Value

from nlpmtl.metrics.base import LOSS, Metric, PredictionType

FEATURES: dict[PredictionType, Value | List | Json] = {
    "label": Value("int64"),
    "answers": Value("string"),
    "text": Value("string"),
    "label_set": List(Value("int64")),
    "number": Value("float64"),
    "tags": List(Value("string")),
    "tree": List({"head": Value("int64"), "deprel": Value("string")}),
    "embedding": List(List(Value("float64"))),
    "relevances": List(Value("float64")),
    "spans": Json(),
    "relations": Json(),
    LOSS: Value("float64"),
}
"""Types of predictions; those of a plugin's column type are JSON."""
_REFERENCES: dict[PredictionType, Value | List] = {"answers": List(Value("string")), "embedding": Value("string")}
"""Types of references, where they differ from those of predictions."""


class EvaluateMetric(evaluate.Metric):  # type: ignore[misc]  # `evaluate` has no types
    """A metric of nlpmtl as an `evaluate.Metric` that works in memory.

    Args:
        metric: the metric.
        compute: returns its value by name, for predictions, references and pos_label.
    """

    def __init__(self, metric: Metric, *, compute: Callable[..., dict[str, float | None]]) -> None:
        self._metric, self._compute = metric, compute
        super().__init__(keep_in_memory=True)

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self._metric.name

    def _info(self) -> evaluate.MetricInfo:
        value = FEATURES.get(self._metric.reads_as, Json())
        return evaluate.MetricInfo(
            description=type(self._metric).__doc__ or self.name,
            citation="",
            features=Features({"predictions": value, "references": _REFERENCES.get(self._metric.reads_as, value)}),
        )

    def _build_data_dir(self) -> str:
        # The base class creates a directory in the user's cache here, which would stay empty.
        return ""
