"""Solvers of the gradient methods: task weights from the Gramian of the task gradients, to rounding error.

Gradients are scaled to norm 1 first. The problems are then solved for the matrix C of cosines, which keeps their
accuracy when the norms differ by orders of magnitude. Inner products that are summed in single precision have an
error of about 1e-7 in C, so small eigenvalues of C cannot be distinguished from 0:

- The optimisation problems raise eigenvalues to at least 1e-6. Solutions are unique then, and parallel gradients
  share a weight equally.
- The methods that invert C treat eigenvalues up to 5e-6 as 0. Two gradients at an angle below 0.0032 count as parallel.

No gradient may be 0, because it has no cosines: `GradientMethod` leaves such tasks out.

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import solvers
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> solvers.min_norm_combination(gradients @ gradients.T).round(3)
    array([0.7, 0.3])
"""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_MIN_EIGENVALUE = 1e-6
"""The optimisation problems raise eigenvalues of the cosine matrix, whose mean is 1, to at least this value."""
_MIN_INVERTED = 5e-6
"""The methods that invert the cosine matrix treat eigenvalues up to this value as 0."""
_TARGET_RESIDUAL = 1e-8
"""The relative residual at which `nash_bargaining` stops …"""
_MAX_RESIDUAL = 1e-4
"""… and the largest that it accepts where rounding prevents a smaller one."""
_MAX_ITERATIONS = 500


def nash_bargaining(gramian: Matrix, *, power: float = 1.0) -> Vector:
    """Return the weights w > 0 with G w = w^(−power), element by element.

    They minimise the strictly convex function ½ wᵀ G w − Σ_t w_t^(1 − power) / (1 − power), with Σ_t log w_t as the
    second term if `power` is 1. It is minimised by Newton's method with a line search.

    Args:
        gramian: G, ``[tasks, tasks]``.
        power: > 0; 1 for Nash-MTL, 1 / α for FairGrad.

    Returns:
        The weights, ``[tasks]``, with a relative residual of 1e-8 in each equation.

    Raises:
        ArithmeticError: the relative residual is above 1e-4 because of rounding.
    """
    norms, values, vectors = _cosines(gramian)
    cosines = (vectors * values.clip(_MIN_EIGENVALUE)) @ vectors.T
    scales = norms ** (power - 1)  # for x = norms · w: C x = scales · x^(−power)

    def objective(x: Vector) -> float:
        powers = np.log(x) if power == 1 else x ** (1 - power) / (1 - power)
        return float(x @ cosines @ x / 2 - scales @ powers)

    def residual(x: Vector) -> float:
        return float(np.abs(cosines @ x / (scales * x**-power) - 1).max())

    x = scales ** (1 / (1 + power))  # the solution for orthogonal gradients
    for _ in range(_MAX_ITERATIONS):
        if residual(x) <= _TARGET_RESIDUAL:
            break
        target = scales * x**-power
        gradient = cosines @ x - target
        step = -np.linalg.solve(cosines + np.diag(power * target / x), gradient)
        before, slope, size = objective(x), float(gradient @ step), 1.0
        if -slope <= np.finfo(np.float64).eps * abs(before) and (x + step).min() > 0:
            x = x + step  # the decrease is below the rounding error of the objective: this is the last Newton step
            break
        while (x + size * step).min() <= 0 or objective(x + size * step) > before + 1e-4 * size * slope:
            size /= 2
            if size < 1e-12:
                break
        x = x + size * step
    if not residual(x) <= _MAX_RESIDUAL:
        raise ArithmeticError(f"the relative residual is {residual(x):.1e}")
    weights: Vector = x / norms
    return weights


def min_norm_combination(gramian: Matrix) -> Vector:
    """Return the convex combination of the gradients with the smallest norm, by a quadratic program.

    Args:
        gramian: G, ``[tasks, tasks]``.

    Returns:
        The weights w ≥ 0 with Σ_t w_t = 1 and the smallest wᵀ G w, ``[tasks]``.
    """
    norms, values, vectors = _cosines(gramian)
    relative = norms.min() / norms  # for y = w / relative: the sum of relative · y is 1
    constraints = np.column_stack([relative, np.eye(len(relative))])
    bounds = np.array([1.0, *np.zeros(len(relative))])
    solution = _solve_quadratic_program(values, vectors, constraints, bounds, equalities=1)
    weights = (solution * relative).clip(0)
    normalized: Vector = weights / weights.sum()
    return normalized


