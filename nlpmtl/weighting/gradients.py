"""Gradient methods: the weights of the tasks' gradients follow from their Gramian, the inner products of each two.

`pcgrad`, `gradvac` and `cagrad` are TorchJD's (Quinton and Rey 2024, Jacobian Descent for Multi-Objective
Optimization). The others are solved in `nlpmtl.weighting.solvers`: TorchJD's Frank-Wolfe (`mgda`) and successive
convex programs (`nashmtl`) stop before they converge, its projection on the dual cone adds a larger regularisation,
and its cut-off of small eigenvalues is at the rounding of double precision.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting import solvers
from nlpmtl.weighting.base import Seen, Sight, Weighting

_NEEDED = ("torchjd", "cvxpy", "quadprog")


@dataclass(kw_only=True)
class GradientMethod(Weighting):
    """A method that weighs gradients by their Gramian.

    The gradients are those of the step's loss, one a task, share_t · ∇mean_t, with respect to what several tasks share;
    what one task alone has follows its own. A method sees them as if their mean squared length were 1, so that no
    constant of it depends on how long they are. Its weights are scaled so that where there is nothing to mend, where
    gradients are orthogonal and equally long, each is 1, as with `constant` (CAGrad's is 1 + c). A step of one task is
    left as it is. Tasks are looked at in the order of their names.

    A backward for each task of a step, over its own rows: rows with labels for several tasks go through once for each.

    Raises:
        ConfigError: TorchJD or a solver is not installed.
    """

    sight: ClassVar[Sight] = "gradients"
    averages: ClassVar[bool] = True
    """Whether the paper's weights are shares of 1."""
    _method: Any = field(init=False, repr=False)
    """What makes weights of a Gramian: TorchJD's object, or a function."""

    def __post_init__(self) -> None:
        if not all(importlib.util.find_spec(package) for package in _NEEDED):
            raise ConfigError("weighting.kind: gradient methods need more packages: pip install 'nlpmtl[gradients]'")
        self._method = self.make()

    @abstractmethod
    def make(self) -> Any:
        """Return what makes weights, ``[tasks]``, of a Gramian, ``[tasks, tasks]``."""

    def weigh(self, seen: Seen) -> dict[str, float]:
        tasks = sorted(seen.shares)
        if len(tasks) < 2:
            return dict.fromkeys(tasks, 1.0)
        assert seen.gramian is not None, "it looks at gradients"
        squared = float(seen.gramian.trace()) / len(tasks)
        if not 0 < squared < math.inf:  # nothing to weigh; of what is not finite the step says so itself, with the rows
            return dict.fromkeys(seen.shares, 1.0)
        places = [list(seen.shares).index(task) for task in tasks]
        gramian = seen.gramian[np.ix_(places, places)] / squared
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(self.seed, seen.step))
            try:
                found = self.solve(torch.from_numpy(gramian), tasks=tasks)
            except Exception as error:  # what the solvers raise has no base of its own
                raise RunError(f"step {seen.step + 1}: weighting: no weights were found: {error}") from error
        weights = found.numpy() * (len(tasks) if self.averages else 1)
        if not np.isfinite(weights).all():
            raise RunError(f"step {seen.step + 1}: weighting: the weights of {tasks} are no numbers: {weights}")
        by_task: dict[str, float] = dict(zip(tasks, weights.tolist(), strict=True))
        return {task: by_task[task] for task in seen.shares}

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        """The paper's weights, ``[tasks]``."""
        weights: Tensor = self._method(gramian)
        return weights


def _seed(seed: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}/weighting".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@WEIGHTINGS.register("pcgrad")
@dataclass(kw_only=True)
class PcGrad(GradientMethod):
    """Of two gradients that conflict, each loses its part along the other (Yu et al. 2020, Gradient Surgery)."""

    averages: ClassVar[bool] = False

    def make(self) -> Any:
        from torchjd.aggregation import PCGradWeighting

        return PCGradWeighting()


class GradVacOptions(Options):
    """Options of `GradVac`."""

    beta: float = Field(0.01, gt=0, le=1)
    """How fast the aimed-at cosines follow those that are seen."""


