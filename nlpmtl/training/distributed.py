"""Collectives: every function here is called on all ranks, and does nothing but return its argument on a single one.

Gradients are summed once per step, after every rank has computed all its rows. A wrapper such as
DistributedDataParallel sums them inside the last backward pass, where a rank that fails leaves the others waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from nlpmtl.errors import RunError, describe_exception

_BUCKET_SIZE = 1 << 23
"""Number of gradient elements that are reduced at once."""
_LONGEST_WAIT = timedelta(days=30)


def is_distributed() -> bool:
    """Return whether the run has several ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def all_reduce_max(numbers: Sequence[int], *, device: torch.device) -> list[int]:
    """Return the element-wise maximum over all ranks."""
    if not is_distributed():
        return list(numbers)
    maxima = torch.tensor(numbers, dtype=torch.int64, device=device)
    dist.all_reduce(maxima, op=dist.ReduceOp.MAX)
    return [int(number) for number in maxima.tolist()]


def all_reduce_sum(numbers: Tensor) -> Tensor:
    """Return the element-wise sum over all ranks."""
    if is_distributed():
        numbers = numbers.clone()
        dist.all_reduce(numbers)
    return numbers


def all_gather_strings(lines: list[str]) -> list[str]:
    """Return the strings of all ranks, in the order of the ranks."""
    if not is_distributed():
        return lines
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, lines)
    return [line for of_rank in gathered for line in of_rank]


def all_gather_lists(values: list[Any]) -> list[Any]:
    """Return the values of all ranks, which can be pickled, in one list."""
    gathered: list[Any] = gather_object(values)
    return gathered


def gather_results(results: Iterable[Any]) -> list[Any]:
    """Return the results of all ranks, which can be pickled, in one list.

    If computing the results fails on one rank, all ranks raise, so that none waits for the others.

    Args:
        results: the results of this rank; they may be computed while they are read.

    Raises:
        RunError: another rank failed. This rank raises its own exception.
    """
    failure: Exception | None = None
    computed: list[Any] = []
    try:
        computed.extend(results)
    except Exception as error:
        if not is_distributed():
            raise
        failure = error
    message = None if failure is None else describe_exception(failure)
    gathered: list[tuple[list[Any], str | None]] = all_gather_lists([(computed, message)])
    if failure is not None:
        raise failure
    for _, problem in gathered:
        if problem is not None:
            raise RunError(f"another process failed: {problem}")
    return [result for of_rank, _ in gathered for result in of_rank]


@contextmanager
def long_wait_group() -> Iterator[dist.ProcessGroup]:
    """Open a process group for waits of any length inside the block.

    The default group has a time-out of minutes, and NCCL's waits occupy the GPU.
    """
    group = dist.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    try:
        yield group
    finally:
        dist.destroy_process_group(group)


@contextmanager
def work_of_one_rank() -> Iterator[None]:
    """Let the other ranks wait at the end of the block, for days if needed, until one rank has done its work there."""
    if not is_distributed():
        yield
        return
    with long_wait_group() as group:
        yield
        dist.barrier(group=group)


def barrier() -> None:
    """Wait until all processes are here."""
    if is_distributed():
        dist.barrier()


def broadcast_object(value: Any) -> Any:
    """Return the value of rank 0, which can be pickled."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def broadcast_parameters(model: nn.Module) -> None:
    """Copy the parameters and buffers of rank 0 to all ranks."""
    if is_distributed():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def all_reduce_gradients(parameters: Sequence[nn.Parameter], *, present: Sequence[bool]) -> None:
    """Replace the gradients of each rank by their sum over all ranks.

    Args:
        parameters: parameters, in the same order on all ranks. Those of a sharded model are reduced already.
        present: which parameters have a gradient on any rank; the others keep none.
    """
    if not is_distributed():
        return
    reduced = [p for p, has in zip(parameters, present, strict=True) if has and not isinstance(p, DTensor)]
    for bucket in _buckets(reduced):
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in bucket if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield groups of consecutive parameters of one dtype."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        full = sum(map(Tensor.numel, bucket)) + parameter.numel() > _BUCKET_SIZE
        if bucket and (full or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients, a scalar; the shards of a sharded model are summed over all ranks."""
    shards = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    norm = get_total_norm([gradient for gradient in gradients if not isinstance(gradient, DTensor)])
    if not shards:
        return norm
    return torch.sqrt(all_reduce_sum(get_total_norm(shards).square()) + norm.square())


def clip_gradients(parameters: Sequence[nn.Parameter], *, max_norm: float, norm: Tensor) -> None:
    """Scale the gradients so that their norm, a scalar that `total_norm` returned, is at most `max_norm`."""
    for sharded in (False, True):
        group = [parameter for parameter in parameters if isinstance(parameter, DTensor) == sharded]
        clip_grads_with_norm_(group, max_norm, norm)
