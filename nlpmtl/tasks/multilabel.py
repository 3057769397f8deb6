"""Multi-label classification: any number of labels for a text, or a pair of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from nlpmtl.data import Example, LabelType, Targets, TaskBatch, TokenSequence
from nlpmtl.deprecation import reject_options_of
from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS
from nlpmtl.tasks.calibration import best_threshold, fit_sigmoid_temperature, sigmoid
from nlpmtl.tasks.classification import ClassWeights, LabelTask, entropy, upcast
from nlpmtl.tasks.error_analysis import multi_hot
from nlpmtl.tasks.fields import ProbabilityThreshold
from nlpmtl.tasks.outputs import (
    DEFAULT_OUTPUT,
    Confidence,
    ExampleOutputs,
    Logits,
    OutputOptions,
    Prediction,
    label_scores,
    scores_type,
)
from nlpmtl.tasks.pooling import LongTextFields
from nlpmtl.tasks.reporting import ItemProbabilities, RowError, as_text
from nlpmtl.tasks.soft_labels import to_array
from nlpmtl.tasks.stock_model import StockModel, fold_temperature

if TYPE_CHECKING:
    from torch import Tensor

    from nlpmtl.heads import Outputs

_THRESHOLDS = (
    "Thresholds: a label is predicted if its score is above its threshold, in `thresholds` of config.json. Thresholds "
    "are not folded into the weights, because that would change the scores."
)

_ROWS = 256
"""Number of rows that are decoded at once."""


@TASKS.register("multilabel")
class Multilabel(LongTextFields, LabelTask):
    """Multi-label classification: any number of labels per row, by binary cross-entropy averaged over the labels.

    `label_smoothing` ε replaces the targets 0 and 1 by ε / 2 and 1 − ε / 2.
    """

    kind = "multilabel"
    other_names = "multi_label multilabel_classification multi_label_classification textcat_multilabel"
    pipeline_tag = "text-classification"
    plots = ("precision_recall",)
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "set", "soft": "label_probabilities"}
    any_of = frozenset({"label", "soft"})
    column_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = {"soft": ("soft_cross_entropy",)}
    vectorised = True  # if no dataset has a column of probabilities
    prediction_types = ("label_set",)
    metrics: ClassVar[tuple[str, ...]] = ("micro_macro_f1", "micro_f1", "macro_f1")
    calibrated = frozenset({"temperature", "thresholds"})

    class_weights: ClassWeights | None = Field(None, exclude=True)
    """Label = the weight of its positive targets in the loss (`pos_weight` of `BCEWithLogitsLoss`; default: 1); or
    "balanced": rows without the label / rows with it. The loss is multiplied by the number that makes the mean weight
    of all targets of the train rows 1."""
    thresholds: tuple[ProbabilityThreshold, ...] = ()
    """The probability of each label above which it is predicted; default: 0.5 for all."""

    _scale: float = PrivateAttr(1.0)

    def check_fields(self) -> None:
        super().check_fields()
        self.thresholds = self.thresholds or (0.5,) * len(self.labels)
        if len(self.thresholds) != len(self.labels):
            raise ConfigError(f"task {self.name!r}: {len(self.labels)} labels have {len(self.thresholds)} `thresholds`")

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Compute the weights of positive targets, and the factor that makes the mean weight of all targets 1."""
        import torch

        if self.class_weights is None:
            return
        names = Counter(name for labels in values["label"] for name in labels)
        rows, counts = len(values["label"]), np.array([names[label] for label in self.labels])
        if isinstance(self.class_weights, Mapping):
            weights = np.array([float(self.class_weights.get(label, 1.0)) for label in self.labels])
        else:
            both = (counts > 0) & (counts < rows)  # otherwise a label has only positive or only negative targets
            weights = np.divide(rows - counts, counts, out=np.ones(len(counts)), where=both)
        targets = rows * len(self.labels)
        weighted = targets + float((weights - 1.0) @ counts)
        self._scale = targets / weighted if weighted > 0 else 1.0
        self._weights = torch.from_numpy(weights)

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the probability of each label; 0 or 1 for a row without probabilities."""
        if "soft" not in example.labels:
            return super().targets(example, sequences)
        return Targets(example={"label": to_array(example.labels["soft"], self.labels)})

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = self.example_logits(upcast(outputs["logits"]), batch)
        targets = batch.targets["label"].to(logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2
        positive = self.label_weights(logits)
        losses = self.loss_function.multi_label(logits, targets, pos_weight=positive)
        return losses.sum(dim=1) * (self._scale / len(self.labels))

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        import torch

        logits = self.example_logits(outputs["logits"], batch)
        return entropy(torch.stack([logits, torch.zeros_like(logits)], dim=-1)).mean(dim=-1).sum()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        thresholds, predictions = np.array(self.thresholds), list[Prediction]()
        for start in range(0, len(items), _ROWS):
            for row in self._probabilities(self.item_logits(items[start : start + _ROWS])):
                predictions.append(Prediction(self._names[row > thresholds].tolist(), extra=row))
        return predictions

    @cached_property
    def _names(self) -> NDArray[np.object_]:
        """The labels, ``[labels]``, as objects that all predictions share."""
        return np.array(self.labels, dtype=object)

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"labels": [{"label": "joy", "score": 0.91}, …]}``, the labels above their thresholds, by probability."""
        probabilities = prediction.extra
        chosen = sorted(prediction.value, key=lambda name: -probabilities[self._ids[name]])
        labels = [{"label": name, "score": float(probabilities[self._ids[name]])} for name in chosen]
        if options.all_scores:
            return {"labels": labels, "scores": label_scores(self.labels, probabilities)}
        return {"labels": labels}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        fields = {"labels": pa.list_(pa.struct({"label": pa.string(), "score": pa.float64()}))}
        return pa.struct({**fields, "scores": scores_type(self.labels)} if options.all_scores else fields)

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        """Fit the temperature of all labels, then the threshold of each label to the best F1."""
        hot, logits = multi_hot(gold, self._ids), self.item_logits(items)
        self.temperature = fit_sigmoid_temperature(logits, hot)
        probabilities = self._probabilities(logits)
        self.thresholds = tuple(best_threshold(probabilities[:, i], hot[:, i]) for i in range(len(self.labels)))

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        """Return the confidence of each label of each row: of its presence or absence."""
        yes = prediction.extra
        return np.maximum(yes, 1 - yes), (yes > 0.5) == multi_hot([gold], self._ids)[0]

    def comparable(self, gold: Any) -> list[str]:
        """Return the labels in order: the data may list the labels of a row in any order."""
        return sorted(gold)

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Compare the sets of labels; the confidence is that of the most confident wrong label."""
        wrong = set(prediction.value).symmetric_difference(gold)
        if not wrong:
            return None
        ids = [self._ids[name] for name in wrong if name in self._ids]
        hot, present = multi_hot([prediction.value], self._ids)[0], prediction.extra
        confidences = np.where(hot, present, 1 - present)[ids]
        confidence = float(confidences.max()) if ids else None
        return RowError(
            as_text(sorted(gold)), as_text(sorted(prediction.value)), confidence, severity=confidence or 0.0
        )

    def item_probabilities(self, predictions: Sequence[Prediction], gold: Sequence[Any]) -> list[ItemProbabilities]:
        """Return probabilities for each label, as a problem with two classes: absent and present."""
        rows, hot = np.arange(len(gold)), multi_hot(gold, self._ids).astype(np.int64)
        present = np.array([prediction.extra for prediction in predictions]).reshape(hot.shape)
        probabilities = np.stack([1 - present, present], axis=-1)
        return [ItemProbabilities(rows, hot[:, i], probabilities[:, i]) for i in range(len(self.labels))]

    def _probabilities(self, logits: Logits) -> Logits:
        """Return the probability of each label."""
        return sigmoid(logits / self.temperature)

    def stock_model(self) -> StockModel | None:
        return StockModel(
            "multi_label_classification",
            omitted=(_THRESHOLDS, *self.omitted_windows()),
            config={"thresholds": dict(zip(self.labels, self.thresholds, strict=True))},
            arguments={"truncation": True, "top_k": None},
            **fold_temperature(self.temperature),
        )

    def to_config(self) -> dict[str, Any]:
        config = super().to_config()
        if all(threshold == 0.5 for threshold in self.thresholds):
            del config["thresholds"]
        return config


__getattr__ = reject_options_of(__name__, "Multilabel")
