"""Events of a training run, and the state that its checkpoints keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nlpmtl.errors import RunError
from nlpmtl.evaluation import Scores
from nlpmtl.sampling import Cursor, Feedback


@dataclass(frozen=True)
class TrainingStarted:
    """Event: the run is about to compute its first step.

    Args:
        total: optimizer steps of the run.
        step: steps that are done: 0, or those of the checkpoint that the run resumes from.
        notes: messages for the user, such as skipped rows and ignored settings.
        tasks: names of the tasks.
        evaluations: the lines of evaluations.jsonl that a resumed run continues.
    """

    total: int
    step: int
    notes: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    evaluations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class StepLogged:
    """Lines were written to metrics.jsonl; `metrics` is the last of them."""

    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class EvaluationDone:
    """The validation splits were evaluated; `best` if the score is better than that of all earlier evaluations."""

    step: int
    scores: Scores
    best: bool


@dataclass(frozen=True)
class Message:
    """A line for the user: something unusual happened in a step, or a part of the run failed."""

    line: str


@dataclass(frozen=True)
class StepReport:
    """Result of an optimizer step.

    Args:
        step: number of the step, counted from 1.
        loss_sums: summed loss of each task on this rank, ``[tasks]``, in the order of the run's tasks.
        counts: number of items in each task's loss, over all ranks.
        loss_factors: factor of each task's mean loss in the loss of the step: fraction of the labels times weight.
        weights: weight of each task that has labels in the step.
        probabilities: probability of each dataset.
        tokens: number of tokens over all ranks, padding excluded.
        lr: learning rate of the first parameter group: the encoder's, unless it is frozen.
        skipped: why the optimizer step was skipped; None if it was not.
        stop_signal: number of a signal that any rank received; 0 for none.
        micro_tokens_halved: whether memory ran out and the step was repeated in smaller micro-batches.
        feedback: measurements for an adaptive sampler; None without such a sampler or update.
        note: why the weighting and the sampler were not updated; None if they were, or are not adaptive.
    """

    step: int
    loss_sums: Tensor
    counts: Sequence[float]
    loss_factors: Sequence[float]
    weights: Mapping[str, float]
    probabilities: Sequence[float]
    tokens: int
    lr: float
    skipped: str | None = None
    stop_signal: int = 0
    micro_tokens_halved: bool = False
    feedback: Feedback | None = None
    note: str | None = None


@dataclass(frozen=True)
class BestModel:
    """The best model so far: its step, the score that selected it, and all its scores."""

    step: int
    value: float
    scores: Mapping[str, Any]


@dataclass(frozen=True)
class RunState:
    """State of a run besides the parameters and the optimizer state.

    Args:
        cursor: position in the sampling plan, with the state of the sampler.
        best: best model so far.
        evals_without_improvement: number of evaluations since the best model.
        last_evaluation: step of the last evaluation; 0 for none.
        skipped: number of steps that were skipped because a loss or gradient was not finite.
        micro_tokens: `train.micro_tokens` after memory ran out; None if it did not.
        weighting: state of the weighting.
    """

    cursor: Cursor
    best: BestModel | None = None
    evals_without_improvement: int = 0
    last_evaluation: int = 0
    skipped: int = 0
    micro_tokens: int | None = None
    weighting: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self.cursor.step

    def to_json(self) -> dict[str, Any]:
        """Return JSON-serialisable values, with the keys of state.json."""
        return {
            "cursor": self.cursor.to_json(),
            "best": None if self.best is None else vars(self.best),
            "worse": self.evals_without_improvement,
            "evaluated": self.last_evaluation,
            "skipped": self.skipped,
            "micro_tokens": self.micro_tokens,
            "weighting": self.weighting,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunState:
        """Return the state of the values that `to_json` returned.

        Raises:
            RunError: the values are those of another version.
        """
        try:
            return cls(
                cursor=Cursor.from_json(value["cursor"]),
                best=None if value["best"] is None else BestModel(**value["best"]),
                evals_without_improvement=value["worse"],
                last_evaluation=value["evaluated"],
                skipped=value["skipped"],
                micro_tokens=value["micro_tokens"],
                weighting=value["weighting"],
            )
        except (KeyError, TypeError) as error:
            raise RunError(
                f"the checkpoint's state.json was written by another version of nlpmtl ({error!r}): continue with that "
                "version, which run.json names, or start over in a new output directory"
            ) from None
