"""answers.json, the summary of a finished run: predictions on validation, scores during training, and cost.

It is written last and atomically: its presence marks the run as complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
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

_SUMMARY = "answers.json"
_TEMPORARY = ("checkpoints", "best")
"""Directories that a finished run no longer needs."""


@dataclass(frozen=True)
class RunSummary:
    """A finished run. Its fields are the keys of answers.json, where `predictions` is named `answered`.

    Args:
        predictions: predictions of the selected model on validation, by task.
        best: the score of each task at its best evaluation.
        step: step of the selected model.
        steps: optimizer steps taken.
        picks: number of train rows drawn from each dataset, with repetitions.
        seconds: duration of the training steps, without evaluations, saves and repeated steps.
        parameters: number of parameters of the model.
        size: size of the weight file in bytes.
        machine: hardware and software that durations and rounding depend on.
    """

    predictions: Mapping[str, Predictions]
    best: Mapping[str, float]
    step: int
    steps: int
    picks: Mapping[str, int]
    seconds: float
    parameters: int
    size: int
    machine: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the contents of answers.json."""
        fields = {key: value for key, value in vars(self).items() if key != "predictions"}
        return {"answered": {task: value.to_json() for task, value in self.predictions.items()}, **fields}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Build a summary from the contents of answers.json."""
        predictions = {task: Predictions.from_json(by_task) for task, by_task in value["answered"].items()}
        fields = {key: field for key, field in value.items() if key not in (FORMAT_KEY, "answered")}
        return cls(predictions=predictions, **fields)


def read_summary(run: RunPlan) -> RunSummary | None:
    """Read the summary of a run; None if the run is not finished.

    Raises:
        RunError: the directory holds another run, or the summary cannot be read.
    """
    path = run.directory / _SUMMARY
    if not path.exists():
        return None
    try:
        summary = RunSummary.from_json(_load(path))
        run_json = read_run_json(run)
        earlier = run_json["config"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{run.directory}: finished run cannot be read ({type(error).__name__}: {error}); remove the directory "
            "to train it again"
        ) from None
    # The output directory is not part of the recipe.
    current = plain_config(run.config, output=run.directory)
    differences = config_diff(earlier, current, free=("output",), data_known="data" in run_json)
    if differences:
        raise RunError(
            f"{run.directory} holds a finished run of another config: compare into another directory, or remove this "
            f"directory to train again; differences: {', '.join(differences)}"
        )
    return summary


def write_summary(run: RunPlan, *, predictions: Mapping[str, Predictions], step: int) -> None:
    """Write the summary of a run that has just ended.

    Args:
        run: the run.
        predictions: predictions of the selected model on validation, by task.
        step: step of the selected model.

    Raises:
        RunError: the file cannot be written.
    """
    checkpoint, _ = latest_valid(run.directory / "checkpoints")
    assert checkpoint is not None, "a run ends with a checkpoint"
    run_json = read_run_json(run)
    cursor = _load(checkpoint / "state.json")["cursor"]
    evaluations = read_lines(run.directory / "evaluations.jsonl")
    weights = run.directory / "model" / "model.safetensors"
    machine_keys = ("device", "machine", "precision", "processes", "threads", "versions")
    summary = RunSummary(
        predictions=predictions,
        best={task: max(float(line["tasks"][task]["score"] or 0.0) for line in evaluations) for task in predictions},
        step=step,
        steps=cursor["step"],
        picks=dict(zip(run.rows, cursor["picks"], strict=True)),
        seconds=sum(line["seconds"] for line in read_lines(run.directory / "metrics.jsonl")),
        parameters=_parameter_count(weights),
        size=weights.stat().st_size,
        machine={key: run_json[key] for key in machine_keys},
    )
    path = run.directory / _SUMMARY
    try:
        write_atomic(path, dumps({FORMAT_KEY: FORMAT_VERSION, **summary.to_json()}).encode())
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error}; the run is finished and its last checkpoint kept"
        ) from error


def cleanup(run: RunPlan) -> None:
    """Remove the checkpoints of a finished run, and the model of a single-task run."""
    for name in _TEMPORARY if run.task is None else (*_TEMPORARY, "model"):
        remove_path(run.directory / name)


def read_run_json(run: RunPlan) -> dict[str, Any]:
    """Read run.json."""
    return _load(run.directory / "run.json")


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    check_format_version(loaded, where=str(path), error=RunError)
    return loaded


def _parameter_count(weights: Path) -> int:
    with safe_open(weights, framework="np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - not a mapping
