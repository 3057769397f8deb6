"""Environment variables that Accelerate and the clients of the Hub parse: invalid values are refused.

These are flags, numbers and names. Some are parsed when the packages are imported, with errors that do not name the
variable, so they are checked first. Variables that a run ignores, or that only unsupported frameworks read, are not
checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from nlpmtl.errors import ConfigError

USE_FSDP = "ACCELERATE_USE_FSDP"
"""Environment variable that `accelerate launch` sets for ``distributed_type: FSDP``."""
FALSE = ("0", "false", "no", "off", "n", "f")
TRUE = ("1", "true", "yes", "on", "y", "t")
FLAGS = (
    "ACCELERATE_CPU_AFFINITY",
    "ACCELERATE_DEBUG_MODE",
    "ACCELERATE_DYNAMO_USE_DYNAMIC",
    "ACCELERATE_DYNAMO_USE_FULLGRAPH",
    "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION",
    "ACCELERATE_ENABLE_RICH",
    "ACCELERATE_USE_CPU",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
    USE_FSDP,
    "FORK_LAUNCHED",
    "USE_TORCH_XLA",
)
"""Flags that are read in every run."""
FSDP_FLAGS = (
    "FSDP_ACTIVATION_CHECKPOINTING",
    "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD",
    "FSDP_CPU_RAM_EFFICIENT_LOADING",
    "FSDP_OFFLOAD_PARAMS",
    "FSDP_RESHARD_AFTER_FORWARD",
)
FSDP_CHOICES = {
    "FSDP_AUTO_WRAP_POLICY": ("TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP"),
    "FSDP_BACKWARD_PREFETCH": ("BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH"),
    "FSDP_STATE_DICT_TYPE": ("FULL_STATE_DICT", "LOCAL_STATE_DICT", "SHARDED_STATE_DICT"),
}
_FSDP_NUMBERS = ("FSDP_VERSION", "FSDP_MIN_NUM_PARAMS")
MPI_RANKS = {
    "PMI_SIZE": "PMI_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE": "MV2_COMM_WORLD_RANK",
}
"""Variables of mpirun from which Accelerate reads the number of processes → variable of the rank."""
_NUMBERS_OF_PROCESSES = (
    "LOCAL_WORLD_SIZE",
    "MPI_LOCALNRANKS",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "OMP_NUM_THREADS",
)
"""Numbers that Accelerate reads if there are several processes; `nlpmtl.training.launch` checks the others."""

HUB_NUMBERS: dict[str, type[int] | type[float]] = {
    "HF_DATASETS_IN_MEMORY_MAX_SIZE": float,
    "HF_HUB_DOWNLOAD_TIMEOUT": int,
    "HF_HUB_ETAG_TIMEOUT": int,
}
"""Numbers that huggingface_hub and datasets parse when they are imported, and their types."""


def check_environment() -> None:
    """Check the variables that Accelerate and the clients of the Hub parse.

    Raises:
        ConfigError: values are invalid; the message has a line per variable, with its value and the valid ones.
    """
    _raise([*_problems(), *_wrong_numbers(HUB_NUMBERS)])


def check_hub_environment() -> None:
    """Check the variables that the clients of the Hub, huggingface_hub and datasets, parse.

    Raises:
        ConfigError: as `check_environment`.
    """
    _raise(list(_wrong_numbers(HUB_NUMBERS)))


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))


def is_true(name: str) -> bool:
    """Return whether a flag is set to a true value."""
    return os.environ.get(name, "").lower() in TRUE


def has_several_processes() -> bool:
    """Return whether the environment is that of one of several processes, which a launcher or mpirun started."""
    return any(os.environ.get(name, "1") != "1" for name in ("WORLD_SIZE", *MPI_RANKS))


def is_main_process() -> bool:
    """Return whether the environment is that of rank 0, the only process that prints, or of a single process."""
    mpi_ranks = [rank for size, rank in MPI_RANKS.items() if os.environ.get(size, "1") != "1"]
    rank = next((os.environ[name] for name in ("RANK", "LOCAL_RANK", *mpi_ranks) if name in os.environ), "0")
    return not rank.isdecimal() or int(rank) == 0  # the run itself refuses a rank that is not a number


def _problems() -> Iterator[str]:
    flags: list[str] = list(FLAGS)
    numbers: list[str] = []
    if is_true(USE_FSDP):
        flags += FSDP_FLAGS
        numbers += _FSDP_NUMBERS
        for name, choices in FSDP_CHOICES.items():
            value = os.environ.get(name)
            if value is not None and value.upper() not in choices:
                yield f"{name} = {value!r} in the environment: set one of {', '.join(choices)}, or unset it"
    if has_several_processes():
        numbers += _NUMBERS_OF_PROCESSES
    for name in flags:
        value = os.environ.get(name)
        if value is not None and value.lower() not in (*TRUE, *FALSE):
            yield (
                f"{name} = {value!r} in the environment: a flag was expected: set it to true ({', '.join(TRUE)}) or to "
                f"false ({', '.join(FALSE)}), or unset it"
            )
    yield from _wrong_numbers(dict.fromkeys(numbers, int))


def _wrong_numbers(types: Mapping[str, type[int] | type[float]]) -> Iterator[str]:
    """Yield a problem for each variable whose value is not a number of its type."""
    for name, kind in types.items():
        value = os.environ.get(name)
        if value is not None and not _is_number(value, kind):
            expected = "a whole number" if kind is int else "a number"
            yield f"{name} = {value!r} in the environment: {expected} was expected, such as {name}=2; or unset it"


def _is_number(value: str, kind: type[int] | type[float]) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True
