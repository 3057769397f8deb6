"""A run from its first step to its last: the `for` loop over the steps that logs, evaluates, saves and stops."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file
from torch import nn
from torch.optim import Optimizer

from nlpmtl.data import Encoded
from nlpmtl.errors import ConfigError, RunError
from nlpmtl.evaluation import Inference, Scores, evaluate
from nlpmtl.sampling import Cursor, Plan
from nlpmtl.tasks import Task
from nlpmtl.training.checkpoint import commit, problem, prune, save
from nlpmtl.training.loop import train_steps
from nlpmtl.training.observe import Observer
from nlpmtl.training.step import Stepper


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
    """

    cursor: Cursor
    best: Best | None = None
    worse: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "cursor": self.cursor.to_json(),
            "best": None if self.best is None else vars(self.best),
            "worse": self.worse,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunState:
        """The state that `to_json` wrote."""
        best = None if value["best"] is None else Best(**value["best"])
        return cls(cursor=Cursor.from_json(value["cursor"]), best=best, worse=value["worse"])


@dataclass
class Fit:
    """Takes a run through its steps.

    Args:
        directory: the run's directory.
        accelerator: device, precision and processes.
        model: the model itself, not the prepared one.
        optimizer: its optimizer.
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
        state: where the run stands.

    Raises:
        ConfigError: no validation row has a label for the task that selects.
    """

    directory: Path
    accelerator: Accelerator
    model: nn.Module
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
    state: RunState
    observer: Observer = field(init=False)

    def __post_init__(self) -> None:
        scored = {name for rows in self.validation.values() for name, own in rows.labels.items() if own.labelled.any()}
        self._evaluates = bool(scored)
        if self.select != "mean" and self.select not in scored:
            raise ConfigError(f"eval.select: task {self.select!r} has no labelled validation rows to be selected on")
        self.observer = Observer(self.accelerator, directory=self.directory, tasks=list(self.tasks))

    def events(self) -> Iterator[Progressed | Evaluated]:
        """Train to the end, or until patience runs out, and tell what happens."""
        self.observer.cut_back(self.state.cursor.step)
        if self.state.cursor.step == 0:
            self._save()
        if self._out_of_patience():
            return
        self.observer.start_clock()
        steps = train_steps(self.plan, cursor=self.state.cursor, total=self.total, stepper=self.stepper)
        for report, cursor in steps:
            self.state = replace(self.state, cursor=cursor)
            line = self.observer.step(report)
            if line is not None:
                yield Progressed(line)
            last = cursor.step == self.total
            evaluates = self._evaluates and (last or cursor.step % self.evaluate_every == 0)
            saves = last or cursor.step % self.save_every == 0
            if evaluates or saves:
                line = self.observer.flush()
                if line is not None:
                    yield Progressed(line)
            if evaluates:
                yield self._evaluate(cursor.step)
            last = last or self._out_of_patience()
            if last or saves:
                self._save()
            self.observer.start_clock()
            if last:
                return

    def best_model(self) -> nn.Module:
        """The best model so far, or the last where nothing was evaluated: in single precision, ready to predict.

        Raises:
            RunError: its file is damaged.
        """
        if self.state.best is not None:
            directory = self._best_directory(self.state.best)
            wrong = problem(directory)
            if wrong is not None:
                raise RunError(f"the best model cannot be read: {directory}: {wrong}; the last one is in checkpoints/")
            self.model.load_state_dict(load_file(directory / "model.safetensors"))
        return self.model.float().eval()

    @property
    def alone(self) -> Inference:
        """How rows go through the model in this process alone."""
        return replace(self.inference, rank=0, world=1)

    def _out_of_patience(self) -> bool:
        return 0 < self.patience <= self.state.worse

    def _evaluate(self, step: int) -> Evaluated:
        self.model.eval()
        scores = evaluate(self.inference, tasks=self.tasks, datasets=self.validation, gather=gather_object)
        self.observer.scores(scores, step=step)
        value = scores.of(self.select)
        best = self.state.best is None or value > self.state.best.value
        if best:
            self.state = replace(self.state, best=Best(step, value, scores.to_json()), worse=0)
            self._save_best()
        else:
            self.state = replace(self.state, worse=self.state.worse + 1)
        return Evaluated(step=step, scores=scores, best=best)

    def _best_directory(self, best: Best) -> Path:
        return self.directory / "best" / f"step-{best.step:06d}"

    def _save_best(self) -> None:
        best = self.state.best
        assert best is not None
        if self.accelerator.is_main_process:
            weights = {"model.safetensors": self.model.state_dict()}
            commit(self._best_directory(best), tensors=weights, state=vars(best))
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        """A checkpoint; older ones are removed only after it stands, and best models that none of them knows of."""
        if self.accelerator.is_main_process:
            checkpoints = self.directory / "checkpoints"
            path = checkpoints / f"step-{self.state.cursor.step:06d}"
            state = {**self.state.to_json(), "config": self.config}
            save(path, model=self.model, optimizer=self.optimizer, state=state)
            known = {f"step-{step:06d}" for step in prune(checkpoints, keep=self.keep)}
            for old in (self.directory / "best").glob("step-*"):
                if old.name not in known:
                    shutil.rmtree(old)
        self.accelerator.wait_for_everyone()
