"""Gradient methods: what the tasks' gradients say of each other decides how they are added up. Through TorchJD.

Each method is TorchJD's (Quinton and Rey 2024, Jacobian Descent for Multi-Objective Optimization), which gives the
papers' formulas in terms of the Gramian, the inner products of the tasks' gradients.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import warnings
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Sight, Weighting

_NEEDED = ("torchjd", "cvxpy", "ecos", "quadprog", "qpsolvers")


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

    def __post_init__(self) -> None:
        if not all(importlib.util.find_spec(package) for package in _NEEDED):
            raise ConfigError("weighting.kind: gradient methods need more packages: pip install 'nlpmtl[gradients]'")
        self._method = self.make()

    @abstractmethod
    def make(self) -> Any:
        """TorchJD's object."""

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


@WEIGHTINGS.register("nashmtl")
@dataclass(kw_only=True)
class NashMtl(GradientMethod):
    """The bargain that no task would leave (Navon et al. 2022, Multi-Task Learning as a Bargaining Game)."""

    averages: ClassVar[bool] = False

    def make(self) -> Any:
        from torchjd.aggregation import NashMTL

        return lambda tasks: NashMTL(n_tasks=tasks, max_norm=0.0).weighting

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        method = self._method(len(tasks))
        method.prvs_alpha = np.array([self.memory.get(task, 1.0) for task in tasks])
        with warnings.catch_warnings():  # cvxpy's, that the next solution will take as long as the first
            warnings.simplefilter("ignore", UserWarning)
            weights: Tensor = method(_root(gramian))
        self.memory |= dict(zip(tasks, method.prvs_alpha.tolist(), strict=True))
        return weights


def _root(gramian: Tensor) -> Tensor:
    """A matrix whose rows have these inner products."""
    values, vectors = torch.linalg.eigh(gramian)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


@WEIGHTINGS.register("imtl_g")
@dataclass(kw_only=True)
class ImtlG(GradientMethod):
    """Equally long projections on each task's gradient (Liu et al. 2021, Towards Impartial Multi-Task Learning)."""

    def make(self) -> Any:
        from torchjd.aggregation import IMTLGWeighting

        return IMTLGWeighting()


@WEIGHTINGS.register("aligned_mtl")
@dataclass(kw_only=True)
class AlignedMtl(GradientMethod):
    """Principal components of like size (Senushkin et al. 2023, Independent Component Alignment)."""

    def make(self) -> Any:
        from torchjd.aggregation import AlignedMTLWeighting

        return AlignedMTLWeighting()


@WEIGHTINGS.register("mgda")
@dataclass(kw_only=True)
class Mgda(GradientMethod):
    """The shortest convex combination (Désidéri 2012; Sener and Koltun 2018, Multi-Objective Optimization)."""

    def make(self) -> Any:
        from torchjd.aggregation import MGDAWeighting

        return MGDAWeighting()


@WEIGHTINGS.register("upgrad")
@dataclass(kw_only=True)
class UpGrad(GradientMethod):
    """No task is made worse: each gradient projected on the dual cone of all (Quinton and Rey 2024)."""

    def make(self) -> Any:
        from torchjd.aggregation import UPGradWeighting

        return UPGradWeighting()


@WEIGHTINGS.register("dualproj")
@dataclass(kw_only=True)
class DualProj(GradientMethod):
    """The mean gradient projected on the dual cone of all (Lopez-Paz and Ranzato 2017, Gradient Episodic Memory)."""

    def make(self) -> Any:
        from torchjd.aggregation import DualProjWeighting

        return DualProjWeighting()


class FairGradOptions(Options):
    """Options of `FairGrad`."""

    alpha: float = Field(2.0, gt=0)
    """How fair: 1 is proportional fairness, the larger the nearer to max-min."""


@WEIGHTINGS.register("fairgrad", FairGradOptions)
@dataclass(kw_only=True)
class FairGrad(GradientMethod):
    """An α-fair share of the loss's fall for each task (Ban and Ji 2024, Fair Resource Allocation in MTL).

    Args:
        alpha: α > 0.
    """

    averages: ClassVar[bool] = False

    alpha: float

    def make(self) -> Any:
        from torchjd.aggregation import FairGradWeighting

        return FairGradWeighting(alpha=self.alpha)
