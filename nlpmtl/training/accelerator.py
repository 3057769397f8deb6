"""Where a run computes, and in which precision: Accelerate, told what it needs to know."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedType, patch_environment
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from nlpmtl.errors import ConfigError
from nlpmtl.kernels.malloc import tune_malloc
from nlpmtl.training.fsdp import ASKED
from nlpmtl.training.global_state import global_state_restored
from nlpmtl.training.launch import NEUTRAL, check_launch

_APPLE = torch.device("mps")
_FOREIGN = (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def resolve_precision(asked: str) -> str:
    """What "auto" becomes here: bf16 where the hardware computes in it, else fp32."""
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def check_precision(error: Exception) -> None:
    """Check whether a forward failed because of its precision: some encoders can be computed in fp32 only.

    Raises:
        ConfigError: it did.
    """
    if "BFloat16" in str(error):
        raise ConfigError(
            f'train.precision: this encoder cannot be computed in bf16 ({error}): write precision = "fp32"'
        ) from error


def _has_accelerator() -> bool:
    """Whether there is one that computes in double precision too, as sums of losses are: Apple's does not."""
    return torch.accelerator.is_available() and torch.accelerator.current_accelerator(check_available=True) != _APPLE


@contextmanager
def accelerator_context(*, directory: Path, precision: str, trackers: Sequence[str]) -> Iterator[Accelerator]:
    """Device, precision and processes, for as long as a run needs them; global state is restored afterwards.

    Args:
        directory: where trackers may write.
        precision: "bf16", "fp32" or "fp64", as `resolve_precision` gives it.
        trackers: Accelerate's names of those that `init_trackers` shall start.

    Raises:
        ConfigError: a tracker is not installed, or the processes were started in a way that is not supported.
    """
    check_launch()
    with (
        global_state_restored(),
        _accelerating(directory=directory, precision=precision, trackers=trackers) as accelerator,
    ):
        yield accelerator


@contextmanager
def _accelerating(*, directory: Path, precision: str, trackers: Sequence[str]) -> Iterator[Accelerator]:
    for name in trackers:
        if importlib.util.find_spec(name) is None:  # Accelerate would go on without it
            raise ConfigError(f"train.trackers: {name} is not installed: pip install 'nlpmtl[{name}]'")
    _join_anew()
    # Slices are cut by `nlpmtl.training.fsdp`, and what the environment says of precision and accumulation is ignored.
    with patch_environment(**{ASKED: "false"}, **NEUTRAL):
        accelerator = Accelerator(
            cpu=not _has_accelerator(),  # unless told so, it takes each of several processes for the only one
            mixed_precision="bf16" if precision == "bf16" else "no",
            log_with=list(trackers) or None,
            project_dir=directory,
        )
    if accelerator.distributed_type in _FOREIGN:
        raise ConfigError(
            f"{accelerator.distributed_type.value} is not supported: start data parallel processes, with torchrun or "
            "accelerate launch --multi_gpu, or FSDP2, which is"
        )
    if accelerator.device.type == "cpu":
        tune_malloc()
    atexit.unregister(_end_group)
    atexit.register(_end_group)
    try:
        yield accelerator
    finally:
        finish_trackers(accelerator)


def finish_trackers(accelerator: Accelerator) -> list[str]:
    """Finish the trackers, and return a line for each that failed; a second call does nothing.

    `Accelerator.end_training` would end the process group too, which a second run needs.
    """
    failures = []
    for tracker in accelerator.trackers:
        try:
            tracker.finish()
        except Exception as error:  # each tracker raises its own kinds
            failures.append(f"train.trackers: {tracker.name} could not be finished: {type(error).__name__}: {error}")
    accelerator.trackers = []
    return failures


def _join_anew() -> None:
    """Form the group of processes that torchrun started again, under keys of its own.

    torchrun keeps its store from one start to the next, and PyTorch (2.13) looks for the others under the same keys:
    one that is quick finds the addresses of those that are gone, and waits for them.
    """
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if again == 0 or dist.is_initialized():
        return
    store, rank, world = next(rendezvous("env://"))
    backend = "nccl" if _has_accelerator() else "gloo"
    dist.init_process_group(backend, store=PrefixStore(f"again-{again}", store), rank=rank, world_size=world)


def _end_group() -> None:
    """End the threads of the process group while Python still runs: one that outlives it may abort the process.

    A model in slices knows the group, and is part of circles: it is collected first.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()