def project_to_dual_cone(gramian: Matrix, combinations: Matrix) -> Matrix:
    """Project combinations of the gradients onto the dual cone of the gradients, by quadratic programs.

    The dual cone holds the vectors that have no negative inner product with any gradient. The projection of a
    combination with weights u has the weights w ≥ u with the smallest wᵀ G w (Quinton and Rey, 2024, proposition 1).

    Args:
        gramian: G, ``[tasks, tasks]``.
        combinations: weights u of each combination, ``[combinations, tasks]``.

    Returns:
        The weights w of each projection, ``[combinations, tasks]``.
    """
    norms, values, vectors = _cosines(gramian)
    weights = np.array(combinations, dtype=np.float64)
    constraints = np.eye(len(norms))
    for row in weights:
        scale = max(float(np.abs(norms * row).max()), np.finfo(np.float64).tiny)  # unit of the solver
        bounds = norms * row / scale
        solution = scale * _solve_quadratic_program(values, vectors, constraints, bounds, equalities=0)
        row[:] = np.maximum(solution / norms, row)
    return weights


def equal_projections(gramian: Matrix) -> Vector:
    """Return the combination of the gradients that has projections of equal length onto all of them.

    The weights are proportional to N⁻¹ C⁺ 1 for the norms N and the pseudo-inverse C⁺ of the cosine matrix. If no
    combination has equal projections, as for two opposite gradients and a third one, theirs are the nearest to equal.

    Args:
        gramian: G, ``[tasks, tasks]``.

    Returns:
        The weights, ``[tasks]``, which sum to 1; all 0 if these are 0 or sum to 0, as for two opposite gradients.
    """
    norms, values, vectors = _cosines(gramian)
    kept = values > _MIN_INVERTED
    scaled = (vectors[:, kept] / values[kept]) @ vectors[:, kept].sum(axis=0)
    solution = scaled / norms * norms.min()
    weights = np.zeros(len(gramian))
    if np.abs(scaled).max() > _MIN_EIGENVALUE and abs(solution.sum()) > _MIN_EIGENVALUE * np.abs(solution).sum():
        weights = solution / solution.sum()
    return weights


def align_components(gramian: Matrix) -> Vector:
    """Return the weights of the mean gradient after all principal components are scaled to the size of the smallest.

    Args:
        gramian: G, ``[tasks, tasks]``.

    Returns:
        The weights, ``[tasks]``. As many components are used as the cosine matrix has eigenvalues above 5e-6.
    """
    _, values, _ = _cosines(gramian)
    sizes, vectors = np.linalg.eigh(gramian)
    resolved = sizes > sizes.max() * len(sizes) * np.finfo(np.float64).eps
    rank = min(int((values > _MIN_INVERTED).sum()), int(resolved.sum()))
    sizes, vectors = sizes[len(sizes) - rank :], vectors[:, len(sizes) - rank :]
    weights: Vector = (vectors * np.sqrt(sizes[0] / sizes)) @ vectors.sum(axis=0) / len(gramian)
    return weights


def _cosines(gramian: Matrix) -> tuple[Vector, Vector, Matrix]:
    """Return the norms of the gradients, and the eigenvalues and eigenvectors of their cosine matrix."""
    norms = np.sqrt(np.diag(gramian))
    values, vectors = np.linalg.eigh(gramian / np.outer(norms, norms))
    return norms, values, vectors


def _solve_quadratic_program(
    values: Vector, vectors: Matrix, constraints: Matrix, bounds: Vector, *, equalities: int
) -> Vector:
    """Return the y with the smallest yᵀ C y subject to constraintsᵀ y ≥ bounds; the first `equalities` hold exactly."""
    quadprog = importlib.import_module("quadprog")  # an optional package
    cosines = (vectors * values.clip(_MIN_EIGENVALUE)) @ vectors.T
    solution: Vector = quadprog.solve_qp(cosines, np.zeros(len(values)), constraints, bounds, equalities)[0]
    return solution
