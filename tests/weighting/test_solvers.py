"""The weights of gradient methods against independent solvers (cvxpy with Clarabel, NumPy), and on degenerate sets."""

from __future__ import annotations

from typing import Any

import cvxpy as untyped
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.slow import slow_except
from tests.weighting.observations import build, seen

Array = NDArray[np.float64]
cvxpy: Any = untyped
EXACT = ["aligned_mtl", "cagrad", "dualproj", "fairgrad", "imtl_g", "mgda", "nashmtl", "upgrad"]
METHODS = [*EXACT, "gradvac", "pcgrad"]
TIGHT: dict[str, Any] = {"solver": cvxpy.CLARABEL, "tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}


def gradients(count: int, *, seed: int) -> Array:
    """Return random gradients with log-normal norms, and a common component in every other set."""
    source = np.random.default_rng([count, seed])
    matrix = source.standard_normal((count, 60)) + seed % 2 * source.standard_normal(60)
    return matrix * np.exp(source.standard_normal((count, 1)))


def weights_of(kind: str, matrix: Array) -> Array:
    tasks = [f"task-{i:02d}" for i in range(len(matrix))]
    weights = build(kind, tasks=tasks).compute_weights(seen(dict.fromkeys(tasks, 1.0), jacobian=matrix))
    return np.array([weights[task] for task in tasks])


def solve(objective: Any, constraints: list[Any], variable: Any) -> Any:
    cvxpy.Problem(cvxpy.Minimize(objective), constraints).solve(**TIGHT)
    return variable.value


def reference(kind: str, matrix: Array) -> Any:
    """Return the direction as defined in the paper, from the gradients."""
    count, lengths = len(matrix), np.linalg.norm(matrix, axis=1)
    matrix = matrix / np.sqrt((lengths**2).mean())
    lengths = np.linalg.norm(matrix, axis=1)
    w = cvxpy.Variable(count)
    basis, upper = np.linalg.qr(matrix.T)
    q = upper.T  # gradients with the same inner products in fewer dimensions
    mean = q.mean(axis=0)
    match kind:
        case "mgda":
            w = solve(cvxpy.sum_squares(q.T @ w), [w >= 0, cvxpy.sum(w) == 1], w)
        case "nashmtl":
            w = solve(cvxpy.sum_squares(q.T @ w) / 2 - cvxpy.sum(cvxpy.log(w)), [], w)
        case "fairgrad":
            w = solve(cvxpy.sum_squares(q.T @ w) / 2 - 2 * cvxpy.sum(cvxpy.sqrt(w)), [], w)
        case "dualproj":
            d = cvxpy.Variable(q.shape[1])
            return solve(cvxpy.sum_squares(d - mean), [q @ d >= 0], d) @ basis.T
        case "upgrad":
            d = cvxpy.Variable(q.shape)
            return solve(cvxpy.sum_squares(d - q), [q @ d.T >= 0], d).sum(axis=0) @ basis.T
        case "cagrad":
            d = cvxpy.Variable(q.shape[1])
            ball = cvxpy.norm(d - mean) <= 0.5 * np.linalg.norm(mean)
            return solve(-cvxpy.min(q @ d), [ball], d) @ basis.T
        case "aligned_mtl":
            u, sizes, v = np.linalg.svd(matrix, full_matrices=False)
            return np.asarray(sizes[-1] * (u @ v).mean(axis=0))
        case "imtl_g":
            w = np.linalg.solve(matrix @ matrix.T, lengths)
    return np.asarray(w @ matrix)


def cosine(first: Array, second: Array) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.mark.parametrize("count", slow_except([2, 3, 5, 8], 2, 5))
@pytest.mark.parametrize("kind", EXACT)
def test_the_direction_equals_independent_solvers(kind: str, count: int) -> None:
    for seed in range(4):
        matrix = gradients(count, seed=seed)
        assert abs(cosine(weights_of(kind, matrix) @ matrix, reference(kind, matrix))) > 0.9999, seed


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4, 8, 12])
@pytest.mark.parametrize("kind", EXACT)
def test_the_direction_equals_independent_solvers_on_many_sets(kind: str, count: int) -> None:
    for seed in range(30):
        matrix = gradients(count, seed=seed)
        assert abs(cosine(weights_of(kind, matrix) @ matrix, reference(kind, matrix))) > 0.9999, seed


