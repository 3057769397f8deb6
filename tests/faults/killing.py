"""SIGKILL while checkpoints are written: the newest that is committed loads, and no more is lost than one interval."""

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
from tests.faults.harness import Count, in_a_fork, play, ready, small_run
from tests.tiny import checkpoint, digest

STEPS = 30
POINTS = ("write", "fsync", "rename", "prune")


def at_random(scratch: Path, *, many: int, finished: int) -> Count:
    """Kill a run that saves at every step, anywhere in a saving or close to it.

    Args:
        scratch: where.
        many: how often.
        finished: how many of them are then resumed and followed to their end.
    """
    count = Count("killed while it saves at every step: the latest checkpoint loads, and at most one step is lost")
    run, source = _run(scratch), random.Random(0)
    expected = _uninterrupted(run, scratch)
    for number in range(many):
        output = scratch / f"random-{number}"
        reading, writing = os.pipe()

        def kill(child: int, reading: int = reading) -> None:
            """After the first step, then at a moment within the next few."""
            select.select([reading], [], [], 60)
            time.sleep(source.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)

        status = in_a_fork(lambda output=output, writing=writing: _train(run, output, told=writing), kill=kill)  # type: ignore[misc]
        os.close(writing)
        done = _last_told(reading)
        why = _what_is_lost(run, output, done=done)
        if why is None and number < finished:
            why = _resumes(run, output, expected)
        count.add(f"kill {number} (status {status}, step {done})", why is None, why or "")
    return count


def at_points(scratch: Path, *, times: int) -> Count:
    """Kill a run just before and just after it writes, flushes, renames or prunes, at the n-th time that it does."""
    count = Count("killed before and after each write, fsync, rename and removal of a checkpoint: the same")
    run = _run(scratch)
    expected = _uninterrupted(run, scratch)
    for point in POINTS:
        for after in (False, True):
            for nth in range(1, times + 1):
                output = scratch / f"{point}-{after}-{nth}"
                status = in_a_fork(lambda output=output, at=(point, after, nth): _train_with(run, output, at))  # type: ignore[misc]
                why = None if status == -signal.SIGKILL else f"it was not killed: {status}"
                if why is None and list((output / "checkpoints").glob("step-*")):
                    why = _what_is_lost(run, output, done=0)
                if why is None:
                    why = _resumes(run, output, expected)
                count.add(f"{'after' if after else 'before'} {point} {nth}", why is None, why or "")
    return count


def _run(scratch: Path) -> dict[str, Any]:
    return small_run(scratch / "tiny", steps=STEPS, train={"keep": 2, "save_every": 1}, eval={"every": 7})


def _uninterrupted(run: dict[str, Any], scratch: Path) -> str:
    play(run, scratch / "whole")
    return digest(checkpoint(scratch / "whole", STEPS))


def _train(run: dict[str, Any], output: Path, *, told: int | None = None) -> None:
    with ready(run, output, resume=False) as trainer:
        step = trainer.train_step.__call__

        def telling(plan: Any) -> Any:
            report = step(plan)
            if told is not None:
                os.write(told, report.step.to_bytes(4, "big"))
            return report

        trainer.train_step = _Wrapped(trainer.train_step, telling)  # type: ignore[assignment]
        for _ in trainer.events():
            pass


class _Wrapped:
    """A train step that reports each step it has computed."""

    def __init__(self, stepper: Any, call: Callable[[Any], Any]) -> None:
        self.__dict__.update(inner=stepper, call=call)

    def __call__(self, plan: Any) -> Any:
        return self.__dict__["call"](plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["inner"], name, value)


def _train_with(run: dict[str, Any], output: Path, at: tuple[str, bool, int]) -> None:
    """Train, and kill the process at a point."""
    point, after, nth = at
    owner, name = {
        "write": (module, "save_file"),
        "fsync": (fs, "fsync"),
        "rename": (Path, "rename"),
        "prune": (shutil, "rmtree"),
    }[point]
    original, met = getattr(owner, name), 0

    def deadly(*arguments: Any, **options: Any) -> Any:
        nonlocal met
        if point == "fsync" and "checkpoints" not in Path(arguments[0]).parts:
            return original(*arguments, **options)  # a log, before the first checkpoint
        met += 1
        if met == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if met == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)
    _train(run, output)


def _last_told(reading: int) -> int:
    """Return the last step that a run reported."""
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    return int.from_bytes(said[-4:], "big") if said else 0


def _what_is_lost(run: dict[str, Any], output: Path, *, done: int) -> str | None:
    """Return None if the latest checkpoint loads and is that of the last step, or of the one before."""
    latest, damaged = latest_valid(output / "checkpoints")
    if damaged or latest is None:
        return f"no intact checkpoint is the newest: {damaged}"
    with ready(run, output, resume=True) as trainer:
        step = trainer.state.cursor.step
    return None if step >= done - 1 else f"steps {step + 1} to {done} are lost"


def _resumes(run: dict[str, Any], output: Path, expected: str) -> str | None:
    """Return None if the resumed run ends with the expected weights."""
    play(run, output, resume=True)
    return None if digest(checkpoint(output, STEPS)) == expected else "it ends with other weights"
