"""Metrics of a task: which ones can score it, and the form in which they get its predictions and gold labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from nlpmtl.errors import ConfigError, RunError, noting, quote
from nlpmtl.metrics import PredictionType, check, reads_losses, scores, task_score
from nlpmtl.registry import METRICS
from nlpmtl.tasks.error_analysis import multi_hot
from nlpmtl.tasks.reporting import ReportedTask


class ScoredTask(ReportedTask):
    """The part of `Task` that scores predictions. A task type rarely overrides more than `score` or `scored_items`."""

    prediction_types: ClassVar[tuple[PredictionType, ...]] = ()
    """Types in which its predictions can be scored, the preferred one first; default: that of its first column, which
    is "label" for the column type "class", "label_set" for "set", and else has the name of the column type."""

    @property
    def _positive(self) -> int | None:
        """The id of the label that the metric `f1` counts."""
        return None

    @classmethod
    def check_metrics(cls, names: Sequence[str], *, task: str, pos_label: str | int | None) -> None:
        """Check that metrics are registered and can score this type, else raise ConfigError; see `check_scoring`."""
        for metric in names:
            try:
                check(metric, reads=cls.prediction_type(metric), pos_label=pos_label)
            except ConfigError as error:
                raise ConfigError(f"task {task!r}: {error}") from None

    def scored_items(self, values: Sequence[Any], gold: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return predictions and gold labels without the items of a row that have no gold label. Default: all.

        Args:
            values: `Prediction.value` of each row.
            gold: gold label of each row.
        """
        return values, gold

    def score(self, values: Sequence[Any], gold: Sequence[Any]) -> dict[str, float | None]:
        """Return the value of each metric but `loss` and `perplexity`, and ``"score"``, which summarises them.

        Args:
            values: `Prediction.value` of each row.
            gold: gold label of each row; a label that the task does not know equals no prediction.
        """
        values, gold = self.scored_items(values, gold)
        names = self._label_names(gold)
        results: dict[str, float | None] = {}
        converted: dict[PredictionType, tuple[Any, Any]] = {}
        for metric in (name for name in self.metrics if not reads_losses(name)):
            reads = self.prediction_type(metric)
            if reads not in converted:
                converted[reads] = (
                    self._to_metric_inputs(reads, values, names),
                    self._to_metric_inputs(reads, gold, names),
                )
            predictions, references = converted[reads]
            with noting(f"task {self.name!r}: metric {metric!r}"):
                results |= scores(
                    [metric], predictions=predictions, references=references, reads=reads, pos_label=self._positive
                )
        return {**results, "score": task_score(results) if results else None}

    @classmethod
    def prediction_type(cls, metric: str) -> PredictionType:
        """Return the type in which predictions are given to a metric."""
        known = METRICS.get(metric).reads if metric in METRICS.names() else ()  # type: ignore[attr-defined]
        return next((shape for shape in cls.prediction_types if shape in known), cls.prediction_types[0])

    def _to_metric_inputs(self, reads: PredictionType, values: Sequence[Any], ids: Mapping[str, int]) -> Any:
        """Return predictions or gold labels of rows in the type that a metric reads."""
        if reads == "label_set":
            return multi_hot(values, ids)
        return [self._to_metric_input(reads, value, ids) for value in values]

    def _to_metric_input(self, reads: PredictionType, value: Any, ids: Mapping[str, int]) -> Any:
        """Return one prediction or gold label in that type: the id of a label, or the value itself."""
        if reads != "label" or not ids:
            return value
        if not isinstance(value, str) or value not in ids:
            raise RunError(
                f"task {self.name!r}: its metrics compare label names, but decode() or gold() returned "
                f"{quote(value, limit=60)}, which is not a label"
            )
        return ids[value]
