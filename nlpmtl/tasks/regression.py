"""One number a text, or a pair of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor

from nlpmtl.config import TaskOptions
from nlpmtl.data import Example, Labels, LabelType, NumberLabels, TaskBatch
from nlpmtl.heads import Outputs
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.losses import upcast
from nlpmtl.tasks.options import DEFAULT_OUTPUT, OutputOptions
from nlpmtl.tasks.outputs import ExampleOutputs, Prediction
from nlpmtl.tasks.stock_model import StockModel

_FARTHEST = 1e15
"""The largest standardised target: sums of its square stay finite in single precision."""


class RegressionOptions(TaskOptions):
    """Options of `Regression`."""

    @model_validator(mode="after")
    def _has_no_labels(self) -> Self:
        if self.labels is not None:
            raise ValueError("a regression has no `labels`: its label is a number")
        return self


@TASKS.register("regression", RegressionOptions)
class Regression(Task):
    """A number, by squared error on standardised targets.

    The targets of train have mean 0 and standard deviation 1 inside, so that tasks of any scale learn alike; what it
    predicts and reports is on the scale of the data.

    Args:
        target: the mean and the standard deviation of train's targets, from a saved model.
        task: what every `Task` takes.
    """

    kind = "regression"
    pipeline_tag = "text-classification"
    plots = ("scatter",)
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "number"}
    prediction_types = ("number",)
    metrics = ("pearsonr", "spearmanr")

    def __init__(self, *, target: Mapping[str, float] | None = None, **task: Any) -> None:
        super().__init__(**task)
        target = {"mean": 0.0, "std": 1.0} if target is None else target
        self.target = {"mean": float(target["mean"]), "std": float(target["std"])}

    @property
    def outputs(self) -> int:
        return 1

    def fit(self, labels: Iterable[Labels]) -> None:
        numbers = np.concatenate([one.numbers for one in labels if isinstance(one, NumberLabels)])
        numbers = numbers[~np.isnan(numbers)]
        with np.errstate(over="ignore", invalid="ignore"):  # `find_overflow` reports it, with the row
            std = _standard_deviation(numbers) if len(numbers) else 0.0
            self.target = {"mean": float(numbers.mean()) if len(numbers) else 0.0, "std": std or 1.0}

    def find_overflow(self, labels: Labels) -> int | None:
        """Return the row of the target that is too large to train on, or None.

        It is if the mean or the standard deviation of train's targets is not finite, or if the target is more than
        1e15 standard deviations from the mean, as new data of a model that was trained before can be.
        """
        assert isinstance(labels, NumberLabels), "a regression's labels are numbers"
        if not labels.labelled.any():
            return None
        mean, std = self.target["mean"], self.target["std"]
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.abs(labels.numbers if not np.isfinite([mean, std]).all() else (labels.numbers - mean) / std)
        row = int(np.nanargmax(distances))
        return None if np.isfinite([mean, std]).all() and distances[row] <= _FARTHEST else row

    def continue_from(self, earlier: Task) -> None:
        super().continue_from(earlier)
        assert isinstance(earlier, Regression), "it is of the same kind"
        self.target = earlier.target

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = upcast(outputs["logits"]).squeeze(-1)
        targets = (batch.targets["label"] - self.target["mean"]) / self.target["std"]
        return (logits - targets.to(logits.dtype)).square()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        mean, std = self.target["mean"], self.target["std"]
        return [Prediction(float(item.outputs["logits"][0][0]) * std + mean) for item in items]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"value": 3.7}``, on the scale of the data."""
        return {"value": prediction.value}

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
            arguments={"truncation": True},
        )

    def describe_output(self) -> str:
        return f"a number (in train {self.target['mean']:.3g} ± {self.target['std']:.3g})"

    def to_config(self) -> dict[str, Any]:
        return {**super().to_config(), "target": self.target}


def _standard_deviation(numbers: NDArray[np.float64]) -> float:
    """Return the standard deviation, also of numbers that are so small that their squares are 0."""
    power = min(int(np.frexp(np.abs(numbers).max())[1]), 0)
    return float(np.ldexp(np.ldexp(numbers, -power).std(), power))
