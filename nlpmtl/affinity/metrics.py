"""What a step on one task does to the loss of another, and which way their gradients point: numbers alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def affinity(before: Floats, after: Floats) -> Floats:
    """Z of task i upon task j: 1 − L_j(after a step on i) / L_j(before). Above 0, the step on i lowers the loss of j.

    Fifty et al. 2021, Efficiently Identifying Task Groupings for Multi-Task Learning, equation 1.

    Args:
        before: each task's loss, ``[tasks]``.
        after: each task's loss after a step on each, ``[stepped on, tasks]``.

    Returns:
        ``[stepped on, tasks]``; NaN where a loss was not above 0 before: there is no share of it.
    """
    shares: Floats = np.divide(after, before, out=np.full(after.shape, np.nan), where=before > 0)
    return 1.0 - shares


def cosines(products: Floats) -> Floats:
    """The cosines between vectors, from their inner products, ``[n, n]``; NaN where a vector is 0."""
    norms = np.sqrt(np.diag(products))
    lengths = np.outer(norms, norms)
    found: Floats = np.divide(products, lengths, out=np.full(products.shape, np.nan), where=lengths > 0)
    return found


def step_size(losses: Floats, *, squares: Floats, share: float) -> float:
    """The η of a step θ − η ∇L that, to first order, lowers the losses of the tasks that step by a share on average.

    To first order, a step on task i lowers L_i by η ‖∇L_i‖².

    Args:
        losses: of the tasks, ``[tasks]``.
        squares: ‖∇L_i‖², ``[tasks]``.
        share: of the losses.

    Returns:
        0 where no task has a gradient.
    """
    total = float(squares.sum())
    return share * float(losses.sum()) / total if total > 0 else 0.0
