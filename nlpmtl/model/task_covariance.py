"""How tasks are related, learned from what each of them has of its own: a covariance between tasks.

References:
    Zhang and Yeung (2010), A Convex Formulation for Learning Task Relationships in Multi-Task Learning, equations 6 and
    11: min over W and Ω of the loss + strength · tr(W Ω⁻¹ Wᵀ), with tr Ω = 1; for a given W the best Ω is
    (WᵀW)^½ / tr (WᵀW)^½. Column t of W is what task t has learned. There weights start at 0; here W is the distance
    from where all tasks started: heads and copies start at random or pretrained weights, and alike. Ω is found
    anew after each step, not after the loss has been minimised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from nlpmtl.errors import ModelError
from nlpmtl.model.sharing import TaskMatrix

Weights = Mapping[str, Mapping[str, Tensor]]
"""Of each task by name, by names that tasks have in common."""
_JITTER = 0.01
"""What is added to Ω before it is inverted, as a share of its mean eigenvalue: a direction in which no task has gone
is not forbidden."""


class TaskCovariance(nn.Module):
    """The covariance between tasks over all weights that they have under equal names in equal shapes.

    Weights that other tasks have in common have another covariance: of a tagger and two classifiers with as many
    labels, say, the classifiers alone.

    Args:
        weights: what each task has of its own.
        strength: what the penalty is multiplied with, > 0.

    Raises:
        ModelError: there are several tasks, and no two have anything under one name in one shape.
    """

    def __init__(self, weights: Weights, *, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.sets = nn.ModuleList(_TaskSet(tasks, names, weights) for tasks, names in _common(weights).items())
        if len(weights) > 1 and not self.sets:
            raise ModelError(
                f"sharing.relations: the tasks {', '.join(weights)} have no weights of one name and shape of their "
                "own, such as heads with as many labels: leave it out"
            )

    def start(self, weights: Weights, *, fresh: Collection[str]) -> None:
        """Have new tasks start alike, and count from there.

        What two tasks learn can only be compared from one start: what a last layer learns, say, means nothing but
        together with the layer before.

        Args:
            weights: what each task has; moved where tasks differ.
            fresh: the tasks that have learned nothing yet. Others stay, and the start is the mean of all.
        """
        for one in self._each():
            one.start(weights, fresh=fresh)

    def penalty(self, weights: Weights) -> Tensor | None:
        """Strength · tr(W Ω⁻¹ Wᵀ), a scalar; None for a single task."""
        found = [one.distance(weights) for one in self._each()]
        return self.strength * torch.stack(found).sum() if found else None

    def update(self, weights: Weights) -> None:
        """The best Ω for the weights as they are."""
        for one in self._each():
            one.update(weights)

    def task_relations(self) -> dict[str, TaskMatrix]:
        """The correlations: Ω with 1 on its diagonal."""
        found = {}
        for number, one in enumerate(self._each()):
            spread = one.covariance.diagonal().clamp_min(torch.finfo(one.covariance.dtype).tiny).sqrt()
            name = f"correlation over {one.many:,} weights" + (f" ({number + 1})" if number else "")
            found[name] = TaskMatrix(one.tasks, one.covariance / spread[:, None] / spread)
        return found

    def _each(self) -> Iterable[_TaskSet]:
        for one in self.sets:
            assert isinstance(one, _TaskSet)
            yield one


class _TaskSet(nn.Module):
    """Tasks, and the weights that these tasks and no others have in common.

    Args:
        tasks: their names.
        names: the weights' names.
        weights: what each task has.
    """

    covariance: Tensor
    begin: Tensor

    def __init__(self, tasks: tuple[str, ...], names: list[str], weights: Weights) -> None:
        super().__init__()
        self.tasks, self.names = tasks, names
        first = [weights[tasks[0]][name] for name in names]
        self.many = sum(weight.numel() for weight in first)
        self.register_buffer("covariance", torch.eye(len(tasks), device=first[0].device) / len(tasks))
        self.register_buffer("begin", torch.zeros(self.many, device=first[0].device))

    @torch.no_grad()
    def start(self, weights: Weights, *, fresh: Collection[str]) -> None:
        new = sorted(set(self.tasks) & set(fresh))  # by name: their order in a run is nothing
        for task in new[1:]:
            for name in self.names:
                weights[task][name].copy_(weights[new[0]][name])
        first, means = weights[self.tasks[0]], []
        for name in self.names:  # their mean, such that it is exact where all are alike
            apart = torch.stack([weights[task][name] - first[name] for task in self.tasks])
            means.append((first[name] + apart.mean(dim=0)).flatten())
        self.begin.copy_(torch.cat(means))
        self.covariance.copy_(torch.eye(len(self.tasks)) / len(self.tasks))

    def distance(self, weights: Weights) -> Tensor:
        """tr(W Ω⁻¹ Wᵀ)."""
        omega = self.covariance.double()
        jitter = _JITTER / len(self.tasks) * torch.eye(len(self.tasks), device=omega.device, dtype=omega.dtype)
        gram = self._gram(weights, dtype=None)
        inverse: Tensor = torch.linalg.inv(omega + jitter).to(gram.dtype)
        return (gram * inverse).sum()

    @torch.no_grad()
    def update(self, weights: Weights) -> None:
        """Ω = (WᵀW)^½ / tr (WᵀW)^½; as it is where no weight has moved."""
        values, vectors = torch.linalg.eigh(self._gram(weights, dtype=torch.float64))
        roots = values.clamp_min(0.0).sqrt()
        if roots.sum() > 0:
            self.covariance.copy_((vectors * (roots / roots.sum())) @ vectors.T)

    def _gram(self, weights: Weights, *, dtype: torch.dtype | None) -> Tensor:
        """WᵀW, ``[tasks, tasks]``, without W as a whole."""
        sizes = [weights[self.tasks[0]][name].numel() for name in self.names]
        found = []
        with torch.autocast(self.begin.device.type, enabled=False):
            for name, begin in zip(self.names, self.begin.split(sizes), strict=True):
                own = torch.stack([weights[task][name].flatten() for task in self.tasks])
                moved = (own - begin).to(dtype or own.dtype)
                found.append(moved @ moved.T)
        return torch.stack(found).sum(dim=0)


def _common(weights: Weights) -> dict[tuple[str, ...], list[str]]:
    """The names that two tasks or more have in one shape, by those tasks."""
    holders: dict[tuple[str, torch.Size], list[str]] = {}
    for task, own in weights.items():
        for name, weight in own.items():
            holders.setdefault((name, weight.shape), []).append(task)
    found: dict[tuple[str, ...], list[str]] = {}
    for (name, _), tasks in holders.items():
        if len(tasks) > 1:
            found.setdefault(tuple(tasks), []).append(name)
    return found
