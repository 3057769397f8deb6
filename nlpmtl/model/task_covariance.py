"""Task covariance, or multi-task relationship learning, MTRL (Zhang and Yeung, 2010).

Learns a covariance between tasks from their task-specific parameters, and regularises related tasks towards each other.

    penalty = strength · tr(W Ω⁻¹ Wᵀ)        Ω = (WᵀW)^½ / tr (WᵀW)^½

Symbols:
- W, ``[parameters, tasks]``: column t is the difference between the parameters of task t and their initial values
- Ω, ``[tasks, tasks]``: covariance between tasks, with trace 1

Departures from the paper:
- In the paper, parameters start at 0; here they start at random or pretrained values, the same for all tasks, and W is
  the distance from these.
- Ω is updated after each optimizer step; in the paper, after the loss has been minimised.
- A jitter is added to Ω before it is inverted.

References:
    Zhang and Yeung (2010), A Convex Formulation for Learning Task Relationships in Multi-Task Learning, UAI, equations
        6 and 11, https://arxiv.org/abs/1203.3536

Example:
    >>> import torch
    >>> from nlpmtl.model.task_covariance import TaskCovariance
    >>> initial = {task: {"weight": torch.zeros(2)} for task in ("topic", "sentiment")}
    >>> covariance = TaskCovariance(initial, strength=0.1)
    >>> covariance.update({"topic": {"weight": torch.ones(2)}, "sentiment": {"weight": 2 * torch.ones(2)}})
    >>> covariance.task_relations()["correlation over 2 weights"].values.round(decimals=4)
    tensor([[1., 1.],
            [1., 1.]])
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from nlpmtl.errors import ModelError
from nlpmtl.model.sharing import TaskMatrix

TaskParameters = Mapping[str, Mapping[str, Tensor]]
"""Task-specific parameters by task, and by a name that is the same for all tasks."""
_JITTER = 0.01
"""Added to the diagonal of Ω, relative to its mean eigenvalue, so that Ω⁻¹ is finite along unused directions."""


class TaskCovariance(nn.Module):
    """Covariance between tasks over the parameters that have the same name and shape in several tasks.

    Each set of tasks has a separate covariance over the parameters that exactly these tasks have in common: with a
    tagger and two classifiers with equally many labels, for example, the last layers of the classifiers.

    Args:
        parameters: task-specific parameters.
        strength: weight of the penalty, > 0.

    Raises:
        ModelError: there are several tasks, but no two have a parameter of the same name and shape.
    """

    def __init__(self, parameters: TaskParameters, *, strength: float) -> None:
        super().__init__()
        self.strength = strength
        groups = _group_names(parameters).items()
        self.sets = nn.ModuleList(_CovarianceGroup(tasks, names, parameters) for tasks, names in groups)
        if len(parameters) > 1 and not self.sets:
            raise ModelError(
                f"sharing.relations: the tasks {', '.join(parameters)} have no task-specific parameters of the same "
                "name and shape, such as heads with equally many labels: remove this option"
            )

    def start(self, parameters: TaskParameters, *, fresh: Collection[str]) -> None:
        """Give new tasks the same initial parameters, and measure W from there.

        The parameters of two tasks can only be compared if they start at the same values: a last layer, for example,
        depends on the layer before it.

        Args:
            parameters: task-specific parameters; those of new tasks are changed.
            fresh: names of the tasks that are not pretrained. Others keep their parameters, and the initial values are
                the mean over all tasks.
        """
        for group in self._groups():
            group.start(parameters, fresh=fresh)

    def penalty(self, parameters: TaskParameters) -> Tensor | None:
        """Return strength · tr(W Ω⁻¹ Wᵀ) over the sets of tasks with a trained parameter; None without one."""
        distances = [group.distance(parameters) for group in self._groups() if group.is_trainable(parameters)]
        return self.strength * torch.stack(distances).sum() if distances else None

    def update(self, parameters: TaskParameters) -> None:
        """Set Ω to its optimum for the current parameters."""
        for group in self._groups():
            group.update(parameters)

    def task_relations(self) -> dict[str, TaskMatrix]:
        """Return the correlations: Ω scaled to 1 on the diagonal."""
        relations = {}
        for number, group in enumerate(self._groups()):
            std = group.covariance.diagonal().clamp_min(torch.finfo(group.covariance.dtype).tiny).sqrt()
            name = f"correlation over {group.parameter_count:,} weights" + (f" ({number + 1})" if number else "")
            relations[name] = TaskMatrix(group.tasks, group.covariance / std[:, None] / std)
        return relations

    def _groups(self) -> Iterable[_CovarianceGroup]:
        for group in self.sets:
            assert isinstance(group, _CovarianceGroup)
            yield group


class _CovarianceGroup(nn.Module):
    """Covariance between a set of tasks over the parameters that exactly these tasks have in common.

    Args:
        tasks: names of the tasks.
        names: names of the parameters.
        parameters: task-specific parameters of all tasks.
    """

    covariance: Tensor
    begin: Tensor

    def __init__(self, tasks: tuple[str, ...], names: list[str], parameters: TaskParameters) -> None:
        super().__init__()
        self.tasks, self.names = tasks, names
        first = [parameters[tasks[0]][name] for name in names]
        self.parameter_count = sum(parameter.numel() for parameter in first)
        self.register_buffer("covariance", torch.eye(len(tasks), device=first[0].device) / len(tasks))
        self.register_buffer("begin", torch.zeros(self.parameter_count, device=first[0].device))

    @torch.no_grad()
    def start(self, parameters: TaskParameters, *, fresh: Collection[str]) -> None:
        new = sorted(set(self.tasks) & set(fresh))  # by name, so that the order of the tasks does not matter
        for task in new[1:]:
            for name in self.names:
                parameters[task][name].copy_(parameters[new[0]][name])
        first, means = parameters[self.tasks[0]], []
        for name in self.names:  # the mean is exact if all tasks have the same values
            differences = torch.stack([parameters[task][name] - first[name] for task in self.tasks])
            means.append((first[name] + differences.mean(dim=0)).flatten())
        self.begin.copy_(torch.cat(means))
        self.covariance.copy_(torch.eye(len(self.tasks)) / len(self.tasks))

    def is_trainable(self, parameters: TaskParameters) -> bool:
        """Return whether one of the parameters is trained: the tasks of an earlier run may be frozen."""
        return any(parameters[task][name].requires_grad for task in self.tasks for name in self.names)

    def distance(self, parameters: TaskParameters) -> Tensor:
        """Return tr(W Ω⁻¹ Wᵀ)."""
        omega = self.covariance.double()
        jitter = _JITTER / len(self.tasks) * torch.eye(len(self.tasks), device=omega.device, dtype=omega.dtype)
        gram = self._gram(parameters, dtype=None)
        inverse: Tensor = torch.linalg.inv(omega + jitter).to(gram.dtype)
        return (gram * inverse).sum()

    @torch.no_grad()
    def update(self, parameters: TaskParameters) -> None:
        """Set Ω = (WᵀW)^½ / tr (WᵀW)^½; unchanged if W is 0."""
        values, vectors = torch.linalg.eigh(self._gram(parameters, dtype=torch.float64))
        roots = values.clamp_min(0.0).sqrt()
        if roots.sum() > 0:
            self.covariance.copy_((vectors * (roots / roots.sum())) @ vectors.T)

    def _gram(self, parameters: TaskParameters, *, dtype: torch.dtype | None) -> Tensor:
        """Return WᵀW, ``[tasks, tasks]``, computed one parameter at a time."""
        sizes = [parameters[self.tasks[0]][name].numel() for name in self.names]
        grams = []
        with torch.autocast(self.begin.device.type, enabled=False):
            for name, begin in zip(self.names, self.begin.split(sizes), strict=True):
                stacked = torch.stack([parameters[task][name].flatten() for task in self.tasks])
                moved = (stacked - begin).to(dtype or stacked.dtype)
                grams.append(moved @ moved.T)
        return torch.stack(grams).sum(dim=0)


def _group_names(parameters: TaskParameters) -> dict[tuple[str, ...], list[str]]:
    """Return the names of parameters that at least two tasks have in the same shape, by these tasks."""
    holders: dict[tuple[str, torch.Size], list[str]] = {}
    for task, named in parameters.items():
        for name, parameter in named.items():
            holders.setdefault((name, parameter.shape), []).append(task)
    groups: dict[tuple[str, ...], list[str]] = {}
    for (name, _), tasks in holders.items():
        if len(tasks) > 1:
            groups.setdefault(tuple(tasks), []).append(name)
    return groups
