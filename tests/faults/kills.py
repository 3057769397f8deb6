"""SIGKILL while checkpoints are written: the latest one loads, and at most one step is lost."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpmtl.training.checkpoint import verify
from tests.faults.file_changes import Change, FileChanges, kill_points, read_changes, write_changes
from tests.faults.harness import FaultCount, open_trainer, run_in_fork, small_run, train_job
from tests.tiny import checkpoint, digest

STEPS = 30
POINT_STEPS, SAVED = 9, (7, 8)
"""Steps of the runs that are killed at points, and the steps whose checkpoints are interrupted; step 8 is evaluated."""


def at_random(scratch: Path, *, repetitions: int, finished: int) -> FaultCount:
    """Kill a run that saves at every step at random times, mostly while it saves.

    Args:
        scratch: directory for the runs.
        repetitions: number of runs.
        finished: number of runs that are then resumed and trained to their end.
    """
    count = FaultCount("killed while it saves at every step: the latest checkpoint loads, and at most one step is lost")
    run, generator = _run(scratch, steps=STEPS, evaluate_every=7), random.Random(0)
    expected = _uninterrupted(run, scratch)
    for number in range(repetitions):
        output = scratch / f"random-{number}"
        reading, writing = os.pipe()

        def kill(child: int, reading: int = reading) -> None:
            """Kill the process at a random time within a few steps after the first."""
            select.select([reading], [], [], 60)
            time.sleep(generator.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)

        status = run_in_fork(lambda output=output, writing=writing: _train(run, output, report=_to(writing)), kill=kill)  # type: ignore[misc]
        os.close(writing)
        step = _last_reported_step(reading)
        reason = _failure(run, output, status=status, reported=step, expected=expected if number < finished else None)
        count.add(f"kill {number} (status {status}, step {step})", reason is None, reason or "")
    return count


def at_points(scratch: Path, *, every: int = 1) -> FaultCount:
    """Kill a run before each file change of two checkpoints, and while it writes each of their files.

    Args:
        scratch: directory for the runs.
        every: step between the points.
    """
    count = FaultCount(
        "killed before each write, fsync, rename and removal of two checkpoints and a best model, and within each "
        "write: all checkpoints are intact, at most one step is lost, and the final weights are identical"
    )
    run = _run(scratch, steps=POINT_STEPS, evaluate_every=4)
    expected = _uninterrupted(run, scratch)
    changes = _changes_of_uninterrupted(run, scratch / "counted")
    count.add("changes", _is_complete(changes), f"files of a checkpoint are missing: {[str(c) for c in changes]}")
    for name, number, halve in list(kill_points(changes))[::every]:
        output = scratch / f"killed-{number}-{halve}"
        reading, writing = os.pipe()

        def train(output: Path = output, number: int = number, halve: bool = halve, writing: int = writing) -> None:
            _train_watched(run, output, kill_at=number, halve=halve, report=_to(writing))

        status = run_in_fork(train)
        os.close(writing)
        reason = _failure(run, output, status=status, reported=_last_reported_step(reading), expected=expected)
        count.add(name, reason is None, reason or "")
    return count


def _run(scratch: Path, *, steps: int, evaluate_every: int) -> dict[str, Any]:
    train = {"keep": 2, "save_every": 1}
    return small_run(scratch / "tiny", steps=steps, train=train, eval={"every": evaluate_every})


def _uninterrupted(run: dict[str, Any], scratch: Path) -> str:
    train_job(run, scratch / "whole")
    return digest(checkpoint(scratch / "whole", run["train"]["steps"]))


def _train(run: dict[str, Any], output: Path, *, report: Callable[[int], object]) -> None:
    """Train, and report each step before it is logged and saved."""
    with open_trainer(run, output, resume=False) as trainer:
        inner_step = trainer.train_step.__call__

        def report_step(plan: Any) -> Any:
            result = inner_step(plan)
            report(result.step)
            return result

        trainer.train_step = _Wrapped(trainer.train_step, report_step)  # type: ignore[assignment]
        for _ in trainer.events():
            pass


def _train_watched(
    run: dict[str, Any],
    output: Path,
    *,
    kill_at: int = 0,
    halve: bool = False,
    report: Callable[[int], object] = lambda step: None,
) -> FileChanges:
    """Train, and count the file changes after the steps `SAVED`; kill the process before the n-th of them."""
    watched = FileChanges(output, kill_at=kill_at, halve=halve)
    watched.active = False

    def report_and_watch(step: int) -> None:
        report(step)
        watched.active = step in SAVED

    _train(run, output, report=report_and_watch)
    return watched


def _changes_of_uninterrupted(run: dict[str, Any], output: Path) -> list[Change]:
    """Return the file changes of an uninterrupted run after the steps `SAVED`."""
    path = output.with_name("changes.json")

    def write() -> None:
        write_changes(path, _train_watched(run, output).changes)

    assert run_in_fork(write) == 0
    return read_changes(path)


def _is_complete(changes: list[Change]) -> bool:
    """Return whether each file of each checkpoint is written and flushed, and an earlier checkpoint is removed."""
    files = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json", "metrics.jsonl")
    found = {(change.kind, change.path) for change in changes}
    expected = {
        (kind, f"checkpoints/.step-{step:06d}.part/{name}")
        for kind in ("open", "fsync")
        for step in SAVED
        for name in files
    }
    removed = ("rmdir", f"checkpoints/.step-{SAVED[0] - 2:06d}.gone")
    return expected | {removed} <= found


class _Wrapped:
    """A train step that calls a function instead of computing the step itself."""

    def __init__(self, train_step: Any, call: Callable[[Any], Any]) -> None:
        self.__dict__.update(inner=train_step, call=call)

    def __call__(self, plan: Any) -> Any:
        return self.__dict__["call"](plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["inner"], name, value)


def _to(pipe: int) -> Callable[[int], object]:
    """Return a function that writes a step to a pipe."""
    return lambda step: os.write(pipe, step.to_bytes(4, "big"))


def _last_reported_step(reading: int) -> int:
    """Return the last step that a run reported to a pipe; 0 for none."""
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    return int.from_bytes(content[-4:], "big") if content else 0


def _failure(run: dict[str, Any], output: Path, *, status: int, reported: int, expected: str | None) -> str | None:
    """Return None if a run was killed, its latest checkpoint is at most one step older than the last reported step,
    and the resumed run ends with the expected weights (None: it is not resumed).
    """
    if status != -signal.SIGKILL:
        return f"the process was not killed: {status}"
    problems = {path.name: verify(path) for path in (output / "checkpoints").glob("step-*")}
    if not problems or any(problems.values()):
        return f"not all checkpoints are intact: {problems}"
    with open_trainer(run, output, resume=True) as trainer:
        step = trainer.state.cursor.step
    if step < reported - 1:
        return f"steps {step + 1} to {reported} are lost"
    if expected is None:
        return None
    train_job(run, output, resume=True)
    return None if digest(checkpoint(output, run["train"]["steps"])) == expected else "the final weights differ"
