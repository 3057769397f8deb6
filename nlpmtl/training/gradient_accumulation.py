"""Gradient accumulation: forward and backward passes of a step's rows in micro-batches, summed over all ranks.

If memory runs out on any rank, all ranks repeat the rows in smaller micro-batches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from nlpmtl.data import Batch, Collator, split_into_microbatches
from nlpmtl.errors import RunError
from nlpmtl.model import MultiTaskModel, TaskLoss, batch_losses
from nlpmtl.sampling import RowRef
from nlpmtl.tasks import Task
from nlpmtl.training.accelerator import check_precision, is_out_of_memory
from nlpmtl.training.distributed import all_reduce_gradients, all_reduce_max
from nlpmtl.training.fsdp import is_sharded
from nlpmtl.training.signals import StopSignals

_BATCH_OVERHEAD = {"cpu": 64, "cuda": 4096}
"""Cost of a forward and backward pass besides its tokens, in tokens: measured for small encoders."""


class RankFailureError(RunError):
    """A failure on one rank that cannot be communicated to the others."""


@dataclass(frozen=True)
class StepRows:
    """Rows of a step over all ranks.

    Args:
        step: number of the step, counted from 0.
        rows: the rows.
        lengths: number of tokens of each row.
    """

    step: int
    rows: Sequence[RowRef]
    lengths: Sequence[int]


@dataclass(frozen=True)
class ForwardResult:
    """Result of a forward (and backward) pass.

    Args:
        rows: rows that this rank computed; the rows of all ranks if the model is sharded.
        loss_sums: summed loss of each task on this rank, ``[tasks]``, in the order of the run's tasks.
        uncertainty_sums: summed uncertainty of each task's predictions on this rank, ``[tasks]``; NaN if a task has
            none.
        stop_signal: number of a signal that any rank received; 0 for none.
    """

    rows: Sequence[RowRef]
    loss_sums: Tensor
    uncertainty_sums: Tensor
    stop_signal: int


@dataclass
class GradientAccumulator:
    """Runs rows through the model in micro-batches and accumulates gradients.

    Args:
        accelerator: device, precision and processes.
        model: the model; its forward pass computes in the precision of the run.
        tasks: tasks of the run.
        collate: makes batches of train rows.
        micro_tokens: maximum number of tokens in a forward pass, padding included; halved when memory runs out.
        packed: whether the model computes rows without padding.
        seed: seed of dropout.
        needs_uncertainties: whether the uncertainty of predictions is computed.
        signals: signals that ask this rank to stop.
    """

    accelerator: Accelerator
    model: MultiTaskModel
    tasks: Mapping[str, Task]
    collate: Collator
    micro_tokens: int
    packed: bool
    seed: int
    needs_uncertainties: bool = False
    signals: StopSignals = field(default_factory=StopSignals)
    parameters: list[nn.Parameter] = field(init=False)
    is_sharded: bool = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.is_sharded = is_sharded(self.model)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        device: torch.device = self.accelerator.device
        return device

    def run(self, rows: StepRows, *, loss_scales: Mapping[str, float] | None = None) -> ForwardResult:
        """Run rows through the model, and add the gradient of Σ_t scale_t · (summed loss of task t) over all ranks.

        Args:
            rows: rows of the step.
            loss_scales: scale of each task's summed loss; tasks without one are not computed. None: all tasks, without
                gradients.

        Raises:
            RunError: memory is too small for a single row; on all ranks.
            RankFailureError: memory ran out and the model is sharded.
        """
        rank, world_size = self.accelerator.process_index, self.accelerator.num_processes
        overhead = None if self.packed else _BATCH_OVERHEAD.get(self.device.type, _BATCH_OVERHEAD["cuda"])
        while True:
            microbatches = split_into_microbatches(
                rows.rows, lengths=rows.lengths, world_size=world_size, limit=self.micro_tokens, overhead=overhead
            )
            # A layer of a sharded model computes on all ranks at once, so all run the same number of passes.
            passes = max(map(len, microbatches)) if self.is_sharded else len(microbatches[rank])
            sums = self._run_microbatches(rows, microbatches[rank], passes=passes, loss_scales=loss_scales)
            present = [int(p.grad is not None) for p in self.parameters]
            out_of_memory, stop_signal, *present = all_reduce_max(
                [int(sums is None), self.signals.received, *present], device=self.device
            )
            if sums is not None and not out_of_memory:
                if loss_scales is not None:
                    all_reduce_gradients(self.parameters, present=[bool(value) for value in present])
                computed = rows.rows if self.is_sharded else [row for batch in microbatches[rank] for row in batch]
                return ForwardResult(list(computed), sums[0], sums[1], stop_signal)
            self.zero_grad()
            self._halve_micro_tokens(rows, largest=max(len(batch) for batches in microbatches for batch in batches))

    def zero_grad(self) -> None:
        """Remove the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.grad = None

    def task_losses(self, batch: Batch, *, names: Sequence[str] | None = None) -> dict[str, TaskLoss]:
        """Forward pass and losses of a batch; see `batch_losses`.

        Raises:
            ConfigError: the encoder cannot be computed in the precision of the run.
        """
        try:
            return batch_losses(
                self.model, batch.to(self.device), self.tasks, names=names, needs_uncertainties=self.needs_uncertainties
            )
        except RuntimeError as error:
            check_precision(error)
            raise

    def _run_microbatches(
        self,
        rows: StepRows,
        microbatches: Sequence[Sequence[RowRef]],
        *,
        passes: int,
        loss_scales: Mapping[str, float] | None,
    ) -> Tensor | None:
        """Return the summed losses and uncertainties of this rank, ``[2, tasks]``; None if memory runs out.

        Passes without a micro-batch compute a row with scales of zero.
        """
        sums = torch.zeros(2, len(self.tasks), dtype=torch.float64, device=self.device)
        try:
            for number in range(passes):
                self._seed_dropout(rows.step, number)
                if number < len(microbatches):
                    sums += self._run_microbatch(microbatches[number], loss_scales=loss_scales)
                else:
                    zeros = None if loss_scales is None else dict.fromkeys(loss_scales, 0.0)
                    self._run_microbatch(rows.rows[:1], loss_scales=zeros)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if self.is_sharded:  # the other ranks wait inside a layer
                raise RankFailureError(
                    f"step {rows.step + 1}: out of memory, and with FSDP a step cannot be repeated: lower "
                    f"train.micro_tokens, found {self.micro_tokens}, and continue with --resume"
                ) from error
            return None
        return sums

    def _run_microbatch(self, rows: Sequence[RowRef], *, loss_scales: Mapping[str, float] | None) -> Tensor:
        """Forward pass, losses and backward pass; return summed losses and uncertainties, ``[2, tasks]``."""
        with nullcontext() if loss_scales is not None else torch.no_grad():
            names = None if loss_scales is None else list(loss_scales)
            computed = self.task_losses(self.collate(rows, tasks=names), names=names)
        if loss_scales is not None:
            scaled = [task.loss * loss_scales[name] for name, task in computed.items()]
            self.accelerator.backward(torch.stack(scaled).sum())
        zero, unknown = (next(iter(computed.values())).loss.new_full((), value) for value in (0.0, math.nan))
        losses, uncertainties = dict.fromkeys(self.tasks, zero), dict.fromkeys(self.tasks, zero)
        for name, task in computed.items():
            losses[name] = task.loss.detach()
            uncertainties[name] = unknown if task.uncertainty is None else task.uncertainty
        return torch.stack([torch.stack([*losses.values()]), torch.stack([*uncertainties.values()])]).double()

    def _seed_dropout(self, step: int, number: int) -> None:
        seed = dropout_seed(self.seed, step=step, rank=self.accelerator.process_index, micro=number)
        if self.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` looks for all devices each time
        else:
            torch.manual_seed(seed)

    def _halve_micro_tokens(self, rows: StepRows, *, largest: int) -> None:
        """Halve the limit on tokens; `largest` is the number of rows in the largest micro-batch."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if largest == 1:
            raise RunError(
                f"step {rows.step + 1}: memory is too small for one row of {max(rows.lengths)} tokens: lower "
                "encoder.max_length, or set encoder.gradient_checkpointing = true"
            )
        whole_step = len(rows.rows) * max(rows.lengths)
        self.micro_tokens = max(1, min(self.micro_tokens, whole_step) // 2)


def dropout_seed(seed: int, *, step: int, rank: int, micro: int) -> int:
    """Return the dropout seed of a micro-batch: computed, so that checkpoints need no generator state."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{micro}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