@pytest.mark.parametrize("count", [1, 2, 8, 20])
def test_kkt_residuals_are_small(count: int) -> None:
    from nlpmtl.weighting import solvers

    for seed in range(10):
        matrix = gradients(count, seed=seed)
        gramian = matrix @ matrix.T
        for power in (0.02, 0.5, 1.0, 8.0):
            w = solvers.nash_bargaining(gramian, power=power)
            np.testing.assert_allclose(gramian @ w * w**power, 1.0, rtol=1e-7)
        w = solvers.min_norm_combination(gramian)
        assert w.min() >= 0
        assert w.sum() == pytest.approx(1.0)
        least = w @ gramian @ w
        assert (gramian @ w).min() >= least * (1 - 1e-8), "no gradient has a smaller projection"
        u = np.ones((1, count))
        (w,) = solvers.project_to_dual_cone(gramian, u)
        assert (w >= 1).all()
        along = gramian @ w
        assert along.min() >= -1e-9 * np.abs(along).max()
        assert (w - 1) @ along == pytest.approx(0.0, abs=1e-8 * along.max()), "complementary slackness"


A, B, C = np.random.default_rng(0).standard_normal((3, 40))
DEGENERATE = {
    "parallel": [A, A],
    "parallel, of different norms": [A, 2 * A, 0.5 * A],
    "nearly parallel, 1e-3": [A, A + 1e-3 * B],
    "nearly parallel, 1e-4": [A, A + 1e-4 * B],
    "nearly parallel, 1e-8": [A, 3 * (A + 1e-8 * B), A - 1e-8 * C],
    "opposite": [A, -A],
    "opposite, of different norms": [A, -3 * A],
    "nearly opposite": [A, -A + 1e-8 * B],
    "one is 0": [A, B, 0 * A],
    "all but one are 0": [A, 0 * A, 0 * A],
    "dependent": [A, B, A + B],
    "no common descent direction": [A, B, -A - B],
    "of very unlike length": [A, 1e-6 * B, 1e6 * C],
    "more than dimensions": list(np.random.default_rng(1).standard_normal((8, 3))),
    "one": [A],
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("kind", METHODS)
def test_degenerate_sets_have_finite_stable_weights(kind: str, name: str) -> None:
    """Single-precision inner products and another order of tasks give the same direction."""
    matrix = np.array(DEGENERATE[name])
    weights = weights_of(kind, matrix)
    assert np.isfinite(weights).all()
    largest = max(np.abs(weights[:, None] * matrix).max(), np.abs(matrix).max())
    if kind in EXACT:
        again = weights_of(kind, matrix[::-1])[::-1]
        assert np.abs((again - weights) @ matrix).max() <= 1e-4 * largest, "another order"
        tasks = [f"task-{i:02d}" for i in range(len(matrix))]
        single = (matrix.astype(np.float32) @ matrix.astype(np.float32).T).astype(np.float64)
        shown = seen(dict.fromkeys(tasks, 1.0), jacobian=matrix)
        rounded = build(kind, tasks=tasks).compute_weights(type(shown)(0, shown.label_fractions, shown.losses, single))
        again = np.array([rounded[task] for task in tasks])
        assert np.abs((again - weights) @ matrix).max() <= 3e-3 * largest, "single precision"


def test_parallel_gradients_share_their_weight() -> None:
    for kind in ("aligned_mtl", "imtl_g", "mgda"):
        for near in (0.0, 1e-9, 1e-8):
            assert weights_of(kind, np.array([A, A + near * B])) == pytest.approx([1.0, 1.0], rel=1e-2), (kind, near)


def test_the_minimum_norm_of_opposite_gradients_is_0() -> None:
    from nlpmtl.weighting import solvers

    assert solvers.min_norm_combination(np.array([[1.0, -3.0], [-3.0, 9.0]])) == pytest.approx([0.75, 0.25])
