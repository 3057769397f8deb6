"""SIGKILL while a run is resumed, before each change of a file; and resumes with other data."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nlpmtl import Predictor, RunError
from nlpmtl.run import iter_train, load_config
from nlpmtl.training import read_lines
from tests.faults.harness import Count, in_a_fork, small_run
from tests.tiny import checkpoint, digest, train_tiny, write_rows

STEPS = 6
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "shutil.rmtree", "ctypes.dlsym")
_LOGS = ("metrics.jsonl", "evaluations.jsonl")
Rows = list[dict[str, Any]]


def killed(scratch: Path, *, every: int = 1) -> Count:
    """Kill a resumed run before the n-th change of a file, for every n: a finished run, and one that was broken off.

    Args:
        scratch: where.
        every: kill before every so many changes.
    """
    count = Count("killed while resuming, before each change of a file: its model loads, and nothing is lost")
    train = {"keep": 2, "save_every": 2}
    run = small_run(scratch / "tiny", steps=STEPS, rows=30, train=train, eval={"every": 2})
    run["datasets"] = {"texts": run["datasets"]["texts"]}
    whole = train_tiny(run, scratch / "whole").output
    broken = scratch / "broken"
    _break_off(run, broken)
    for name, start in (("finished", whole), ("broken off", broken)):
        output = Path(shutil.copytree(start, scratch / f"{name} counted"))
        changes = scratch / f"{name}.changes"
        status = in_a_fork(lambda output=output, changes=changes: _resume(run, output, told=changes))  # type: ignore[misc]
        count.add(f"{name}, not killed", status == 0 and _same(whole, output) is None, f"status {status}")
        for nth in range(1, int(changes.read_text()) + 1, every):
            output = Path(shutil.copytree(start, scratch / f"{name} {nth}"))
            status = in_a_fork(lambda output=output, nth=nth: _resume(run, output, kill=nth))  # type: ignore[misc]
            why = None if status == -signal.SIGKILL else f"it was not killed: {status}"
            if why is None and name == "finished":
                why = _cannot_load(output / "model")
            if why is None:
                train_tiny(run, output, resume=True)
                why = _same(whole, output)
            count.add(f"{name}, before change {nth}", why is None, why or "")
            shutil.rmtree(output)
    return count


def other_data(scratch: Path) -> Count:
    """Resume with each change of the data, of a label list and of a plugin."""
    count = Count("resumed with other data: each change is named and refused, a changed plugin is reported")
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
    for name, (change, told) in _changes().items():
        write_rows(path, change(rows))
        said = _refusal(run, scratch / "out")
        right = said is not None and told in said and "'words'" in said
        count.add(name, right, f"expected {told!r}, found {said!r}")
    write_rows(path, rows)
    plugin.write_text("value = 2\n", encoding="utf-8")
    events = iter_train(load_config(run), output=scratch / "out", resume=True)
    notes = next(events).notes  # type: ignore[union-attr]
    events.close()  # type: ignore[attr-defined]
    count.add("a changed plugin", any("'kinds_that_change' has changed" in note for note in notes), str(notes))
    sys.path.remove(str(plugin.parent))
    return count


def _changes() -> dict[str, tuple[Callable[[Rows], Rows], str]]:
    def all_of(**names: str) -> Callable[[Rows], Rows]:
        return lambda rows: [{**row, "topic": names.get(row["topic"] or "", row["topic"])} for row in rows]

    return {
        "a changed text": (
            lambda rows: [{**rows[0], "tokens": ["a", "cat"], "tags": ["O", "O"]}, *rows[1:]],
            "the texts changed",
        ),
        "a changed label": (
            lambda rows: [*rows[:-1], {**rows[-1], "topic": _other(rows[-1]["topic"])}],
            "the labels of task 'topic' changed",
        ),
        "a renamed label": (all_of(animals="zebras"), "label list ['animals', "),
        "added rows": (lambda rows: [*rows, rows[0]], "rows 12 → 13"),
        "removed rows": (lambda rows: rows[1:], "rows 12 → 11"),
        "reordered rows": (lambda rows: rows[::-1], "the same rows are in another order"),
        "another label list": (all_of(animals="things"), "label list ['animals', "),
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


def _break_off(run: dict[str, Any], output: Path) -> None:
    """Leave a run in the middle: steps after its last checkpoint are in the logs."""
    for event in iter_train(load_config(run), output=output):
        if getattr(event, "step", 0) == 4:
            break


def _resume(run: dict[str, Any], output: Path, *, kill: int = 0, told: Path | None = None) -> None:
    """Resume a run, and die before the n-th change of a file in its directory."""
    met = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal met
        if not any(_changed(event, arguments, str(output))):
            return
        met += 1
        if met == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    train_tiny(run, output, resume=True)
    if told is not None:
        told.write_text(str(met))


def _changed(event: str, arguments: tuple[Any, ...], output: str) -> Iterator[bool]:
    """Whether an event of Python's audit hooks changes something in a directory."""
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if isinstance(flags, int) else "w" in (mode or "")
        yield writes and str(path).startswith(output)
    elif event == "ctypes.dlsym":
        yield arguments[-1] in ("renameat2", "renameatx_np")
    elif event in _CHANGES:
        yield any(isinstance(path, str | os.PathLike) and os.fspath(path).startswith(output) for path in arguments)


def _cannot_load(model: Path) -> str | None:
    try:
        Predictor.from_pretrained(model)
    except Exception as error:
        return f"the model cannot be loaded: {error}"
    return None


def _same(whole: Path, output: Path) -> str | None:
    """None if a run ended as the one that was never stopped."""
    if digest(checkpoint(whole, STEPS)) != digest(checkpoint(output, STEPS)) or digest(whole / "model") != digest(
        output / "model"
    ):
        return "it ends with other weights"
    for name in _LOGS:
        lines = [
            [(line["step"], line.get("loss"), line.get("tasks")) for line in read_lines(one / name)]
            for one in (whole, output)
        ]
        if lines[0] != lines[1]:
            return f"{name} differs"
    names = [{path.name for path in one.rglob("*")} for one in (whole, output)]
    return None if names[0] == names[1] else f"files differ: {sorted(names[0] ^ names[1])}"
