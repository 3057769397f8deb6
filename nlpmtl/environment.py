"""Environment variables that Accelerate parses as flags, whole numbers or names: invalid values are refused.

Accelerate parses some of them when it is imported, and its errors do not name the variable, so they are checked first.
Variables that a run ignores, or that only unsupported frameworks read, are not checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

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
_WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
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


def check_environment() -> None:
    """Check the variables that Accelerate parses.

    Raises:
        ConfigError: values are invalid; the message has a line per variable, with its value and the valid ones.
    """
    problems = list(_problems())
    if problems:
        raise ConfigError("\n".join(problems))


def is_true(name: str) -> bool:
    """Return whether a flag is set to a true value."""
    return os.environ.get(name, "").lower() in TRUE


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
    if any(os.environ.get(name, "1") != "1" for name in _WORLD_SIZES):
        numbers += _NUMBERS_OF_PROCESSES
    for name in flags:
        value = os.environ.get(name)
        if value is not None and value.lower() not in (*TRUE, *FALSE):
            yield (
                f"{name} = {value!r} in the environment: a flag was expected: set it to true ({', '.join(TRUE)}) or to "
                f"false ({', '.join(FALSE)}), or unset it"
            )
    for name in numbers:
        value = os.environ.get(name)
        if value is not None and not _is_integer(value):
            yield f"{name} = {value!r} in the environment: a whole number was expected, such as {name}=2; or unset it"


def _is_integer(value: str) -> bool:
    try:
        int(value)
    except ValueError:
        return False
    return True
