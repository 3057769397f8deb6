"""Losses and gradients that are not numbers, and memory that runs out, in the middle of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nlpmtl.errors import RunError
from nlpmtl.registry import TASKS
from nlpmtl.training import latest_valid
from tests.faults.harness import Count, play, play_all, ready, small_run
from tests.tiny import apart, checkpoint, metrics, weights

PLUGIN, KIND = "tests.faults.odd", "odd"
ODD = 9.0
"""The label that its loss goes wrong at."""
STEPS = 12
LINE = 17
"""The line of the train file whose label is odd."""


@contextmanager
def _plugin() -> Iterator[None]:
    """What runs in here may register the plugin's kind: it is gone afterwards, for others in this process."""
    try:
        yield
    finally:
        TASKS._members.pop(KIND, None)
        sys.modules.pop(PLUGIN, None)


@_plugin()
def stopped(scratch: Path) -> Count:
    """A run that is to stop: it names task, step and row, and no checkpoint has what came of it."""
    count = Count(
        "a loss or gradient is nan or inf: the run stops, names task, step and row, and does not checkpoint the update"
    )
    for how in ("nan", "inf", "gradient"):
        output = scratch / how
        run = odd_run(scratch / f"{how}-tiny", how)
        try:
            play(run, output)
            why = "it went on"
        except RunError as error:
            step = _step_of_the_row(run, scratch / f"{how}-plan")
            said = str(error)
            named = f"train.jsonl:{LINE}:" in said and "'grade'" in said and said.startswith(f"step {step}:")
            latest, _ = latest_valid(output / "checkpoints")
            why = "" if named and latest == checkpoint(output, step - 1) else f"{said} (newest: {latest})"
            if (
                latest is not None
                and not why
                and not all(bool(torch.isfinite(value).all()) for value in weights(latest).values())
            ):
                why = "the checkpoint has it"
        count.add(how, not why, why)
    return count


@_plugin()
def left_out(scratch: Path, *, worlds: Sequence[int] = (1, 2)) -> Count:
    """A run that is to leave such steps out: it ends, has counted them, and its weights are numbers."""
    count = Count('with train.on_bad_step = "skip": such steps are skipped and counted, and the weights stay finite')
    for how in ("nan", "inf", "gradient"):
        for processes in worlds:
            output = scratch / f"{how}-{processes}"
            run = odd_run(scratch / f"{how}-{processes}-tiny", how, on_bad_step="skip")
            play_all([{"run": run, "output": str(output), "resume": False}], processes=processes, scratch=scratch)
            state = json.loads((checkpoint(output, STEPS) / "state.json").read_text(encoding="utf-8"))
            lines = [line for line in metrics(output) if "skipped" in line]
            right = state["skipped"] == len(lines) > 0 and all(
                bool(torch.isfinite(value).all()) for value in weights(checkpoint(output, STEPS)).values()
            )
            count.add(f"{how}, {processes} processes", right, f"{state['skipped']} counted, {len(lines)} lines")
    return count


@_plugin()
def memory(scratch: Path, *, worlds: Sequence[int] = (1, 2)) -> Count:
    """Memory for two rows at once and no more: the same rows, the same gradient, in smaller micro-batches."""
    count = Count("out of memory: smaller micro-batches of the same rows, the same weights to 1e-6")
    for processes in worlds:
        place = scratch / str(processes)
        run = odd_run(place / "tiny", "memory", dropout=0.0)
        run["sampling"] = {"kind": "uniform", "batches": "single"}  # so that many rows of the task come at once
        short = [{"run": run, "output": str(place / "short"), "resume": False}]
        play_all(short, processes=processes, scratch=scratch)
        enough = {**run, "datasets": _with_kind(run, {"kind": "regression"}), "plugins": []}
        play(enough, place / "enough")
        far = apart(checkpoint(place / "short", STEPS), checkpoint(place / "enough", STEPS))
        state = json.loads((checkpoint(place / "short", STEPS) / "state.json").read_text(encoding="utf-8"))
        rows = [(place / which / "rows-0.json").read_text(encoding="utf-8") for which in ("short", "enough")]
        right = far < 1e-6 and rows[0] == rows[1] and state["micro_tokens"] is not None
        count.add(f"{processes} processes", right, f"weights {far:.1e} apart, micro_tokens {state['micro_tokens']}")
    return count


def odd_run(directory: Path, how: str, *, dropout: float = 0.1, **train: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"save_every": 1, "precision": "fp64", "lr": 1e-4, **train}
    run = small_run(directory, dropout=dropout, steps=STEPS, rows=48, train=options, eval={"every": 50})
    run["plugins"] = [PLUGIN]
    run["datasets"] = _with_kind(run, {"kind": KIND, "how": how})
    path = Path(run["datasets"]["pairs"]["data"]["files"]["train"])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if how == "memory":  # standardised targets are other targets: these have mean 0 and deviation 1 already
        for number, line in enumerate(lines):
            line["grade"] = 1.0 if number % 2 else -1.0
    else:
        lines[LINE - 1]["grade"] = ODD
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return run


def _with_kind(run: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    pairs = run["datasets"]["pairs"]
    return {**run["datasets"], "pairs": {**pairs, "tasks": {"grade": {**options, "label": "grade"}}}}


def _step_of_the_row(run: Mapping[str, Any], output: Path) -> int:
    """The first step, counted from 1, that the odd row is in."""
    with ready(run, output, resume=False) as trainer:
        names = list(run["datasets"])
        for plan, _ in trainer.plan.steps(trainer.plan.start(), STEPS):
            if (names.index("pairs"), LINE - 1) in {(row.dataset, row.row) for row in plan.rows}:
                return plan.step + 1
    raise AssertionError("the row is in no step")
