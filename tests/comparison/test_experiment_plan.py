"""The planned runs of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlpmtl.comparison.experiment_plan import plan_runs, single_task_config
from nlpmtl.config import RunConfig, plain_config
from nlpmtl.run import load_config

ROWS = {"reviews": 1000, "news": 200, "more_news": 60}


def make(**tables: Any) -> RunConfig:
    def dataset(*tasks: str) -> dict[str, Any]:
        return {
            "data": {"files": {"train": "train.jsonl", "validation": "validation.jsonl"}},
            "input": {"text": "text"},
            "tasks": {task: {"kind": "classification", "label": task} for task in tasks},
        }

    return load_config(
        {
            "seed": 7,
            "encoder": {"name": "some/encoder"},
            "datasets": {
                "reviews": dataset("mood", "stars"),
                "news": dataset("topic"),
                "more_news": dataset("topic"),
            },
            **tables,
        }
    )


def test_a_task_keeps_its_datasets_and_the_recipe() -> None:
    config = make(
        train={"epochs": 2, "lr": 3e-4, "head_lr": 1e-3, "warmup": 0.2},
        weighting={"kind": "constant", "weights": {"mood": 0.5}},
        sampling={"kind": "temperature", "temperature": 3.0, "batches": "single"},
        eval={"every": 10, "select": "topic", "patience": 2},
    )
    single = single_task_config(config, task="mood", rows=ROWS)
    assert {name: list(dataset.tasks) for name, dataset in single.datasets.items()} == {"reviews": ["mood"]}
    assert (single.train, single.encoder, single.sharing, single.seed) == (
        config.train,
        config.encoder,
        config.sharing,
        config.seed,
    )
    assert single.weighting.model_dump() == {"kind": "constant", "weights": {}}
    assert single.sampling.model_dump() == {"kind": "proportional", "batches": "single"}
    assert (single.eval.select, single.eval.patience) == ("mean", 2)


def test_a_task_of_several_datasets_keeps_the_sampler() -> None:
    config = make(sampling={"kind": "temperature", "temperature": 3.0})
    single = single_task_config(config, task="topic", rows=ROWS)
    assert list(single.datasets) == ["news", "more_news"]
    assert single.sampling == config.sampling


@pytest.mark.parametrize(
    ("phases", "kept"),
    [
        ([(["reviews"], 0.4), ([], 1.0)], [([], 1.0)]),
        ([(["news", "reviews"], 0.4), (["reviews"], 1.0)], [(["news"], 1.0)]),
        ([([], 0.2), (["reviews"], 0.6), (["more_news", "news"], 1.0)], [([], 0.2), (["more_news", "news"], 1.0)]),
        ([(["reviews"], 1.0)], [([], 1.0)]),
    ],
)
def test_phases_keep_the_datasets_of_the_task(
    phases: list[tuple[list[str], float]], kept: list[tuple[list[str], float]]
) -> None:
    def tables(given: list[tuple[list[str], float]]) -> list[dict[str, Any]]:
        return [{"datasets": tuple(names), "until": until} for names, until in given]

    config = make(sampling={"kind": "phases", "phases": tables(phases), "temperature": 2.0})
    sampling = single_task_config(config, task="topic", rows=ROWS).sampling.model_dump()
    assert (sampling["kind"], sampling["temperature"]) == ("phases", 2.0)
    assert list(sampling["phases"]) == tables(kept)


def test_default_phases_are_those_of_the_remaining_datasets() -> None:
    config = make(sampling={"kind": "phases"})
    assert single_task_config(config, task="topic", rows=ROWS).sampling == config.sampling


@pytest.mark.parametrize(
    ("train", "task", "steps", "passes"),
    [
        ({"epochs": 3, "batch_size": 10}, "mood", 300, 3.0),
        ({"epochs": 3, "batch_size": 10}, "topic", 78, 3.0),
        ({"batch_size": 10}, "topic", 78, 3.0),  # 3 where neither is given
        ({"epochs": 0.5, "batch_size": 10}, "topic", 13, 0.5),
        ({"steps": 126, "batch_size": 10}, "mood", 100, 1.0),
        ({"steps": 126, "batch_size": 10}, "topic", 26, 1.0),
        ({"steps": 63, "batch_size": 10}, "mood", 50, 0.5),
        ({"steps": 1, "batch_size": 10}, "topic", 1, 10 / 260),  # at least one
    ],
)
def test_a_single_task_run_makes_as_many_passes_over_its_rows_as_the_multi_task_run(
    train: dict[str, Any], task: str, steps: int, passes: float
) -> None:
    single = single_task_config(make(train=train), task=task, rows=ROWS)
    rows = sum(count for name, count in ROWS.items() if name in single.datasets)
    length, _ = single.train.length(rows)
    assert length == steps
    assert length * 10 / rows == pytest.approx(passes, abs=10 / rows)
    assert single.train.batch_size == 10


@pytest.mark.parametrize(("every", "expected"), [(42, 9), (126, 26), (378, 78), (1, 1), (1000, 207)])
def test_a_single_task_run_is_evaluated_at_the_same_fractions_of_its_steps(every: int, expected: int) -> None:
    """378 steps of the multi-task run, 78 of the single-task run."""
    config = make(train={"epochs": 3, "batch_size": 10}, eval={"every": every})
    assert single_task_config(config, task="topic", rows=ROWS).eval.every == expected


def test_every_seed_has_a_multi_task_run_and_a_run_per_task(tmp_path: Path) -> None:
    config = make(seed=2**32 - 1)
    runs = plan_runs(config, tasks=["mood", "topic"], rows=ROWS, seeds=2, directory=tmp_path)
    last = 2**32 - 1
    assert [(run.config.seed, run.task, str(run.directory.relative_to(tmp_path))) for run in runs] == [
        (last, None, f"seed-{last}/mixture"),
        (last, "mood", f"seed-{last}/alone-mood"),
        (last, "topic", f"seed-{last}/alone-topic"),
        (0, None, "seed-0/mixture"),
        (0, "mood", "seed-0/alone-mood"),
        (0, "topic", "seed-0/alone-topic"),
    ]
    assert [run.rows for run in runs[:3]] == [ROWS, {"reviews": 1000}, {"news": 200, "more_news": 60}]
    assert runs[0].config == config, "the multi-task run of the first seed has the config as it is"
    assert plain_config(runs[3].config, output=tmp_path) == plain_config(
        config.model_copy(update={"seed": 0}), output=tmp_path
    )
    assert (runs[1].name, runs[3].name) == (f"seed {last}, single-task mood", "seed 0, multi-task")
