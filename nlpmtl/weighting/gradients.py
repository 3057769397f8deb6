"""Base class of gradient methods: task weights that are computed from the Gramian of the task gradients.

    g_t = ∇(s_t · L_t)        G_tk = ⟨g_t, g_k⟩        d = Σ_t w_t · g_t

Symbols:
- g_t: gradient of task t with respect to the parameters that several tasks share; a parameter that a single task
  reaches keeps that task's gradient
- s_t: fraction of the step's labels that belong to task t; L_t: mean loss of task t in the step
- G: Gramian of the K task gradients, ``[K, K]``
- w_t: weight of task t, a function of G; d: gradient of the optimizer step

Each task of a step takes one backward pass over its own rows; a row with labels for several tasks takes one per task.

All methods share these conventions:
- G is divided by the mean squared norm of the gradients, so that no constant of a method depends on the gradients'
  size.
- Weights that sum to 1 in a paper are multiplied by K. Orthogonal gradients of equal norm then have weights of 1, as
  with `constant` (1 + c for `cagrad`), and learning rates are comparable.
- A task whose gradient is 0 is left out, as if the step had no row of it: the others have the weights that they have
  without it, and its weight is 1.
- A step with a single such task, or none, has weights of 1.
- Tasks are ordered by name, so that a result does not depend on the order of the datasets.

`pcgrad`, `gradvac` and `cagrad` call TorchJD (Quinton and Rey, 2024). `nlpmtl.weighting.solvers` computes the others:
TorchJD's Frank-Wolfe solver (`mgda`) and successive convex programs (`nashmtl`) stop before they converge, its
projection onto the dual cone is regularised more strongly, and it cuts off small eigenvalues at the rounding error of
double precision.

References:
    Quinton and Rey (2024), Jacobian Descent for Multi-Objective Optimization, https://arxiv.org/abs/2406.16232

Example:
    >>> import numpy as np
    >>> from nlpmtl.registry import WEIGHTINGS
    >>> from nlpmtl.weighting import StepObservation, Weighting
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> for kind in ("imtl_g", "mgda", "upgrad"):
    ...     options = WEIGHTINGS.parse({"kind": kind})
    ...     weighting = WEIGHTINGS.build(options, Weighting, tasks=["a", "b"], epoch_steps=100, seed=0)
    ...     print(kind, {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()})
    imtl_g {'a': 1.382, 'b': 0.618}
    mgda {'a': 1.4, 'b': 0.6}
    upgrad {'a': 3.0, 'b': 1.4}
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.weighting.base import Requirement, StepObservation, Weighting

if TYPE_CHECKING:
    from torch import Tensor

_REQUIRED_PACKAGES = ("torchjd", "cvxpy", "quadprog")
_MIN_NORM = 1e-100
"""Gradients up to this norm, relative to the largest, count as 0."""


@dataclass(kw_only=True)
class GradientMethod(Weighting):
    """A weighting that computes weights from the Gramian of the task gradients.

    Raises:
        ConfigError: TorchJD or one of its solvers is not installed.
    """

    requires: ClassVar[Requirement] = "gradients"
    compares_tasks: ClassVar[bool] = True
    averages: ClassVar[bool] = True
    """Whether the weights of the paper sum to 1 for orthogonal gradients of equal norm."""
    _method: Any = field(init=False, repr=False)
    """Function of the Gramian: an object of TorchJD or a function of `nlpmtl.weighting.solvers`."""

    def __post_init__(self) -> None:
        if not all(importlib.util.find_spec(package) for package in _REQUIRED_PACKAGES):
            raise ConfigError("weighting.kind: gradient methods need more packages: pip install 'nlpmtl[gradients]'")
        self._method = self.make_solver()

    @abstractmethod
    def make_solver(self) -> Any:
        """Return a function that maps a Gramian, ``[tasks, tasks]``, to the weights of the paper, ``[tasks]``."""

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        """Compute the weights of a step.

        Args:
            observation: the step, with its Gramian.

        Returns:
            The weight of each task in `observation.label_fractions`.

        Raises:
            RunError: the solver fails, or a weight is not finite.
        """
        import torch  # here, so that a config is validated without it

        names = list(observation.label_fractions)
        if len(names) < 2:
            return dict.fromkeys(names, 1.0)
        assert observation.gramian is not None, "gradient methods require gradients"
        squares = np.diag(observation.gramian)
        nonzero = np.flatnonzero(squares > _MIN_NORM**2 * squares.max())
        mean_square = float(squares[nonzero].sum()) / max(1, len(nonzero))
        # Gradients that are not finite are reported by the training step, with their rows.
        if len(nonzero) < 2 or not np.isfinite(squares).all() or not math.isfinite(mean_square):
            return dict.fromkeys(names, 1.0)
        indices = sorted(nonzero.tolist(), key=lambda index: names[index])
        tasks = [names[index] for index in indices]
        gramian = observation.gramian[np.ix_(indices, indices)] / mean_square
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(self.seed, observation.step))
            try:
                solution = self.solve(torch.from_numpy(gramian), tasks=tasks)
            except Exception as error:  # the solvers' exceptions have no common base class
                step = observation.step + 1
                raise RunError(f"step {step}: weighting: the weights cannot be computed: {error}") from error
        weights = solution.numpy() * (len(tasks) if self.averages else 1)
        if not np.isfinite(weights).all():
            raise RunError(f"step {observation.step + 1}: weighting: the weights of {tasks} are not finite: {weights}")
        return dict.fromkeys(names, 1.0) | dict(zip(tasks, weights.tolist(), strict=True))

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        """Compute the weights of the paper.

        Args:
            gramian: normalised Gramian, ``[tasks, tasks]`` in double precision.
            tasks: names of the tasks, in the order of the rows.

        Returns:
            The weights, ``[tasks]``.
        """
        weights: Tensor = self._method(gramian)
        return weights


class SolvedMethod(GradientMethod):
    """A gradient method whose weights a function of `nlpmtl.weighting.solvers` computes."""

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        import torch

        return torch.from_numpy(self._method(gramian.numpy()))


def _seed(seed: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}/weighting".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
