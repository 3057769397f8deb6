"""Which runs a comparison is made of: the mixture, and each task alone with the same recipe, for every seed.

Why a task alone is trained so long: docs/decisions/single-task-baselines.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlpmtl.config import RunConfig, TrainConfig, parse_run

_SEEDS = 2**32


@dataclass(frozen=True)
class RunPlan:
    """One run of a comparison.

    Args:
        config: what it trains.
        directory: where.
        task: the task that it trains alone; None for the mixture.
        rows: train rows of each of its datasets that has any, in their order.
    """

    config: RunConfig
    directory: Path
    task: str | None
    rows: Mapping[str, int]

    @property
    def name(self) -> str:
        """What it is called where a person is told of it."""
        return f"seed {self.config.seed}, {'the mixture' if self.task is None else f'{self.task} alone'}"


def plan_runs(
    config: RunConfig, *, tasks: Sequence[str], rows: Mapping[str, int], seeds: int, directory: Path
) -> list[RunPlan]:
    """The runs, seed after seed; the seeds are the run's own and those that follow it.

    Args:
        config: the mixture.
        tasks: those to train alone.
        rows: train rows of each dataset that has any.
        seeds: how many.
        directory: of the comparison.
    """
    planned = []
    for offset in range(seeds):
        seed = (config.seed + offset) % _SEEDS
        place = directory / f"seed-{seed}"
        mixture = parse_run({**config.model_dump(), "seed": seed}, where="config")
        planned.append(RunPlan(mixture, place / "mixture", None, rows))
        for task in tasks:
            single = single_task_config(mixture, task=task, rows=rows)
            own = {name: many for name, many in rows.items() if name in single.datasets}
            planned.append(RunPlan(single, place / f"alone-{task}", task, own))
    return planned


def single_task_config(config: RunConfig, *, task: str, rows: Mapping[str, int]) -> RunConfig:
    """A run of one task of a mixture, with the same recipe.

    It has the datasets that carry the task, and goes through their rows as often as the mixture would through all of
    them if it took them in proportion. It is evaluated at the same shares of its length. How tasks are weighted, and
    how the datasets are mixed where one is left, means nothing there.

    Args:
        config: the mixture.
        task: the name of the task.
        rows: train rows of each dataset that has any.
    """
    raw = config.model_dump()
    raw["datasets"] = {
        name: {**dataset, "tasks": {task: dataset["tasks"][task]}}
        for name, dataset in raw["datasets"].items()
        if task in dataset["tasks"]
    }
    own = [many for name, many in rows.items() if name in raw["datasets"]]
    if len(own) == 1:
        raw["sampling"] = {"kind": "proportional", "batches": raw["sampling"]["batches"]}
    raw["weighting"] = {"kind": "constant"}
    total, epoch = config.train.length(sum(rows.values()))
    if config.train.steps is not None:
        _, own_epoch = config.train.length(sum(own))
        raw["train"]["steps"] = _share(config.train.steps, own_epoch, of=epoch)
    length, _ = TrainConfig.model_validate(raw["train"]).length(sum(own))
    raw["eval"] |= {"every": _share(config.eval.every, length, of=total), "select": "mean"}
    return parse_run(raw, where="config")


def _share(many: int, part: int, *, of: int) -> int:
    """What many · part / of is, rounded up."""
    return math.ceil(many * part / of)
