"""Reports on a task: wrong rows, error analysis, likely label errors and baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import Example
from nlpmtl.strict_json import dumps
from nlpmtl.tasks.error_analysis import ErrorAnalysis, count_errors, names_in
from nlpmtl.tasks.fields import TaskFields
from nlpmtl.tasks.outputs import Confidence, Prediction


@dataclass(frozen=True)
class RowError:
    """A wrong prediction of a row.

    Args:
        gold: the gold label, as text.
        predicted: the prediction, as text.
        confidence: the probability of the wrong prediction, the highest of several; None without probabilities.
        severity: how wrong it is; rows are listed in descending order of it.
    """

    gold: str
    predicted: str
    confidence: float | None
    severity: float


@dataclass(frozen=True)
class ItemProbabilities:
    """Gold labels and predicted probabilities of items, such as rows or words, to find label errors with.

    Args:
        rows: the row of each item, ``[items]``.
        gold: the id of its gold label, ``[items]``.
        probabilities: its predicted probabilities, ``[items, labels]``.
    """

    rows: NDArray[np.int64]
    gold: NDArray[np.int64]
    probabilities: NDArray[np.floating]


class ReportedTask(TaskFields):
    """The part of `Task` that reports read. A task type overrides what does not suit its predictions."""

    plots: ClassVar[tuple[str, ...]] = ()
    """Name of the plot of its predictions: "confusion_matrix", "precision_recall", "scatter" or "histogram"; several
    if the data decide which one is drawn. Default: none."""
    view: ClassVar[str | None] = None
    """View of a prediction on the web page of the server, such as "tree"; default: a view of its JSON value."""

    embeds: ClassVar[bool] = False
    """Whether a prediction is a vector, a list of numbers, for the route `/embed` of the server."""

    @property
    def required_text(self) -> str | None:
        """String that a text must contain for a prediction, such as a mask token. Default: none."""
        return None

    def conllu(self, formatted: Any) -> list[dict[str, Any]] | None:
        """Return the fields of each word of a formatted prediction for a CoNLL-U file; None: it has no such form.

        Args:
            formatted: what `Task.format` returned.

        Returns:
            For each word "form", its "start" and "end" in the text, and columns of CoNLL-U by their lower-case names,
            such as "head". Default: None.
        """
        return None

    def target_notes(self, targets: Mapping[str, NDArray[Any]], *, excluded_rows: int) -> list[str]:
        """Return messages for the user about the targets of a train split. Default: none.

        Args:
            targets: the numbers that `targets` returned per example, by name, ``[examples]``.
            excluded_rows: number of labelled rows for which it returned None.
        """
        return []

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        """Return the probability of each predicted item and whether it is right. Default: `Prediction.score`."""
        if prediction.score is None:
            return np.zeros(0), np.zeros(0, dtype=np.bool_)
        values, labels = (prediction.value, gold) if np.ndim(prediction.score) else ([prediction.value], [gold])
        right = np.array([value == label for value, label in zip(values, labels, strict=True)], dtype=np.bool_)
        return np.atleast_1d(prediction.score), right

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Return how a prediction is wrong; None if it is correct.

        Default: it is correct if its value equals the gold label, and its severity is its confidence.
        """
        if prediction.value == gold:
            return None
        return self._error(prediction, gold, as_text(gold), as_text(prediction.value))

    def _error(self, prediction: Prediction, gold: Any, gold_text: str, predicted_text: str) -> RowError:
        """Return an error whose severity is the highest confidence of a wrong item."""
        probabilities, right = self.confidence(prediction, gold)
        confidence = float(probabilities[~right].max()) if not right.all() else None
        return RowError(gold_text, predicted_text, confidence, severity=confidence or 0.0)

    def item_probabilities(self, predictions: Sequence[Prediction], gold: Sequence[Any]) -> list[ItemProbabilities]:
        """Return the probabilities of single-label decisions, from which label errors are found; one for each problem.

        The number and the order of the problems must not depend on the rows. Default: none.

        Args:
            predictions: predictions of some rows.
            gold: their gold labels.
        """
        return []

    def comparable(self, gold: Any) -> Any:
        """Return a gold label in a form that is equal for labels that mean the same. Default: the gold label.

        Args:
            gold: what `gold` returned, not None.
        """
        return gold

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """Return for each baseline a prediction for each row: what can be predicted without reading the input.

        Default: "majority", the most frequent label of train, and "random", labels drawn from those of train.

        Args:
            train: the gold labels of the train rows, at least one.
            gold: the gold labels of the rows to predict.
            rng: random number generator.
        """
        keys = [dumps(self.comparable(value)) for value in train]
        majority = train[keys.index(Counter(keys).most_common(1)[0][0])]
        drawn = rng.integers(len(train), size=len(gold))
        return {"majority": [majority] * len(gold), "random": [train[i] for i in drawn.tolist()]}

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis | None:
        """Return what the plot of the predictions shows, None without a plot.

        Default: counts of predictions by gold label for the first of `plots`, which is not a histogram.

        Args:
            values: predictions, as in `score`.
            gold: gold labels, as in `score`.
        """
        return count_errors(self.plots[0], values, gold, names=list(self._label_names(gold))) if self.plots else None

    def describe_output(self) -> str:
        """Return what it predicts besides its labels, in a few words, for the model card. Default: nothing."""
        return ""

    def _label_names(self, gold: Sequence[Any]) -> dict[str, int]:
        """Return the id of each label, then of each gold label that the task does not know."""
        if not self.labels:
            return {}
        unknown = (name for label in gold for name in names_in(label))
        return {name: i for i, name in enumerate(dict.fromkeys([*self.labels, *unknown]))}


def as_text(value: Any) -> str:
    """Return a gold label or the value of a prediction as text.

    >>> as_text("places"), as_text(["x", "y"]), as_text([]), as_text(0.5)
    ('places', 'x, y', '(none)', '0.5')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "(none)"
    return f"{value:.4g}" if isinstance(value, float) else dumps(value, ensure_ascii=False)
