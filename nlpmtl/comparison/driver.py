"""Driver of a comparison: trains the planned runs one after another, then aggregates them and writes the report.

Each run is a normal training run. Finished runs are not repeated, interrupted ones are resumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlpmtl.comparison.aggregate import SeedRuns, compare_task, summarize
from nlpmtl.comparison.experiment_plan import RunPlan, plan_runs
from nlpmtl.comparison.report import write_report
from nlpmtl.comparison.results import CompareResult
from nlpmtl.comparison.run_summary import cleanup, read_run_json, read_summary, write_summary
from nlpmtl.comparison.statistics import RESAMPLES
from nlpmtl.config import RunConfig, check_count, check_flag, check_output, flatten, plain_config
from nlpmtl.data import TokenizedSplit
from nlpmtl.environment import is_main_process
from nlpmtl.errors import ConfigError, RunError, StoppedError, escape_control_characters, list_some
from nlpmtl.evaluation import gold_labels
from nlpmtl.model import Encoder
from nlpmtl.plugins import digest_plugins
from nlpmtl.progress import View, display_events
from nlpmtl.run import Event, Source, TrainResult, load_config, load_inputs, run_events
from nlpmtl.stages import OnProgress
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import Task, can_resample, loss_metrics, needs_predictions
from nlpmtl.training import (
    Message,
    TrainingStarted,
    barrier,
    check_launch,
    check_run_dir,
    check_same_data,
    check_trackers,
    global_state_restored,
    hold_lock,
)
from nlpmtl.training.run_directory import FILES_BEFORE_A_RUN

_MIN_LABELLED = 0.9
"""Fraction of labelled train rows below which a task is mentioned in the notes."""


def compare(
    source: Source, *, seeds: int = 3, output: str | Path | None = None, progress: bool = True, **overrides: Any
) -> CompareResult:
    """Train one multi-task model and one model per task, with several seeds, and compare their scores.

    Runs that are finished in the output directory are reused, and interrupted ones are resumed.

    Args:
        source: a run file, the name of a built-in one, a dict, or a `RunConfig`.
        seeds: number of seeds, counting up from the `seed` of the config.
        output: the directory of the runs and of the report; default: the config's `output` plus ``-compared``.
        progress: whether the progress of the runs is shown, as for `train`.
        overrides: keys of the config, as for `train`.

    Returns:
        The scores of both conditions by task, with confidence intervals, and their cost.

    Raises:
        ConfigError: the config is invalid, or the run has only one task.
        RunError: the output directory contains other files, or runs of another config or other data.
        NlpmtlError: as `train`.

    Example:
        result = nlpmtl.compare("run.toml", seeds=2)
        topic = result["topic"]
        print(topic.single_task.selected.mean, topic.multi_task.selected.mean, topic.interval, topic.verdict)
    """
    config = load_config(source, overrides=flatten(overrides))
    return display_events(
        lambda show: iter_compare(config, seeds=seeds, output=output, on_progress=show),
        ends=CompareResult,
        view=None if check_flag(progress, name="progress") else View(),
    )


def iter_compare(
    config: RunConfig, *, seeds: int = 3, output: str | Path | None = None, on_progress: OnProgress | None = None
) -> Iterator[Event | CompareResult]:
    """Yield the events of all runs of a comparison, except their results; the last event is the `CompareResult`."""
    directory = _directory(config, output)
    seeds = check_count(seeds, name="seeds", least=1)
    if len(config.tasks) < 2:
        raise ConfigError(f"nothing to compare: the run has only one task, {next(iter(config.tasks))!r}")
    check_run_dir(directory)
    check_launch()
    check_trackers(config.train.trackers)
    # Rank 0 locks the directory of the comparison; each run locks its own.
    with ExitStack() as stack:
        notes = stack.enter_context(hold_lock(directory)) if is_main_process() else []
        _check_empty(directory)
        yield from map(Message, notes)
        yield from _iter_compare(config, directory, seeds=seeds, on_progress=on_progress)


def _iter_compare(
    config: RunConfig, directory: Path, *, seeds: int, on_progress: OnProgress | None
) -> Iterator[Event | CompareResult]:
    """Yield the events of a comparison whose directory is locked."""
    with global_state_restored():
        encoder, datasets = load_inputs(config)
    tasks, rows = _evaluated_tasks(datasets), {name: len(split) for name, split in datasets.splits["train"].items()}
    runs = plan_runs(config, tasks=tasks, rows=rows, seeds=seeds, directory=directory)
    summaries = [read_summary(run) for run in runs]  # all before the first run: no error after hours of training
    done = [run for run, summary in zip(runs, summaries, strict=True) if summary is not None]
    yield from map(Message, _check_data(done, encoder=encoder))
    reported: set[str] = set()
    for number, (run, summary) in enumerate(zip(runs, summaries, strict=True), 1):
        yield Message(f"run {number} of {len(runs)}: {run.name}{'' if summary is None else ' (already finished)'}")
        if summary is None:
            yield from _train(run, reported=reported, on_progress=on_progress)
        elif is_main_process():
            cleanup(run)
    barrier()  # rank 0 writes the summaries, and all ranks read them
    finished = _read_summaries(runs)
    compared = {}
    for task in tasks:
        if can_resample(datasets.tasks[task]):
            yield Message(f"bootstrap {task} ({RESAMPLES:,} resamples)")
        task_rows = {name: count for name, count in rows.items() if task in config.datasets[name].tasks}
        compared[task] = compare_task(datasets.tasks[task], finished, rows=task_rows)
    result = summarize(
        compared,
        finished,
        directory=directory,
        config=plain_config(runs[0].config, output=directory),
        notes=[*datasets.notes, *_sparse_notes(datasets, tasks)],
    )
    if is_main_process():
        yield from map(Message, write_report(result))
    yield result


def _check_empty(directory: Path) -> None:
    """Raise RunError if a directory has files, and none of a comparison."""
    names = [path.name for path in directory.iterdir()] if directory.exists() else []
    names = sorted(name for name in names if name not in FILES_BEFORE_A_RUN)
    if names and not any(_is_seed_directory(directory / name) for name in names):
        listed = list_some(map(escape_control_characters, names), limit=10)
        raise RunError(f"{directory} is not empty and not a comparison; found: {listed}. Choose another output")


def _is_seed_directory(directory: Path) -> bool:
    """Return whether a directory is that of a seed, with one directory per run. A comparison creates it first."""
    if re.fullmatch(r"seed-\d+", directory.name) is None or not directory.is_dir():
        return False
    paths = list(directory.iterdir())
    return not paths or any(path.is_dir() and re.fullmatch(r"mixture|alone-.+", path.name) for path in paths)


def _check_data(done: Sequence[RunPlan], *, encoder: Encoder) -> list[str]:
    """Check that finished runs were trained on the current data; return notes.

    Raises:
        RunError: a run was trained on other data.
    """
    data: dict[str | None, dict[str, Any]] = {}
    notes = []
    for run in done:
        if run.task not in data:  # the same for every seed
            task_data = load_task_datasets(
                run.config.datasets,
                tokenizer=encoder.tokenizer,
                max_length=run.config.encoder.max_length,
                earlier=encoder.pretrained_tasks,
                pooling=encoder.default_pooling,
                encoder_config=encoder.model.config,
            )
            data[run.task] = {
                "data": task_data.fingerprint(),
                "encoder_config": encoder.outputs_config,
                "plugins": digest_plugins(run.config.plugins),
            }
        notes += check_same_data(read_run_json(run), data[run.task], run=run.directory)
    return notes


def _directory(config: RunConfig, output: str | Path | None) -> Path:
    if output is not None:
        return check_output(output)
    if config.output is None:
        raise ConfigError('no output directory: set output = "runs/…" in the run file, or pass --output DIR')
    return Path(f"{config.output}-compared")


def _evaluated_tasks(datasets: TaskDatasets) -> list[str]:
    """Return the tasks with validation rows that can be scored.

    Raises:
        ConfigError: there are none.
    """
    splits = datasets.splits.get("validation", {}).values()
    evaluated = [
        name
        for name, task in datasets.tasks.items()
        if any(_can_score(task, split) for split in splits if name in split.labels)
    ]
    if not evaluated:
        raise ConfigError("nothing to compare: no task has labelled validation rows")
    return evaluated


def _can_score(task: Task, split: TokenizedSplit) -> bool:
    """Return whether any row of a split has a gold label for a task, or targets if it is scored by its loss."""
    if loss_metrics(task) and split.labels[task.name].without_unknown().counts.any():
        return True
    return needs_predictions(task) and bool(gold_labels(task, split))


def _sparse_notes(datasets: TaskDatasets, tasks: Sequence[str]) -> Iterator[str]:
    for task in tasks:
        train = datasets.splits["train"].values()
        is_labelled = [split.labels[task].labelled for split in train if task in split.labels]
        labelled, rows = sum(int(mask.sum()) for mask in is_labelled), sum(map(len, is_labelled))
        if labelled < _MIN_LABELLED * rows:
            yield (
                f"task {task!r}: {labelled} of the {rows} train rows of its datasets are labelled; its batches have "
                "this fraction of labelled rows in multi-task and single-task training"
            )


def _train(run: RunPlan, *, reported: set[str], on_progress: OnProgress | None) -> Iterator[Event]:
    """Start or resume a run, and write its summary; report only notes that are not in `reported`, and add them."""
    resume = run.directory.exists()
    events = run_events(run.config, output=run.directory, resume=resume, extend=False, on_progress=on_progress)
    try:
        for event in events:
            if isinstance(event, TrainingStarted):
                yield replace(event, notes=tuple(note for note in event.notes if note not in reported))
                reported |= {*event.notes}
            elif not isinstance(event, TrainResult):
                yield event
            elif event.predictions:  # rank 0
                write_summary(run, predictions=event.predictions, step=event.step)
                cleanup(run)
            elif is_main_process():
                raise RunError(f"{run.name}: the model could not be scored; see {run.directory / 'run.json'}")
    except StoppedError as stopped:
        signal = stopped.exit_code - 128
        message = f"{run.name}: {str(stopped).partition(';')[0]}; run the same command again to resume"
        raise StoppedError(message, signal=signal) from None


def _read_summaries(runs: Sequence[RunPlan]) -> list[SeedRuns]:
    """Return the summaries of all runs, grouped by seed."""
    by_seed: list[SeedRuns] = []
    for run in runs:
        summary = read_summary(run)
        assert summary is not None, "every run is finished"
        if run.task is None:
            by_seed.append(SeedRuns(run.config.seed, summary, {}))
        else:
            by_seed[-1].single_task[run.task] = summary
    return by_seed
