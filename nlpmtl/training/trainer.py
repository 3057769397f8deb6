"""The trainer: a generator of events that logs, evaluates, saves checkpoints and stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from nlpmtl.errors import RunError, StoppedError, describe_exception
from nlpmtl.sampling import Plan
from nlpmtl.strict_json import find_unsupported
from nlpmtl.tasks import Task
from nlpmtl.training.checkpoint import CheckpointManager
from nlpmtl.training.evaluator import EvaluationFailedError, Evaluator, StopRequestedError
from nlpmtl.training.events import BestModel, EvaluationDone, Message, RunState, StepLogged, StepReport
from nlpmtl.training.gradient_accumulation import RankFailureError
from nlpmtl.training.metrics_logger import MetricsLogger
from nlpmtl.training.signals import StopSignals
from nlpmtl.training.train_step import TrainStep

Event = StepLogged | EvaluationDone | Message


@dataclass
class Trainer:
    """Trains from the current state of a run to its end.

    Args:
        train_step: computes a step.
        plan: rows of each step.
        total_steps: optimizer steps of the run.
        save_every: number of steps between checkpoints.
        checkpoints: writes checkpoints and best models.
        evaluator: evaluates the model on validation.
        logger: writes metrics.jsonl and evaluations.jsonl.
        signals: signals that stop the run after the current step.
        state: state of the run.
        notes: messages for the user before training.
        failures: failures after the last step, which do not end the run.
    """

    train_step: TrainStep
    plan: Plan
    total_steps: int
    save_every: int
    checkpoints: CheckpointManager
    evaluator: Evaluator
    logger: MetricsLogger
    signals: StopSignals
    state: RunState
    notes: tuple[str, ...] = ()
    failures: list[str] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        """The model that is trained."""
        return self.train_step.accumulator.model

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks of the run."""
        return self.train_step.accumulator.tasks

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self.state.cursor.step

    @property
    def stopped_early(self) -> bool:
        """Whether `eval.patience` has run out."""
        return 0 < self.evaluator.patience <= self.state.evals_without_improvement

    @property
    def best_step(self) -> int:
        """Step of the best model, or of the current one if no model was evaluated."""
        return self.step if self.state.best is None else self.state.best.step

    def events(self) -> Iterator[Event]:
        """Train to the end, or until early stopping.

        Raises:
            StoppedError: a signal stopped the run; a checkpoint of the current step is saved.
            RunError: a loss or gradient is not finite, memory is too small, or a checkpoint cannot be written.
        """
        self._apply_state()
        with self.signals.installed():
            if self.step == 0:
                self.checkpoints.save(self.state)
            yield from self._evaluate_if_due()
            if self.step == self.total_steps:
                self.checkpoints.save(self.state)
            elif not self.stopped_early:
                try:
                    yield from self._train()
                except RankFailureError:
                    raise
                except RunError:  # on all ranks, so the steps before it can be logged
                    self.logger.flush()
                    raise

    def steps(self) -> Iterator[StepReport]:
        """Compute the remaining steps; neither log, nor evaluate, nor save."""
        while self.step < self.total_steps:
            self.model.train()  # it may have been evaluated since the last step
            step_plan, cursor = self.plan.next(self.state.cursor)
            report = self.train_step(step_plan)
            if report.feedback is not None:
                cursor = self.plan.update(cursor, report.feedback)
            _check_state(self.train_step.weighting.state, of=self.train_step.weighting)
            _check_state(cursor.sampler_state, of=self.plan.sampler)
            micro_tokens = self.train_step.accumulator.micro_tokens
            self.state = replace(
                self.state,
                cursor=cursor,
                skipped=self.state.skipped + (report.skipped is not None),
                micro_tokens=micro_tokens if report.micro_tokens_halved else self.state.micro_tokens,
                weighting=self.train_step.weighting.state,
            )
            yield report

    def load_best_model(self) -> nn.Module:
        """Return the full model with the parameters of the best step, in fp32 and in evaluation mode.

        Without a best model, the parameters are those that `Evaluator.gather_full_model` gathered last.

        Raises:
            RunError: the files of the best model are damaged.
        """
        if self.state.best is not None:
            self.checkpoints.load_best(self.state.best)
        return self.evaluator.full_model.float().eval()

    def _apply_state(self) -> None:
        """Restore the logs, the weighting and the micro-batch size that belong to the state."""
        path, accumulator = self.checkpoints.path(self.step), self.train_step.accumulator
        self.logger.truncate_after(
            self.step,
            last_evaluation=self.state.last_evaluation,
            checkpoint=path if path.exists() else None,
        )
        if self.state.micro_tokens is not None:
            accumulator.micro_tokens = min(accumulator.micro_tokens, self.state.micro_tokens)
        self.train_step.weighting.state = dict(self.state.weighting)

    def _train(self) -> Iterator[Event]:
        self.logger.start_clock()
        for report in self.steps():
            line = self.logger.log_step(report)
            if line is not None:
                yield StepLogged(line)
            yield from self._messages(report)
            is_last = self.step == self.total_steps
            is_save_due = is_last or self.step % self.save_every == 0
            if report.stop_signal and not is_last:
                yield from self._flush_logs()
                self._stop(report.stop_signal)
            if is_save_due or self._is_evaluation_due():
                yield from self._flush_logs()
            if is_last:
                self.checkpoints.save(self.state)  # before anything else can fail
            yield from self._evaluate_if_due()
            if is_save_due or self.stopped_early:
                self.checkpoints.save(self.state)
            if self.stopped_early:
                return
            self.logger.start_clock()

    def _messages(self, report: StepReport) -> Iterator[Message]:
        if report.micro_tokens_halved:
            micro_tokens = self.state.micro_tokens
            yield Message(f"step {report.step}: out of memory, train.micro_tokens is {micro_tokens} from here on")
        if report.skipped is not None:
            yield Message(f"skipped: {report.skipped}")
        if report.note is not None:
            yield Message(report.note)

    def _flush_logs(self) -> Iterator[StepLogged]:
        line = self.logger.flush()
        if line is not None:
            yield StepLogged(line)

    def _stop(self, signal: int) -> None:
        self.checkpoints.save(self.state)
        raise StoppedError(
            f"stopped after step {self.step} of {self.total_steps}; continue with the same command plus --resume, "
            "from Python with resume=True",
            signal=signal,
        )

    def _is_evaluation_due(self) -> bool:
        is_due = self.step == self.total_steps or self.step % self.evaluator.every == 0
        return is_due and self.evaluator.has_labels and self.state.last_evaluation < self.step

    def _evaluate_if_due(self) -> Iterator[EvaluationDone | Message]:
        """Evaluate the current step, also when a run that was stopped during that evaluation is resumed."""
        if self._is_evaluation_due():
            try:
                yield self._evaluate()
            except StopRequestedError:
                self._stop(self.signals.received)
            except EvaluationFailedError as error:
                yield self._evaluation_failed(error)
        for failure in self.logger.take_failures():
            self.failures.append(failure)
            yield Message(failure)

    def _evaluate(self) -> EvaluationDone:
        step = self.step
        done = self.evaluator.evaluate(step, best=self.state.best)
        self.logger.log_scores(done.scores, step=step)
        if done.best:
            best = BestModel(step, done.scores.of(self.evaluator.select), done.scores.to_json())
            self.state = replace(self.state, best=best, evals_without_improvement=0, last_evaluation=step)
            self.checkpoints.save_best(best)
        else:
            count = self.state.evals_without_improvement + 1
            self.state = replace(self.state, evals_without_improvement=count, last_evaluation=step)
        return done

    def _evaluation_failed(self, error: EvaluationFailedError) -> Message:
        """Return a message if the evaluation followed the last step; otherwise raise.

        Raises:
            RunError: the run has further steps.
        """
        step, cause = self.step, error.__cause__ or error
        failure = f"the evaluation at step {step} failed: {describe_exception(cause)}"
        if step == self.total_steps:
            self.failures.append(failure)
            return Message(failure)
        if not self.evaluator.is_distributed:  # one of several ranks cannot save without the others
            self.checkpoints.save(self.state)
            failure += "; a checkpoint of this step is saved: --resume continues once the cause is fixed"
        raise RunError(failure) from cause


def _check_state(state: Any, *, of: object) -> None:
    """Check that a checkpoint can hold the state of a weighting or a sampler.

    Raises:
        RunError: JSON cannot represent it.
    """
    problem = find_unsupported(state, "its state")
    if problem is not None:
        raise RunError(
            f"{type(of).__name__}: {problem}: checkpoints keep it as JSON, so write numbers, strings, lists, and dicts "
            "with strings as keys"
        )
