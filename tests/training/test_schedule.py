"""Learning-rate schedules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.config import ScheduleOptions, parse_schedule
from nlpmtl.errors import ConfigError
from nlpmtl.registry import SCHEDULES
from nlpmtl.run import load_config
from nlpmtl.training import Schedule, build_schedule
from tests.tiny import make_run


@pytest.mark.parametrize(
    ("schedule", "warmup", "factors"),
    [
        ("linear", 0.5, [1 / 3, 2 / 3, 1.0, 0.5]),
        ("linear", 0.0, [1.0, 0.75, 0.5, 0.25]),
        ("cosine", 0.5, [1 / 3, 2 / 3, 1.0, 0.5]),
        ("cosine", 0.0, [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ("constant", 0.5, [1 / 3, 2 / 3, 1.0, 1.0]),
        ("constant", 0.0, [1.0, 1.0, 1.0, 1.0]),
        ("linear", 0.1, [0.5, 1.0, 2 / 3, 1 / 3]),
        ("polynomial", 0.0, [1.0, 9 / 16, 1 / 4, 1 / 16]),
        ({"kind": "polynomial", "power": 3.0}, 0.5, [1 / 3, 2 / 3, 1.0, 1 / 8]),
        ({"kind": "polynomial", "power": 0.5}, 0.0, [1.0, 0.75**0.5, 0.5**0.5, 0.5]),
        ("inverse_sqrt", 0.5, [1 / 3, 2 / 3, 1.0, (3 / 4) ** 0.5]),
        ("inverse_sqrt", 0.0, [1.0, (1 / 2) ** 0.5, (1 / 3) ** 0.5, 1 / 2]),
    ],
    ids=str,
)
def test_schedule_values(schedule: Any, warmup: float, factors: list[float]) -> None:
    factor = build_schedule(parse_schedule(schedule), total=4, warmup=warmup)
    assert [factor(step) for step in range(4)] == pytest.approx(factors)


def test_the_warm_up_is_a_decimal_fraction_of_the_steps() -> None:
    """In binary, 0.07 · 100 is a little more than 7."""
    factor = build_schedule(parse_schedule("constant"), total=100, warmup=0.07)
    assert [factor(step) < 1 for step in (6, 7)] == [True, False]


@pytest.mark.parametrize("kind", SCHEDULES.names())
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.999])
def test_a_schedule_has_one_warm_up_and_stays_above_zero(kind: str, total: int, warmup: float) -> None:
    schedule = build_schedule(parse_schedule(kind), total=total, warmup=warmup)
    factors = [schedule(step) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert all(a < b for a, b in pairwise(factors[: top + 1]))
    assert all(a >= b for a, b in pairwise(factors[top:]))
    assert [schedule(step) for step in reversed(range(total))] == factors[::-1], "it is a function of the step only"


def test_polynomial_with_power_1_is_linear() -> None:
    first, other = (
        build_schedule(parse_schedule(table), total=50, warmup=0.1)
        for table in ("linear", {"kind": "polynomial", "power": 1.0})
    )
    assert [first(step) for step in range(50)] == [other(step) for step in range(50)]


@pytest.fixture
def halving() -> Iterator[None]:
    before = dict(SCHEDULES._members)

    class HalvingOptions(ScheduleOptions):
        every: int

    @SCHEDULES.register("halving", HalvingOptions)
    class Halving(Schedule):
        def __init__(self, *, every: int) -> None:
            self.every = every

        def factor(self, step: int, *, warmup: int, total: int) -> float:
            return 0.5 ** ((step - warmup) // self.every)

    yield
    SCHEDULES._members = before


def test_a_plugin_can_register_a_schedule(halving: None, tmp_path: Path) -> None:
    table = {"kind": "halving", "every": 2}
    config = load_config(make_run(tmp_path, rows=4, train={"steps": 5, "schedule": table}))
    schedule = build_schedule(config.train.schedule, total=5, warmup=0.0)
    assert [schedule(step) for step in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert config.train.model_dump(mode="json")["schedule"] == table


@pytest.mark.parametrize("table", ["cosine", {"kind": "cosine"}], ids=str)
def test_a_schedule_without_options_is_recorded_by_its_name(table: Any, tmp_path: Path) -> None:
    config = load_config(make_run(tmp_path, rows=4, train={"schedule": table}))
    assert config.train.model_dump(mode="json")["schedule"] == "cosine", "as earlier versions did"


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", r"train\.schedule: unknown learning-rate schedule 'cosin'; did you mean 'cosine'"),
        ("inverse_square_root", "write 'inverse_sqrt'"),
        ({"kind": "polynomial", "power": 0}, r"train\.schedule\.power: must be greater than 0"),
        ({"kind": "linear", "power": 2.0}, r"train\.schedule\.power: unknown key"),
        ({"power": 2.0}, "`kind` is missing; known: constant, cosine"),
        (3, "a table with a `kind` was expected"),
    ],
    ids=str,
)
def test_invalid_schedules_are_config_errors(schedule: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(make_run(tmp_path, rows=4, train={"schedule": schedule}))
