"""SIGKILL while checkpoints are written: the latest committed one loads, and at most one interval is lost."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpmtl import fs
from nlpmtl.training import checkpoint as module
from nlpmtl.training import latest_valid
from tests.faults.harness import FaultCount, open_trainer, run_in_fork, small_run, train_job
from tests.tiny import checkpoint, digest

STEPS = 30
POINTS = ("write", "fsync", "rename", "prune")


def at_random(scratch: Path, *, repetitions: int, finished: int) -> FaultCount:
    """Kill a run that saves at every step at random times, mostly while it saves.

    Args:
        scratch: directory for the runs.
        repetitions: number of runs.
        finished: number of runs that are then resumed and trained to their end.
    """
    count = FaultCount("killed while it saves at every step: the latest checkpoint loads, and at most one step is lost")
    run, generator = _run(scratch), random.Random(0)
    expected = _uninterrupted(run, scratch)
    for number in range(repetitions):
        output = scratch / f"random-{number}"
        reading, writing = os.pipe()

        def kill(child: int, reading: int = reading) -> None:
            """Kill the process at a random time within a few steps after the first."""
            select.select([reading], [], [], 60)
            time.sleep(generator.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)

        status = run_in_fork(lambda output=output, writing=writing: _train(run, output, report_to=writing), kill=kill)  # type: ignore[misc]
        os.close(writing)
        step = _last_reported_step(reading)
        reason = _lost_steps(run, output, reported=step)
        if reason is None and number < finished:
            reason = _resume_failure(run, output, expected)
        count.add(f"kill {number} (status {status}, step {step})", reason is None, reason or "")
    return count


def at_points(scratch: Path, *, times: int) -> FaultCount:
    """Kill a run directly before and after the n-th write, fsync, rename or removal."""
    count = FaultCount("killed before and after each write, fsync, rename and removal of a checkpoint: the same")
    run = _run(scratch)
    expected = _uninterrupted(run, scratch)
    for point in POINTS:
        for after in (False, True):
            for occurrence in range(1, times + 1):
                output = scratch / f"{point}-{after}-{occurrence}"
                where = (point, after, occurrence)
                status = run_in_fork(lambda output=output, where=where: _train_with(run, output, where))  # type: ignore[misc]
                reason = None if status == -signal.SIGKILL else f"the process was not killed: {status}"
                if reason is None and list((output / "checkpoints").glob("step-*")):
                    reason = _lost_steps(run, output, reported=0)
                if reason is None:
                    reason = _resume_failure(run, output, expected)
                count.add(f"{'after' if after else 'before'} {point} {occurrence}", reason is None, reason or "")
    return count


def _run(scratch: Path) -> dict[str, Any]:
    return small_run(scratch / "tiny", steps=STEPS, train={"keep": 2, "save_every": 1}, eval={"every": 7})


def _uninterrupted(run: dict[str, Any], scratch: Path) -> str:
    train_job(run, scratch / "whole")
    return digest(checkpoint(scratch / "whole", STEPS))


def _train(run: dict[str, Any], output: Path, *, report_to: int | None = None) -> None:
    with open_trainer(run, output, resume=False) as trainer:
        inner_step = trainer.train_step.__call__

        def report_step(plan: Any) -> Any:
            report = inner_step(plan)
            if report_to is not None:
                os.write(report_to, report.step.to_bytes(4, "big"))
            return report

        trainer.train_step = _Wrapped(trainer.train_step, report_step)  # type: ignore[assignment]
        for _ in trainer.events():
            pass


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


def _train_with(run: dict[str, Any], output: Path, kill_point: tuple[str, bool, int]) -> None:
    """Train, and kill the process at a point."""
    point, after, nth = kill_point
    owner, name = {
        "write": (module, "save_file"),
        "fsync": (fs, "fsync"),
        "rename": (Path, "rename"),
        "prune": (shutil, "rmtree"),
    }[point]
    original, calls = getattr(owner, name), 0

    def killing_wrapper(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        if point == "fsync" and "checkpoints" not in Path(arguments[0]).parts:
            return original(*arguments, **options)  # a log, before the first checkpoint
        calls += 1
        if calls == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, killing_wrapper)
    _train(run, output)


def _last_reported_step(reading: int) -> int:
    """Return the last step that a run reported to a pipe; 0 for none."""
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    return int.from_bytes(content[-4:], "big") if content else 0


def _lost_steps(run: dict[str, Any], output: Path, *, reported: int) -> str | None:
    """Return None if the latest checkpoint loads and is at most one step older than the last reported step."""
    latest, damaged = latest_valid(output / "checkpoints")
    if damaged or latest is None:
        return f"the latest checkpoint is not intact: {damaged}"
    with open_trainer(run, output, resume=True) as trainer:
        step = trainer.state.cursor.step
    return None if step >= reported - 1 else f"steps {step + 1} to {reported} are lost"


def _resume_failure(run: dict[str, Any], output: Path, expected: str) -> str | None:
    """Return None if the resumed run ends with the expected weights."""
    train_job(run, output, resume=True)
    return None if digest(checkpoint(output, STEPS)) == expected else "the final weights differ"
