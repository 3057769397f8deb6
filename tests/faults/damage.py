"""Damaged checkpoints are detected, reported, and the previous one is used; and full disks while saving."""

from __future__ import annotations

import random
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.errors import RunError
from nlpmtl.training import latest_valid
from tests.faults.harness import FaultCount, open_trainer, run_in_fork, small_run, train_job
from tests.tiny import checkpoint, digest


def mutations(scratch: Path, *, repetitions: int, resumed: int) -> FaultCount:
    """Truncate, flip a bit in, or delete a file of the latest checkpoint.

    Args:
        scratch: directory for the runs.
        repetitions: number of damaged checkpoints.
        resumed: number of runs that are then resumed and trained to their end.
    """
    count = FaultCount(
        "a file of the latest checkpoint is truncated, has a flipped bit, or is deleted: reported, and the previous "
        f"one used; {resumed} runs are resumed and end with identical weights"
    )
    run = small_run(scratch / "tiny", steps=4, train={"keep": 2})
    train_job(run, scratch / "whole")
    generator = random.Random(0)
    previous, latest_checkpoint = sorted((scratch / "whole" / "checkpoints").iterdir())
    names = sorted(path.name for path in latest_checkpoint.iterdir())
    for number in range(repetitions):
        name, damage = names[number % len(names)], ("cut", "flip", "delete")[number // len(names) % 3]
        output = scratch / "damaged"
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(scratch / "whole", output)
        directory = output / "checkpoints"
        _damage(directory / latest_checkpoint.name / name, damage, generator)
        valid, invalid = latest_valid(directory)
        passed = valid == directory / previous.name and len(invalid) == 1 and latest_checkpoint.name in invalid[0]
        reason = None if passed else f"valid: {valid}, skipped: {invalid}"
        if reason is None and number < resumed:
            reason = _other_weights(run, output, expected=digest(latest_checkpoint))
        count.add(f"{damage} {name}", reason is None, reason or "")
    return count


def all_damaged(scratch: Path) -> FaultCount:
    """Damage all checkpoints: an error that names each of them."""
    count = FaultCount("all checkpoints are damaged: an error that names each of them")
    run = small_run(scratch / "tiny", steps=4, train={"keep": 3})
    train_job(run, scratch / "whole")
    generator = random.Random(0)
    for damage in ("cut", "flip", "delete"):
        output = scratch / damage
        shutil.copytree(scratch / "whole", output)
        paths = list((output / "checkpoints").iterdir())
        for path in paths:
            _damage(path / "model.safetensors", damage, generator)
        try:
            with open_trainer(run, output, resume=True):
                reason = "the run started"
        except RunError as error:
            reason = "" if all(str(path) in str(error) for path in paths) else str(error)
        count.add(damage, not reason, reason)
    return count


def full_disk(scratch: Path, *, repetitions: int) -> FaultCount:
    """Reach a limit on the file size while step 2 is saved: a plain error, and the checkpoint of step 1 is intact."""
    count = FaultCount(
        "disk full while a checkpoint is written: a readable error, the previous one intact, "
        "and the run resumes from it"
    )
    run = small_run(scratch / "tiny", steps=6, train={"keep": 2})
    train_job(run, scratch / "whole")
    expected = digest(checkpoint(scratch / "whole", 6))
    sizes = sorted(path.stat().st_size for path in (scratch / "whole" / "checkpoints" / "step-000006").iterdir())
    for number in range(repetitions):
        output = scratch / f"full-{number}"
        limit = random.Random(number).randrange(sizes[-1])

        def save(output: Path = output, limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            with open_trainer(run, output, resume=False) as trainer:
                for _ in trainer.events():
                    # The log is smaller than the limit, so only the checkpoint fails.
                    if trainer.step == 2:  # it is logged, and not yet saved
                        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        status = run_in_fork(lambda save=save: _expect_error(save))  # type: ignore[misc]
        reason = _check_recovery(run, output, status=status, expected=expected)
        count.add(f"{limit} bytes", reason is None, reason or "")
    return count


def _expect_error(save: Callable[[], None]) -> None:
    with pytest.raises(RunError, match=r"cannot be written.*are unchanged"):
        save()


def _check_recovery(run: dict[str, Any], output: Path, *, status: int, expected: str) -> str | None:
    """Return None if the checkpoint before the failed one is intact, and the resumed run has the expected weights."""
    if status != 0:
        return f"exit status {status}"
    latest, damaged = latest_valid(output / "checkpoints")
    if latest != checkpoint(output, 1) or damaged:
        return f"the latest checkpoint is {latest}, not that of step 1; damaged: {damaged}"
    leftovers = [path.name for path in (output / "checkpoints").iterdir() if path.name.startswith(".")]
    if leftovers:
        return f"left behind: {leftovers}"
    train_job(run, output, resume=True)
    return None if digest(checkpoint(output, 6)) == expected else "the resumed run has other weights"


def _other_weights(run: dict[str, Any], output: Path, *, expected: str) -> str | None:
    """Return None if the run continues from the checkpoint of step 3 and ends with the expected weights."""
    with open_trainer(run, output, resume=True) as trainer:
        step = trainer.step
    if step != 3:
        return f"the run continues after step {step}, not 3"
    train_job(run, output, resume=True)
    return None if digest(checkpoint(output, 4)) == expected else "the resumed run has other weights"


def _damage(path: Path, damage: str, generator: random.Random) -> None:
    if damage == "delete":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: generator.randrange(len(data))]
    else:
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)
