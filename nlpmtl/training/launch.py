"""Environment variables of launchers (torchrun, accelerate launch, mpirun): which are checked, refused or ignored.

A process that was not started by a launcher must not look like one rank of several: it would wait for the others, or
print nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

from nlpmtl.environment import MPI_RANKS, is_true
from nlpmtl.errors import ConfigError

_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT")
_DEVICE = "ACCELERATE_TORCH_DEVICE"
"""Device that Accelerate uses instead of its choice."""
_RESTARTS = "TORCHELASTIC_RESTART_COUNT"
_REMEDY = (
    "To train in one process, unset it; to train in several, start them with a launcher, which sets all of these "
    "variables: torchrun --standalone --nproc-per-node 2 -m nlpmtl train …"
)
_FRAMEWORKS = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "Accelerate's parallelism_config (tensor, context or sequence parallelism)",
}
_IGNORED = {
    "ACCELERATE_MIXED_PRECISION": ("no", 'set train.precision ("auto", "bf16", "fp32" or "fp64")'),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        "1",
        "train.batch_size counts the rows of an optimizer step, and train.micro_tokens limits a forward pass",
    ),
    "ACCELERATE_GRADIENT_CLIPPING": ("none", "set train.max_grad_norm"),
    "ACCELERATE_DYNAMO_BACKEND": ("no", "compilation is not supported"),
}
"""Settings of Accelerate that a run ignores: the neutral value, and what to use instead."""
NEUTRAL = {name: value for name, (value, _) in _IGNORED.items()} | dict.fromkeys(_FRAMEWORKS, "false")
"""Environment that Accelerate reads instead."""


def check_launch() -> None:
    """Check the environment variables that describe this process and the others.

    Raises:
        ConfigError: a variable is not an integer in its range, related variables are missing, an unsupported framework
            is requested, or a device that cannot be used.
    """
    for name, framework in _FRAMEWORKS.items():
        if is_true(name):
            raise ConfigError(
                f"{name} = {os.environ[name]!r}: {framework} is not supported: use torchrun, accelerate launch "
                f"--multi_gpu, or FSDP2 (accelerate launch --use_fsdp --fsdp_version 2); or unset {name}"
            )
    _integer(_RESTARTS, minimum=0)
    _check_device()
    if dist.is_available() and dist.is_initialized():
        return
    values = {name: _integer(name, minimum=int(name == "WORLD_SIZE")) for name in _RANKS}
    rank, local_rank, world_size = values.values()
    _check_mpi()
    if local_rank is not None or (rank or 0) > 0 or (world_size or 1) > 1:
        _check_complete()
    for name, number in (("RANK", rank), ("LOCAL_RANK", local_rank)):
        if number is not None and world_size is not None and number >= world_size:
            raise ConfigError(
                f"{name} = {os.environ[name]!r}, WORLD_SIZE = {world_size}: a rank must be less than the world size. "
                f"{_REMEDY}"
            )


def ignored_settings() -> Iterator[str]:
    """Yield a note for each setting of Accelerate that a run ignores."""
    for name, (neutral, instead) in _IGNORED.items():
        value = os.environ.get(name, "").strip()
        if value.lower() not in ("", neutral, "auto", "none"):
            yield f"{name} = {value} is ignored: {instead}"


def _check_device() -> None:
    """Check that the device that the environment names can compute."""
    device = os.environ.get(_DEVICE)
    if device:
        try:
            torch.zeros(1, device=device).item()
        except Exception as error:  # PyTorch's errors about devices have no common base class
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{_DEVICE} = {device!r}: the device cannot be used ({reason}). Unset it") from error


def _integer(name: str, *, minimum: int) -> int | None:
    """Return the number that a variable holds, or None if it is not set."""
    value = os.environ.get(name)
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        number = minimum - 1
    if number < minimum:
        raise ConfigError(f"{name} = {value!r}: expected an integer ≥ {minimum}. {_REMEDY}")
    return number


def _check_mpi() -> None:
    """Check the variables of mpirun if they describe several processes."""
    for size_name, rank_name in MPI_RANKS.items():
        process_count = _integer(size_name, minimum=1)
        _integer(rank_name, minimum=0)
        if process_count is None or process_count == 1:
            continue
        missing = [] if os.environ.get("RANK") or os.environ.get(rank_name) else [rank_name]
        if not (os.environ.get("MASTER_ADDR") or dist.is_mpi_available()):
            missing.append("MASTER_ADDR")
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise ConfigError(
                f"{size_name} = {os.environ[size_name]!r} in the environment, but {', '.join(missing)} {verb} not set. "
                f"mpirun passes on the host of rank 0 with -x MASTER_ADDR=HOST. {_REMEDY}"
            )


def _check_complete() -> None:
    """Check that all variables of a launcher are set."""
    if any(name in os.environ for name in MPI_RANKS):
        return
    present = [name for name in _RANKS if name in os.environ]
    missing = [name for name in (*_RANKS, *_RENDEZVOUS) if not os.environ.get(name)]
    if missing:
        values = ", ".join(f"{name} = {os.environ[name]!r}" for name in present)
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(f"{values} in the environment, but {', '.join(missing)} {verb} not set. {_REMEDY}")
    port = _integer("MASTER_PORT", minimum=0)
    if port is not None and port > 65535:
        raise ConfigError(f"MASTER_PORT = {port}: a port is at most 65535. {_REMEDY}")
