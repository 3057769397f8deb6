"""What a sharing scheme costs: parameters for all tasks and for each, and the work of a forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nlpmtl.model.multitask import MultiTaskModel


@dataclass(frozen=True)
class Footprint:
    """What a model costs.

    Args:
        shared: parameters that all tasks have in common.
        own: parameters of each task's own, its head among them.
        cost: the multiplications of a forward, as a multiple of hard sharing's.
        labels: tasks that ask about a row, on average.
    """

    shared: int
    own: Mapping[str, int]
    cost: float
    labels: float

    def __str__(self) -> str:
        own = sorted(set(self.own.values()))
        each = f"{own[0]:,}" if len(own) == 1 else f"{own[0]:,} to {own[-1]:,}"
        labels = f"{self.labels:.2g} label{'' if self.labels == 1 else 's'}"
        return (
            f"{self.shared:,} parameters for all tasks, {each} for each; at {labels} a row a forward costs "
            f"{self.cost:.2f} times that of hard sharing"
        )


def footprint(model: MultiTaskModel, *, labels: float) -> Footprint:
    """What a model costs.

    Args:
        model: the model.
        labels: how many tasks ask about a row, on average, ≥ 1.
    """
    own = {
        task: sum(weight.numel() for weight in (*model.head(task).parameters(), *model.sharing.own(task).values()))
        for task in model.tasks
    }
    total = sum(weight.numel() for weight in model.parameters())
    return Footprint(total - sum(own.values()), own, model.sharing.cost(labels), labels)
