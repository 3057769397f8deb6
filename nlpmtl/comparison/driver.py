"""A comparison from its first run to its report: each run is a normal one, and what is done is not done again."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch.distributed as dist

from nlpmtl.comparison.aggregate import SeedRuns, compare_task, summarize
from nlpmtl.comparison.experiment_plan import RunPlan, plan_runs
from nlpmtl.comparison.report import write_report
from nlpmtl.comparison.results import CompareResult
from nlpmtl.comparison.run_summary import cleanup, read_run_json, read_summary, write_summary
from nlpmtl.comparison.statistics import RESAMPLES
from nlpmtl.config import RunConfig, dotted, parse_output, plain_config
from nlpmtl.errors import ConfigError, RunError, StoppedError, plain
from nlpmtl.model import Encoder
from nlpmtl.run import Event, Source, TrainResult, iter_train, load_config, load_inputs
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.training import Message, check_place, check_same_data, digest_plugins, global_state_restored, hold_lock
from nlpmtl.training.lock import HOLDER, LOCK

_MOSTLY = 0.9
"""Of a task whose labels a smaller share of its rows carries, a person is told."""


def compare(source: Source, *, seeds: int = 3, output: str | Path | None = None, **overrides: Any) -> CompareResult:
    """Train a mixture of tasks and each of its tasks alone, over several seeds, and find out which of them gained.

    What is there already is not trained again, and a run that was broken off goes on.

    Args:
        source: a run file, the name of a shipped one, a dict, or a `RunConfig`.
        seeds: how many, from the run's own on.
        output: the directory of the runs and of the report; default: the config's, with ``-compared`` behind it.
        overrides: keys of the config, as for `train`.

    Raises:
        NlpmtlError: one of its branches, see `nlpmtl.errors`.
    """
    events = iter_compare(load_config(source, overrides=dotted(overrides)), seeds=seeds, output=output)
    (result,) = deque(events, maxlen=1)
    assert isinstance(result, CompareResult), "a comparison that ends without an error ends with its result"
    return result


def iter_compare(
    config: RunConfig, *, seeds: int = 3, output: str | Path | None = None
) -> Iterator[Event | CompareResult]:
    """Compare, and tell what happens meanwhile. The last event is the `CompareResult`; no run's result is told."""
    directory = _directory(config, output)
    if seeds < 1:
        raise ConfigError(f"seeds: at least one is needed, found {seeds}")
    check_place(directory)
    # A launcher's first process holds the lock; the runs hold those of their own directories.
    with ExitStack() as stack:
        notes = stack.enter_context(hold_lock(directory)) if os.environ.get("RANK", "0") == "0" else []
        _check_empty(directory)
        yield from map(Message, notes)
        yield from _comparing(config, directory, seeds=seeds)


def _comparing(config: RunConfig, directory: Path, *, seeds: int) -> Iterator[Event | CompareResult]:
    """`iter_compare`, with the lock of its directory."""
    with global_state_restored():
        encoder, work = load_inputs(config)
    tasks, rows = _tasks(work), {name: len(one) for name, one in work.splits["train"].items()}
    runs = plan_runs(config, tasks=tasks, rows=rows, seeds=seeds, directory=directory)
    known = [read_summary(run) for run in runs]  # all of them first: an error after hours of training would be late
    done = [run for run, record in zip(runs, known, strict=True) if record is not None]
    yield from map(Message, _check_data(done, encoder=encoder))
    for number, (run, record) in enumerate(zip(runs, known, strict=True), 1):
        yield Message(f"run {number} of {len(runs)}: {run.name}{'' if record is None else ', done before'}")
        if record is None:
            yield from _train(run)
        elif _is_main():
            cleanup(run)
    if dist.is_available() and dist.is_initialized():
        dist.barrier()  # the first process writes the records, and all read them
    finished = _read(runs)
    weighed = {}
    for task in tasks:
        yield Message(f"weighing {task}: its validation rows are drawn anew, {RESAMPLES} times")
        own = {name: many for name, many in rows.items() if task in config.datasets[name].tasks}
        weighed[task] = compare_task(work.tasks[task], finished, rows=own)
    result = summarize(
        weighed,
        finished,
        directory=directory,
        config=plain_config(runs[0].config, output=directory),
        notes=[*work.notes, *_sparse(work, tasks)],
    )
    if _is_main():
        yield from map(Message, write_report(result))
    yield result


