"""The plan of a run: order of rows, passes and cursors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.registry import SAMPLERS, KindOptions
from nlpmtl.sampling import (
    AdaptiveSampler,
    Cursor,
    Feedback,
    Plan,
    RowRef,
    Sampler,
    SamplerState,
    StepPlan,
    Temperature,
    build_plan,
    build_sampler,
)


def plan_of(
    names: str, sizes: tuple[int, ...], *, seed: int = 17, batch_size: int = 5, total_steps: int = 40, **options: Any
) -> Plan:
    return build_plan(
        SAMPLERS.parse({"kind": "uniform", **options}),
        names=tuple(names),
        sizes=sizes,
        total_steps=total_steps,
        epoch_steps=10,
        batch_size=batch_size,
        seed=seed,
    )


def rows_of(plan: Plan, name: str, *, steps: int = 40) -> list[int]:
    rows = [row for step, _ in plan.steps(plan.start(), steps) for row in step.rows]
    return [row.row for row in rows if plan.names[row.dataset] == name]


def step_plan(step: int, *rows: tuple[int, int, int]) -> StepPlan:
    return StepPlan(step, tuple(RowRef(*row) for row in rows))


def test_mixed_plans_are_stable_between_versions() -> None:
    """The order of training rows: changing these numbers changes the results of every run."""
    plan = plan_of("ab", (4, 7), kind="temperature")
    assert list(plan.steps(plan.start(), 2)) == [
        (step_plan(0, (0, 0, 0), (1, 5, 0), (0, 3, 0), (1, 6, 0), (1, 4, 0)), Cursor(step=1, rows_per_dataset=(2, 3))),
        (step_plan(1, (0, 1, 0), (1, 2, 0), (0, 2, 0), (0, 3, 1), (1, 1, 0)), Cursor(step=2, rows_per_dataset=(5, 5))),
    ]


def test_single_plans_are_stable_between_versions() -> None:
    plan = plan_of("ab", (4, 7), kind="temperature", batches="single")
    assert list(plan.steps(plan.start(), 2)) == [
        (step_plan(0, (0, 0, 0), (0, 3, 0), (0, 1, 0), (0, 2, 0), (0, 3, 1)), Cursor(step=1, rows_per_dataset=(5, 0))),
        (step_plan(1, (1, 5, 0), (1, 6, 0), (1, 4, 0), (1, 2, 0), (1, 1, 0)), Cursor(step=2, rows_per_dataset=(5, 5))),
    ]


def test_cursor_in_json() -> None:
    assert json.dumps(Cursor(step=3, rows_per_dataset=(5, 7)).to_json()) == '{"step": 3, "picks": [5, 7], "memory": {}}'
    assert Cursor.from_json({"step": 3, "picks": [5, 7], "memory": {"a": 1}}) == Cursor(3, (5, 7), {"a": 1})


def test_steps_end_with_the_run() -> None:
    plan = plan_of("ab", (4, 7))
    assert [step.step for step, _ in plan.steps(Cursor(step=2, rows_per_dataset=(6, 4)), 5)] == [2, 3, 4]
    assert list(plan.steps(Cursor(step=5, rows_per_dataset=(10, 15)), 5)) == []


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(1, 64),
    st.sampled_from(["mixed", "single"]),
    st.integers(0, 2**32 - 1),
)
def test_every_pass_covers_every_row_once(sizes: list[int], batch_size: int, batches: str, seed: int) -> None:
    plan = plan_of("abcde"[: len(sizes)], tuple(sizes), seed=seed, batch_size=batch_size, batches=batches)
    for name, size in zip(plan.names, plan.sizes, strict=True):
        rows = rows_of(plan, name, steps=12)
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            assert len(set(part)) == len(part)
            assert set(part) <= set(range(size))


def test_every_pass_is_shuffled_differently() -> None:
    rows = rows_of(plan_of("a", (50,)), "a")
    passes = {tuple(rows[first : first + 50]) for first in range(0, 200, 50)}
    assert len(rows) == 200
    assert len(passes) == 4
    assert tuple(range(50)) not in passes


def test_the_seed_and_the_name_key_the_shuffle() -> None:
    shuffles = {tuple(rows_of(plan_of(name, (50,), seed=seed), name)) for name in "ab" for seed in (0, 1, 2**32 - 1)}
    assert len(shuffles) == 6


def test_another_dataset_does_not_change_the_order_within_the_others() -> None:
    single, among = rows_of(plan_of("b", (30,)), "b"), rows_of(plan_of("abc", (9, 30, 80)), "b")
    assert 60 < len(among) < len(single)
    assert single[: len(among)] == among


@pytest.mark.parametrize("batches", ["mixed", "single"])
def test_unimax_keeps_its_limit(batches: str) -> None:
    plan = plan_of("abc", (20, 100, 10_000), kind="unimax", max_epochs=3, batches=batches, total_steps=400)
    for cursor in (cursor for _, cursor in plan.steps(plan.start(), 400)):
        last = cursor.rows_per_dataset
    assert last[0] == pytest.approx(3 * 20, abs=10)  # two steps with single batches
    assert last[1] == pytest.approx(3 * 100, abs=10)


def test_samplers_do_not_get_the_batches_option() -> None:
    options = SAMPLERS.parse({"kind": "temperature", "temperature": 3.0, "batches": "single"})
    sampler = build_sampler(options, sizes=(1, 2), total_steps=9, epoch_steps=4, rows_per_step=6, seed=7)
    assert sampler == Temperature(sizes=(1, 2), total_steps=9, epoch_steps=4, rows_per_step=6, seed=7, temperature=3.0)


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"datasets\.b: no train rows"):
        plan_of("abc", (1, 0, 2), kind="proportional")
    with pytest.raises(ConfigError, match=r"datasets\.b: no train rows"):
        Plan("ab", sizes=(1, 0), sampler=plan_of("ab", (1, 1)).sampler, batch_size=1, batches="mixed", seed=0)


def test_a_cursor_of_other_datasets_is_refused() -> None:
    with pytest.raises(RunError, match=r"3 datasets, and the config has 2 \(a, b\)"):
        plan_of("ab", (4, 7)).next(plan_of("abc", (4, 7, 9)).start())


class Equal(Sampler):
    def probabilities(self, step: int) -> tuple[float, ...]:
        return (1.0,)


def test_a_sampler_has_the_options_of_all_samplers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SAMPLERS, "_members", dict(SAMPLERS._members))
    with pytest.raises(ConfigError, match="the options of the sampler 'mine' must derive from SamplingOptions"):
        SAMPLERS.register("mine", KindOptions)(Equal)
    SAMPLERS.register("mine")(Equal)
    options = SAMPLERS.parse({"kind": "mine", "batches": "single"})
    plan = build_plan(options, names="a", sizes=(1,), total_steps=1, epoch_steps=1, batch_size=2, seed=0)
    assert len(plan.next(plan.start())[0].rows) == 2


def test_an_incomplete_sampler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Incomplete(AdaptiveSampler):
        def initial_state(self) -> SamplerState:
            return {}

    monkeypatch.setattr(SAMPLERS, "_members", dict(SAMPLERS._members))
    SAMPLERS.register("incomplete")(Incomplete)
    options = SAMPLERS.parse({"kind": "incomplete"})
    with pytest.raises(
        ConfigError, match=r"the sampler 'incomplete', .*Incomplete, must define probabilities_after, up"
    ):
        build_plan(options, names="a", sizes=(1,), total_steps=1, epoch_steps=1, batch_size=1, seed=0)


@pytest.mark.parametrize("method", ["initial_state", "update"])
def test_the_state_of_a_sampler_is_a_dict(method: str) -> None:
    class Stateful(AdaptiveSampler):
        def initial_state(self) -> SamplerState:
            return None if method == "initial_state" else {}  # type: ignore[return-value]

        def update(self, state: SamplerState, feedback: Feedback) -> SamplerState:
            return None  # type: ignore[return-value]

        def probabilities_after(self, step: int, state: SamplerState) -> tuple[float, ...]:
            return (1.0,)

    sampler = Stateful(sizes=(1,), total_steps=1, epoch_steps=1, rows_per_step=1, seed=0)
    plan = Plan("a", sizes=(1,), sampler=sampler, batch_size=1, batches="mixed", seed=0)
    with pytest.raises(RunError, match=rf"sampling: Stateful\.{method}\(\) must return a dict, found NoneType"):
        plan.update(plan.start(), Feedback((1,), {}, {}))


@pytest.mark.parametrize(
    "found", [(1.0,), (0.5, 0.25, 0.25), (0.7, 0.7), (1.5, -0.5), (float("nan"), 1.0), None, ("a", 1)], ids=str
)
def test_a_sampler_must_return_a_probability_for_each_dataset(found: Any) -> None:
    class Wrong(Sampler):
        def probabilities(self, step: int) -> tuple[float, ...]:
            return found  # type: ignore[no-any-return]

    sampler = Wrong(sizes=(3, 5), total_steps=4, epoch_steps=2, rows_per_step=4, seed=0)
    plan = Plan(("a", "b"), sizes=(3, 5), sampler=sampler, batch_size=4, batches="mixed", seed=0)
    with pytest.raises(RunError, match="Wrong must return a probability for each of the datasets a, b, which sum to 1"):
        plan.next(plan.start())


def test_a_phase_in_the_first_half_makes_a_plan_vary_with_time() -> None:
    phases = [{"datasets": ["a"], "until": 0.2}, {"datasets": ["b"], "until": 0.4}, {"datasets": ["a"]}]
    assert plan_of("ab", (3, 5), kind="phases", phases=phases).is_time_varying(1000)
    assert not plan_of("ab", (3, 5)).is_time_varying(1000)
