"""What a comparison keeps of a finished run: its answers on validation, how it scored on the way, what it cost.

It stands in answers.json in the run's directory, written last and at once: where it is, the run is done.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import safe_open

from nlpmtl.comparison.experiment_plan import RunPlan
from nlpmtl.config import plain_config
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION, check_format_version
from nlpmtl.fs import remove_path, write_atomic
from nlpmtl.strict_json import dumps
from nlpmtl.training import config_diff, latest_valid, read_lines

_RECORD = "answers.json"
_NOT_KEPT = ("checkpoints", "best")
"""Of a finished run; of a task alone its model neither."""


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Args:
        answered: what the model that was kept answers on validation, by task.
        best: of each task, its score at the evaluation where that was highest.
        step: of the model that was kept.
        steps: optimizer steps that were taken.
        picks: train rows that were taken from each dataset, as often as each was taken.
        seconds: of its training steps; evaluations, saves and what was done twice are not in it.
        parameters: numbers in the model.
        size: bytes of its file of weights.
        machine: what the seconds and the last digits depend on.
    """

    answered: Mapping[str, Predictions]
    best: Mapping[str, float]
    step: int
    steps: int
    picks: Mapping[str, int]
    seconds: float
    parameters: int
    size: int
    machine: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {**asdict(self), "answered": {task: one.to_json() for task, one in self.answered.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The record that was written."""
        answered = {task: Predictions.from_json(one) for task, one in value["answered"].items()}
        fields = {key: field for key, field in value.items() if key != FORMAT_KEY}
        return cls(**{**fields, "answered": answered})


def read_summary(run: RunPlan) -> RunSummary | None:
    """What is known of a run; None where it is not done.

    Raises:
        RunError: another run is there, or its record cannot be read.
    """
    path = run.directory / _RECORD
    if not path.exists():
        return None
    try:
        record = RunSummary.from_json(_load(path))
        facts = read_run_json(run)
        before = facts["config"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{run.directory}: a finished run was expected, and it cannot be read ({type(error).__name__}: {error}): "
            "remove this directory to train it again"
        ) from None
    # Where the run lies is none of its recipe.
    now = plain_config(run.config, output=run.directory)
    other = config_diff(before, now, free=("output",), data_known="data" in facts)
    if other:
        raise RunError(
            f"{run.directory} holds a finished run of another config: compare into another directory, or remove this "
            f"one to train it again; what differs: {', '.join(other)}"
        )
    return record


def write_summary(run: RunPlan, *, answered: Mapping[str, Predictions], step: int) -> None:
    """Keep of a run that has just ended what the comparison needs, and remove what it does not.

    Raises:
        RunError: it cannot be written.
    """
    checkpoint, _ = latest_valid(run.directory / "checkpoints")
    assert checkpoint is not None, "a run ends with a checkpoint"
    facts = read_run_json(run)
    cursor = _load(checkpoint / "state.json")["cursor"]
    evaluations = read_lines(run.directory / "evaluations.jsonl")
    weights = run.directory / "model" / "model.safetensors"
    record = RunSummary(
        answered={task: one for task, one in answered.items() if run.task in (None, task)},
        best={task: max(float(line["tasks"][task]["score"] or 0.0) for line in evaluations) for task in answered},
        step=step,
        steps=cursor["step"],
        picks=dict(zip(run.rows, cursor["picks"], strict=True)),
        seconds=sum(line["seconds"] for line in read_lines(run.directory / "metrics.jsonl")),
        parameters=_parameters(weights),
        size=weights.stat().st_size,
        machine={key: facts[key] for key in ("device", "machine", "precision", "processes", "threads", "versions")},
    )
    path = run.directory / _RECORD
    try:
        write_atomic(path, dumps({FORMAT_KEY: FORMAT_VERSION, **record.to_json()}).encode())
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}; the run is done, and its last checkpoint stands") from error


def cleanup(run: RunPlan) -> None:
    """Remove what a finished run no longer needs: of a task alone the model too, but not that of the mixture."""
    for name in _NOT_KEPT if run.task is None else (*_NOT_KEPT, "model"):
        remove_path(run.directory / name)


def read_run_json(run: RunPlan) -> dict[str, Any]:
    """What run.json says."""
    return _load(run.directory / "run.json")


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    check_format_version(loaded, where=str(path), error=RunError)
    return loaded


def _parameters(weights: Path) -> int:
    """The numbers in a file of weights."""
    with safe_open(weights, framework="np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no mapping
