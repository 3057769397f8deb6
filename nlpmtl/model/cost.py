"""Cost of a sharing scheme: shared and task-specific parameters, and the work of a forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nlpmtl.model.multitask import MultiTaskModel


@dataclass(frozen=True)
class ModelCost:
    """Parameters of a model and the work of a forward pass.

    Args:
        shared_parameters: number of parameters that all tasks share.
        task_parameters: number of parameters that are specific to each task, its head included.
        relative_flops: multiplications of a forward pass relative to hard sharing.
        tasks_per_row: mean number of tasks that read a row, for `relative_flops`.
    """

    shared_parameters: int
    task_parameters: Mapping[str, int]
    relative_flops: float
    tasks_per_row: float

    def __str__(self) -> str:
        counts = sorted(set(self.task_parameters.values()))
        per_task = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        tasks = f"{self.tasks_per_row:.2g} task{'' if self.tasks_per_row == 1 else 's'}"
        return (
            f"{self.shared_parameters:,} shared parameters and {per_task} per task; with {tasks} per row a forward "
            f"pass costs {self.relative_flops:.2f} times that of hard sharing"
        )


def estimate_cost(model: MultiTaskModel, *, tasks_per_row: float) -> ModelCost:
    """Count the parameters of a model and estimate the work of a forward pass.

    Args:
        model: the model.
        tasks_per_row: mean number of tasks that read a row, ≥ 1.
    """
    sharing = model.sharing
    per_task = {
        task: sum(p.numel() for p in (*model.head(task).parameters(), *sharing.task_parameters(task).values()))
        for task in model.tasks
    }
    total = sum(parameter.numel() for parameter in model.parameters())
    return ModelCost(total - sum(per_task.values()), per_task, sharing.relative_flops(tasks_per_row), tasks_per_row)
