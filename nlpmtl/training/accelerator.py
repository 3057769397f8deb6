"""Accelerator setup: device, precision, process group and trackers."""

from __future__ import annotations

import atexit
import gc
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

from nlpmtl.environment import USE_FSDP
from nlpmtl.errors import ConfigError
from nlpmtl.training.global_state import clean_global_state
from nlpmtl.training.launch import NEUTRAL, check_launch
from nlpmtl.training.trackers import check_trackers

_APPLE = torch.device("mps")
_UNSUPPORTED = (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "ALLOC_FAILED")
"""Parts of messages of PyTorch's errors that have no class of their own."""


def resolve_precision(precision: str) -> str:
    """Resolve "auto": bf16 if the hardware computes in it, otherwise fp32. Other values are returned unchanged."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def check_precision(error: Exception) -> None:
    """Explain an error of a forward pass if its cause is the precision: some encoders support only fp32.

    Raises:
        ConfigError: the precision is the cause.
    """
    if "BFloat16" in str(error):
        raise ConfigError(
            f'train.precision: this encoder cannot be computed in bf16 ({error}): write precision = "fp32"'
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that the memory of the device or of the machine is exhausted."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        message in str(error) for message in _OUT_OF_MEMORY
    )


def _has_accelerator() -> bool:
    """Return whether there is an accelerator with double precision, which sums of losses need; Apple's have none."""
    return torch.accelerator.is_available() and torch.accelerator.current_accelerator(check_available=True) != _APPLE


@contextmanager
def accelerator_context(*, directory: Path, precision: str, trackers: Sequence[str]) -> Iterator[Accelerator]:
    """Set up device, precision and process group inside the block; global state is restored afterwards.

    Args:
        directory: directory for the files of trackers.
        precision: "bf16", "fp32" or "fp64", as `resolve_precision` returns it.
        trackers: Accelerate's names of the trackers that `init_trackers` starts.

    Raises:
        ConfigError: a tracker is not installed, or the launcher is not supported.
    """
    check_launch()
    check_trackers(trackers)
    with clean_global_state():
        _reinit_group_after_restart()
        # `nlpmtl.training.fsdp` shards the model, and precision and accumulation come from the config.
        with patch_environment(**{USE_FSDP: "false"}, **NEUTRAL):
            accelerator = Accelerator(
                cpu=not _has_accelerator(),  # otherwise each CPU process assumes that it is the only one
                mixed_precision="bf16" if precision == "bf16" else "no",
                log_with=list(trackers) or None,
                project_dir=directory,
            )
        if accelerator.distributed_type in _UNSUPPORTED:
            raise ConfigError(
                f"{accelerator.distributed_type.value} is not supported: use torchrun, accelerate launch --multi_gpu, "
                "or FSDP2 (accelerate launch --use_fsdp --fsdp_version 2)"
            )
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
        except Exception as error:  # each tracker raises exceptions of its own
            failures.append(f"train.trackers: {tracker.name} could not be finished: {type(error).__name__}: {error}")
    accelerator.trackers = []
    return failures


def _reinit_group_after_restart() -> None:
    """Initialise the process group of ranks that torchrun restarted, with keys of its own.

    torchrun keeps its store across restarts, and PyTorch (2.13) uses the same keys again: a fast rank would find the
    addresses of ranks that have ended, and wait for them.
    """
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if restarts == 0 or dist.is_initialized():
        return
    store, rank, world_size = next(rendezvous("env://"))
    backend = "nccl" if _has_accelerator() else "gloo"
    dist.init_process_group(backend, store=PrefixStore(f"again-{restarts}", store), rank=rank, world_size=world_size)


def _end_group() -> None:
    """Destroy the process group while Python still runs: a thread that outlives it may abort the process.

    A sharded model refers to the group and is part of reference cycles, so it is collected first.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()
