"""The runs of a comparison: for each seed one multi-task run, and one run per task with the same recipe.

The length of the single-task runs is explained in docs/decisions/single-task-baselines.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpmtl.config import InputConfig, RunConfig, TrainConfig, parse_run
from nlpmtl.registry import TASKS
from nlpmtl.sampling import SamplingOptions

_SEEDS = 2**32


@dataclass(frozen=True)
class RunPlan:
    """One run of a comparison.

    Args:
        config: its config.
        directory: its directory.
        task: the task of a single-task run; None for the multi-task run.
        rows: number of train rows by dataset, in the order of the datasets; datasets without train rows are missing.
    """

    config: RunConfig
    directory: Path
    task: str | None
    rows: Mapping[str, int]

    @property
    def name(self) -> str:
        """The name in messages, such as "seed 5, multi-task"."""
        return f"seed {self.config.seed}, {'multi-task' if self.task is None else f'single-task {self.task}'}"


def plan_runs(
    config: RunConfig, *, tasks: Sequence[str], rows: Mapping[str, int], seeds: int, directory: Path
) -> list[RunPlan]:
    """Plan all runs, seed by seed, counting up from the seed of the config.

    Args:
        config: config of the multi-task run.
        tasks: tasks to train a single-task model for.
        rows: number of train rows by dataset.
        seeds: number of seeds.
        directory: directory of the comparison.
    """
    plans = []
    for offset in range(seeds):
        seed = (config.seed + offset) % _SEEDS
        seed_directory = directory / f"seed-{seed}"
        multi_task = parse_run({**config.model_dump(), "seed": seed}, where="config")
        plans.append(RunPlan(multi_task, seed_directory / "mixture", None, rows))
        for task in tasks:
            single_task = single_task_config(multi_task, task=task, rows=rows)
            task_rows = {name: count for name, count in rows.items() if name in single_task.datasets}
            plans.append(RunPlan(single_task, seed_directory / f"alone-{task}", task, task_rows))
    return plans


def single_task_config(config: RunConfig, *, task: str, rows: Mapping[str, int]) -> RunConfig:
    """Return the config of a single-task run with the recipe of a multi-task run.

    The run has the datasets of the task, and makes as many passes over their rows as the multi-task run would with
    proportional sampling. It is evaluated at the same fractions of its length. Task weighting has no effect on one
    task, and sampling none on one dataset; on several, the phases of a curriculum keep the datasets of the task.

    Args:
        config: config of the multi-task run.
        task: name of the task.
        rows: number of train rows by dataset.
    """
    raw = config.model_dump()
    raw["datasets"] = {
        name: {
            **dataset,
            "input": _select_inputs(dataset["tasks"][task]["kind"], dataset["input"]),
            "tasks": {task: dataset["tasks"][task]},
        }
        for name, dataset in raw["datasets"].items()
        if task in dataset["tasks"]
    }
    task_rows = [count for name, count in rows.items() if name in raw["datasets"]]
    if len(task_rows) == 1:
        raw["sampling"] = {"kind": "proportional", "batches": raw["sampling"]["batches"]}
    elif isinstance(config.sampling, SamplingOptions):
        raw["sampling"] = config.sampling.restrict(raw["datasets"]).model_dump()
    raw["weighting"] = {"kind": "constant"}
    total_steps, epoch_steps = config.train.length(sum(rows.values()))
    if config.train.steps is not None:
        _, task_epoch_steps = config.train.length(sum(task_rows))
        raw["train"]["steps"] = _scale(config.train.steps, task_epoch_steps, of=epoch_steps)
    task_steps, _ = TrainConfig.model_validate(raw["train"]).length(sum(task_rows))
    raw["eval"] |= {"every": _scale(config.eval.every, task_steps, of=total_steps), "select": "mean"}
    return parse_run(raw, where="config")


def _select_inputs(kind: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table `input` without the further inputs that only other task types read."""
    keys = {*InputConfig.model_fields, *getattr(TASKS.get(kind), "extra_inputs", ())}
    return {key: column for key, column in inputs.items() if key in keys}


def _scale(count: int, part: int, *, of: int) -> int:
    """Return count · part / of, rounded up."""
    return math.ceil(count * part / of)
