"""An ordered scale of labels, such as negative < neutral < positive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from nlpmtl.config import LabelName
from nlpmtl.data import Example
from nlpmtl.deprecation import reject_options_of
from nlpmtl.metrics import PredictionType
from nlpmtl.registry import TASKS
from nlpmtl.tasks.classification import Classification
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, Logits, OutputOptions, Prediction
from nlpmtl.tasks.stock_model import StockModel

_POLARITY = (
    "The polarity: the sum of score times position over the labels, whose positions are evenly spaced from -1 to 1."
)


@TASKS.register("sentiment")
class Sentiment(Classification):
    """Ordinal classification: labels with an order, a polarity from −1 to 1, and an error in steps of the scale."""

    kind = "sentiment"
    other_names = "sentiment_analysis sentiment_classification polarity"
    ordered = True
    prediction_types = ("label", "number")
    metrics: ClassVar[tuple[str, ...]] = ("accuracy_macro_f1", "accuracy", "macro_f1", "mae")

    labels: tuple[LabelName, ...] = Field(min_length=2)
    """Label names, lowest first."""
    pos_label: ClassVar[None] = None  # type: ignore[misc]

    def _to_metric_input(self, reads: PredictionType, value: Any, ids: Mapping[str, int]) -> Any:
        if reads != "number":
            return super()._to_metric_input(reads, value, ids)
        top = len(self.labels) - 1
        return float(ids[value]) if ids[value] <= top else 2.0 * top  # an unknown label is far from the whole scale

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"label": "positive", "score": 0.99, "polarity": 0.98}``.

        The polarity is the expected position on the scale, from −1 for the lowest label to 1 for the highest.
        """
        polarity = min(max(float(prediction.extra @ self._positions), -1.0), 1.0)
        return {**super().format(prediction, example, options), "polarity": polarity}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        return pa.struct([*(super().output_type(options) or ()), pa.field("polarity", pa.float64())])

    def stock_model(self) -> StockModel | None:
        stock = super().stock_model()
        return stock and replace(stock, omitted=(_POLARITY, *stock.omitted))

    @cached_property
    def _positions(self) -> Logits:
        """The position of each label on the scale, ``[labels]``."""
        return np.linspace(-1.0, 1.0, len(self.labels))


__getattr__ = reject_options_of(__name__, "Sentiment")
