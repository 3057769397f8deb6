"""Links in the place of everything that is read or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nlpmtl
from nlpmtl.evaluation import Scores
from tests.faults.harness import Count
from tests.faults.traps.ground import Ground, attempt, copy, doors, grounds
from tests.faults.traps.pickles import entries


class Victims:
    """Files outside, to which links lead.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Path, tuple[str, dict[str, tuple[bytes, int]]]] = {}

    def take(self, path: Path, *, name: str, content: bytes | None = None) -> None:
        """Put a link in the place of a file or a directory, which goes outside."""
        victim = self._directory / str(len(self._known))
        victim.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            victim.write_bytes(content)
        elif path.exists():
            shutil.move(path, victim)
        else:
            victim.mkdir()
            (victim / "model.safetensors").write_bytes(b"mine")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(victim)
        self._known[victim] = (name, self._state(victim))

    def check(self, count: Count, *, wrong: str | None = None) -> None:
        """Count each, and forget them."""
        for victim, (name, before) in self._known.items():
            now = self._state(victim)
            why = wrong if now == before else f"{sorted(now.items() ^ before.items())[:2]!a}"[:300]
            count.add(name, why is None, why or "")
        self._known = {}
        shutil.rmtree(self._directory, ignore_errors=True)

    def _state(self, victim: Path) -> dict[str, tuple[bytes, int]]:
        if not victim.is_dir():
            return {"": content_of(victim)}
        return {str(path.relative_to(victim)): content_of(path) for path in sorted(victim.rglob("*"))}


def content_of(path: Path) -> tuple[bytes, int]:
    if path.is_dir():
        return b"a directory", 0
    return (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else (b"gone", 0)


def links(scratch: Path, *, every: bool = True) -> Count:
    """Links to files outside, in the place of files that are read, written, or removed.

    Args:
        scratch: where to do it.
        every: in the cache, with the rows of all datasets; otherwise of one.
    """
    count = Count("symbolic links instead of files: their targets are not changed")
    with grounds(scratch) as ground:
        victims = Victims(scratch / "victims")
        _links_in_runs(ground, scratch, count, victims)
        _links_in_models(ground, scratch, count, victims)
        _links_in_the_cache(ground, count, victims, every=every)
    return count


def _links_in_runs(ground: Ground, scratch: Path, count: Count, victims: Victims) -> None:
    half = scratch / "half"

    def resume(*, opens: bool | None) -> str | None:
        wrong, refused = attempt(lambda: nlpmtl.train(ground.short, output=half, resume=True))
        if wrong is None and opens is not None and opens is not (refused is None):
            return f"it was refused: {refused}" if refused else "it was accepted"
        return wrong

    def files(directory: Path) -> list[Path]:
        return sorted(path for path in directory.rglob("*") if path.is_file())

    # Each file of a checkpoint, alone; the only one, then it cannot be used; then the one that is passed over.
    for path in files(ground.half / "checkpoints" / "step-000001"):
        copy(ground.half, half)
        shutil.rmtree(half / "checkpoints" / "step-000000")
        victims.take(half / path.relative_to(ground.half), name=f"{path.name} of the only checkpoint")
        victims.check(count, wrong=resume(opens=False))
    copy(ground.half, half)
    for path in files(half / "checkpoints" / "step-000001"):
        victims.take(path, name=f"{path.name} of the newest checkpoint, with others")
    victims.check(count, wrong=resume(opens=True))
    copy(ground.half, half)
    for path in files(half / "best"):
        victims.take(path, name=f"{path.name} of the best model")
    victims.check(count, wrong=resume(opens=None))
    # Whatever a run writes, and what stood there before.
    copy(ground.half, half)
    shutil.copytree(Path(ground.short["output"]) / "model", half / "model")
    for path in [*files(half / "model"), *(path for path in half.iterdir() if path.is_file())]:
        victims.take(path, name=f"{path.relative_to(half)}")
    victims.check(count, wrong=resume(opens=True))
    # Directories, in the places of what is written, of what is set aside, and of what is removed.
    for name in ("model", "model/images", "model/.eval_results", "checkpoints/step-000000", "checkpoints/step-000001"):
        copy(ground.half, half)
        victims.take(half / name, name=f"the directory {name}")
        victims.check(count, wrong=resume(opens=True))
    for names in (
        ["checkpoints/.step-000002.part", "checkpoints/.step-000000.gone", "checkpoints/.x.gone"],
        ["checkpoints/damaged-step-000001", "best/.step-000002.part", "best/.step-000002.gone"],
        ["checkpoints/step-000003"],
    ):  # fmt: skip
        copy(ground.half, half)
        if "checkpoints/damaged-step-000001" in names:
            (half / "checkpoints" / "step-000001" / "state.json").unlink()
        for name in names:
            victims.take(half / name, name=f"the directory {name}")
        victims.check(count, wrong=resume(opens=True))


def _links_in_models(ground: Ground, scratch: Path, count: Count, victims: Victims) -> None:
    for door in doors(scratch / "model", ground.short):
        model = copy(ground.model, scratch / "model")
        for path in sorted(path for path in model.rglob("*") if path.is_file()):
            victims.take(path, name=f"{path.relative_to(model)} of a model, {door}")
        victims.check(count, wrong=attempt(doors(model, ground.short)[door])[0])


def _links_in_the_cache(ground: Ground, count: Count, victims: Victims, *, every: bool) -> None:
    root = Path(os.environ["NLPMTL_CACHE"])
    for name, run in ground.alone(every=every):
        expected = nlpmtl.evaluate(ground.model, run)

        def evaluate(run: Mapping[str, Any] = run, expected: Scores = expected) -> str | None:
            found: list[Scores] = []
            wrong, refused = attempt(lambda: found.append(nlpmtl.evaluate(ground.model, run)))
            return wrong or refused or (None if found == [expected] else "the scores are others")

        (entry,) = entries(run, ground.model)
        for file in sorted(path.name for path in entry.iterdir()):
            victims.take(entry / file, name=f"{file} of {name} in the cache")
            victims.check(count, wrong=evaluate())
        victims.take(entry, name=f"the entry of {name} in the cache")
        victims.check(count, wrong=evaluate())
        (entry,) = entries(run, ground.model)
        (lock,) = root.glob("*.lock")
        for path in (entry, lock):
            victims.take(path, name=f"an entry of {name} in the cache, and its lock", content=b"mine")
        victims.take(root / ".half-made-x", name="something half made in the cache")
        victims.check(count, wrong=evaluate())
