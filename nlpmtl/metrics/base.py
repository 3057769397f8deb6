"""Base class of metrics, which work in memory and return None where their value is undefined.

A metric can be used like an `evaluate.Metric`; the package `evaluate`, whose import takes seconds, is imported when it
is.

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
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import evaluate

PredictionType: TypeAlias = str
"""Type of a prediction: "label" (a class id), "label_set" (a multi-hot list of 0 and 1), "number", "tags" (a list of
strings), "tree" (a head and a relation per word), "embedding" (the vectors of a text and, if it has one, of its pair;
references are texts or classes), "loss" (losses instead of predictions, and numbers of items instead of references), or
the name of a column type from a plugin, whose parsed values are scored as they are."""

BUILT_IN_TYPES: tuple[PredictionType, ...] = ("label", "label_set", "number", "tags")
LOSS: PredictionType = "loss"
"""Type read by metrics of the loss, which score every task type whose loss of a row does not depend on other rows."""
_NUMBERS = ("number", LOSS)
"""Types whose values must be finite."""


class Metric(ABC):
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
    resampled: ClassVar[bool] = True
    """Whether it may be computed on rows that are drawn with replacement, for a confidence interval; False for a metric
    of a row that depends on the other rows."""
    takes_arrays: ClassVar[bool] = False
    """Whether `score` accepts sets of labels as a Boolean array, ``[rows, labels]``, as well as lists of 0 and 1."""
    reads: ClassVar[frozenset[PredictionType]]
    """Types of predictions that the metric can score."""

    def __init__(self, *, reads_as: PredictionType | None = None) -> None:
        if reads_as is not None and reads_as not in self.reads:
            raise ValueError(f"{self.name} reads {', '.join(sorted(self.reads))}, found reads_as={reads_as!r}")
        built_in = next((type_ for type_ in BUILT_IN_TYPES if type_ in self.reads), min(self.reads))
        self.reads_as: PredictionType = reads_as or built_in

    @staticmethod
    def to_error(value: float) -> float:
        """Return the error that is averaged, negated, into the score of a task. Only for metrics where lower is better.

        Default: the value of the metric.
        """
        return value

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

    @cached_property
    def as_evaluate(self) -> evaluate.Metric:
        """This metric as an `evaluate.Metric`, which the methods below call."""
        from nlpmtl.metrics.evaluate_metric import EvaluateMetric

        return EvaluateMetric(self, compute=self._compute)

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any]:
        """Compute the value of these rows, or of the rows that were added; see `evaluate.Metric.compute`.

        Args:
            predictions: a prediction per row, of the type `reads_as`.
            references: a reference per row, of the same type.
            options: `pos_label`, the id of the positive class, if the metric `needs_positive`.

        Returns:
            The value by the name of the metric, None where it is undefined.

        Raises:
            ValueError: predictions and references differ in length, or are not of the type `reads_as`.
        """
        values: dict[str, Any] = self.as_evaluate.compute(predictions=predictions, references=references, **options)
        return values

    def add(self, *, prediction: Any, reference: Any) -> None:
        """Add a row, as `evaluate.Metric.add`."""
        self.as_evaluate.add(prediction=prediction, reference=reference)

    def add_batch(self, *, predictions: Any, references: Any) -> None:
        """Add rows, as `evaluate.Metric.add_batch`."""
        self.as_evaluate.add_batch(predictions=predictions, references=references)

    @property
    def features(self) -> Any:
        """Types of predictions and references, as `datasets.Features`."""
        return self.as_evaluate.features

    @property
    def description(self) -> str:
        """Description of the metric."""
        return str(self.as_evaluate.description)

    def _feature_names(self) -> list[str]:
        return ["predictions", "references"]  # `evaluate.combine` calls this

    def _compute(
        self, *, predictions: Sequence[Any], references: Sequence[Any], pos_label: int | None = None
    ) -> dict[str, float | None]:
        # All metrics accept `pos_label`, because `evaluate.combine` passes each argument to all metrics.
        return {self.name: self._score_or_none(predictions, references)}

    def _score_or_none(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        if not len(predictions) or (self.reads_as in _NUMBERS and not _all_finite(predictions, references)):
            return None
        with np.errstate(all="ignore"):
            return defined(self.score(predictions, references))


def defined(value: float | None) -> float | None:
    """Return the value as a float, or None for NaN and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def _all_finite(*columns: Sequence[float]) -> bool:
    return all(bool(np.isfinite(np.asarray(column, dtype=np.float64)).all()) for column in columns)