@WEIGHTINGS.register("gradvac", GradVacOptions)
@dataclass(kw_only=True)
class GradVac(GradientMethod):
    """Gradients are turned until their cosines are what they usually are (Wang et al. 2021, Gradient Vaccine).

    Args:
        beta: from above 0 to 1; the paper's is 0.01.
    """

    averages: ClassVar[bool] = False

    beta: float

    def make(self) -> Any:
        from torchjd.aggregation import GradVacWeighting

        return GradVacWeighting(beta=self.beta)

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        pairs = [f"{one}/{other}" for one in tasks for other in tasks]
        usual = torch.tensor([self.memory.get(pair, 0.0) for pair in pairs], dtype=gramian.dtype)
        # TorchJD forgets where another number of gradients comes in: its memory is kept here, by names.
        self._method._phi_t, self._method._state_key = usual.view_as(gramian), (len(tasks), gramian.dtype)
        weights = super().solve(gramian, tasks=tasks)
        self.memory |= dict(zip(pairs, self._method._phi_t.flatten().tolist(), strict=True))
        return weights


class CaGradOptions(Options):
    """Options of `CaGrad`."""

    c: float = Field(0.5, ge=0)
    """How far from the mean gradient it may go; 0: it stays there."""


@WEIGHTINGS.register("cagrad", CaGradOptions)
@dataclass(kw_only=True)
class CaGrad(GradientMethod):
    """The best for the worst-off task, near the mean gradient (Liu et al. 2021, Conflict-Averse Gradient Descent).

    Args:
        c: ≥ 0; the paper's are 0.4 and 0.5.
    """

    c: float

    def make(self) -> Any:
        from torchjd.aggregation import CAGradWeighting

        return CAGradWeighting(c=self.c, norm_eps=0.0)


class Exact(GradientMethod):
    """A method that is solved in `nlpmtl.weighting.solvers`."""

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        return torch.from_numpy(self._method(gramian.numpy()))


@WEIGHTINGS.register("nashmtl")
@dataclass(kw_only=True)
class NashMtl(Exact):
    """The bargain that no task would leave (Navon et al. 2022, Multi-Task Learning as a Bargaining Game).

    The weights α solve G α = 1 / α for the Gramian G, by Newton's method on the convex function whose minimum that is.
    """

    averages: ClassVar[bool] = False

    def make(self) -> Any:
        return solvers.bargain


@WEIGHTINGS.register("imtl_g")
@dataclass(kw_only=True)
class ImtlG(Exact):
    """Equally long projections on each task's gradient (Liu et al. 2021, Towards Impartial Multi-Task Learning).

    Gradients count as dependent where an eigenvalue of their cosines is at most 5e-6, so that rounding doesn't decide.
    """

    def make(self) -> Any:
        return solvers.equal_projections


@WEIGHTINGS.register("aligned_mtl")
@dataclass(kw_only=True)
class AlignedMtl(Exact):
    """Principal components of like size (Senushkin et al. 2023, Independent Component Alignment).

    The size is that of the smallest component. Components are as many as eigenvalues of the gradients' cosines are
    above 5e-6: two gradients at an angle below 0.0032 count as parallel, so that rounding doesn't decide.
    """

    def make(self) -> Any:
        return solvers.align


@WEIGHTINGS.register("mgda")
@dataclass(kw_only=True)
class Mgda(Exact):
    """The shortest convex combination (Désidéri 2012; Sener and Koltun 2018, Multi-Objective Optimization).

    Solved exactly, as a quadratic program; the papers' Frank-Wolfe algorithm needs many iterations.
    """

    def make(self) -> Any:
        return solvers.shortest


@WEIGHTINGS.register("upgrad")
@dataclass(kw_only=True)
class UpGrad(Exact):
    """No task is made worse: each gradient projected on the dual cone of all (Quinton and Rey 2024)."""

    def make(self) -> Any:
        return lambda gramian: solvers.project(gramian, np.eye(len(gramian)) / len(gramian)).sum(axis=0)


@WEIGHTINGS.register("dualproj")
@dataclass(kw_only=True)
class DualProj(Exact):
    """The mean gradient projected on the dual cone of all (Lopez-Paz and Ranzato 2017, Gradient Episodic Memory)."""

    def make(self) -> Any:
        return lambda gramian: solvers.project(gramian, np.full((1, len(gramian)), 1 / len(gramian)))[0]


class FairGradOptions(Options):
    """Options of `FairGrad`."""

    alpha: float = Field(2.0, gt=0)
    """How fair: 1 is proportional fairness, the larger the nearer to max-min."""


@WEIGHTINGS.register("fairgrad", FairGradOptions)
@dataclass(kw_only=True)
class FairGrad(Exact):
    """An α-fair share of the loss's fall for each task (Ban and Ji 2024, Fair Resource Allocation in MTL).

    The weights w solve G w = w^(−1/α) for the Gramian G; α = 1 is `nashmtl`.

    Args:
        alpha: α > 0.
    """

    averages: ClassVar[bool] = False

    alpha: float

    def make(self) -> Any:
        return lambda gramian: solvers.bargain(gramian, power=1 / self.alpha)
