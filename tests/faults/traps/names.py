"""Names that are paths, or worse."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import nlpmtl
from tests.faults.harness import Count
from tests.faults.traps.ground import Ground, attempt, copy, doors, edit, grounds


def awkward(scratch: Path) -> list[str]:
    """Names that look like something else."""
    return [
        *("..", ".", "../x", "../../../x", "/etc/nlpmtl-x", str(scratch / "elsewhere" / "x"), "a/b", "a\\b", "~/x"),
        *("~", "con", "NUL", "x\0y", "x\ny", "\x1b[2J", "n" * 300, "a/" * 3000, "", " ", "-rf", "%2e%2e/x", "a;b"),
        *("$HOME", "\u202e", "type", "__class__", "weight.x", "**", "{}", "é" * 100),
    ]  # fmt: skip


class Named:
    """Chooses names for a place.

    Args:
        names: all of them.
        every: choose all; otherwise every fifth, beginning with another one each time.
    """

    def __init__(self, names: Sequence[str], *, every: bool) -> None:
        self.whole, self._every, self._turn = names, every, cycle(range(5))

    def __call__(self) -> Sequence[str]:
        return self.whole if self._every else self.whole[next(self._turn) :: 5]


def tree(directory: Path, *, but: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """All files below a directory, those below some left out: what they hold, and when it was written."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if not any(path.is_relative_to(one) for one in but):
            state = path.lstat()
            found[str(path)] = (state.st_size, 0 if path.is_dir() else state.st_mtime_ns)
    return found


def names(scratch: Path, *, every: bool = True) -> Count:
    """Names of tasks, datasets, splits, labels, columns, outputs, trackers and models that look like paths.

    Args:
        scratch: where to do it.
        every: each name in each place; otherwise every fifth, others in other places.
    """
    count = Count("names that look like paths: nothing is written outside the output directory")
    with grounds(scratch) as ground:
        work = scratch / "work" / "inner"
        work.mkdir(parents=True)
        here = Path.cwd()
        os.chdir(work)
        try:
            chosen = Named(awkward(scratch), every=every)
            _names_in_runs(ground, scratch, count, chosen)
            _names_of_outputs(ground, scratch, count)
            _names_of_models(ground, scratch, count, chosen)
        finally:
            os.chdir(here)
    return count


def outside(
    count: Count, scratch: Path, name: str, door: Callable[[], object], *, output: Path, opens: bool | None = None
) -> None:
    """Go through a door that may write into one directory."""
    but = [output, scratch / "cache"]
    before = tree(scratch, but=but)
    wrong, refused = attempt(door)
    changed = sorted(set(tree(scratch, but=but).items()) ^ set(before.items()))
    if changed or Path("/etc/nlpmtl-x").exists():
        wrong = f"it wrote {changed[:3]}"
    if wrong is None and opens is not None and opens is not (refused is None):
        wrong = f"it was refused: {refused}" if refused else "it was accepted"
    count.add(name, wrong is None, wrong or "")


