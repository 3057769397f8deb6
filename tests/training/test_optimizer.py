"""Parameter groups and optimizers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nlpmtl.environment import USE_FSDP
from nlpmtl.errors import ConfigError
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.registry import OPTIMIZERS
from nlpmtl.run import load_config, load_inputs
from nlpmtl.tasks import task_from_config
from nlpmtl.training import build_optimizer
from tests.model.sharing.schemes import CASES
from tests.slow import slow_except
from tests.tiny import checkpoint, digest, interrupt, make_run, train_tiny, write_encoder

ADAMW = OPTIMIZERS.parse({"kind": "adamw"})
RATE, DECAY = 0.1, 0.5


def make_model(directory: Path, *, sharing: dict[str, Any], layers: int = 2) -> MultiTaskModel:
    spec = {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "text"}
    tasks = [task_from_config(name, spec) for name in ("one", "two")]
    encoder = load_encoder(str(write_encoder(directory, layers=layers, dropout=0.0)))
    return MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing=sharing, input_length=8, seed=0)


def test_biases_and_norms_are_not_decayed_and_heads_have_their_own_rate(tmp_path: Path) -> None:
    model = make_model(tmp_path, sharing={"kind": "hard"})
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


@pytest.mark.parametrize("case", slow_except(CASES, "hard", "lora", "layers"))
def test_layer_decay_and_the_learning_rates_of_tasks(case: str, tmp_path: Path) -> None:
    model = make_model(tmp_path, sharing=CASES[case], layers=3)
    optimizer = build_optimizer(
        model, ADAMW, lr=RATE, head_lr=0.5, weight_decay=0.01, task_lrs={"one": 0.25}, layer_decay=0.8
    )
    rates = {id(parameter): group["initial_lr"] for group in optimizer.param_groups for parameter in group["params"]}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert rates.keys() == {id(parameter) for parameter in trained.values()}
    for name, parameter in trained.items():
        layer = re.match(r"sharing\.encoder\.encoder\.layer\.([012])\.", name)
        if layer is not None:
            expected = RATE * 0.8 ** (2 - int(layer[1]))
        elif name.startswith("sharing.encoder.embeddings."):
            expected = RATE * 0.8**3
        elif name.startswith("heads."):
            expected = 0.25 if name.startswith("heads.one_head.") else 0.5
        else:
            assert case == "pal", "all its layers share the projections"
            expected = RATE
        assert rates[id(parameter)] == pytest.approx(expected, rel=1e-12), name
    first, *others = [group["initial_lr"] for group in optimizer.param_groups if group["initial_lr"] <= RATE]
    assert first == optimizer.param_groups[0]["initial_lr"] == RATE >= max(others), "this one is reported"


@pytest.mark.parametrize(("count", "frozen"), [(0, "embeddings"), (2, r"embeddings|layer\.[01]\.")])
def test_frozen_layers_do_not_change(count: int, frozen: str, tmp_path: Path) -> None:
    model = make_model(tmp_path, sharing={"kind": "hard"}, layers=3)
    model.sharing.freeze_layers(count)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, ADAMW, lr=RATE, head_lr=RATE, weight_decay=DECAY)
    torch.cat(list(model(torch.tensor([[2, 7, 8, 3]])).values())).exp().sum().backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        is_frozen = re.match(rf"sharing\.encoder\.(encoder\.)?({frozen})", name) is not None
        assert (parameter.grad is None) == is_frozen, name
        assert torch.equal(parameter, before[name]) == is_frozen, name


@pytest.mark.parametrize("case", slow_except(CASES, "hard", "lora", "layers"))
def test_only_layers_that_all_tasks_share_can_be_frozen(case: str, tmp_path: Path) -> None:
    sharing = make_model(tmp_path, sharing=CASES[case], layers=3).sharing
    most = {"hard": 2, "layers": 1, "cross_stitch": 1}.get(case, 0)  # the schemes with copies share one layer here
    specific = [parameter for task in sharing.tasks for parameter in sharing.task_parameters(task).values()]
    for count in range(most + 1):
        sharing.freeze_layers(count)
        assert all(parameter.requires_grad for parameter in [*specific, *sharing.added_shared_parameters()])
    message = "the encoder has 3 layers" if case == "hard" else f"freeze at most {most} layers, found {most + 1}"
    with pytest.raises(ConfigError, match=rf"encoder\.freeze_layers: .*{message}"):
        sharing.freeze_layers(most + 1)


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
        ({"train": {"layer_decay": 1.5}}, r"train\.layer_decay: must be at most 1"),
    ],
    ids=str,
)
def test_invalid_options_are_config_errors(tables: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(make_run(tmp_path, rows=4, **tables))


def test_layers_that_a_scheme_trains_have_decayed_rates_with_a_frozen_encoder(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=4, train={"layer_decay": 0.5})
    run["encoder"]["freeze"] = True
    assert load_config({**run, "sharing": {"kind": "layers"}}).train.layer_decay == 0.5
    with pytest.raises(ConfigError, match=r"train\.layer_decay: with encoder\.freeze = true no layer is trained"):
        load_config(run)


def test_an_optimizer_that_is_not_tested_with_fsdp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USE_FSDP, "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    config = load_config(make_run(tmp_path, rows=4, optimizer={"kind": "sgd"}))
    with pytest.raises(ConfigError, match=r"optimizer\.kind: with FSDP"):
        load_inputs(config)
