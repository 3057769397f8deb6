"""Single-label classification of a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nlpmtl.config import LabelName
from nlpmtl.data import Example, LabelType, TaskBatch
from nlpmtl.deprecation import reject_options_of
from nlpmtl.errors import ConfigError
from nlpmtl.metrics import PredictionType
from nlpmtl.registry import TASKS
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.losses import LabelTask, entropy, upcast
from nlpmtl.tasks.outputs import (
    DEFAULT_OUTPUT,
    Confidence,
    ExampleOutputs,
    OutputOptions,
    Prediction,
    label_scores,
    softmax,
    stack_outputs,
)
from nlpmtl.tasks.stock_model import StockModel, fold_temperature

if TYPE_CHECKING:
    from torch import Tensor

    from nlpmtl.heads import Outputs


@TASKS.register("classification")
class Classification(LabelTask):
    """Single-label classification: one of several labels, by cross-entropy (label smoothing: Szegedy et al., 2016)."""

    kind = "classification"
    pipeline_tag = "text-classification"
    plots = ("confusion_matrix",)
    single_label = True
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "class"}
    prediction_types: ClassVar[tuple[PredictionType, ...]] = ("label",)
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    changeable = frozenset({"pos_label"})
    renamed_keys: ClassVar[Mapping[str, str]] = {"positive": "pos_label"}

    pos_label: LabelName | None = None
    """The label that the metric `f1` counts."""

    def check_fields(self) -> None:
        if self.pos_label is not None and self.pos_label not in self.labels:
            raise ConfigError(
                f"task {self.name!r}: `pos_label`: {self.pos_label!r} is not among the labels {list(self.labels)}"
            )
        super().check_fields()

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        pos_label = getattr(options, "pos_label", None)
        if pos_label is not None and options.labels is not None and pos_label not in options.labels:
            raise ValueError(f"`pos_label`: {pos_label!r} is not among the labels {list(options.labels)}")

    @classmethod
    def resolve(cls, options: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
        resolved, pos_label = super().resolve(options, spell), options.get("pos_label")
        return resolved if pos_label is None else {**resolved, "pos_label": spell(pos_label)}

    @property
    def _positive(self) -> int | None:
        return None if self.pos_label is None else self.labels.index(self.pos_label)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        from torch.nn import functional

        logits = upcast(outputs["logits"])
        weight = self.label_weights(logits)
        return functional.cross_entropy(
            logits, batch.targets["label"], weight=weight, label_smoothing=self.label_smoothing, reduction="none"
        )

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return entropy(outputs["logits"]).sum()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        if not items:
            return []
        logits = stack_outputs(items)
        probabilities, best = softmax(logits / self.temperature), logits.argmax(axis=-1).tolist()
        return [
            Prediction(self.labels[i], float(row[i]), extra=row) for i, row in zip(best, probabilities, strict=True)
        ]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"label": "spam", "score": 0.98}``."""
        result: dict[str, Any] = {"label": prediction.value, "score": prediction.score}
        return {**result, "scores": label_scores(self.labels, prediction.extra)} if options.all_scores else result

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        ids = {name: i for i, name in enumerate(self.labels)}
        known = [i for i, label in enumerate(gold) if label in ids]
        if known:
            logits = stack_outputs([items[i] for i in known])
            self.temperature = fit_temperature(logits, np.array([ids[gold[i]] for i in known]))

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        probabilities = prediction.extra
        best = int(probabilities.argmax())
        return probabilities[best : best + 1], np.array([self.labels[best] == gold])

    def stock_model(self) -> StockModel | None:
        return StockModel(
            "single_label_classification",
            arguments={"truncation": True},
            **fold_temperature(self.temperature),
        )


__getattr__ = reject_options_of(__name__, "Classification")
