"""Symbolic links instead of files that are read or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nlpmtl
from nlpmtl.evaluation import Scores
from tests.faults.attacks.pickles import cache_entries
from tests.faults.attacks.targets import TrainedRuns, attempt, copy, model_actions, trained_runs
from tests.faults.harness import FaultCount


class LinkTargets:
    """Files outside of the run, which links point to.

    Args:
        directory: their directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Path, tuple[str, dict[str, tuple[bytes, int]]]] = {}

    def replace_by_link(self, path: Path, *, name: str, content: bytes | None = None) -> None:
        """Move a file or directory outside, and put a link to it in its place."""
        target = self._directory / str(len(self._known))
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            target.write_bytes(content)
        elif path.exists():
            shutil.move(path, target)
        else:
            target.mkdir()
            (target / "model.safetensors").write_bytes(b"mine")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        self._known[target] = (name, self._state(target))

    def check(self, count: FaultCount, *, problem: str | None = None) -> None:
        """Check that no target has changed, count each, and clear the list."""
        for target, (name, before) in self._known.items():
            state = self._state(target)
            reason = problem if state == before else f"{sorted(state.items() ^ before.items())[:2]!a}"[:300]
            count.add(name, reason is None, reason or "")
        self._known = {}
        shutil.rmtree(self._directory, ignore_errors=True)

    def _state(self, target: Path) -> dict[str, tuple[bytes, int]]:
        if not target.is_dir():
            return {"": content_of(target)}
        return {str(path.relative_to(target)): content_of(path) for path in sorted(target.rglob("*"))}


def content_of(path: Path) -> tuple[bytes, int]:
    if path.is_dir():
        return b"a directory", 0
    return (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else (b"gone", 0)


def links(scratch: Path, *, every: bool = True) -> FaultCount:
    """Replace files that are read, written or removed by links to files outside.

    Args:
        scratch: directory for the runs.
        every: whether to test the cache entries of every dataset, or of one.
    """
    count = FaultCount("symbolic links instead of files: their targets are not changed")
    with trained_runs(scratch) as runs:
        targets = LinkTargets(scratch / "targets")
        _links_in_runs(runs, scratch, count, targets)
        _links_in_models(runs, scratch, count, targets)
        _links_in_the_cache(runs, count, targets, every=every)
    return count


def _links_in_runs(runs: TrainedRuns, scratch: Path, count: FaultCount, targets: LinkTargets) -> None:
    interrupted = scratch / "interrupted"

    def resume(*, accepted: bool | None) -> str | None:
        problem, refusal = attempt(lambda: nlpmtl.train(runs.short, output=interrupted, resume=True))
        if problem is None and accepted is not None and accepted is not (refusal is None):
            return f"refused: {refusal}" if refusal else "accepted"
        return problem

    def files(directory: Path) -> list[Path]:
        return sorted(path for path in directory.rglob("*") if path.is_file())

    # Each file of the only checkpoint, which cannot be used then; then of the latest one, which is skipped.
    for path in files(runs.interrupted / "checkpoints" / "step-000001"):
        copy(runs.interrupted, interrupted)
        shutil.rmtree(interrupted / "checkpoints" / "step-000000")
        targets.replace_by_link(
            interrupted / path.relative_to(runs.interrupted), name=f"{path.name} of the only checkpoint"
        )
        targets.check(count, problem=resume(accepted=False))
    copy(runs.interrupted, interrupted)
    for path in files(interrupted / "checkpoints" / "step-000001"):
        targets.replace_by_link(path, name=f"{path.name} of the latest checkpoint")
    targets.check(count, problem=resume(accepted=True))
    copy(runs.interrupted, interrupted)
    for path in files(interrupted / "best"):
        targets.replace_by_link(path, name=f"{path.name} of the best model")
    targets.check(count, problem=resume(accepted=None))
    # All files that a run writes, and those of an earlier run.
    copy(runs.interrupted, interrupted)
    shutil.copytree(Path(runs.short["output"]) / "model", interrupted / "model")
    for path in [*files(interrupted / "model"), *(path for path in interrupted.iterdir() if path.is_file())]:
        targets.replace_by_link(path, name=f"{path.relative_to(interrupted)}")
    targets.check(count, problem=resume(accepted=True))
    # Directories that are written, quarantined or removed.
    for name in ("model", "model/images", "model/.eval_results", "checkpoints/step-000000", "checkpoints/step-000001"):
        copy(runs.interrupted, interrupted)
        targets.replace_by_link(interrupted / name, name=f"the directory {name}")
        targets.check(count, problem=resume(accepted=True))
    for names in (
        ["checkpoints/.step-000002.part", "checkpoints/.step-000000.gone", "checkpoints/.x.gone"],
        ["checkpoints/damaged-step-000001", "best/.step-000002.part", "best/.step-000002.gone"],
        ["checkpoints/step-000003"],
    ):  # fmt: skip
        copy(runs.interrupted, interrupted)
        if "checkpoints/damaged-step-000001" in names:
            (interrupted / "checkpoints" / "step-000001" / "state.json").unlink()
        for name in names:
            targets.replace_by_link(interrupted / name, name=f"the directory {name}")
        targets.check(count, problem=resume(accepted=True))


def _links_in_models(runs: TrainedRuns, scratch: Path, count: FaultCount, targets: LinkTargets) -> None:
    for action in model_actions(scratch / "model", runs.short):
        model = copy(runs.model, scratch / "model")
        for path in sorted(path for path in model.rglob("*") if path.is_file()):
            targets.replace_by_link(path, name=f"{path.relative_to(model)} of a model, {action}")
        targets.check(count, problem=attempt(model_actions(model, runs.short)[action])[0])


def _links_in_the_cache(runs: TrainedRuns, count: FaultCount, targets: LinkTargets, *, every: bool) -> None:
    root = Path(os.environ["NLPMTL_CACHE"])
    for name, run in runs.per_dataset(every=every):
        expected = nlpmtl.evaluate(runs.model, run)

        def evaluate(run: Mapping[str, Any] = run, expected: Scores = expected) -> str | None:
            scores: list[Scores] = []
            problem, refusal = attempt(lambda: scores.append(nlpmtl.evaluate(runs.model, run)))
            return problem or refusal or (None if scores == [expected] else "the scores differ")

        (entry,) = cache_entries(run, runs.model)
        for file in sorted(path.name for path in entry.iterdir()):
            targets.replace_by_link(entry / file, name=f"{file} of {name} in the cache")
            targets.check(count, problem=evaluate())
        targets.replace_by_link(entry, name=f"the entry of {name} in the cache")
        targets.check(count, problem=evaluate())
        (entry,) = cache_entries(run, runs.model)
        (lock,) = root.glob("*.lock")
        for path in (entry, lock):
            targets.replace_by_link(path, name=f"an entry of {name} in the cache, and its lock", content=b"mine")
        targets.replace_by_link(root / ".incomplete-x", name="an incomplete entry in the cache")
        targets.check(count, problem=evaluate())
