"""Ranks of a batch prediction: the processes that torchrun or accelerate launch started, which share the rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables that launchers set."""


@dataclass(frozen=True)
class Ranks:
    """This process among all of them.

    Args:
        rank: its number.
        size: number of processes.
        device: device of this process if there are several; None: that of the caller.
        group: process group for waits; None for a single process.
    """

    rank: int = 0
    size: int = 1
    device: str | None = None
    group: Any = None

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0, which can be pickled."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.group)
        return values[0]

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier(group=self.group)


@contextmanager
def open_ranks(directory: Path) -> Iterator[Ranks]:
    """Join the processes of a launcher inside the block; a single process imports no torch.

    Args:
        directory: the work directory.

    Raises:
        ConfigError: the variables of a launcher contradict each other.
    """
    if not any(name in os.environ for name in _LAUNCHED):
        yield Ranks()
        return
    from nlpmtl.training import accelerator_context, long_wait_group

    with accelerator_context(directory=directory, precision="fp32", trackers=()) as accelerator:
        if accelerator.num_processes == 1:
            yield Ranks()
            return
        with long_wait_group() as group:
            yield Ranks(accelerator.process_index, accelerator.num_processes, str(accelerator.device), group)
