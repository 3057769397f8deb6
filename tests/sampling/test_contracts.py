"""Contracts of every registered sampler."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable

import pytest
from pydantic import ValidationError

import nlpmtl.sampling as sampling
from nlpmtl.registry import SAMPLERS

pytestmark = pytest.mark.parametrize("kind", SAMPLERS.names())

STEPS = (0, 1, 999, 1_000, 2_999)


def plan_of(kind: str, batches: str) -> sampling.Plan:
    return sampling.build_plan(
        SAMPLERS.parse({"kind": kind, "batches": batches}),
        names=("a", "b", "c"),
        sizes=(3, 40, 11),
        total_steps=30,
        epoch_steps=7,
        batch_size=8,
        seed=5,
    )


def test_probabilities_sum_to_one(build: Callable[..., sampling.Sampler], kind: str, sizes: tuple[int, ...]) -> None:
    for step in STEPS:
        p = build(kind, sizes).probabilities(step)
        assert len(p) == len(sizes)
        assert min(p) >= 0
        assert math.fsum(p) == pytest.approx(1, abs=1e-12)


def test_permuted_sizes_permute_the_probabilities(
    build: Callable[..., sampling.Sampler], kind: str, sizes: tuple[int, ...]
) -> None:
    order = random.Random(3).sample(range(len(sizes)), len(sizes))
    for step in STEPS:
        p = build(kind, sizes).probabilities(step)
        permuted = build(kind, [sizes[index] for index in order]).probabilities(step)
        assert permuted == pytest.approx([p[index] for index in order], rel=1e-12)


def test_draws_do_not_depend_on_earlier_calls(
    build: Callable[..., sampling.Sampler], kind: str, sizes: tuple[int, ...]
) -> None:
    full = build(kind, sizes).draw(0, 96, step=1_500)
    sampler = build(kind, sizes)
    for first in (64, 0, 32, 0):
        assert sampler.draw(first, 32, step=1_500) == full[first : first + 32]
        sampler.probabilities(first)


@pytest.mark.parametrize("batches", ["mixed", "single"])
def test_a_plan_does_not_depend_on_earlier_calls(kind: str, batches: str) -> None:
    plan = plan_of(kind, batches)
    cursors = [plan.start()]
    plans = []
    for step, cursor in plan.steps(plan.start(), 30):
        plans.append((step, cursor))
        cursors.append(cursor)
    for number in random.Random(3).sample(range(30), 30):
        assert plan.next(cursors[number]) == plans[number]


@pytest.mark.parametrize("batches", ["mixed", "single"])
def test_a_resumed_plan_equals_an_uninterrupted_one(kind: str, batches: str) -> None:
    plan = plan_of(kind, batches)
    full = list(plan.steps(plan.start(), 30))
    assert [step.step for step, _ in full] == list(range(30))
    for number, (_, cursor) in enumerate(full):
        read = sampling.Cursor.from_json(json.loads(json.dumps(cursor.to_json())))
        assert read == cursor
        assert list(plan_of(kind, batches).steps(read, 30)) == full[number + 1 :]


@pytest.mark.parametrize("batches", ["mixed", "single"])
def test_rows_are_used_as_often_as_planned(kind: str, batches: str) -> None:
    plan = plan_of(kind, batches)
    taken: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for step, cursor in plan.steps(plan.start(), 30):
        assert len(step.rows) == 8
        for index, row, pass_ in step.rows:
            assert pass_ == len(taken[index]) // plan.sizes[index]
            taken[index].append(row)
        assert cursor.rows_per_dataset == tuple(len(taken[index]) for index in range(3))
    for index, size in enumerate(plan.sizes):
        uses = [taken[index].count(row) for row in range(size)]
        assert sum(uses) == len(taken[index])
        assert max(uses) - min(uses) <= 1
        for start in range(0, len(taken[index]) - size + 1, size):
            assert sorted(taken[index][start : start + size]) == list(range(size))


def test_single_batches_come_from_one_dataset(kind: str) -> None:
    plan = plan_of(kind, "single")
    for step, _ in plan.steps(plan.start(), 30):
        assert {row.dataset for row in step.rows} == set(plan.sampler.draw(step.step, 1, step=step.step))


def test_mixed_batches_keep_the_order_of_draws(kind: str) -> None:
    plan = plan_of(kind, "mixed")
    for step, _ in plan.steps(plan.start(), 30):
        assert [row.dataset for row in step.rows] == plan.sampler.draw(8 * step.step, 8, step=step.step)


def test_options(kind: str) -> None:
    assert issubclass(SAMPLERS.options(kind), sampling.SamplingOptions)
    assert SAMPLERS.parse({"kind": kind}).model_dump()["batches"] == "mixed"
    with pytest.raises(ValidationError, match="batches"):
        SAMPLERS.parse({"kind": kind, "batches": "both"})
    with pytest.raises(ValidationError, match="did you mean 'batches'"):
        SAMPLERS.parse({"kind": kind, "batch": "mixed"})