def _names_in_runs(ground: Ground, scratch: Path, count: Count, chosen: Named) -> None:
    output = scratch / "named"
    base = {**ground.short, "train": {**ground.short["train"], "steps": 1}}
    pairs = base["datasets"]["pairs"]
    (task,) = pairs["tasks"].values()

    def attempt(what: str, name: str, run: Any, *, opens: bool | None = False) -> None:
        shutil.rmtree(output, ignore_errors=True)
        door = lambda: nlpmtl.train(run, output=output)  # noqa: E731
        outside(count, scratch, f"{what} {name[:40]!r}", door, output=output, opens=opens)

    def other(**tables: Any) -> dict[str, Any]:
        return {**base, "datasets": {"pairs": {**pairs, **tables}}}

    allowed = {"con", "NUL", "-rf", "type", "__class__"}
    places: dict[str, Callable[[str], Any]] = {
        "a task": lambda name: other(tasks={name: task}),
        "a dataset": lambda name: {**base, "datasets": {name: pairs}},
        "a tracker": lambda name: {**base, "train": {**base["train"], "trackers": [name]}},
        "the task that selects": lambda name: {**base, "eval": {"every": 1, "select": name}},
        "an encoder": lambda name: {**base, "encoder": {"name": name, "max_length": 48}},
        "a plugin": lambda name: {**base, "plugins": [name]},
        "a column": lambda name: other(input={"text": name}),
        "a file": lambda name: other(data={"files": {"train": name}}),
        "a run": lambda name: name,
    }
    for place, make in places.items():
        for name in chosen():
            if place not in ("a task", "a dataset") or name not in allowed:
                attempt(place, name, make(name))
    tasks = dict.fromkeys(sorted(allowed), task)
    attempt("tasks named", ", ".join(tasks), {**base, "datasets": {"-rf": {**pairs, "tasks": tasks}}}, opens=True)
    # All at once: every name is one of a split, of a label, of a column.
    every = chosen.whole
    rows = [{"text": "a cat", "label": name, **dict.fromkeys(every, name)} for name in every]
    path = scratch / "named.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = dict.fromkeys(["train", "validation", *every], str(path))
    named = {
        "data": {"files": files},
        "input": {"text": "../x"},
        "tasks": {"named": {"kind": "classification", "label": "/etc/nlpmtl-x"}},
    }
    attempt("splits, labels and columns", "all", {**base, "datasets": {"named": named}}, opens=True)
    labels = {**named, "tasks": {"named": {"kind": "classification", "label": "label"}}}
    attempt("labels", "all", {**base, "datasets": {"named": labels}}, opens=True)
    model = output / "model"
    for name in chosen():
        door = lambda name=name: nlpmtl.evaluate(model, {**base, "datasets": {"named": labels}}, split=name)  # noqa: E731
        outside(count, scratch, f"a split {name[:40]!r}", door, output=output, opens=True)


def _names_of_outputs(ground: Ground, scratch: Path, count: Count) -> None:
    run = {**ground.short, "train": {**ground.short["train"], "steps": 1}}
    file = scratch / "file"
    file.touch()
    (scratch / "elsewhere").mkdir(exist_ok=True)
    opening = {"../x": True, "con": True, "~": True, " ": True, "{}": True}
    for name in [*opening, "x\0y", "n" * 300, "a/" * 3000, str(file), str(file / "x"), "/dev/null", "/proc/nlpmtl-x"]:
        output = Path(os.path.normpath(Path.cwd() / name)) if len(name) < 300 and "\0" not in name else Path.cwd() / "x"
        door = lambda name=name: nlpmtl.train(run, output=name)  # noqa: E731
        outside(count, scratch, f"an output {name[:40]!r}", door, output=output, opens=opening.get(name, False))
        if name in opening:
            shutil.rmtree(output)


def _names_of_models(ground: Ground, scratch: Path, count: Count, chosen: Named) -> None:
    output = scratch / "nothing"
    for name in chosen():
        for what, door in doors(name, ground.run).items():  # type: ignore[arg-type]
            outside(count, scratch, f"a model {name[:40]!r}, {what}", door, output=output, opens=False)
        door = partial(nlpmtl.evaluate, ground.model, name)
        outside(count, scratch, f"data {name[:40]!r}", door, output=output, opens=False)
    for name in ("/etc/nlpmtl-x", "../x", "x/y", "n" * 300):
        model = _rename(ground.model, scratch / "model", name)
        export = lambda: nlpmtl.Predictor.from_pretrained(model).export(output, task=name)  # noqa: B023, E731
        outside(count, scratch, f"a model's task {name[:40]!r}", export, output=output, opens=False)


def _rename(model: Path, to: Path, name: str) -> Path:
    """A model whose first task has another name."""
    from safetensors.torch import load_file, save_file

    copy(model, to)
    config = json.loads((to / "config.json").read_text(encoding="utf-8"))
    first, *others = config["tasks"]
    edit(to / "config.json", tasks={name: config["tasks"][first], **{one: config["tasks"][one] for one in others}})
    found = load_file(to / "model.safetensors")
    renamed = {key.replace(f"heads.{first}_head.", f"heads.{name}_head."): value for key, value in found.items()}
    save_file(renamed, to / "model.safetensors", metadata={"format": "pt"})
    return to
