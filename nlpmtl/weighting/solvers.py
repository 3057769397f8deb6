"""Optimisation problems of gradient methods, solved to rounding from the Gramian of the gradients.

Gradients are scaled to length 1 first, so that what counts is their matrix of cosines C and no accuracy is lost where
their lengths differ. Inner products that are summed in single precision leave an error of about 1e-7 in C, so
small eigenvalues of C are not told from 0: the optimisation problems raise them to 1e-6, which makes solutions unique
(parallel gradients share a weight evenly), and the methods that invert C leave out those up to 5e-6: two gradients at
an angle below 0.0032 count as parallel. A gradient of 0 has no cosines; each function says what its weight is.
"""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_LEAST = 1e-6
"""The optimisation problems raise eigenvalues of the cosines, whose mean is 1, to at least this."""
_RANK = 5e-6
"""The methods that invert the cosines leave out eigenvalues up to this."""
_TOLERANCE = 1e-8
"""The relative residual at which `bargain` stops …"""
_TOLERABLE = 1e-4
"""… and the largest that it returns, where rounding allows no smaller one."""
_ITERATIONS = 500
_SHORTEST = 1e-100
"""A gradient that is not longer, where the longest has length 1, counts as 0."""


def bargain(gramian: Matrix, *, power: float = 1.0) -> Vector:
    """Return the weights w > 0 with G w = w^(−power), each equation to a relative residual of 1e-8.

    It is the minimum of the strictly convex ½ wᵀG w − Σ w^(1 − power) / (1 − power), with a logarithm in place of the
    power if `power` is 1; found by Newton's method with a line search. The weight of a gradient of 0 is 1.

    Raises:
        ArithmeticError: rounding left a residual above 1e-4.
    """
    present, lengths, values, vectors = _cosines(gramian)
    cosines = (vectors * values.clip(_LEAST)) @ vectors.T
    scales = lengths ** (power - 1)  # for x = lengths · w: C x = scales · x^(−power)

    def objective(x: Vector) -> float:
        powers = np.log(x) if power == 1 else x ** (1 - power) / (1 - power)
        return float(x @ cosines @ x / 2 - scales @ powers)

    def residual(x: Vector) -> float:
        return float(np.abs(cosines @ x / (scales * x**-power) - 1).max())

    x = scales ** (1 / (1 + power))  # the solution where gradients are orthogonal
    for _ in range(_ITERATIONS):
        if residual(x) <= _TOLERANCE:
            break
        wanted = scales * x**-power
        gradient = cosines @ x - wanted
        step = -np.linalg.solve(cosines + np.diag(power * wanted / x), gradient)
        before, slope, size = objective(x), float(gradient @ step), 1.0
        if -slope <= np.finfo(np.float64).eps * abs(before) and (x + step).min() > 0:
            x = x + step  # the objective cannot tell such a step from none: Newton's last
            break
        while (x + size * step).min() <= 0 or objective(x + size * step) > before + 1e-4 * size * slope:
            size /= 2
            if size < 1e-12:
                break
        x = x + size * step
    if not residual(x) <= _TOLERABLE:
        raise ArithmeticError(f"the relative residual is {residual(x):.1e}")
    weights = np.ones(len(gramian))
    weights[present] = x / lengths
    return weights


def shortest(gramian: Matrix) -> Vector:
    """Return the weights w ≥ 0 of sum 1 with the least wᵀG w, by a quadratic program.

    Gradients of 0 share all the weight, since the shortest combination is 0 then.
    """
    present, lengths, values, vectors = _cosines(gramian)
    weights = np.zeros(len(gramian))
    if not present.all():
        weights[~present] = 1 / (~present).sum()
        return weights
    relative = lengths.min() / lengths  # for y = w / relative: the sum of relative · y is 1
    constraints = np.column_stack([relative, np.eye(len(relative))])
    solution = _minimum(values, vectors, constraints, np.array([1.0, *np.zeros(len(relative))]), equalities=1)
    weights = (solution * relative).clip(0)
    normalized: Vector = weights / weights.sum()
    return normalized


def project(gramian: Matrix, combinations: Matrix) -> Matrix:
    """Return the weights of combinations of gradients, ``[combinations, tasks]``, projected on the dual cone.

    The dual cone holds what has no negative inner product with any gradient. The projection of a combination u has the
    weights w ≥ u with the least wᵀG w (Quinton and Rey 2024, proposition 1), by a quadratic program. A gradient of 0
    keeps its weight.
    """
    present, lengths, values, vectors = _cosines(gramian)
    weights = np.array(combinations, dtype=np.float64)
    constraints = np.eye(len(lengths))
    for row in weights:
        least = row[present]
        scale = max(float(np.abs(lengths * least).max()), np.finfo(np.float64).tiny)  # of the solver's unit
        solution = scale * _minimum(values, vectors, constraints, lengths * least / scale, equalities=0)
        row[present] = np.maximum(solution / lengths, least)
    return weights


def equal_projections(gramian: Matrix) -> Vector:
    """Return the weights of sum 1 with which the sum has an equal projection on each gradient.

    They are proportional to L⁻¹ C⁺ 1 for the lengths L and the pseudo-inverse C⁺ that leaves out eigenvalues up to
    5e-6; 0 where there is no such sum, as for opposite gradients. The weight of a gradient of 0 is 0.
    """
    present, lengths, values, vectors = _cosines(gramian)
    kept = values > _RANK
    shares = (vectors[:, kept] / values[kept]) @ vectors[:, kept].sum(axis=0)
    found = shares / lengths * lengths.min()
    weights = np.zeros(len(gramian))
    if np.abs(shares).max() > _LEAST and abs(found.sum()) > _LEAST * np.abs(found).sum():
        weights[present] = found / found.sum()
    return weights


def align(gramian: Matrix) -> Vector:
    """Return the weights of the mean gradient after its principal components have got the size of the smallest one.

    Components are as many as eigenvalues of C are above 5e-6. The weight of a gradient of 0 is 0.
    """
    present, _, values, _ = _cosines(gramian)
    sizes, vectors = np.linalg.eigh(gramian[np.ix_(present, present)])
    resolved = sizes > sizes.max() * len(sizes) * np.finfo(np.float64).eps
    rank = min(int((values > _RANK).sum()), int(resolved.sum()))
    sizes, vectors = sizes[len(sizes) - rank :], vectors[:, len(sizes) - rank :]
    weights = np.zeros(len(gramian))
    weights[present] = (vectors * np.sqrt(sizes[0] / sizes)) @ vectors.sum(axis=0) / len(gramian)
    return weights


def _cosines(gramian: Matrix) -> tuple[NDArray[np.bool_], Vector, Vector, Matrix]:
    """Return which gradients are not 0, their lengths, and the eigenvalues and eigenvectors of their cosines."""
    squares = np.diag(gramian).clip(0)
    present = squares > _SHORTEST**2 * squares.max()
    lengths = np.sqrt(squares[present])
    values, vectors = np.linalg.eigh(gramian[np.ix_(present, present)] / np.outer(lengths, lengths))
    return present, lengths, values, vectors


def _minimum(values: Vector, vectors: Matrix, constraints: Matrix, bounds: Vector, *, equalities: int) -> Vector:
    """Return the y with the least yᵀC y under constraintsᵀ y ≥ bounds, the first of which are equalities."""
    quadprog = importlib.import_module("quadprog")  # an optional package
    cosines = (vectors * values.clip(_LEAST)) @ vectors.T
    solution: Vector = quadprog.solve_qp(cosines, np.zeros(len(values)), constraints, bounds, equalities)[0]
    return solution
