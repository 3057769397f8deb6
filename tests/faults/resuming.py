"""A run that goes on from any of its steps ends as if it had never stopped: weights, losses and rows, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

from nlpmtl.registry import SAMPLERS, SHARINGS, WEIGHTINGS
from nlpmtl.training import read_lines
from tests.faults.harness import Count, cut_at, play_all, small_run
from tests.tiny import checkpoint, digest, read_json

Setting = tuple[int, int, str, str]
"""Processes, micro-batches a step, batches, what is not as usual."""

STEPS = 40
_NEEDED: dict[str, dict[str, Any]] = {"layers": {"shared": 1}}
"""Options without which a kind cannot be."""


def members() -> dict[str, dict[str, Any]]:
    """Everything that may remember something, as tables of a run: what is registered later is there by itself."""
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


def from_every_step(
    scratch: Path,
    chosen: Iterable[Setting],
    *,
    every: int = 1,
    last: int = STEPS,
    ahead: int | None = None,
    in_slices: bool = False,
    at_once: int = 1,
) -> Count:
    """Resume each run from every so many of its steps; with 1, from its start too.

    Args:
        scratch: where to run them.
        chosen: the settings.
        every: steps between two resumes.
        last: steps of a run.
        ahead: how many steps to go on, which ends where a checkpoint is; None: to the end.
        in_slices: whether each of several processes holds a slice of the model.
        at_once: how many runs of one process go on beside each other.
    """
    count = Count(
        "resumed from a step; weights, optimizer, losses, scores and rows "
        + ("at the end " if ahead is None else "a step later ")
        + "are those of an uninterrupted run"
    )
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
        beside = at_once if processes == 1 else 1
        played = partial(play_all, processes=processes, scratch=scratch, in_slices=in_slices, at_once=beside)
        played(first)
        again = []
        for name, run in runs:
            for step in steps:
                rare = {**run, "train": {**run["train"], "save_every": ahead or last}}
                copy = cut_at(outputs[name], step, scratch / "again" / name / str(step))
                until = None if ahead is None else step + ahead
                again.append({"run": rare, "output": str(copy), "resume": True, "until": until})
        played(again)
        for name, _ in runs:
            for step in steps:
                end = last if ahead is None else step + ahead
                why = difference(outputs[name], scratch / "again" / name / str(step), after=step, last=end)
                count.add(f"{name}, step {step}", why is None, why or "")
    return count


def each_pair(scratch: Path, *, at_once: int) -> Count:
    """To the end, with settings of which each two are there together."""
    chosen = in_pairs(settings())
    count = from_every_step(scratch, chosen, at_once=at_once)
    count.what = f"{len(chosen)} settings that cover each pair of values: {count.what}"
    return count


def all_settings(scratch: Path, *, at_once: int) -> Count:
    """One step further, with all of them."""
    chosen = settings()
    count = from_every_step(scratch, chosen, ahead=1, at_once=at_once)
    count.what = f"all {len(chosen)} settings: {count.what}"
    return count


def in_slices(scratch: Path, *, every: int = 1, last: int = STEPS) -> Count:
    """The same with two processes that hold slices of the model, and with what looks at gradients and losses."""
    looking = ("sampling proportional", "sampling exp3", "weighting gradvac", "weighting gradnorm", "relations")
    whole = [one for one in settings() if one[0] == 2 and one[3] in looking]
    count = from_every_step(scratch, in_pairs(whole), every=every, last=last, in_slices=True)
    count.what = f"two processes with sharded training (FSDP2): {count.what}"
    return count


def difference(one: Path, other: Path, *, after: int, last: int) -> str | None:
    """What of two runs is not the same at a step, to which the second was resumed; None if all is."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        if digest(checkpoint(one, last), name) != digest(checkpoint(other, last), name):
            return f"{name} differs"
    states = [read_json(checkpoint(output, last) / "state.json") for output in (one, other)]
    if any(states[0][key] != states[1][key] for key in states[0].keys() | states[1].keys() if key != "config"):
        return "state.json differs"
    for what, name in (("losses", "metrics.jsonl"), ("scores", "evaluations.jsonl")):
        lines = [_lines(output / name, last=last) for output in (one, other)]
        if lines[0] != lines[1]:
            return f"{what} differ"
    for path in sorted(one.glob("rows-*.json")):
        rows, again = (
            {step: rows for step, rows in read_json(output / path.name).items() if after < int(step) <= last}
            for output in (one, other)
        )
        if rows != again or not rows:
            return "rows differ"
    return None


def _lines(path: Path, *, last: int) -> list[dict[str, Any]]:
    """Those up to a step, without what a clock said."""
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in line.items() if k not in timed} for line in read_lines(path) if line["step"] <= last]
