"""An ordered scale of labels, such as negative < neutral < positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field

from nlpmtl.config import LabelName
from nlpmtl.data import Input, Span
from nlpmtl.metrics import Shape as PredictionType
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Logits, Prediction
from nlpmtl.tasks.classification import Classification
from nlpmtl.tasks.options import DEFAULT_OUTPUT, LabelOptions, OutputOptions
from nlpmtl.tasks.stock_model import StockModel

_POLARITY = (
    "The polarity: the sum of score times place over the labels, their places running evenly from -1 to 1 in order."
)


class SentimentOptions(LabelOptions):
    """Options of `Sentiment`."""

    labels: tuple[LabelName, ...] = Field(min_length=2)
    """The names of the labels, lowest first."""


@TASKS.register("sentiment", SentimentOptions)
class Sentiment(Classification):
    """A classification whose labels have an order: it adds a polarity, and an error in steps of the scale."""

    kind = "sentiment"
    ordered = True
    prediction_types = ("label", "number")
    metrics = ("accuracy", "macro_f1", "mae")

    def _to_metric_input(self, reads: PredictionType, value: Any, names: Sequence[str]) -> Any:
        if reads != "number":
            return value
        top = len(self.labels) - 1
        return float(value) if value <= top else 2.0 * top  # a label that is not on the scale is far from all of it

    def present(
        self, logits: Logits, *, text: str, words: Sequence[Span], shown: OutputOptions = DEFAULT_OUTPUT
    ) -> Prediction:
        """``{"label": "positive", "score": 0.99, "polarity": 0.98}``.

        The polarity is the expected place on the scale, from −1 for the lowest label to 1 for the highest.
        """
        return super().present(logits, text=text, words=words, shown=shown)

    def present_rows(
        self, logits: Sequence[Logits], *, inputs: Sequence[Input], shown: OutputOptions = DEFAULT_OUTPUT
    ) -> list[Prediction]:
        return super().present_rows(logits, inputs=inputs, shown=shown)

    def stock_model(self) -> StockModel | None:
        stock = super().stock_model()
        return stock and replace(stock, omitted=(_POLARITY,))

    def _show(self, sure: Logits, shown: OutputOptions) -> dict[str, Any]:
        polarity = min(max(float(sure @ self._places), -1.0), 1.0)
        return {**super()._show(sure, shown), "polarity": polarity}

    @cached_property
    def _places(self) -> Logits:
        """Where each label stands on the scale, ``[labels]``."""
        return np.linspace(-1.0, 1.0, len(self.labels))
