"""Names that look like paths or options."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import nlpmtl
from tests.faults.attacks.targets import TrainedRuns, attempt, copy, edit, model_actions, trained_runs
from tests.faults.harness import FaultCount


def path_like_names(scratch: Path) -> list[str]:
    """Return names that look like paths, options, patterns or special files."""
    return [
        *("..", ".", "../x", "../../../x", "/etc/nlpmtl-x", str(scratch / "elsewhere" / "x"), "a/b", "a\\b", "~/x"),
        *("~", "con", "NUL", "x\0y", "x\ny", "\x1b[2J", "n" * 300, "a/" * 3000, "", " ", "-rf", "%2e%2e/x", "a;b"),
        *("$HOME", "\u202e", "type", "__class__", "weight.x", "**", "{}", "é" * 100),
    ]  # fmt: skip


class NameSampler:
    """Chooses names to test.

    Args:
        names: all names.
        every: whether to return all of them; otherwise every fifth, with another offset on each call.
    """

    def __init__(self, names: Sequence[str], *, every: bool) -> None:
        self.names, self._every, self._turn = names, every, cycle(range(5))

    def __call__(self) -> Sequence[str]:
        return self.names if self._every else self.names[next(self._turn) :: 5]


def tree(directory: Path, *, exclude: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Return size and modification time of all files below a directory, except below `exclude`."""
    states = {}
    for path in sorted(directory.rglob("*")):
        if not any(path.is_relative_to(excluded) for excluded in exclude):
            state = path.lstat()
            states[str(path)] = (state.st_size, 0 if path.is_dir() else state.st_mtime_ns)
    return states


def names(scratch: Path, *, every: bool = True) -> FaultCount:
    """Use such names for tasks, datasets, splits, labels, columns, outputs, trackers and models.

    Args:
        scratch: directory for the runs.
        every: whether to use each name everywhere; otherwise every fifth, different ones for each use.
    """
    count = FaultCount("names that look like paths: nothing is written outside the output directory")
    with trained_runs(scratch) as runs, pytest.MonkeyPatch.context() as patch:
        work = scratch / "work" / "a" / "b" / "c"  # `../../../x` is below the watched directory
        work.mkdir(parents=True)
        home = scratch / "home"
        home.mkdir()
        patch.chdir(work)
        patch.setenv("HOME", str(home))
        sample_names = NameSampler(path_like_names(scratch), every=every)
        _names_in_runs(runs, scratch, count, sample_names)
        _names_of_outputs(runs, scratch, count)
        _names_of_models(runs, scratch, count, sample_names)
    return count


def check_outside(
    count: FaultCount,
    scratch: Path,
    name: str,
    action: Callable[[], object],
    *,
    output: Path,
    accepted: bool | None = None,
) -> None:
    """Call an action, and check that it writes only below `output`."""
    exclude = [output, scratch / "cache"]
    before = tree(scratch, exclude=exclude)
    problem, refusal = attempt(action)
    changed = sorted(set(tree(scratch, exclude=exclude).items()) ^ set(before.items()))
    if changed or Path("/etc/nlpmtl-x").exists():
        problem = f"it wrote {changed[:3]}"
    if problem is None and accepted is not None and accepted is not (refusal is None):
        problem = f"refused: {refusal}" if refusal else "accepted"
    count.add(name, problem is None, problem or "")


