"""What a run reports while it trains, and the state that its checkpoints keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlpmtl.errors import RunError
from nlpmtl.evaluation import Scores
from nlpmtl.sampling import Cursor


@dataclass(frozen=True)
class StepLogged:
    """Steps were taken; `metrics` is the newest line of metrics.jsonl."""

    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class EvaluationDone:
    """The validation split was scored; `best` if no evaluation before was better."""

    step: int
    scores: Scores
    best: bool


@dataclass(frozen=True)
class Message:
    """Something that a person should know befell a step."""

    line: str


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
