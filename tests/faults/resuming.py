"""A run that goes on from any of its steps ends as if it had never stopped: weights, losses and rows, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

from nlpmtl.registry import SAMPLERS, SHARINGS, WEIGHTINGS
from tests.faults.harness import Count, cut_at, play_all, small_run
from tests.tiny import checkpoint, digest, metrics

Setting = tuple[int, int, str, str]
"""Processes, micro-batches a step, batches, what is not as usual."""

STEPS = 40
_NEEDED: dict[str, dict[str, Any]] = {"layers": {"shared": 1}}
"""Options without which a kind cannot be."""


def members() -> dict[str, dict[str, Any]]:
    """Everything that may remember something, as tables of a run: what is registered later is there by itself."""
    found: dict[str, dict[str, Any]] = {}
    for table, registry in (("sampling", SAMPLERS), ("weighting", WEIGHTINGS), ("sharing", SHARINGS)):
        for kind in registry.names():
            found[f"{table} {kind}"] = {table: {"kind": kind, **_NEEDED.get(kind, {})}}
    found["relations"] = {"sharing": {"kind": "hard", "relations": "covariance"}}
    found["all at once"] = {
        "sampling": {"kind": "exp3"},
        "weighting": {"kind": "gradvac"},
        "sharing": {"kind": "cross_stitch", "relations": "covariance"},
    }
    return found


def settings() -> list[Setting]:
    """All of them."""
    return list(product((1, 2), (1, 3), ("mixed", "single"), members()))


def in_pairs(whole: Iterable[Setting]) -> list[Setting]:
    """So many of them that each pair of values of two of them is there at least once, taken greedily."""
    rest = list(whole)
    wanted = {pair for one in rest for pair in _pairs(one)}
    chosen = []
    while wanted:
        best = max(rest, key=lambda one: len(wanted & set(_pairs(one))))
        chosen.append(best)
        wanted -= set(_pairs(best))
    return chosen


def _pairs(one: Setting) -> Iterator[tuple[tuple[int, Any], ...]]:
    return combinations(enumerate(one), 2)


def from_every_step(scratch: Path, chosen: Iterable[Setting], *, every: int = 1, last: int = STEPS) -> Count:
    """Resume each run from every so many of its steps; with 1, from its start too.

    Args:
        scratch: where to run them.
        chosen: the settings.
        every: steps between two resumes.
        last: steps of a run.
    """
    count = Count("resumed from a step; weights, optimizer, losses, scores and rows are those of the run that went on")
    base = small_run(scratch, steps=last, train={"save_every": every})
    steps = range(0 if every == 1 else every, last, every)
    by_processes: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    for one in chosen:
        processes, micros, batches, member = one
        # Three rows of the tiny rows' usual length; six are a step.
        tokens = 10_000 if micros == 1 else 30
        run = {**base, "train": {**base["train"], "micro_tokens": tokens}, **members()[member]}
        run["sampling"] = {"kind": "proportional", **run.get("sampling", {}), "batches": batches}
        by_processes.setdefault(processes, []).append(("-".join(map(str, one)), run))
    for processes, runs in by_processes.items():
        outputs = {name: scratch / "whole" / name for name, _ in runs}
        first = [{"run": run, "output": str(outputs[name]), "resume": False} for name, run in runs]
        play_all(first, processes=processes, scratch=scratch)
        again = []
        for name, run in runs:
            for step in steps:
                rare = {**run, "train": {**run["train"], "save_every": last}}
                copy = cut_at(outputs[name], step, scratch / "again" / name / str(step))
                again.append({"run": rare, "output": str(copy), "resume": True})
        play_all(again, processes=processes, scratch=scratch)
        for name, _ in runs:
            for step in steps:
                why = difference(outputs[name], scratch / "again" / name / str(step), after=step, last=last)
                count.add(f"{name}, step {step}", why is None, why or "")
    return count


def difference(one: Path, other: Path, *, after: int, last: int) -> str | None:
    """What of two runs is not the same at their last step, the second of which was resumed; None if all is."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        if digest(checkpoint(one, last), name) != digest(checkpoint(other, last), name):
            return f"{name} differs"
    timed = ("seconds", "tokens_per_second")
    lines = [[{k: v for k, v in line.items() if k not in timed} for line in metrics(output)] for output in (one, other)]
    if lines[0] != lines[1]:
        return "losses differ"
    if (one / "evaluations.jsonl").read_bytes() != (other / "evaluations.jsonl").read_bytes():
        return "scores differ"
    for path in sorted(one.glob("rows-*.json")):
        rows, again = (json.loads((output / path.name).read_text(encoding="utf-8")) for output in (one, other))
        if {step: rows[step] for step in rows if int(step) > after} != again:
            return "rows differ"
    return None
