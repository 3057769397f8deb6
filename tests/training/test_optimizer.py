"""Learning-rate schedules and parameter groups."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import task_from_config
from nlpmtl.training import build_optimizer, build_schedule
from tests.tiny import write_encoder


@pytest.mark.parametrize(
    ("kind", "warmup", "factors"),
    [
        ("linear", 0.5, [1 / 3, 2 / 3, 1.0, 0.5]),
        ("linear", 0.0, [1.0, 0.75, 0.5, 0.25]),
        ("cosine", 0.5, [1 / 3, 2 / 3, 1.0, 0.5]),
        ("cosine", 0.0, [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ("constant", 0.5, [1 / 3, 2 / 3, 1.0, 1.0]),
        ("constant", 0.0, [1.0, 1.0, 1.0, 1.0]),
        ("linear", 0.1, [0.5, 1.0, 2 / 3, 1 / 3]),
    ],
)
def test_schedule_values(kind: str, warmup: float, factors: list[float]) -> None:
    schedule = build_schedule(kind, total=4, warmup=warmup)  # type: ignore[arg-type]
    assert [schedule(step) for step in range(4)] == pytest.approx(factors)


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.999])
def test_a_schedule_has_one_warm_up_and_stays_above_zero(kind: str, total: int, warmup: float) -> None:
    schedule = build_schedule(kind, total=total, warmup=warmup)  # type: ignore[arg-type]
    factors = [schedule(step) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert all(a < b for a, b in pairwise(factors[: top + 1]))
    assert all(a >= b for a, b in pairwise(factors[top:]))


def test_biases_and_norms_are_not_decayed_and_heads_have_their_own_rate(tmp_path: Path) -> None:
    spec = {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "text"}
    tasks = [task_from_config(name, spec) for name in ("one", "two")]
    encoder = load_encoder(str(write_encoder(tmp_path)))
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=8, seed=0)
    model.sharing.encoder.embeddings.requires_grad_(False)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, lr=1e-4, head_lr=5e-4, weight_decay=0.01)
    optimized = []
    for group in optimizer.param_groups:
        assert group["lr"] == group["initial_lr"]
        for parameter in group["params"]:
            name = names[id(parameter)]
            optimized.append(name)
            assert group["lr"] == (5e-4 if name.startswith("heads.") else 1e-4), name
            vector = name.endswith("bias") or "LayerNorm" in name
            assert group["weight_decay"] == (0.0 if vector else 0.01), name
    assert sorted(optimized) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    assert not any("embeddings" in name for name in optimized), "frozen parameters are not decayed"
    assert {name.split(".")[1] for name in optimized if name.startswith("heads.")} == {"one_head", "two_head"}
