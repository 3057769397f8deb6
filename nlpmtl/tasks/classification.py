"""Single-label classification of a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional

from nlpmtl.config import LabelName
from nlpmtl.data import ClassLabels, Example, Labels, LabelType, TaskBatch
from nlpmtl.errors import ConfigError
from nlpmtl.heads import Outputs
from nlpmtl.metrics import PredictionType
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.losses import class_weights, entropy, upcast
from nlpmtl.tasks.options import DEFAULT_OUTPUT, ClassWeights, LabelOptions, OutputOptions
from nlpmtl.tasks.outputs import Confidence, ExampleOutputs, Prediction, label_scores, softmax, stack_outputs
from nlpmtl.tasks.stock_model import StockModel, fold_temperature


class ClassificationOptions(LabelOptions):
    """Options of `Classification`."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"positive": "pos_label"}

    pos_label: LabelName | None = None
    """The label that the metric `f1` counts."""

    def resolved(self, spell: Callable[[str], str]) -> dict[str, Any]:
        pos_label = None if self.pos_label is None else spell(self.pos_label)
        return {**super().resolved(spell), "pos_label": pos_label}

    @model_validator(mode="after")
    def _pos_label_is_a_label(self) -> Self:
        if self.pos_label is not None and self.labels is not None and self.pos_label not in self.labels:
            raise ValueError(f"`pos_label`: {self.pos_label!r} is not among the labels {list(self.labels)}")
        return self


@TASKS.register("classification", ClassificationOptions)
class Classification(Task):
    """One of several labels, by cross-entropy over a softmax.

    Args:
        class_weights: see `LabelOptions`.
        label_smoothing: the share of the target's mass that is spread over all labels (Szegedy et al. 2016).
        pos_label: the label that the metric `f1` counts.
        task: what every `Task` takes.
    """

    kind = "classification"
    pipeline_tag = "text-classification"
    plots = ("confusion_matrix",)
    single_label = True
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "class"}
    prediction_types: ClassVar[tuple[PredictionType, ...]] = ("label",)
    metrics: tuple[str, ...] = ("accuracy",)

    def __init__(
        self,
        *,
        labels: Sequence[str],
        class_weights: ClassWeights | None = None,
        label_smoothing: float = 0.0,
        pos_label: str | None = None,
        **task: Any,
    ) -> None:
        if pos_label is not None and pos_label not in labels:
            raise ConfigError(
                f"task {task['name']!r}: `pos_label`: {pos_label!r} is not among the labels {list(labels)}"
            )
        self.pos_label, self.class_weights, self.label_smoothing = pos_label, class_weights, label_smoothing
        super().__init__(labels=labels, **task)
        self._weights = self._weigh(None)

    @property
    def _positive(self) -> int | None:
        return None if self.pos_label is None else self.labels.index(self.pos_label)

    def fit(self, labels: Iterable[Labels]) -> None:
        ids = np.concatenate([one.ids for one in labels if isinstance(one, ClassLabels)])
        self._weights = self._weigh(np.bincount(ids[ids >= 0], minlength=len(self.labels)).tolist())

    def _weigh(self, counts: Sequence[int] | None) -> Tensor | None:
        return class_weights(self.class_weights, task=self.name, labels=self.labels, counts=counts)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = upcast(outputs["logits"])
        weight = None if self._weights is None else self._weights.to(logits)
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
            "single_label_classification", arguments={"truncation": True}, **fold_temperature(self.temperature)
        )

    def to_config(self) -> dict[str, Any]:
        return super().to_config() if self.pos_label is None else {**super().to_config(), "pos_label": self.pos_label}