def _names_in_runs(runs: TrainedRuns, scratch: Path, count: FaultCount, sample_names: NameSampler) -> None:
    output = scratch / "named"
    base = {**runs.short, "train": {**runs.short["train"], "steps": 1}}
    pairs = base["datasets"]["pairs"]
    (task,) = pairs["tasks"].values()

    def attempt(subject: str, name: str, run: Any, *, accepted: bool | None = False) -> None:
        shutil.rmtree(output, ignore_errors=True)
        action = lambda: nlpmtl.train(run, output=output)  # noqa: E731
        check_outside(count, scratch, f"{subject} {name[:40]!r}", action, output=output, accepted=accepted)

    def with_tables(**tables: Any) -> dict[str, Any]:
        return {**base, "datasets": {"pairs": {**pairs, **tables}}}

    allowed = {"con", "NUL", "-rf", "type", "__class__"}
    subjects: dict[str, Callable[[str], Any]] = {
        "a task": lambda name: with_tables(tasks={name: task}),
        "a dataset": lambda name: {**base, "datasets": {name: pairs}},
        "a tracker": lambda name: {**base, "train": {**base["train"], "trackers": [name]}},
        "the task that selects": lambda name: {**base, "eval": {"every": 1, "select": name}},
        "an encoder": lambda name: {**base, "encoder": {"name": name, "max_length": 48}},
        "a plugin": lambda name: {**base, "plugins": [name]},
        "a column": lambda name: with_tables(input={"text": name}),
        "a file": lambda name: with_tables(data={"files": {"train": name}}),
        "a run": lambda name: name,
    }
    for subject_name, make_run in subjects.items():
        for name in sample_names():
            if subject_name not in ("a task", "a dataset") or name not in allowed:
                attempt(subject_name, name, make_run(name))
    tasks = dict.fromkeys(sorted(allowed), task)
    attempt("tasks named", ", ".join(tasks), {**base, "datasets": {"-rf": {**pairs, "tasks": tasks}}}, accepted=True)
    # All together: every name is a split, a label and a column.
    all_names = sample_names.names
    rows = [{"text": "a cat", "label": name, **dict.fromkeys(all_names, name)} for name in all_names]
    path = scratch / "named.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = dict.fromkeys(["train", "validation", *all_names], str(path))
    dataset = {
        "data": {"files": files},
        "input": {"text": "../x"},
        "tasks": {"named": {"kind": "classification", "label": "/etc/nlpmtl-x"}},
    }
    attempt("splits, labels and columns", "all", {**base, "datasets": {"named": dataset}}, accepted=True)
    labels = {**dataset, "tasks": {"named": {"kind": "classification", "label": "label"}}}
    attempt("labels", "all", {**base, "datasets": {"named": labels}}, accepted=True)
    model = output / "model"
    for name in sample_names():
        action = lambda name=name: nlpmtl.evaluate(model, {**base, "datasets": {"named": labels}}, split=name)  # noqa: E731
        check_outside(count, scratch, f"a split {name[:40]!r}", action, output=output, accepted=True)


def _names_of_outputs(runs: TrainedRuns, scratch: Path, count: FaultCount) -> None:
    run = {**runs.short, "train": {**runs.short["train"], "steps": 1}}
    file = scratch / "file"
    file.touch()
    (scratch / "elsewhere").mkdir(exist_ok=True)
    opening = {"../x": True, "con": True, "~/x": True, " ": True, "{}": True}
    for name in [*opening, "x\0y", "n" * 300, "a/" * 3000, str(file), str(file / "x"), "/dev/null", "/proc/nlpmtl-x"]:
        is_path = len(name) < 300 and "\0" not in name
        output = Path(os.path.normpath(Path.cwd() / Path(name).expanduser())) if is_path else Path.cwd() / "x"
        action = lambda name=name: nlpmtl.train(run, output=name)  # noqa: E731
        check_outside(
            count, scratch, f"an output {name[:40]!r}", action, output=output, accepted=opening.get(name, False)
        )
        if name in opening:
            shutil.rmtree(output)


def _names_of_models(runs: TrainedRuns, scratch: Path, count: FaultCount, sample_names: NameSampler) -> None:
    output = scratch / "nothing"
    for name in sample_names():
        for what, action in model_actions(name, runs.run).items():  # type: ignore[arg-type]
            check_outside(count, scratch, f"a model {name[:40]!r}, {what}", action, output=output, accepted=False)
        action = partial(nlpmtl.evaluate, runs.model, name)
        check_outside(count, scratch, f"data {name[:40]!r}", action, output=output, accepted=False)
    for name in ("/etc/nlpmtl-x", "../x", "x/y", "n" * 300):
        model = _rename(runs.model, scratch / "model", name)
        export = lambda: nlpmtl.Predictor.from_pretrained(model).export(output, task=name)  # noqa: B023, E731
        check_outside(count, scratch, f"a model's task {name[:40]!r}", export, output=output, accepted=False)


def _rename(model: Path, target: Path, name: str) -> Path:
    """Copy a model, and rename its first task."""
    from safetensors.torch import load_file, save_file

    copy(model, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    first, *others = config["tasks"]
    edit(
        target / "config.json", tasks={name: config["tasks"][first], **{task: config["tasks"][task] for task in others}}
    )
    tensors = load_file(target / "model.safetensors")
    renamed = {key.replace(f"heads.{first}_head.", f"heads.{name}_head."): value for key, value in tensors.items()}
    save_file(renamed, target / "model.safetensors", metadata={"format": "pt"})
    return target
