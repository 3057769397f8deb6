"""Single-label classification of a text or a pair of texts, and what task types with labels share: class weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field, PrivateAttr, SerializeAsAny

from nlpmtl.config import LabelName
from nlpmtl.data import Example, LabelType, Targets, TaskBatch, TokenSequence, column_type
from nlpmtl.deprecation import reject_options_of
from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.metrics import PredictionType
from nlpmtl.registry import LOSSES, TASKS, KindOptions
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.losses import LabelLoss
from nlpmtl.tasks.outputs import (
    DEFAULT_OUTPUT,
    Confidence,
    ExampleOutputs,
    OutputOptions,
    Prediction,
    label_scores,
    scores_type,
    softmax,
)
from nlpmtl.tasks.pooling import LongTextFields
from nlpmtl.tasks.reporting import ItemProbabilities
from nlpmtl.tasks.soft_labels import to_array
from nlpmtl.tasks.stock_model import StockModel, fold_temperature

if TYPE_CHECKING:
    from torch import Tensor

    from nlpmtl.heads import Outputs


ClassWeights = dict[LabelName, Annotated[float, Field(ge=0, strict=True)]] | Literal["balanced"]
LossOptions = Annotated[SerializeAsAny[KindOptions], BeforeValidator(LOSSES.parse)]


class LabelTask(Task):
    """Base of the task types that predict one of several labels for each item."""

    class_weights: ClassWeights | None = Field(None, exclude=True)
    """Label = its weight in the loss (default: 1), all multiplied by the number that makes their mean over the train
    rows 1; or "balanced": rows / (labels · rows of the label)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, exclude=True)
    """Label smoothing ε: fraction of the target distribution that is spread evenly over all labels."""

    loss_options: LossOptions = Field({"kind": "cross_entropy"}, alias="loss", exclude=True, validate_default=True)
    """Loss function."""

    _counts: list[int] | None = PrivateAttr(None)
    _weights: Any = PrivateAttr(None)

    def check_fields(self) -> None:
        super().check_fields()
        check_class_weights(self.class_weights, task=self.name, labels=self.labels)

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        kind = options.loss.kind
        if options.label_smoothing and not getattr(LOSSES.get(kind), "supports_label_smoothing", False):
            raise ValueError(
                f"`label_smoothing`: the loss function {kind!r} does not support label smoothing: remove this key, "
                f"found {options.label_smoothing}"
            )
        if getattr(options, "soft", None) is None:
            return
        if not getattr(LOSSES.get(kind), "supports_soft_labels", False):
            raise ValueError(f"`soft`: the loss function {kind!r} does not support distributions: use cross_entropy")
        if options.class_weights is not None:
            raise ValueError("`class_weights` are not defined for the distributions of `soft`: give rows a `weight`")

    @classmethod
    def resolve(cls, options: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
        resolved, weights = super().resolve(options, spell), options["class_weights"]
        if isinstance(weights, Mapping):
            resolved["class_weights"] = {spell(label): weight for label, weight in weights.items()}
        return resolved

    @cached_property
    def loss_function(self) -> LabelLoss:
        """The loss function."""
        return LOSSES.build(self.loss_options, LabelLoss)

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Count the labels, for class weights."""
        names = column_type(self.columns["label"]).names
        counts = Counter(name for value in values.get("label", ()) for name in names(value))
        self._counts, self._weights = [counts[label] for label in self.labels], None

    def label_weights(self, logits: Tensor) -> Tensor | None:
        """Return the weight of each label in the loss, ``[labels]``, in the dtype of logits; None if all are 1."""
        if self.class_weights is None:
            return None
        if self._weights is None:
            self._weights = class_weights(self.class_weights, labels=self.labels, counts=self._counts)
        return None if self._weights is None else self._weights.to(logits)


@TASKS.register("classification")
class Classification(LongTextFields, LabelTask):
    """Single-label classification: one of several labels, by cross-entropy (label smoothing: Szegedy et al., 2016)."""

    kind = "classification"
    other_names = (
        "text_classification sequence_classification single_label_classification multiclass multi_class "
        "multiclass_classification binary binary_classification nli natural_language_inference topic textcat "
        "cls paraphrase entailment sentence_classification sentence_pair_classification text_pair intent "
        "single_label text_classifier pair_classification intent_classification intent_detection emotion hate_speech"
    )
    pipeline_tag = "text-classification"
    plots = ("confusion_matrix",)
    single_label = True
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "class", "soft": "distribution"}
    any_of = frozenset({"label", "soft"})
    column_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = {"soft": ("soft_cross_entropy",)}
    vectorised = True  # if no dataset has a column of distributions
    prediction_types: ClassVar[tuple[PredictionType, ...]] = ("label",)
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    changeable = LongTextFields.changeable | {"pos_label"}
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

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the label; if the datasets have distributions, that of the row, or all of it on its label."""
        if "soft" not in self.given_columns:
            return super().targets(example, sequences)
        soft = example.labels.get("soft")
        if soft is None:
            label = example.labels["label"]
            if label not in self._ids:  # in another split than train
                return None
            soft = {label: 1.0}
        return Targets(example={"distribution": to_array(soft, self.labels)})

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits, targets = self.example_logits(upcast(outputs["logits"]), batch), batch.targets.get("distribution")
        weight = self.label_weights(logits)
        targets = batch.targets["label"] if targets is None else targets.to(logits.dtype)
        return self.loss_function.single_label(logits, targets, weight=weight, label_smoothing=self.label_smoothing)

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return entropy(self.example_logits(outputs["logits"], batch)).sum()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        if not items:
            return []
        logits = self.item_logits(items)
        probabilities, best = softmax(logits / self.temperature), logits.argmax(axis=-1).tolist()
        return [
            Prediction(self.labels[i], float(row[i]), extra=row) for i, row in zip(best, probabilities, strict=True)
        ]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"label": "spam", "score": 0.98}``."""
        result: dict[str, Any] = {"label": prediction.value, "score": prediction.score}
        return {**result, "scores": label_scores(self.labels, prediction.extra)} if options.all_scores else result

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        fields = {"label": pa.string(), "score": pa.float64()}
        return pa.struct({**fields, "scores": scores_type(self.labels)} if options.all_scores else fields)

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        ids = {name: i for i, name in enumerate(self.labels)}
        known = [i for i, label in enumerate(gold) if label in ids]
        if known:
            logits = self.item_logits([items[i] for i in known])
            self.temperature = fit_temperature(logits, np.array([ids[gold[i]] for i in known]))

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        probabilities = prediction.extra
        best = int(probabilities.argmax())
        return probabilities[best : best + 1], np.array([self.labels[best] == gold])

    def item_probabilities(self, predictions: Sequence[Prediction], gold: Sequence[Any]) -> list[ItemProbabilities]:
        ids = {name: i for i, name in enumerate(self.labels)}
        rows = np.array([i for i, label in enumerate(gold) if label in ids], dtype=np.int64)
        labels = np.array([ids[gold[i]] for i in rows.tolist()], dtype=np.int64)
        probabilities = np.array([predictions[i].extra for i in rows.tolist()]).reshape(-1, len(self.labels))
        return [ItemProbabilities(rows, labels, probabilities)]

    def stock_model(self) -> StockModel | None:
        return StockModel(
            "single_label_classification",
            omitted=self.omitted_windows(),
            arguments={"truncation": True},
            **fold_temperature(self.temperature),
        )


def check_class_weights(given: ClassWeights | None, *, task: str, labels: Sequence[str]) -> None:
    """Check that all labels with a weight are labels of the task.

    Raises:
        ConfigError: a weight for an unknown label.
    """
    for name in given if isinstance(given, Mapping) else ():
        if name not in labels:
            raise ConfigError(f"task {task!r}: class_weights: {name!r} is not a label; {did_you_mean(name, labels)}")


def class_weights(given: ClassWeights | None, *, labels: Sequence[str], counts: Sequence[int] | None) -> Tensor | None:
    """Return the weight of each label in the loss, ``[labels]``; None if all are 1.

    Args:
        given: label = weight (default: 1); or "balanced": rows / (labels · rows of the label).
        labels: the label names.
        counts: number of occurrences of each label in the train splits, if known: given weights are then multiplied by
            the number that makes their mean over these 1, so that the weight of the task is unchanged.
    """
    import torch

    if isinstance(given, Mapping):
        weights = torch.tensor([float(given.get(label, 1.0)) for label in labels], dtype=torch.float64)
        occurrences = torch.tensor([1] * len(labels) if counts is None else counts, dtype=torch.float64)
        total = (weights * occurrences).sum()
        return weights if counts is None or total == 0 else weights * occurrences.sum() / total
    if given is None or counts is None:
        return None
    return torch.tensor([sum(counts) / (len(labels) * count) if count else 0.0 for count in counts])


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the softmax over the last axis, as a fraction of that of equal logits."""
    logs = upcast(logits).log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1) / math.log(logs.shape[-1])


def upcast(logits: Tensor) -> Tensor:
    """Return logits in at least single precision: losses are not summed in half precision."""
    import torch

    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


__getattr__ = reject_options_of(__name__, "Classification")
