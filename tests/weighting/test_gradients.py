"""Each gradient method compared with TorchJD on the full Jacobian, and guarantees of the papers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.aggregation as torchjd
from numpy.typing import NDArray
from torchjd.linalg import QuadprogProjector

from nlpmtl.errors import ConfigError
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import GradientMethod
from tests.weighting.observations import TASKS, build, seen

METHODS = [name for name in WEIGHTINGS.names() if issubclass(WEIGHTINGS.get(name), GradientMethod)]
PROJECTOR = QuadprogProjector(norm_eps=0.0, reg_eps=1e-10)
"""The default adds 1e-4 to the diagonal, which changes the projection by as much."""
THEIRS: dict[str, Callable[[], Any]] = {
    "aligned_mtl": torchjd.AlignedMTL,
    "cagrad": lambda: torchjd.CAGrad(c=0.5, norm_eps=0.0),
    "dualproj": lambda: torchjd.DualProj(projector=PROJECTOR),
    "fairgrad": lambda: torchjd.FairGrad(alpha=2.0),
    "gradvac": lambda: torchjd.GradVac(beta=0.01),
    "imtl_g": torchjd.IMTLG,
    "mgda": lambda: torchjd.MGDA(epsilon=1e-6, max_iters=20_000),
    "nashmtl": lambda: torchjd.NashMTL(n_tasks=3, max_norm=0.0),
    "pcgrad": torchjd.PCGrad,
    "upgrad": lambda: torchjd.UPGrad(projector=PROJECTOR),
}
LOSSES = dict.fromkeys(TASKS, 1.0)


def jacobian(seed: int = 0, *, conflict: bool = True) -> NDArray[np.float64]:
    """Return three gradients of nine numbers, of which the first two conflict."""
    matrix = np.random.default_rng(seed).standard_normal((3, 9))
    if conflict:
        matrix[1] = 0.5 * matrix[1] - matrix[0]
    return matrix


def step_of(kind: str, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = build(kind).compute_weights(seen(LOSSES, jacobian=matrix))
    return np.array([weights[task] for task in TASKS]) @ matrix


def test_every_gradient_method_is_compared() -> None:
    assert sorted(THEIRS) == METHODS


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
def test_the_update_equals_torchjd(kind: str) -> None:
    for number in range(3):
        matrix = jacobian(number)
        matrix *= np.sqrt(3) / np.linalg.norm(matrix)
        torch.manual_seed(0)
        theirs = THEIRS[kind]()(torch.from_numpy(matrix)).numpy()
        ours = step_of(kind, matrix)
        if kind in ("pcgrad", "gradvac"):  # with three tasks the random order matters
            assert np.cos(np.pi / 6) < ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
            continue
        averages = WEIGHTINGS.get(kind).averages  # type: ignore[attr-defined]
        np.testing.assert_allclose(ours, theirs * (3 if averages else 1), rtol=1e-4, atol=1e-4)


def test_pcgrad_of_two_tasks_is_algorithm_1() -> None:
    g, h = jacobian()[:2]
    expected = (g - g @ h / (h @ h) * h) + (h - g @ h / (g @ g) * g)
    weights = build("pcgrad", tasks=["a", "b"]).compute_weights(seen({"a": 1.0, "b": 1.0}, jacobian=np.stack([g, h])))
    np.testing.assert_allclose(weights["a"] * g + weights["b"] * h, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("length", [1e-4, 0.3, 200.0])
def test_without_conflicts_the_update_is_the_plain_one(kind: str, length: float) -> None:
    weights = build(kind).compute_weights(seen(LOSSES, jacobian=length * np.eye(3, 5)))
    assert weights == pytest.approx(dict.fromkeys(TASKS, 1.5 if kind == "cagrad" else 1.0), rel=2e-3)


@pytest.mark.parametrize("kind", ["upgrad", "dualproj", "mgda", "nashmtl"])
def test_no_task_loss_increases_to_first_order(kind: str) -> None:
    for number in range(5):
        matrix = jacobian(number)
        assert (matrix @ matrix.sum(axis=0)).min() < 0 or number > 0
        along = matrix @ step_of(kind, matrix)
        assert along.min() > -0.01 * np.abs(along).max()


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("scale", [1e-5, 1e3])
def test_gradients_of_any_norm(kind: str, scale: float) -> None:
    weights = build(kind).compute_weights(seen(LOSSES, jacobian=scale * jacobian()))
    assert weights == pytest.approx(build(kind).compute_weights(seen(LOSSES, jacobian=jacobian())), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", METHODS)
def test_zero_and_non_finite_gradients_give_plain_weights(kind: str) -> None:
    matrix = jacobian()
    matrix[1, 2] = np.nan
    for wrong in (matrix, 0 * jacobian()):
        assert build(kind).compute_weights(seen(LOSSES, jacobian=wrong)) == dict.fromkeys(TASKS, 1.0)


@pytest.mark.parametrize("kind", METHODS)
def test_a_task_with_a_zero_gradient_is_left_out(kind: str) -> None:
    """The contrastive loss of an embedding task with one row in a step is 0, for example."""
    names = ["a", "b", "c", "d"]
    for nonzero in (["a"], ["a", "d"], ["b", "c", "d"]):
        rows = dict(
            zip(names, jacobian(conflict=False)[[0, 1, 2, 0]] * np.array([[1.0], [3.0], [0.2], [2.0]]), strict=True)
        )
        matrix = np.stack([rows[name] if name in nonzero else 0 * rows[name] for name in names])
        weights = build(kind, tasks=names).compute_weights(seen(dict.fromkeys(names, 1.0), jacobian=matrix))
        without = np.stack([rows[name] for name in nonzero])
        expected = build(kind, tasks=nonzero).compute_weights(seen(dict.fromkeys(nonzero, 1.0), jacobian=without))
        assert weights == dict.fromkeys(names, 1.0) | expected


def test_cagrad_with_a_large_radius_stops_where_no_step_decreases_all_losses() -> None:
    """The shortest convex combination of the gradients is 0 there, which has no direction."""
    matrix = np.array([[1.0, 0.0], [-3.0, 0.0]])
    losses = {"a": 1.0, "b": 1.0}
    weighting = WEIGHTINGS.build(
        WEIGHTINGS.parse({"kind": "cagrad", "c": 1.5}), GradientMethod, tasks=list(losses), epoch_steps=10, seed=0
    )
    assert weighting.compute_weights(seen(losses, jacobian=matrix)) == {"a": 0.0, "b": 0.0}


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchjd" else find(name))
    with pytest.raises(ConfigError, match=r"pip install 'nlpmtl\[gradients\]'"):
        build("upgrad")
