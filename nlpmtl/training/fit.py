"""A run from its first step to its last: the `for` loop over the steps that logs, evaluates, saves and stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpmtl.data import Batch, Encoded
from nlpmtl.errors import ConfigError, RunError, StoppedError
from nlpmtl.evaluation import Inference, Scores, evaluate
from nlpmtl.sampling import Cursor, Plan
from nlpmtl.tasks import Task
from nlpmtl.training.accumulate import LoneError
from nlpmtl.training.checkpoint import commit, erase, problem, prune, snapshot
from nlpmtl.training.fsdp import put_together
from nlpmtl.training.loop import train_steps
from nlpmtl.training.observe import Observer
from nlpmtl.training.signals import Signals
from nlpmtl.training.step import Stepper
from nlpmtl.weighting import Constant


@dataclass(frozen=True)
class Progressed:
    """Steps were taken; `metrics` is the newest line of metrics.jsonl."""

    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """The validation split was scored; `best` if no evaluation before was better."""

    step: int
    scores: Scores
    best: bool


@dataclass(frozen=True)
class Noted:
    """Something that a person should know befell a step."""

    line: str


class _AskedToStopError(Exception):
    """A signal asked to stop, in the middle of an evaluation."""


@dataclass(frozen=True)
class Best:
    """The best model so far: its step, the score that selected it, and all its scores."""

    step: int
    value: float
    scores: Mapping[str, Any]


@dataclass(frozen=True)
class RunState:
    """What of a run's past its future depends on, beside weights and optimizer.

    Args:
        cursor: where the plan stands.
        best: the best model so far.
        worse: evaluations since then.
        evaluated: the step of the last evaluation; 0: none yet.
        skipped: steps that were left out because a loss or gradient was not finite.
        micro_tokens: what `train.micro_tokens` has become where memory ran out; None: it has not.
        weighting: what the weighting remembers; what the sampler does is in the cursor.
    """

    cursor: Cursor
    best: Best | None = None
    worse: int = 0
    evaluated: int = 0
    skipped: int = 0
    micro_tokens: int | None = None
    weighting: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {**vars(self), "cursor": self.cursor.to_json(), "best": None if self.best is None else vars(self.best)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunState:
        """The state that `to_json` wrote.

        Raises:
            RunError: another version wrote it.
        """
        try:
            best = None if value["best"] is None else Best(**value["best"])
            own = {key: value[key] for key in ("worse", "evaluated", "skipped", "micro_tokens", "weighting")}
            return cls(cursor=Cursor.from_json(value["cursor"]), best=best, **own)
        except (KeyError, TypeError) as error:
            raise RunError(
                f"the checkpoint's state.json is not as this version of nlpmtl writes it ({error!r}): go on with the "
                "version that wrote it, which run.json names, or start anew in another output"
            ) from None


@dataclass
class Fit:
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

    Raises:
        ConfigError: no validation row has a label for the task that selects.
    """

    directory: Path
    accelerator: Accelerator
    model: nn.Module
    whole: nn.Module
    optimizer: Optimizer
    stepper: Stepper
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
    observer: Observer = field(init=False)

    def __post_init__(self) -> None:
        scored = {name for rows in self.validation.values() for name, own in rows.labels.items() if own.labelled.any()}
        self._evaluates = bool(scored)
        if self.select != "mean" and self.select not in scored:
            raise ConfigError(f"eval.select: task {self.select!r} has no labelled validation rows to be selected on")
        self.observer = Observer(
            self.accelerator,
            directory=self.directory,
            tasks=list(self.tasks),
            datasets=self.plan.names if self.plan.varies(self.total) else (),
            tells_weights=not isinstance(self.stepper.weighting, Constant),
        )

    def events(self) -> Iterator[Progressed | Evaluated | Noted]:
        """Train to the end, or until patience runs out, and tell what happens.

        Raises:
            StoppedError: a signal asked any of the processes to stop; a checkpoint of the step that it got to stands.
            RunError: a loss or gradient is not finite, memory is too small, or a checkpoint cannot be written.
        """
        self.observer.cut_back(self.state.cursor.step)
        accumulator = self.stepper.accumulator
        if self.state.micro_tokens is not None:
            accumulator.micro_tokens = min(accumulator.micro_tokens, self.state.micro_tokens)
        self.stepper.weighting.memory = dict(self.state.weighting)
        with self.signals.listen():
            if self.state.cursor.step == 0:
                self._save()
            yield from self._pending_evaluation()
            if not self._out_of_patience():
                try:
                    yield from self._train()
                except LoneError:
                    raise
                except RunError:
                    self.observer.flush()  # all processes are here: the steps before are told
                    raise

    def _train(self) -> Iterator[Progressed | Evaluated | Noted]:
        self.observer.start_clock()
        for report, cursor in train_steps(self.plan, cursor=self.state.cursor, total=self.total, stepper=self.stepper):
            skipped = self.state.skipped + (report.skipped is not None)
            halved = self.stepper.accumulator.micro_tokens if report.halved else self.state.micro_tokens
            memory = self.stepper.weighting.memory
            self.state = replace(self.state, cursor=cursor, skipped=skipped, micro_tokens=halved, weighting=memory)
            line = self.observer.step(report)
            if line is not None:
                yield Progressed(line)
            if report.halved:
                yield Noted(f"step {cursor.step}: memory ran out, train.micro_tokens is {halved} from here on")
            if report.skipped is not None:
                yield Noted(f"left out: {report.skipped}")
            if report.note is not None:
                yield Noted(report.note)
            last = cursor.step == self.total
            saves = last or cursor.step % self.save_every == 0
            if report.asked and not last:
                yield from self._flush()
                self._stop(report.asked)
            if saves or self._evaluation_is_due():
                yield from self._flush()
            yield from self._pending_evaluation()
            last = last or self._out_of_patience()
            if last or saves:
                self._save()
            self.observer.start_clock()
            if last:
                return

    def _flush(self) -> Iterator[Progressed]:
        line = self.observer.flush()
        if line is not None:
            yield Progressed(line)

    def _stop(self, signal: int) -> None:
        self._save()
        raise StoppedError(
            f"stopped after step {self.state.cursor.step} of {self.total}; --resume goes on from there", signal=signal
        )

    def gather(self) -> None:
        """Have the whole model as it is now, where it computes; all processes take part."""
        if self.whole is not self.model:
            put_together(self.model, into=self.whole.cpu())
            self.whole.to(self.accelerator.device)

    def best_model(self) -> nn.Module:
        """The best model so far, or the last where nothing was evaluated: in single precision, ready to predict.

        The last one is as it was when it was gathered.

        Raises:
            RunError: its file is damaged.
        """
        if self.state.best is not None:
            directory = self._best_directory(self.state.best)
            wrong = problem(directory)
            if wrong is not None:
                raise RunError(f"the best model cannot be read: {directory}: {wrong}; the last one is in checkpoints/")
            self.whole.load_state_dict(load_file(directory / "model.safetensors"))
        return self.whole.float().eval()

    @property
    def alone(self) -> Inference:
        """How rows go through the model in this process alone."""
        return replace(self.inference, rank=0, world=1)

    def _out_of_patience(self) -> bool:
        return 0 < self.patience <= self.state.worse

    def _evaluation_is_due(self) -> bool:
        step = self.state.cursor.step
        due = step == self.total or step % self.evaluate_every == 0
        return self._evaluates and due and self.state.evaluated < step

    def _pending_evaluation(self) -> Iterator[Evaluated]:
        """The evaluation at this step, if there is one and it has not been: a run may have been stopped in it."""
        if self._evaluation_is_due():
            try:
                yield self._evaluate(self.state.cursor.step)
            except _AskedToStopError:
                self._stop(self.signals.heard)

    def _evaluate(self, step: int) -> Evaluated:
        self.gather()
        self.whole.eval()
        inference = self.inference
        if inference.world == 1:  # of several processes, one cannot leave the others alone
            inference = replace(inference, forward=self._unless_asked)
        scores = evaluate(inference, tasks=self.tasks, datasets=self.validation, gather=gather_object)
        if self.whole is not self.model:
            self.whole.cpu()  # out of the way of training
        self.observer.scores(scores, step=step)
        value = scores.of(self.select)
        best = self.state.best is None or value > self.state.best.value
        if best:
            self.state = replace(self.state, best=Best(step, value, scores.to_json()), worse=0, evaluated=step)
            self._save_best()
        else:
            self.state = replace(self.state, worse=self.state.worse + 1, evaluated=step)
        return Evaluated(step=step, scores=scores, best=best)

    def _unless_asked(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.signals.heard:
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
            commit(self._best_directory(best), tensors=weights, state=vars(best))
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        """A checkpoint, unless there is one; older ones go only after it stands, and best models that none knows of."""
        path, main = self._checkpoint, self.accelerator.is_main_process
        tensors = snapshot(self.model, self.optimizer, keep=main)
        if main and not path.exists():
            commit(path, tensors=tensors, state={**self.state.to_json(), "config": self.config, **self.recorded})
            known = {f"step-{step:06d}" for step in prune(path.parent, keep=self.keep)}
            for old in (self.directory / "best").glob("step-*"):
                if old.name not in known:
                    erase(old)
        self.accelerator.wait_for_everyone()
