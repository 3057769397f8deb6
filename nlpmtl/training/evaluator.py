"""Evaluation of the model on the validation splits during training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nlpmtl.batched_inference import Inference, LogitsCache
from nlpmtl.data import Batch, TokenizedSplit
from nlpmtl.errors import ConfigError
from nlpmtl.evaluation import evaluate
from nlpmtl.model import RowLosses
from nlpmtl.stages import Stages
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import Task
from nlpmtl.training.distributed import gather_results
from nlpmtl.training.events import BestModel, EvaluationDone
from nlpmtl.training.fsdp import gather_full_model
from nlpmtl.training.signals import StopSignals


class StopRequestedError(Exception):
    """A signal was received during an evaluation."""


class EvaluationFailedError(Exception):
    """An evaluation raised; its cause is the exception."""


@dataclass
class Evaluator:
    """Evaluates the model, and keeps the logits of the best one.

    Args:
        model: model that is trained.
        full_model: the same model, or an unsharded copy of a sharded one.
        tasks: tasks of the run.
        validation: validation rows of each dataset; without labels nothing is evaluated and the last model is kept.
        inference: runs rows through the full model.
        row_losses: computes losses of rows with the full model.
        every: number of steps between evaluations.
        select: ``"mean"``, or the task whose score selects the best model.
        patience: evaluations without improvement before training stops; 0 for no early stopping.
        device: device of the model.
        signals: signals that interrupt an evaluation.
        stages: measures the evaluations and reports their progress.

    Raises:
        ConfigError: the task that selects the best model has no labelled validation row.
    """

    model: nn.Module
    full_model: nn.Module
    tasks: Mapping[str, Task]
    validation: Mapping[str, TokenizedSplit]
    inference: Inference
    row_losses: RowLosses
    every: int
    select: str
    patience: int
    device: torch.device
    signals: StopSignals
    stages: Stages = field(default_factory=Stages, repr=False)
    has_labels: bool = field(init=False)
    _logits: tuple[int, LogitsCache] | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        labelled = {
            task for rows in self.validation.values() for task, labels in rows.labels.items() if labels.labelled.any()
        }
        self.has_labels = bool(labelled)
        if self.select != "mean" and self.select not in labelled:
            raise ConfigError(f"eval.select: task {self.select!r} has no labelled validation rows to select a model by")

    @property
    def is_distributed(self) -> bool:
        """Return whether several ranks evaluate together."""
        return self.inference.world > 1

    def evaluate(self, step: int, *, best: BestModel | None) -> EvaluationDone:
        """Evaluate the model as it is after a step.

        Args:
            step: number of steps done.
            best: best model so far.

        Raises:
            StopRequestedError: a signal was received; not with several ranks.
            EvaluationFailedError: a metric or a task raised, or a score cannot be written as JSON.
        """
        inference = self.inference
        total = sum(len(split.tokens.lengths) for split in self.validation.values()) // inference.world
        with self.stages.stage("evaluating", total=total) as advance:
            return self._evaluate(step, best=best, inference=self._reporting(inference, advance))

    def _evaluate(self, step: int, *, best: BestModel | None, inference: Inference) -> EvaluationDone:
        self.gather_full_model()
        self.full_model.eval()
        logits = LogitsCache(inference)
        try:
            scores = evaluate(
                inference if self.is_distributed else logits,
                tasks=self.tasks,
                datasets=self.validation,
                losses=self._losses_unless_stopped,
                gather=gather_results,
            )
            score = scores.of(self.select)
            dumps(scores.to_json())  # evaluations.jsonl and checkpoints hold the scores
        except StopRequestedError:
            raise
        except Exception as error:  # a metric or task type from a plugin may raise or return anything
            raise EvaluationFailedError from error
        if self.full_model is not self.model:
            self.full_model.cpu()  # training needs the memory
        is_best = best is None or score > best.value
        if is_best:
            # The saved model has fp32 parameters, and each of several ranks has only a part of the logits.
            is_exact = next(self.full_model.parameters()).dtype == torch.float32 and not self.is_distributed
            self._logits = (step, logits) if is_exact else None
        return EvaluationDone(step=step, scores=scores, best=is_best)

    def gather_full_model(self) -> None:
        """Update the full model from a sharded one; all ranks take part."""
        if self.full_model is not self.model:
            gather_full_model(self.model, into=self.full_model.cpu())
            self.full_model.to(self.device)

    @property
    def local_inference(self) -> Inference:
        """Inference on this rank only."""
        return replace(self.inference, rank=0, world=1)

    @property
    def local_row_losses(self) -> RowLosses:
        """Losses of rows, computed on this rank only."""
        return replace(self.row_losses, rank=0, world=1)

    def validation_logits(self, step: int) -> LogitsCache:
        """Return the logits of the full model on validation.

        Those that the evaluation of that step computed are used again if it selected the model.
        """
        if self._logits is None or self._logits[0] != step:
            self._logits = step, LogitsCache(self.local_inference)
        self._logits[1].inference = self.local_inference
        return self._logits[1]

    def _reporting(self, inference: Inference, advance: Callable[[int], None]) -> Inference:
        """Return inference that reports its progress, and ends when a signal was received."""

        def forward(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Any]:
            self._check_signals()
            logits = inference.forward(batch, rows)
            advance(len(batch.input_ids))
            return logits

        return replace(inference, forward=forward)

    def _losses_unless_stopped(self, split: TokenizedSplit, names: Collection[str]) -> Iterator[tuple[int, str, float]]:
        for loss in self.row_losses.run(split, names):
            self._check_signals()
            yield loss

    def _check_signals(self) -> None:
        """Raise StopRequestedError if a signal was received; one of several ranks cannot stop without the others."""
        if self.signals.received and not self.is_distributed:
            raise StopRequestedError


def unchanged_score_notes(evaluations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a note for each task whose score was the same at all evaluations, so that it cannot select the best model.

    Args:
        evaluations: lines of evaluations.jsonl. Fewer than three give no notes, and neither does the score 1.
    """
    if len(evaluations) < 3:
        return
    for task, values in evaluations[0]["tasks"].items():
        score = values["score"]
        if score != 1 and all(line["tasks"][task]["score"] == score for line in evaluations):
            yield (
                f"the validation score of task {task!r} was {score:.4g} at all {len(evaluations)} evaluations, so it "
                "cannot select the best step; another first metric in its `metrics` may"
            )
