"""Learning-rate schedules, parameter groups and optimizers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from nlpmtl.errors import ConfigError
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.registry import OPTIMIZERS
from nlpmtl.run import load_config, load_inputs
from nlpmtl.tasks import task_from_config
from nlpmtl.training import build_optimizer, build_schedule, fsdp
from tests.tiny import checkpoint, digest, interrupt, make_run, train_tiny, write_encoder

ADAMW = OPTIMIZERS.parse({"kind": "adamw"})
RATE, DECAY = 0.1, 0.5


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
    optimizer = build_optimizer(model, ADAMW, lr=1e-4, head_lr=5e-4, weight_decay=0.01)
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


def adamw(
    theta: float, gradients: list[float], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> float:
    m = v = 0.0
    for k, g in enumerate(gradients, start=1):
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        step = (m / (1 - betas[0] ** k)) / ((v / (1 - betas[1] ** k)) ** 0.5 + eps)
        theta = theta - RATE * DECAY * theta - RATE * step
    return theta


def sgd(theta: float, gradients: list[float], *, momentum: float = 0.9, nesterov: bool = False) -> float:
    b = 0.0
    for g in gradients:
        d = g + DECAY * theta
        b = momentum * b + d
        theta = theta - RATE * (d + momentum * b if nesterov else b)
    return theta


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        (adamw, {"kind": "adamw"}),
        (adamw, {"kind": "adamw", "betas": (0.5, 0.75), "eps": 0.25}),
        (sgd, {"kind": "sgd"}),
        (sgd, {"kind": "sgd", "momentum": 0.0}),
        (sgd, {"kind": "sgd", "momentum": 0.5, "nesterov": True}),
    ],
)
def test_an_optimizer_computes_its_formula(formula: Callable[..., float], options: dict[str, Any]) -> None:
    model = torch.nn.Linear(1, 1, bias=False).double()
    model.weight.data.fill_(2.0)
    optimizer = build_optimizer(model, OPTIMIZERS.parse(options), lr=RATE, head_lr=9.0, weight_decay=DECAY)
    gradients = [0.5, -3.0, 0.125]
    for gradient in gradients:
        model.weight.grad = torch.full((1, 1), gradient, dtype=torch.float64)
        optimizer.step()
    values = {key: value for key, value in options.items() if key != "kind"}
    assert model.weight.item() == pytest.approx(formula(2.0, gradients, **values), rel=1e-12)


def test_the_default_is_fused_adamw_with_the_betas_and_eps_of_pytorch() -> None:
    expected = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True).param_groups[0]
    optimizer = build_optimizer(torch.nn.Linear(1, 1), ADAMW, lr=RATE, head_lr=RATE, weight_decay=DECAY)
    for group in optimizer.param_groups:
        assert {key: group[key] for key in ("betas", "eps", "fused", "amsgrad")} == {
            key: expected[key] for key in ("betas", "eps", "fused", "amsgrad")
        }


TRAIN = {"steps": 6, "batch_size": 6, "lr": 1e-2, "save_every": 2, "keep": 9, "precision": "fp32"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        {"kind": "adamw", "betas": [0.8, 0.9], "eps": 1e-6},
        {"kind": "sgd"},
        {"kind": "sgd", "momentum": 0.0},
        {"kind": "sgd", "nesterov": True},
    ],
    ids=str,
)
def test_a_resumed_run_is_the_uninterrupted_one(optimizer: dict[str, Any], tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=20, train=TRAIN, eval={"every": 2}, optimizer=optimizer)
    expected = train_tiny(run, tmp_path / "expected").output
    actual = tmp_path / "actual"
    interrupt(run, actual, step=4)
    train_tiny(run, actual, resume=True)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert digest(checkpoint(expected, 6), name) == digest(checkpoint(actual, 6), name), name
    default = train_tiny(make_run(tmp_path, rows=20, train=TRAIN, eval={"every": 2}), tmp_path / "default").output
    assert digest(checkpoint(default, 6)) != digest(checkpoint(expected, 6))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"optimizer": {"kind": "adam"}}, "unknown optimizer 'adam'; write 'adamw'"),
        ({"optimizer": {"kind": "adamw", "betas": [0.9, 1.0]}}, r"optimizer\.betas"),
        ({"optimizer": {"kind": "sgd", "momentum": 0, "nesterov": True}}, "`nesterov` needs a `momentum` above 0"),
        ({"optimizer": {"kind": "sgd", "lr": 0.1}}, r"write train\.lr"),
        ({"optimizer": {"kind": "sgd"}, "sharing": {"kind": "cross_stitch"}}, r"optimizer\.kind: the `speed`"),
    ],
    ids=str,
)
def test_invalid_options_are_config_errors(tables: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(make_run(tmp_path, rows=4, **tables))


def test_an_optimizer_that_is_not_tested_with_fsdp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fsdp.USE_FSDP, "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    config = load_config(make_run(tmp_path, rows=4, optimizer={"kind": "sgd"}))
    with pytest.raises(ConfigError, match=r"optimizer\.kind: with FSDP"):
        load_inputs(config)
