"""Runs resumed from any of their steps equal uninterrupted runs bit for bit: weights, losses and rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any, TypeVar

from nlpmtl.registry import SAMPLERS, SHARINGS, WEIGHTINGS
from nlpmtl.training import read_lines
from tests.faults.harness import FaultCount, copy_until, small_run, train_all
from tests.tiny import checkpoint, digest, read_json

Setting = tuple[int, int, str, str]
"""Processes, micro-batches per step, `sampling.batches`, and the component that is not the default."""

T = TypeVar("T", bound=tuple[Any, ...])
STEPS = 40
_NEEDED: dict[str, dict[str, Any]] = {"layers": {"shared": 1}}
"""Required options of kinds."""


def members() -> dict[str, dict[str, Any]]:
    """Return every registered sampler, weighting and sharing scheme, as tables of a run."""
    latest: dict[str, dict[str, Any]] = {}
    for table, registry in (("sampling", SAMPLERS), ("weighting", WEIGHTINGS), ("sharing", SHARINGS)):
        for kind in registry.names():
            latest[f"{table} {kind}"] = {table: {"kind": kind, **_NEEDED.get(kind, {})}}
    latest["relations"] = {"sharing": {"kind": "hard", "relations": "covariance"}}
    latest["all at once"] = {
        "sampling": {"kind": "exp3"},
        "weighting": {"kind": "gradvac"},
        "sharing": {"kind": "cross_stitch", "relations": "covariance"},
    }
    return latest


def settings() -> list[Setting]:
    """Return all combinations."""
    return list(product((1, 2), (1, 3), ("mixed", "single"), members()))


def covering_pairs(settings: Iterable[T]) -> list[T]:
    """Return a subset that has each pair of values of two factors at least once, chosen greedily."""
    remaining = [(setting, set(_pairs(setting))) for setting in settings]
    missing = {pair for _, pairs in remaining for pair in pairs}
    chosen = []
    while missing:
        setting, pairs = max(remaining, key=lambda candidate: len(missing & candidate[1]))
        chosen.append(setting)
        missing -= pairs
    return chosen


def _pairs(setting: tuple[Any, ...]) -> Iterator[tuple[tuple[int, Any], ...]]:
    return combinations(enumerate(setting), 2)


def from_every_step(
    scratch: Path,
    settings: Iterable[Setting],
    *,
    every: int = 1,
    last: int = STEPS,
    steps_ahead: int | None = None,
    sharded: bool = False,
    parallel: int = 1,
) -> FaultCount:
    """Resume each run from every `every`-th step, with 1 also from its start.

    Args:
        scratch: directory for the runs.
        settings: the settings to run.
        every: steps between two resumes.
        last: number of steps of a run.
        steps_ahead: number of steps after the resume, a multiple of `every`; None: to the end.
        sharded: whether to train with FSDP2.
        parallel: number of single-process runs at the same time.
    """
    count = FaultCount(
        "resumed from a step; weights, optimizer, losses, scores and rows "
        + ("at the end " if steps_ahead is None else "a step later ")
        + "are those of an uninterrupted run"
    )
    base = small_run(scratch, steps=last, train={"save_every": every})
    steps = range(0 if every == 1 else every, last, every)
    runs_by_processes: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for setting in settings:
        processes, microbatches, batches, member = setting
        # 30 tokens hold three rows of the usual length; a step has six.
        tokens = 10_000 if microbatches == 1 else 30
        run = {**base, "train": {**base["train"], "micro_tokens": tokens}, **members()[member]}
        run["sampling"] = {"kind": "proportional", **run.get("sampling", {}), "batches": batches}
        runs_by_processes.setdefault(processes, []).append(("-".join(map(str, setting)), run))
    for processes, runs in runs_by_processes.items():
        outputs = {name: scratch / "whole" / name for name, _ in runs}
        uninterrupted_jobs = [{"run": run, "output": str(outputs[name]), "resume": False} for name, run in runs]
        concurrent = parallel if processes == 1 else 1
        train = partial(train_all, processes=processes, scratch=scratch, sharded=sharded, parallel=concurrent)
        train(uninterrupted_jobs)
        resumed_jobs = []
        for name, run in runs:
            for step in steps:
                resumed_run = {**run, "train": {**run["train"], "save_every": steps_ahead or last}}
                copy = copy_until(outputs[name], step, scratch / "again" / name / str(step))
                until = None if steps_ahead is None else step + steps_ahead
                resumed_jobs.append({"run": resumed_run, "output": str(copy), "resume": True, "until": until})
        train(resumed_jobs)
        for name, _ in runs:
            for step in steps:
                end = last if steps_ahead is None else step + steps_ahead
                reason = difference(outputs[name], scratch / "again" / name / str(step), after=step, last=end)
                count.add(f"{name}, step {step}", reason is None, reason or "")
    return count


def each_pair(scratch: Path, *, parallel: int) -> FaultCount:
    """Resume to the end, with settings that cover each pair of values."""
    chosen = covering_pairs(settings())
    count = from_every_step(scratch, chosen, parallel=parallel)
    count.description = f"{len(chosen)} settings that cover each pair of values: {count.description}"
    return count


def all_settings(scratch: Path, *, parallel: int) -> FaultCount:
    """Resume for one step, with all settings."""
    chosen = settings()
    count = from_every_step(scratch, chosen, steps_ahead=1, parallel=parallel)
    count.description = f"all {len(chosen)} settings: {count.description}"
    return count


def sharded(scratch: Path, *, every: int = 1, last: int = STEPS) -> FaultCount:
    """Resume two processes with sharded training, for components that read gradients and losses."""
    count = from_every_step(scratch, sharded_settings(), every=every, last=last, sharded=True)
    count.description = f"two processes with sharded training (FSDP2): {count.description}"
    return count


def sharded_settings() -> list[Setting]:
    """Return settings of two processes that cover each pair, for components that read gradients and losses."""
    observing = ("sampling proportional", "sampling exp3", "weighting gradvac", "weighting gradnorm", "relations")
    return covering_pairs([setting for setting in settings() if setting[0] == 2 and setting[3] in observing])


def difference(first: Path, second: Path, *, after: int, last: int) -> str | None:
    """Return what differs between two runs at step `last`, where the second was resumed at `after`; None if equal."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        if digest(checkpoint(first, last), name) != digest(checkpoint(second, last), name):
            return f"{name} differs"
    states = [read_json(checkpoint(output, last) / "state.json") for output in (first, second)]
    if any(states[0][key] != states[1][key] for key in states[0].keys() | states[1].keys() if key != "config"):
        return "state.json differs"
    for field, name in (("losses", "metrics.jsonl"), ("scores", "evaluations.jsonl")):
        lines = [_lines(output / name, last=last) for output in (first, second)]
        if lines[0] != lines[1]:
            return f"{field} differ"
    for path in sorted(first.glob("rows-*.json")):
        rows, resumed_rows = (
            {step: rows for step, rows in read_json(output / path.name).items() if after < int(step) <= last}
            for output in (first, second)
        )
        if rows != resumed_rows or not rows:
            return "rows differ"
    return None


def _lines(path: Path, *, last: int) -> list[dict[str, Any]]:
    """Return log lines up to a step, without measured times."""
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in line.items() if k not in timed} for line in read_lines(path) if line["step"] <= last]
