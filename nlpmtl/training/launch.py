"""Environment variables of launchers (torchrun, accelerate launch): which are checked, refused or reported as ignored.

A process that was started by hand must not look like one of several: it would wait for the others, or print nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch.distributed as dist

from nlpmtl.errors import ConfigError

_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_MEETING = ("MASTER_ADDR", "MASTER_PORT")
_MPI = {
    "PMI_SIZE": "PMI_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE": "MV2_COMM_WORLD_RANK",
}
"""Set by mpirun, whose processes Accelerate reads from these variables: the number of processes, and the rank."""
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
        "train.batch_size counts the rows of an optimizer step, and train.micro_tokens limits a forward",
    ),
    "ACCELERATE_GRADIENT_CLIPPING": ("none", "set train.max_grad_norm"),
    "ACCELERATE_DYNAMO_BACKEND": ("no", "the model is not compiled, and there is no key for it"),
}
"""Settings that a run does not follow: the value that asks for nothing, and what to use instead."""
NEUTRAL = {name: value for name, (value, _) in _IGNORED.items()} | dict.fromkeys(_FRAMEWORKS, "false")
"""What Accelerate is to read in their place."""


def check_launch() -> None:
    """Check the environment variables that describe this process and the others.

    Raises:
        ConfigError: a variable is not an integer of its range, or others that belong to it are missing; or a framework
            is asked for that is not supported.
    """
    for name, framework in _FRAMEWORKS.items():
        if os.environ.get(name, "").lower() in ("1", "true", "yes", "on", "y", "t"):
            raise ConfigError(
                f"{name} = {os.environ[name]!r}: {framework} is not supported: start data parallel processes, with "
                "torchrun or accelerate launch --multi_gpu, or FSDP2 (accelerate launch --use_fsdp --fsdp_version 2); "
                f"or unset {name}"
            )
    _integer(_RESTARTS, least=0)
    if dist.is_available() and dist.is_initialized():
        return
    values = {name: _integer(name, least=int(name == "WORLD_SIZE")) for name in _RANKS}
    rank, local, world = values.values()
    _check_mpi()
    if local is not None or (rank or 0) > 0 or (world or 1) > 1:
        _check_complete()
    for name, number in (("RANK", rank), ("LOCAL_RANK", local)):
        if number is not None and world is not None and number >= world:
            raise ConfigError(f"{name} = {os.environ[name]!r}, WORLD_SIZE = {world}: it must be smaller. {_REMEDY}")


def ignored_settings() -> Iterator[str]:
    """Yield a note for each setting of Accelerate that a run ignores."""
    for name, (nothing, instead) in _IGNORED.items():
        value = os.environ.get(name, "").strip()
        if value.lower() not in ("", nothing, "auto", "none"):
            yield f"{name} = {value} is ignored: {instead}"


def _integer(name: str, *, least: int) -> int | None:
    """Return the number that a variable holds, or None if it is not set."""
    value = os.environ.get(name)
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise ConfigError(f"{name} = {value!r}: an integer of at least {least} was expected. {_REMEDY}")
    return number


def _check_mpi() -> None:
    """Check the variables of mpirun if they describe several processes."""
    for size, rank in _MPI.items():
        many = _integer(size, least=1)
        _integer(rank, least=0)
        if many is None or many == 1:
            continue
        missing = [] if os.environ.get("RANK") or os.environ.get(rank) else [rank]
        if not (os.environ.get("MASTER_ADDR") or dist.is_mpi_available()):
            missing.append("MASTER_ADDR")
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise ConfigError(
                f"{size} = {os.environ[size]!r} in the environment, but {', '.join(missing)} {verb} not set. mpirun "
                f"passes on the host of rank 0 with -x MASTER_ADDR=HOST. {_REMEDY}"
            )


def _check_complete() -> None:
    if any(name in os.environ for name in _MPI):
        return
    there = [name for name in _RANKS if name in os.environ]
    missing = [name for name in (*_RANKS, *_MEETING) if not os.environ.get(name)]
    if missing:
        found = ", ".join(f"{name} = {os.environ[name]!r}" for name in there)
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(f"{found} in the environment, but {', '.join(missing)} {verb} not set. {_REMEDY}")
    port = _integer("MASTER_PORT", least=0)
    if port is not None and port > 65535:
        raise ConfigError(f"MASTER_PORT = {port}: a port is at most 65535. {_REMEDY}")