def _check_empty(directory: Path) -> None:
    """Refuse a directory that holds something else than a comparison."""
    found = [path.name for path in directory.iterdir()] if directory.exists() else []
    found = sorted(name for name in found if name not in (LOCK, HOLDER))
    if found and not any(_holds_runs(directory / name) for name in found):
        shown = ", ".join(map(plain, found[:10])) + (", …" if len(found) > 10 else "")
        raise RunError(f"{directory} is not empty, and holds no comparison; found: {shown}. Choose another output")


def _holds_runs(directory: Path) -> bool:
    """Whether a directory is that of a seed: it is the first that a comparison makes, with one directory per run."""
    named = re.fullmatch(r"seed-\d+", directory.name) is not None and directory.is_dir()
    return named and all(path.is_dir() for path in directory.iterdir())


def _check_data(done: Sequence[RunPlan], *, encoder: Encoder) -> list[str]:
    """Refuse finished runs whose data are not those of today.

    Raises:
        RunError: they are not.
    """
    data: dict[str | None, dict[str, Any]] = {}
    notes = []
    for run in done:
        if run.task not in data:  # the rows are the same for every seed
            own = load_task_datasets(
                run.config.datasets,
                tokenizer=encoder.tokenizer,
                max_length=run.config.encoder.max_length,
                earlier=encoder.pretrained_tasks,
            )
            data[run.task] = {"data": own.fingerprint(), "plugins": digest_plugins(run.config.plugins)}
        notes += check_same_data(read_run_json(run), data[run.task], run=run.directory)
    return notes


def _directory(config: RunConfig, output: str | Path | None) -> Path:
    if output is not None:
        return parse_output(output)
    if config.output is None:
        raise ConfigError("output: say where the directory of the comparison shall be: --output DIR")
    return Path(f"{config.output}-compared")


def _tasks(work: TaskDatasets) -> list[str]:
    """Those that have validation rows to be compared on.

    Raises:
        ConfigError: there is nothing to compare.
    """
    if len(work.tasks) < 2:
        raise ConfigError(f"there is nothing to compare: the run has one task, {next(iter(work.tasks))!r}")
    labels = [one.labels for one in work.splits.get("validation", {}).values()]
    scored = [task for task in work.tasks if any(task in one and one[task].labelled.any() for one in labels)]
    if not scored:
        raise ConfigError("there is nothing to compare on: no task has labelled validation rows")
    return scored


def _sparse(work: TaskDatasets, tasks: Sequence[str]) -> Iterator[str]:
    for task in tasks:
        labels = [one.labels[task].labelled for one in work.splits["train"].values() if task in one.labels]
        labelled, rows = sum(int(one.sum()) for one in labels), sum(map(len, labels))
        if labelled < _MOSTLY * rows:
            yield (
                f"task {task!r}: {labelled} of the {rows} train rows of its datasets carry a label for it; on both "
                "sides its batches hold that share of labelled rows"
            )


def _train(run: RunPlan) -> Iterator[Event]:
    """Start a run, or go on with it, and keep what it leaves behind."""
    try:
        for event in iter_train(run.config, output=run.directory, resume=run.directory.exists(), extend=False):
            if not isinstance(event, TrainResult):
                yield event
            elif event.answered:  # the process that writes
                write_summary(run, answered=event.answered, step=event.step)
                cleanup(run)
            elif _is_main():
                raise RunError(f"{run.name}: its model could not be scored: {run.directory / 'run.json'} says why")
    except StoppedError as stopped:
        signal = stopped.exit_code - 128
        told = f"{run.name}: {str(stopped).partition(';')[0]}; the same command goes on from there"
        raise StoppedError(told, signal=signal) from None


def _read(runs: Sequence[RunPlan]) -> list[SeedRuns]:
    """What the runs left behind, seed by seed."""
    found: list[SeedRuns] = []
    for run in runs:
        record = read_summary(run)
        assert record is not None, "every run is done"
        if run.task is None:
            found.append(SeedRuns(run.config.seed, record, {}))
        else:
            found[-1].alone[run.task] = record
    return found


def _is_main() -> bool:
    """Whether this process writes, of those that a launcher started."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
