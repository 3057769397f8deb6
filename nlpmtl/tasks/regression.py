"""Regression: a number for a text, or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from nlpmtl.data import Example, LabelType, TaskBatch
from nlpmtl.deprecation import reject_options_of
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.classification import upcast
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction
from nlpmtl.tasks.pooling import LongTextFields
from nlpmtl.tasks.reporting import RowError, as_text
from nlpmtl.tasks.split_labels import Untrainable
from nlpmtl.tasks.stock_model import StockModel

if TYPE_CHECKING:
    from torch import Tensor

    from nlpmtl.heads import Outputs

_FARTHEST = 1e15
"""The largest standardised target: sums of its square stay finite in single precision."""
_LARGEST_STD = 1e200
"""The largest standard deviation of targets: above those of train, whose squares are finite, and small enough that a
prediction is finite."""


@TASKS.register("regression")
class Regression(LongTextFields, Task):
    """Regression: a number, by squared error on standardised targets.

    Targets are standardised with the mean and the standard deviation of train, so that tasks of any scale learn at the
    same rate. Predictions and scores are on the scale of the data.
    """

    kind = "regression"
    other_names = "sts semantic_similarity similarity text_regression score scoring stsb sentence_similarity rating"
    pipeline_tag = "text-classification"
    plots = ("scatter",)
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "number"}
    prediction_types = ("number",)
    metrics: ClassVar[tuple[str, ...]] = ("pearson_spearman", "pearsonr", "spearmanr")

    fitted = frozenset({"target"})

    target: dict[str, Annotated[float, Field(strict=True)]] = Field(default_factory=lambda: {"mean": 0.0, "std": 1.0})
    """Mean and standard deviation of the targets of train, under "mean" and "std"."""

    @field_validator("target")
    @classmethod
    def _check_target(cls, target: dict[str, float]) -> dict[str, float]:
        missing = {"mean", "std"} - target.keys()
        if missing:
            raise ValueError(f"{min(missing)!r} is missing")
        if not 0 < target["std"] <= _LARGEST_STD:
            raise ValueError(f"'std' must be greater than 0 and at most {_LARGEST_STD:g}")
        return {"mean": target["mean"], "std": target["std"]}

    @classmethod
    def check_options(cls, options: Any) -> None:
        if options.labels is not None:
            raise ValueError("a regression has no `labels`: its label is a number")

    @property
    def outputs(self) -> int:
        return 1

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        numbers = np.array(values["label"], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # `find_untrainable` reports it, with the row
            std = _standard_deviation(numbers) if len(numbers) else 0.0
            self.target = {"mean": float(numbers.mean()) if len(numbers) else 0.0, "std": std or 1.0}

    def find_untrainable(self, values: Mapping[str, Sequence[Any]]) -> Untrainable | None:
        """Find a target that is too large: training on it would give a model that predicts infinity.

        It is if the mean or the standard deviation of train's targets is not finite, or if the target is more than
        1e15 standard deviations from the mean, as new data of a model that was trained before can be.
        """
        numbers = np.array(values["label"], dtype=np.float64)
        if not len(numbers):
            return None
        mean, std = self.target["mean"], self.target["std"]
        is_finite = bool(np.isfinite([mean, std]).all())
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.abs((numbers - mean) / std if is_finite else numbers)
        index = int(np.argmax(distances))
        if is_finite and distances[index] <= _FARTHEST:
            return None
        return Untrainable(
            index,
            f"cannot be trained on targets of this size, found {float(numbers[index])!r} (mean {mean:g}, standard "
            f"deviation {std:g}): divide the column by a constant, take logarithms, or correct the row",
        )

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = self.example_logits(upcast(outputs["logits"]), batch).squeeze(-1)
        targets = (batch.targets["label"] - self.target["mean"]) / self.target["std"]
        return (logits - targets.to(logits.dtype)).square()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        mean, std = self.target["mean"], self.target["std"]
        logits = self.item_logits(items)[:, 0].tolist() if items else []
        return [Prediction(logit * std + mean) for logit in logits]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"value": 3.7}``, on the scale of the data."""
        return {"value": prediction.value}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        return pa.struct({"value": pa.float64()})

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Every number that differs is wrong, by its distance to the gold number."""
        distance = abs(prediction.value - gold)
        return RowError(as_text(gold), as_text(prediction.value), None, severity=distance) if distance else None

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """Predict the mean of train, or numbers drawn from those of train."""
        random = super().baselines(train, gold, rng)["random"]
        return {"mean": [float(np.mean(train))] * len(gold), "random": random}

    def stock_model(self) -> StockModel | None:
        mean, std = self.target["mean"], self.target["std"]
        folded = (
            f"The scale of the data: its output times {std:.6g}, plus {mean:.6g}, so that `score` is the number itself."
        )
        return StockModel(
            "regression",
            factor=std,
            shift=mean,
            folded=() if (mean, std) == (0.0, 1.0) else (folded,),
            omitted=self.omitted_windows(),
            arguments={"truncation": True},
        )

    def describe_output(self) -> str:
        return f"a number (in train {self.target['mean']:.3g} ± {self.target['std']:.3g})"


def _standard_deviation(numbers: NDArray[np.float64]) -> float:
    """Return the standard deviation, also of numbers that are so small that their squares are 0; 0 of equal numbers."""
    if numbers.min() == numbers.max():
        return 0.0  # the mean of equal numbers may be rounded
    power = min(int(np.frexp(np.abs(numbers).max())[1]), 0)
    return float(np.ldexp(np.ldexp(numbers, -power).std(), power))


__getattr__ = reject_options_of(__name__, "Regression")
