"""SIGKILL before and within each file change of a resumed run; and resuming with other data."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpmtl import Predictor, RunError
from nlpmtl.run import iter_train, load_config
from nlpmtl.training import latest_valid, read_lines
from tests.faults.file_changes import FileChanges, kill_points, read_changes, write_changes
from tests.faults.harness import FaultCount, run_in_fork, small_run
from tests.tiny import checkpoint, digest, train_tiny, write_rows

STEPS = 6
_LOGS = ("metrics.jsonl", "evaluations.jsonl")
Rows = list[dict[str, Any]]


def killed(scratch: Path, *, every: int = 1) -> FaultCount:
    """Kill a resumed run before each file change and while it writes each file: a finished run and an interrupted one.

    Args:
        scratch: directory for the runs.
        every: step between the points.
    """
    count = FaultCount(
        "killed while resuming, before each change of a file and within each write: its checkpoints and its model "
        "load, and nothing is lost"
    )
    train = {"keep": 2, "save_every": 2}
    run = small_run(scratch / "tiny", steps=STEPS, rows=30, train=train, eval={"every": 2})
    run["datasets"] = {"texts": run["datasets"]["texts"]}
    reference = train_tiny(run, scratch / "whole").output
    interrupted = scratch / "interrupted"
    _train_and_interrupt(run, interrupted)
    for name, start in (("finished", reference), ("interrupted", interrupted)):
        output = Path(shutil.copytree(start, scratch / f"{name} counted"))
        path = scratch / f"{name}.changes"
        status = run_in_fork(lambda output=output, path=path: _resume_counted(run, output, path))  # type: ignore[misc]
        count.add(f"{name}, not killed", status == 0 and _difference(reference, output) is None, f"status {status}")
        changes = read_changes(path)
        removed = any(change.kind == "rmdir" for change in changes)
        count.add(f"{name}: removals", removed, f"no directory is removed: {[str(c) for c in changes]}")
        for point, number, halve in list(kill_points(changes))[::every]:
            output = Path(shutil.copytree(start, scratch / f"{name} {number} {halve}"))
            status = run_in_fork(lambda output=output, n=number, halve=halve: _resume_and_kill(run, output, n, halve))  # type: ignore[misc]
            reason = None if status == -signal.SIGKILL else f"the process was not killed: {status}"
            reason = reason or _lost_checkpoint(start, output)
            if reason is None and name == "finished":
                reason = _loading_error(output / "model")
            if reason is None:
                train_tiny(run, output, resume=True)
                reason = _difference(reference, output)
            count.add(f"{name}, {point}", reason is None, reason or "")
            shutil.rmtree(output)
    return count


def other_data(scratch: Path) -> FaultCount:
    """Resume with changed data, a changed label list and a changed plugin."""
    count = FaultCount("resumed with other data: each change is named and refused, a changed plugin is reported")
    plugin = scratch / "plugins" / "kinds_that_change.py"
    plugin.parent.mkdir()
    plugin.write_text("value = 1\n", encoding="utf-8")
    sys.path.append(str(plugin.parent))
    run = small_run(scratch / "tiny", steps=2, rows=12, plugins=["kinds_that_change"])
    words = run["datasets"]["words"]
    words["tasks"] = {"topic": words["tasks"]["topic"]}
    run["datasets"] = {"words": words}
    train_tiny(run, scratch / "out")
    path = Path(words["data"]["files"]["train"])
    rows: Rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for name, (change, expected) in _changes().items():
        write_rows(path, change(rows))
        message = _refusal(run, scratch / "out")
        passed = message is not None and expected in message and "'words'" in message
        count.add(name, passed, f"expected {expected!r}, found {message!r}")
    write_rows(path, rows)
    plugin.write_text("value = 2\n", encoding="utf-8")
    events = iter_train(load_config(run), output=scratch / "out", resume=True)
    notes = next(events).notes  # type: ignore[union-attr]
    events.close()  # type: ignore[attr-defined]
    count.add("a changed plugin", any("'kinds_that_change' has changed" in note for note in notes), str(notes))
    sys.path.remove(str(plugin.parent))
    return count


def _changes() -> dict[str, tuple[Callable[[Rows], Rows], str]]:
    def rename_labels(**renamed: str) -> Callable[[Rows], Rows]:
        return lambda rows: [{**row, "topic": renamed.get(row["topic"] or "", row["topic"])} for row in rows]

    return {
        "a changed text": (
            lambda rows: [{**rows[0], "tokens": ["a", "cat"], "tags": ["O", "O"]}, *rows[1:]],
            "the texts changed",
        ),
        "a changed label": (
            lambda rows: [*rows[:-1], {**rows[-1], "topic": _other(rows[-1]["topic"])}],
            "the labels of task 'topic' changed",
        ),
        "a renamed label": (rename_labels(animals="zebras"), "label list ['animals', "),
        "added rows": (lambda rows: [*rows, rows[0]], "rows 12 → 13"),
        "removed rows": (lambda rows: rows[1:], "rows 12 → 11"),
        "reordered rows": (lambda rows: rows[::-1], "the same rows are in another order"),
        "another label list": (rename_labels(animals="things"), "label list ['animals', "),
    }


def _other(topic: str | None) -> str:
    return "places" if topic != "places" else "animals"


def _refusal(run: dict[str, Any], output: Path) -> str | None:
    events = iter_train(load_config(run), output=output, resume=True)
    try:
        next(events)
    except RunError as error:
        return str(error)
    finally:
        events.close()  # type: ignore[attr-defined]
    return None


def _train_and_interrupt(run: dict[str, Any], output: Path) -> None:
    """Interrupt a run after its last checkpoint: the logs have later steps."""
    for event in iter_train(load_config(run), output=output):
        if getattr(event, "step", 0) == 4:
            break


def _resume_counted(run: dict[str, Any], output: Path, path: Path) -> None:
    """Resume a run, and write the file changes in its directory."""
    watched = FileChanges(output)
    train_tiny(run, output, resume=True)
    write_changes(path, watched.changes)


def _resume_and_kill(run: dict[str, Any], output: Path, number: int, halve: bool) -> None:
    FileChanges(output, kill_at=number, halve=halve)
    train_tiny(run, output, resume=True)


def _lost_checkpoint(start: Path, output: Path) -> str | None:
    """Return None if the latest checkpoint is intact, and at least as late as before the run was resumed."""
    (before, _), (latest, damaged) = (latest_valid(directory / "checkpoints") for directory in (start, output))
    if latest is None or damaged or before is None:
        return f"the latest checkpoint is not intact: {damaged}"
    return None if latest.name >= before.name else f"the latest checkpoint was {before.name}, and is {latest.name}"


def _loading_error(model: Path) -> str | None:
    try:
        Predictor.from_pretrained(model)
    except Exception as error:
        return f"the model cannot be loaded: {error}"
    return None


def _difference(reference: Path, output: Path) -> str | None:
    """Return None if a run has the results of an uninterrupted one, or the difference."""
    if digest(checkpoint(reference, STEPS)) != digest(checkpoint(output, STEPS)) or digest(
        reference / "model"
    ) != digest(output / "model"):
        return "the final weights differ"
    for name in _LOGS:
        lines = [
            [(line["step"], line.get("loss"), line.get("tasks")) for line in read_lines(directory / name)]
            for directory in (reference, output)
        ]
        if lines[0] != lines[1]:
            return f"{name} differs"
    names = [{path.name for path in directory.rglob("*")} for directory in (reference, output)]
    return None if names[0] == names[1] else f"files differ: {sorted(names[0] ^ names[1])}"
