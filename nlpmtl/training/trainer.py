"""A run from its first step to its last: the `for` loop over the steps that logs, evaluates, saves and stops."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpmtl.data import Batch, Encoded
from nlpmtl.errors import ConfigError, RunError, StoppedError
from nlpmtl.evaluation import Inference, LogitsCache, evaluate
from nlpmtl.fs import remove_path
from nlpmtl.sampling import Plan
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import Task
from nlpmtl.training.checkpoint import amend, prune, read_state, save_atomic, state_tensors, verify
from nlpmtl.training.events import Best, EvaluationDone, Message, RunState, StepLogged
from nlpmtl.training.fsdp import gather_full_model
from nlpmtl.training.gradient_accumulation import RankFailureError
from nlpmtl.training.loop import train_steps
from nlpmtl.training.metrics_logger import MetricsLogger
from nlpmtl.training.signals import Signals
from nlpmtl.training.train_step import TrainStep
from nlpmtl.weighting import Constant


class _AskedToStopError(Exception):
    """A signal asked to stop, in the middle of an evaluation."""


class _EvaluationError(Exception):
    """An evaluation raised; its cause says what."""


@dataclass
class Trainer:
    """Takes a run through its steps.

    Args:
        directory: the run's directory.
        accelerator: device, precision and processes.
        model: the model that is trained.
        whole: the model that answers: the same, or a whole copy of one that is in slices.
        optimizer: the model's optimizer.
        stepper: computes a step.
        plan: the rows of each step.
        total: optimizer steps.
        tasks: the run's tasks.
        validation: the validation rows of each dataset; none with a label: nothing is evaluated, the last model is
            kept.
        inference: how rows go through the model when it is evaluated.
        evaluate_every: steps between evaluations.
        select: which score keeps the best model.
        patience: evaluations without a better one before it stops; 0: never.
        save_every: steps between checkpoints.
        keep: checkpoints kept.
        config: the run's config in plain values, kept in checkpoints.
        recorded: more to keep in checkpoints: what the data and the plugins are.
        signals: what asks the run to stop before its end.
        state: where the run stands.
        failures: what went wrong after the last step, and did not end the run.

    Raises:
        ConfigError: no validation row has a label for the task that selects.
    """

    directory: Path
    accelerator: Accelerator
    model: nn.Module
    whole: nn.Module
    optimizer: Optimizer
    stepper: TrainStep
    plan: Plan
    total: int
    tasks: Mapping[str, Task]
    validation: Mapping[str, Encoded]
    inference: Inference
    evaluate_every: int
    select: str
    patience: int
    save_every: int
    keep: int
    config: Mapping[str, Any]
    signals: Signals
    state: RunState
    recorded: Mapping[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list, init=False)
    observer: MetricsLogger = field(init=False)
    _logits: tuple[int, LogitsCache] | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        scored = {name for rows in self.validation.values() for name, own in rows.labels.items() if own.labelled.any()}
        self._evaluates = bool(scored)
        if self.select != "mean" and self.select not in scored:
            raise ConfigError(f"eval.select: task {self.select!r} has no labelled validation rows to be selected on")
        self.observer = MetricsLogger(
            self.accelerator,
            directory=self.directory,
            tasks=list(self.tasks),
            datasets=self.plan.names if self.plan.is_time_varying(self.total) else (),
            tells_weights=not isinstance(self.stepper.weighting, Constant),
        )

    def events(self) -> Iterator[StepLogged | EvaluationDone | Message]:
        """Train to the end, or until patience runs out, and tell what happens.

        Raises:
            StoppedError: a signal asked any of the processes to stop; a checkpoint of the step that it got to stands.
            RunError: a loss or gradient is not finite, memory is too small, or a checkpoint cannot be written.
        """
        step, evaluated, checkpoint = self.state.cursor.step, self.state.evaluated, self._checkpoint
        self.observer.cut_back(step, evaluated=evaluated, checkpoint=checkpoint if checkpoint.exists() else None)
        accumulator = self.stepper.accumulator
        if self.state.micro_tokens is not None:
            accumulator.micro_tokens = min(accumulator.micro_tokens, self.state.micro_tokens)
        self.stepper.weighting.state = dict(self.state.weighting)
        with self.signals.installed():
            if self.state.cursor.step == 0:
                self._save()
            yield from self._pending_evaluation()
            if self.state.cursor.step == self.total:
                self._save()
            elif not self.stopped_early:
                try:
                    yield from self._train()
                except RankFailureError:
                    raise
                except RunError:
                    self.observer.flush()  # all processes are here: the steps before are told
                    raise

    def _train(self) -> Iterator[StepLogged | EvaluationDone | Message]:
        self.observer.start_clock()
        for report, cursor in train_steps(self.plan, cursor=self.state.cursor, total=self.total, stepper=self.stepper):
            skipped = self.state.skipped + (report.skipped is not None)
            halved = self.stepper.accumulator.micro_tokens if report.halved else self.state.micro_tokens
            memory = self.stepper.weighting.state
            self.state = replace(self.state, cursor=cursor, skipped=skipped, micro_tokens=halved, weighting=memory)
            line = self.observer.step(report)
            if line is not None:
                yield StepLogged(line)
            if report.halved:
                yield Message(f"step {cursor.step}: memory ran out, train.micro_tokens is {halved} from here on")
            if report.skipped is not None:
                yield Message(f"left out: {report.skipped}")
            if report.note is not None:
                yield Message(report.note)
            last = cursor.step == self.total
            saves = last or cursor.step % self.save_every == 0
            if report.asked and not last:
                yield from self._flush()
                self._stop(report.asked)
            if saves or self._evaluation_is_due():
                yield from self._flush()
            if last:
                self._save()  # what follows the last step cannot lose its weights
            yield from self._pending_evaluation()
            last = last or self.stopped_early
            if last or saves:
                self._save()
            self.observer.start_clock()
            if last:
                return

    def _flush(self) -> Iterator[StepLogged]:
        line = self.observer.flush()
        if line is not None:
            yield StepLogged(line)

    def _stop(self, signal: int) -> None:
        self._save()
        raise StoppedError(
            f"stopped after step {self.state.cursor.step} of {self.total}; --resume goes on from there", signal=signal
        )

    def gather(self) -> None:
        """Have the whole model as it is now, where it computes; all processes take part."""
        if self.whole is not self.model:
            gather_full_model(self.model, into=self.whole.cpu())
            self.whole.to(self.accelerator.device)

    def best_model(self) -> nn.Module:
        """The best model so far, or the last where nothing was evaluated: in single precision, ready to predict.

        The last one is as it was when it was gathered.

        Raises:
            RunError: its file is damaged.
        """
        if self.state.best is not None:
            directory = self._best_directory(self.state.best)
            wrong = verify(directory)
            if wrong is not None:
                raise RunError(f"the best model cannot be read: {directory}: {wrong}; the last one is in checkpoints/")
            self.whole.load_state_dict(load_file(directory / "model.safetensors"))
        return self.whole.float().eval()

    @property
    def alone(self) -> Inference:
        """How rows go through the model in this process alone."""
        return replace(self.inference, rank=0, world=1)

    def validation_logits(self) -> LogitsCache:
        """Return the logits of the best model on validation: those of the evaluation that selected it, if kept."""
        step = 0 if self.state.best is None else self.state.best.step
        if self._logits is None or self._logits[0] != step:
            self._logits = step, LogitsCache(self.alone)
        self._logits[1].inference = self.alone
        return self._logits[1]

    @property
    def stopped_early(self) -> bool:
        """Whether `eval.patience` has run out."""
        return 0 < self.patience <= self.state.worse

    def _evaluation_is_due(self) -> bool:
        step = self.state.cursor.step
        due = step == self.total or step % self.evaluate_every == 0
        return self._evaluates and due and self.state.evaluated < step

    def _pending_evaluation(self) -> Iterator[EvaluationDone | Message]:
        """The evaluation at this step, if there is one and it has not been: a run may have been stopped in it."""
        if self._evaluation_is_due():
            try:
                yield self._evaluate(self.state.cursor.step)
            except _AskedToStopError:
                self._stop(self.signals.received)
            except _EvaluationError as error:
                yield self._failed(error)
        for told in self.observer.take_failures():
            self.failures.append(told)
            yield Message(told)

    def _failed(self, error: _EvaluationError) -> Message:
        """What becomes of an evaluation that raised: after the last step a note, before it the end of the run.

        Raises:
            RunError: there are steps left.
        """
        step, cause = self.state.cursor.step, error.__cause__
        told = f"the evaluation at step {step} failed: {type(cause).__name__}: {cause}"
        if step == self.total:
            self.failures.append(told)
            return Message(told)
        if self.inference.world == 1:  # of several processes, one cannot save without the others
            self._save()
            told += "; a checkpoint of this step is saved: --resume continues once the cause is fixed"
        raise RunError(told) from cause

    def _evaluate(self, step: int) -> EvaluationDone:
        self.gather()
        self.whole.eval()
        inference = self.inference
        if inference.world == 1:  # of several processes, one cannot leave the others alone
            inference = replace(inference, forward=self._unless_asked)
        logits = LogitsCache(inference)
        try:
            scores = evaluate(
                logits if inference.world == 1 else inference,
                tasks=self.tasks,
                datasets=self.validation,
                gather=gather_object,
            )
            value = scores.of(self.select)
            dumps(scores.to_json())  # evaluations.jsonl and checkpoints hold the scores
        except _AskedToStopError:
            raise
        except Exception as error:  # a metric or a kind of task from a plugin may raise or return anything
            raise _EvaluationError from error
        if self.whole is not self.model:
            self.whole.cpu()  # out of the way of training
        self.observer.scores(scores, step=step)
        best = self.state.best is None or value > self.state.best.value
        if best:
            # The model that is kept has single precision, and several processes have a share of the logits each.
            exact = inference.world == 1 and next(self.whole.parameters()).dtype == torch.float32
            self._logits = (step, logits) if exact else None
            self.state = replace(self.state, best=Best(step, value, scores.to_json()), worse=0, evaluated=step)
            self._save_best()
        else:
            self.state = replace(self.state, worse=self.state.worse + 1, evaluated=step)
        return EvaluationDone(step=step, scores=scores, best=best)

    def _unless_asked(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.signals.received:
            raise _AskedToStopError
        return self.inference.forward(batch, rows)

    def _best_directory(self, best: Best) -> Path:
        return self.directory / "best" / f"step-{best.step:06d}"

    @property
    def _checkpoint(self) -> Path:
        """Of the step that the run is at."""
        return self.directory / "checkpoints" / f"step-{self.state.cursor.step:06d}"

    def _save_best(self) -> None:
        best = self.state.best
        assert best is not None
        if self.accelerator.is_main_process:
            weights = {"model.safetensors": self.whole.state_dict()}
            save_atomic(self._best_directory(best), tensors=weights, state=vars(best))
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        """Write a checkpoint, or what changed since the one of this step was written.

        Older checkpoints are removed only after it is there, and then the best models that none of the rest knows.
        """
        path, main = self._checkpoint, self.accelerator.is_main_process
        tensors = state_tensors(self.model, self.optimizer, keep=main)
        state = {**self.state.to_json(), "config": self.config, **self.recorded}
        if main and not path.exists():
            save_atomic(path, tensors=tensors, state=state, copies=self.observer.files)
        elif main and read_state(path) != json.loads(dumps(state)):
            amend(path, state=state, copies=self.observer.files)
        if main:
            known = {f"step-{step:06d}" for step in prune(path.parent, keep=self.keep)}
            for old in (self.directory / "best").glob("step-*"):
                if old.name not in known:
                    remove_path(old)
        self.accelerator.wait_for_everyone()
