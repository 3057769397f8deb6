"""What every metric is: an `evaluate.Metric` that stays in memory and answers None where its value is undefined."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import evaluate
import numpy as np
from datasets import Features, List, Value

Shape: TypeAlias = Literal["label", "label_set", "number", "tags"]
"""What one prediction looks like: a class id, a multi-hot list of 0 and 1, a float, or a list of strings."""

FEATURES: dict[Shape, Value | List] = {
    "label": Value("int64"),
    "label_set": List(Value("int64")),
    "number": Value("float64"),
    "tags": List(Value("string")),
}


class Metric(evaluate.Metric, ABC):  # type: ignore[misc]
    """The base of all metrics: a subclass sets the attributes, defines `score` and registers itself under its name.

    Args:
        reads_as: the shape of predictions and references; left out, the first of label, label_set, number and tags
            that the metric reads.

    Raises:
        ValueError: the metric does not read that shape.
    """

    name: ClassVar[str]
    """The registered name, and the key of the result."""
    higher_is_better: ClassVar[bool] = True
    """False for errors."""
    needs_positive: ClassVar[bool] = False
    """True where `compute` must be told the class that counts as positive, as `pos_label`."""
    takes_arrays: ClassVar[bool] = False
    """Whether `score` takes sets of labels as a Boolean array, ``[rows, labels]``, besides lists of 0 and 1."""
    reads: ClassVar[frozenset[Shape]]
    """The shapes that the metric can score."""

    def __init__(self, *, reads_as: Shape | None = None) -> None:
        if reads_as is not None and reads_as not in self.reads:
            raise ValueError(f"{self.name} reads {', '.join(sorted(self.reads))}, found reads_as={reads_as!r}")
        self.reads_as: Shape = reads_as if reads_as else next(shape for shape in FEATURES if shape in self.reads)
        super().__init__(keep_in_memory=True)

    @abstractmethod
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        """The value for at least one row, all of them finite; None or nan where it is undefined."""

    def value(
        self, predictions: Sequence[Any], references: Sequence[Any], *, pos_label: int | None = None
    ) -> float | None:
        """What `compute` says of answers that are plain already; it copies them into Arrow, which may take ten times as
        long as to score them.

        Raises:
            ValueError: predictions and references are of different length.
        """
        if len(predictions) != len(references):
            raise ValueError(f"{self.name}: {len(predictions)} predictions for {len(references)} references")
        return self._compute(predictions=predictions, references=references, pos_label=pos_label)[self.name]

    def _info(self) -> evaluate.MetricInfo:
        value = FEATURES[self.reads_as]
        return evaluate.MetricInfo(
            description=type(self).__doc__ or self.name,
            citation="",
            features=Features({"predictions": value, "references": value}),
        )

    def _build_data_dir(self) -> str:
        # The base class makes a directory in the user's cache here, which nothing kept in memory would ever fill.
        return ""

    def _compute(
        self, *, predictions: Sequence[Any], references: Sequence[Any], pos_label: int | None = None
    ) -> dict[str, float | None]:
        # All of them take `pos_label`, because `evaluate.combine` hands every argument to every metric.
        return {self.name: self._score_or_none(predictions, references)}

    def _score_or_none(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        if not len(predictions) or (self.reads_as == "number" and not _all_finite(predictions, references)):
            return None
        with np.errstate(all="ignore"):
            return defined(self.score(predictions, references))


def defined(value: float | None) -> float | None:
    """A plain float, or None in place of nan and the infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def _all_finite(*columns: Sequence[float]) -> bool:
    return all(bool(np.isfinite(np.asarray(column, dtype=np.float64)).all()) for column in columns)
