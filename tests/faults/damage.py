"""Checkpoints that were damaged on the disk: found out, said, and the one before is used. Disks that are full."""

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
from tests.faults.harness import Count, in_a_fork, play, ready, small_run


def mutations(scratch: Path, *, many: int) -> Count:
    """Truncate, flip a bit in, or delete a file of the newest checkpoint."""
    count = Count(
        "a file of the latest checkpoint is truncated, has a flipped bit, or is deleted: "
        "reported, and the previous one used"
    )
    run = small_run(scratch / "tiny", steps=4, train={"keep": 2})
    play(run, scratch / "whole")
    source = random.Random(0)
    older, newer = sorted((scratch / "whole" / "checkpoints").iterdir())
    names = sorted(path.name for path in newer.iterdir())
    for number in range(many):
        name, how = names[number % len(names)], ("cut", "flip", "delete")[number // len(names) % 3]
        directory = scratch / "damaged"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(older.parent, directory)
        _damage(directory / newer.name / name, how, source)
        latest, damaged = latest_valid(directory)
        right = latest == directory / older.name and len(damaged) == 1 and newer.name in damaged[0]
        count.add(f"{how} {name}", right, f"found {latest}, passed over {damaged}")
    return count


def all_damaged(scratch: Path) -> Count:
    """With no checkpoint intact, it is an error that names each."""
    count = Count("all checkpoints are damaged: an error that names each of them")
    run = small_run(scratch / "tiny", steps=4, train={"keep": 3})
    play(run, scratch / "whole")
    source = random.Random(0)
    for how in ("cut", "flip", "delete"):
        output = scratch / how
        shutil.copytree(scratch / "whole", output)
        paths = list((output / "checkpoints").iterdir())
        for path in paths:
            _damage(path / "model.safetensors", how, source)
        try:
            with ready(run, output, resume=True):
                why = "it started"
        except RunError as error:
            why = "" if all(str(path) in str(error) for path in paths) else str(error)
        count.add(how, not why, why)
    return count


def full_disk(scratch: Path, *, many: int) -> Count:
    """A limit on the size of files, reached in the middle of a save: a plain error, earlier checkpoints intact."""
    count = Count(
        "disk full while a checkpoint is written: a readable error, the previous one intact, "
        "and the run resumes from it"
    )
    run = small_run(scratch / "tiny", steps=6, train={"keep": 2})
    play(run, scratch / "whole")
    sizes = sorted(path.stat().st_size for path in (scratch / "whole" / "checkpoints" / "step-000006").iterdir())
    for number in range(many):
        output = scratch / f"full-{number}"
        limit = random.Random(number).randrange(sizes[-1])

        def save(output: Path = output, limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            with ready(run, output, resume=False) as trainer:
                for _ in trainer.events():
                    # Small files have room: the log must not be what fails.
                    if trainer.state.cursor.step >= 2:
                        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        why = _after(run, output, status=in_a_fork(lambda save=save: _expect_error(save)))  # type: ignore[misc]
        count.add(f"{limit} bytes", why is None, why or "")
    return count


def _expect_error(save: Callable[[], None]) -> None:
    with pytest.raises(RunError, match=r"cannot be written.*are unchanged"):
        save()


def _after(run: dict[str, Any], output: Path, *, status: int) -> str | None:
    if status != 0:
        return f"exit status {status}"
    latest, damaged = latest_valid(output / "checkpoints")
    if latest is None or damaged:
        return f"no intact checkpoint is the newest: {damaged}"
    left = [path.name for path in (output / "checkpoints").iterdir() if path.name.startswith(".")]
    if left:
        return f"left behind: {left}"
    play(run, output, resume=True)
    return None if (output / "checkpoints" / "step-000006").exists() else "it did not go on"


def _damage(path: Path, how: str, source: random.Random) -> None:
    if how == "delete":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[: source.randrange(len(data))]
    else:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)
