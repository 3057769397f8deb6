"""What the processes of a run say to each other in a step: what befell one of them, and the gradients of all.

Gradients are added up here once a step, when every process has computed all its rows. A wrapper such as
DistributedDataParallel adds them up inside the last backward: a process that fails there leaves the others waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

_BUCKET = 1 << 23
"""Numbers that are added up at once."""


def is_distributed() -> bool:
    """Whether there are several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def all_reduce_max(numbers: Sequence[int], *, device: torch.device) -> list[int]:
    """The largest that any process says, of each number."""
    if not is_distributed():
        return list(numbers)
    said = torch.tensor(numbers, dtype=torch.int64, device=device)
    dist.all_reduce(said, op=dist.ReduceOp.MAX)
    return [int(number) for number in said.tolist()]


def all_reduce_sum(numbers: Tensor) -> Tensor:
    """Their sum over all processes."""
    if is_distributed():
        numbers = numbers.clone()
        dist.all_reduce(numbers)
    return numbers


def all_gather_strings(lines: list[str]) -> list[str]:
    """The lines of all processes."""
    if not is_distributed():
        return lines
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, lines)
    return [line for one in gathered for line in one]


def broadcast_parameters(model: nn.Module) -> None:
    """Give every process the weights of the first, so that all start from the same."""
    if is_distributed():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def all_reduce_gradients(parameters: Sequence[nn.Parameter], *, present: Sequence[bool]) -> None:
    """Turn each process's gradients into their sum over all processes.

    Args:
        parameters: the same in all processes; gradients of those in slices are summed already.
        present: which of them have a gradient in any process; the others stay without.
    """
    if not is_distributed():
        return
    given = [p for p, has in zip(parameters, present, strict=True) if has and not isinstance(p, DTensor)]
    for bucket in _buckets(given):
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in bucket if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Some of one type at once."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        full = sum(map(Tensor.numel, bucket)) + parameter.numel() > _BUCKET
        if bucket and (full or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
