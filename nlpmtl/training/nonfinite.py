"""Search for the rows and tasks that make the loss or the gradient of a step infinite or NaN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from nlpmtl.sampling import RowRef
from nlpmtl.training.distributed import all_gather_strings, total_norm
from nlpmtl.training.gradient_accumulation import GradientAccumulator

_MAX_ROWS_IN_MESSAGE = 5


def describe_nonfinite(
    accumulator: GradientAccumulator,
    rows: Sequence[RowRef],
    *,
    step: int,
    loss_scales: Mapping[str, float],
    norm: float,
) -> str:
    """Return a message that names the rows and tasks, each of which is computed separately; gradients are overwritten.

    Args:
        accumulator: runs rows through the model.
        rows: rows that this rank computed in the step.
        step: number of the step, counted from 0.
        loss_scales: scale of each task's summed loss in the step.
        norm: gradient norm of the step.
    """
    lines = list(dict.fromkeys(all_gather_strings(list(_nonfinite_rows(accumulator, rows, loss_scales=loss_scales)))))
    listed = "".join(f"\n  {line}" for line in lines[:_MAX_ROWS_IN_MESSAGE])
    more = f"\n  … and {len(lines) - _MAX_ROWS_IN_MESSAGE} more" if len(lines) > _MAX_ROWS_IN_MESSAGE else ""
    separate = "" if lines else f"; each row by itself gives a finite one; tasks: {', '.join(loss_scales)}"
    return (
        f"step {step + 1}: a loss or gradient is not finite (norm {norm}){separate}{listed}{more}\n"
        'lower train.lr, raise train.warmup, or check the rows; train.on_bad_step = "skip" skips such steps'
    )


def _nonfinite_rows(
    accumulator: GradientAccumulator, rows: Sequence[RowRef], *, loss_scales: Mapping[str, float]
) -> Iterator[str]:
    torch.manual_seed(accumulator.seed)  # the same dropout on all ranks, which compute a sharded model together
    for row in rows:
        dataset = accumulator.collate.datasets[row.dataset]
        for name in accumulator.tasks:
            if name not in dataset.labels or dataset.labels[name].counts[row.row] == 0:
                continue
            accumulator.zero_grad()
            loss = accumulator.task_losses(accumulator.collate([row], tasks=[name]), names=[name])[name].loss
            place = dataset.place(row.row)
            if not bool(torch.isfinite(loss)):
                yield f"{place}: the loss of task {name!r} is {loss.item()}"
                continue
            accumulator.accelerator.backward(loss * loss_scales[name])
            gradients = [p.grad for p in accumulator.parameters if p.grad is not None]
            if not bool(torch.isfinite(total_norm(gradients))):
                yield f"{place}: the gradient of task {name!r} is not finite, its loss is {loss.item()}"
