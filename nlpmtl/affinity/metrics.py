"""Formulas of task affinity: relative loss changes, gradient cosines and the size of the lookahead step. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def affinity(before: Floats, after: Floats) -> Floats:
    """Return Z_ij = 1 − L_j(after a step on i) / L_j(before). Positive: the step on task i lowers the loss of task j.

    Fifty et al. (2021), Efficiently Identifying Task Groupings for Multi-Task Learning, equation 1.

    Args:
        before: loss of each task, ``[tasks]``.
        after: loss of each task after a step on each, ``[stepped on, tasks]``.

    Returns:
        ``[stepped on, tasks]``; NaN where the loss before the step is not positive.
    """
    ratios: Floats = np.divide(after, before, out=np.full(after.shape, np.nan), where=before > 0)
    return 1.0 - ratios


def cosines(products: Floats) -> Floats:
    """Return the cosines between vectors from their inner products, ``[n, n]``; NaN where a vector is 0."""
    norms = np.sqrt(np.diag(products))
    norm_products = np.outer(norms, norms)
    angles: Floats = np.divide(products, norm_products, out=np.full(products.shape, np.nan), where=norm_products > 0)
    return angles


def step_size(losses: Floats, *, squares: Floats, decrease: float) -> float:
    """Return the η for which a step θ − η ∇L_i lowers L_i by a given fraction on average over tasks i, to first order.

    To first order, a step on task i lowers L_i by η ‖∇L_i‖².

    Args:
        losses: loss of each task, ``[tasks]``.
        squares: ‖∇L_i‖², ``[tasks]``.
        decrease: relative decrease of the losses.

    Returns:
        η; 0 if all gradients are 0.
    """
    total = float(squares.sum())
    return decrease * float(losses.sum()) / total if total > 0 else 0.0
