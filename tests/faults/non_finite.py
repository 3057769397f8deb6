"""Non-finite losses and gradients, and out of memory, in the middle of a run."""

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
from tests.faults.harness import FaultCount, computed_rows, open_trainer, small_run, train_all, train_job
from tests.tiny import checkpoint, max_weight_difference, metrics, weights

PLUGIN, KIND = "tests.faults.faulty_task", "faulty"
FAULTY_LABEL = 9.0
"""The label whose loss or gradient is not finite."""
STEPS = 12
LINE = 17
"""The line of the train file with the faulty label."""


@contextmanager
def _plugin() -> Iterator[None]:
    """Remove the task type of the plugin from the registry afterwards, for other tests in this process."""
    try:
        yield
    finally:
        TASKS._members.pop(KIND, None)
        sys.modules.pop(PLUGIN, None)


@_plugin()
def stop(scratch: Path) -> FaultCount:
    """Stop a run: the error names task, step and row, and no checkpoint has the bad update."""
    count = FaultCount(
        "a loss or gradient is nan or inf: the run stops, names task, step and row, and does not checkpoint the update"
    )
    for fault in ("nan", "inf", "gradient"):
        output = scratch / fault
        run = faulty_run(scratch / f"{fault}-tiny", fault)
        try:
            train_job(run, output)
            reason = "the run did not stop"
        except RunError as error:
            step = _step_of_faulty_row(run, scratch / f"{fault}-plan")
            message = str(error)
            named = f"train.jsonl:{LINE}:" in message and "'grade'" in message and message.startswith(f"step {step}:")
            latest, _ = latest_valid(output / "checkpoints")
            reason = "" if named and latest == checkpoint(output, step - 1) else f"{message} (latest: {latest})"
            if (
                latest is not None
                and not reason
                and not all(bool(torch.isfinite(value).all()) for value in weights(latest).values())
            ):
                reason = "the checkpoint has non-finite weights"
        count.add(fault, not reason, reason)
    return count


@_plugin()
def skip(scratch: Path, *, world_sizes: Sequence[int] = (1, 2)) -> FaultCount:
    """Skip such steps: the run finishes, counts them, and its weights are finite."""
    count = FaultCount(
        'with train.on_bad_step = "skip": such steps are skipped and counted, and the weights stay finite'
    )
    for fault in ("nan", "inf", "gradient"):
        for processes in world_sizes:
            output = scratch / f"{fault}-{processes}"
            run = faulty_run(scratch / f"{fault}-{processes}-tiny", fault, on_bad_step="skip")
            train_all([{"run": run, "output": str(output), "resume": False}], processes=processes, scratch=scratch)
            state = json.loads((checkpoint(output, STEPS) / "state.json").read_text(encoding="utf-8"))
            lines = [line for line in metrics(output) if "skipped" in line]
            passed = state["skipped"] == len(lines) > 0 and all(
                bool(torch.isfinite(value).all()) for value in weights(checkpoint(output, STEPS)).values()
            )
            count.add(f"{fault}, {processes} processes", passed, f"{state['skipped']} counted, {len(lines)} lines")
    return count


@_plugin()
def out_of_memory(scratch: Path, *, world_sizes: Sequence[int] = (1, 2)) -> FaultCount:
    """Limit memory to two rows at once: the same rows and the same gradient in smaller micro-batches."""
    count = FaultCount("out of memory: smaller micro-batches of the same rows, the same weights to 1e-6")
    for processes in world_sizes:
        directory = scratch / str(processes)
        run = faulty_run(directory / "tiny", "memory", dropout=0.0)
        run["sampling"] = {"kind": "uniform", "batches": "single"}  # so that a step has many rows of the task
        limited = [{"run": run, "output": str(directory / "limited"), "resume": False}]
        train_all(limited, processes=processes, scratch=scratch)
        unlimited = {**run, "datasets": _with_task(run, {"kind": "regression"}), "plugins": []}
        train_job(unlimited, directory / "unlimited")
        difference = max_weight_difference(
            checkpoint(directory / "limited", STEPS), checkpoint(directory / "unlimited", STEPS)
        )
        state = json.loads((checkpoint(directory / "limited", STEPS) / "state.json").read_text(encoding="utf-8"))
        rows = [computed_rows(directory / name) for name in ("limited", "unlimited")]
        passed = difference < 1e-6 and rows[0] == rows[1] and state["micro_tokens"] is not None
        count.add(
            f"{processes} processes",
            passed,
            f"weights {difference:.1e} difference, micro_tokens {state['micro_tokens']}",
        )
    return count


def faulty_run(directory: Path, fault: str, *, dropout: float = 0.1, **train: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"save_every": 1, "precision": "fp64", "lr": 1e-4, **train}
    run = small_run(directory, dropout=dropout, steps=STEPS, rows=48, train=options, eval={"every": 50})
    run["plugins"] = [PLUGIN]
    run["datasets"] = _with_task(run, {"kind": KIND, "how": fault})
    path = Path(run["datasets"]["pairs"]["data"]["files"]["train"])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if fault == "memory":  # these targets have mean 0 and deviation 1, so standardising does not change them
        for number, line in enumerate(lines):
            line["grade"] = 1.0 if number % 2 else -1.0
    else:
        lines[LINE - 1]["grade"] = FAULTY_LABEL
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return run


def _with_task(run: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    pairs = run["datasets"]["pairs"]
    return {**run["datasets"], "pairs": {**pairs, "tasks": {"grade": {**options, "label": "grade"}}}}


def _step_of_faulty_row(run: Mapping[str, Any], output: Path) -> int:
    """Return the first step, counted from 1, with the faulty row."""
    with open_trainer(run, output, resume=False) as trainer:
        names = list(run["datasets"])
        for plan, _ in trainer.plan.steps(trainer.plan.start(), STEPS):
            if (names.index("pairs"), LINE - 1) in {(row.dataset, row.row) for row in plan.rows}:
                return plan.step + 1
    raise AssertionError("the row is in no step")
