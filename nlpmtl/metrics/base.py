"""Base class of metrics: an `evaluate.Metric` that works in memory and returns None where its value is undefined.

Example:
    >>> from nlpmtl.metrics import Metric
    >>> class ErrorRate(Metric):
    ...     name, higher_is_better, reads = "error_rate", False, frozenset({"label"})
    ...     def score(self, predictions, references):
    ...         return sum(p != r for p, r in zip(predictions, references)) / len(references)
    >>> ErrorRate().compute(predictions=[0, 1, 1, 1], references=[0, 1, 1, 0])
    {'error_rate': 0.25}
    >>> ErrorRate().compute(predictions=[], references=[])
    {'error_rate': None}
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import evaluate
import numpy as np
from datasets import Features, List, Value

PredictionType: TypeAlias = str
"""Type of a prediction: "label" (a class id), "label_set" (a multi-hot list of 0 and 1), "number", "tags" (a list of
strings), or the name of a column type from a plugin, whose parsed values are scored as they are."""

FEATURES: dict[PredictionType, Value | List] = {
    "label": Value("int64"),
    "label_set": List(Value("int64")),
    "number": Value("float64"),
    "tags": List(Value("string")),
}


class Metric(evaluate.Metric, ABC):  # type: ignore[misc]
    """Base class of metrics: a subclass sets the class attributes, defines `score` and is registered under its name.

    Args:
        reads_as: type of predictions and references; default: the first of label, label_set, number and tags that the
            metric reads.

    Raises:
        ValueError: the metric does not read that type.
    """

    name: ClassVar[str]
    """Registered name, and key of the result."""
    higher_is_better: ClassVar[bool] = True
    """False for errors, such as `mae`."""
    needs_positive: ClassVar[bool] = False
    """Whether `compute` requires `pos_label`, the id of the positive class."""
    takes_arrays: ClassVar[bool] = False
    """Whether `score` accepts sets of labels as a Boolean array, ``[rows, labels]``, as well as lists of 0 and 1."""
    reads: ClassVar[frozenset[PredictionType]]
    """Types of predictions that the metric can score."""

    def __init__(self, *, reads_as: PredictionType | None = None) -> None:
        if reads_as is not None and reads_as not in self.reads:
            raise ValueError(f"{self.name} reads {', '.join(sorted(self.reads))}, found reads_as={reads_as!r}")
        built_in = next((shape for shape in FEATURES if shape in self.reads), min(self.reads))
        self.reads_as: PredictionType = reads_as or built_in
        super().__init__(keep_in_memory=True)

    @abstractmethod
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        """Compute the value.

        Args:
            predictions: a prediction per row, of the type `reads_as`; at least one row, and numbers are finite.
            references: a reference per row, of the same type.

        Returns:
            The value; None or NaN where it is undefined.
        """

    def value(
        self, predictions: Sequence[Any], references: Sequence[Any], *, pos_label: int | None = None
    ) -> float | None:
        """Compute the value without `compute`'s copy into Arrow, which can take ten times as long as scoring.

        Args:
            predictions: a prediction per row, of the type `reads_as`.
            references: a reference per row, of the same type.
            pos_label: id of the positive class, if the metric `needs_positive`.

        Returns:
            The same value as `compute`, None where it is undefined.

        Raises:
            ValueError: predictions and references differ in length.
        """
        if len(predictions) != len(references):
            raise ValueError(f"{self.name}: {len(predictions)} predictions for {len(references)} references")
        return self._compute(predictions=predictions, references=references, pos_label=pos_label)[self.name]

    def _info(self) -> evaluate.MetricInfo:
        value = FEATURES.get(self.reads_as, Value("string"))
        return evaluate.MetricInfo(
            description=type(self).__doc__ or self.name,
            citation="",
            features=Features({"predictions": value, "references": value}),
        )

    def _build_data_dir(self) -> str:
        # The base class creates a directory in the user's cache here, which would stay empty.
        return ""

    def _compute(
        self, *, predictions: Sequence[Any], references: Sequence[Any], pos_label: int | None = None
    ) -> dict[str, float | None]:
        # All metrics accept `pos_label`, because `evaluate.combine` passes each argument to all metrics.
        return {self.name: self._score_or_none(predictions, references)}

    def _score_or_none(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        if not len(predictions) or (self.reads_as == "number" and not _all_finite(predictions, references)):
            return None
        with np.errstate(all="ignore"):
            return defined(self.score(predictions, references))


def defined(value: float | None) -> float | None:
    """Return the value as a float, or None in place of NaN and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def _all_finite(*columns: Sequence[float]) -> bool:
    return all(bool(np.isfinite(np.asarray(column, dtype=np.float64)).all()) for column in columns)
