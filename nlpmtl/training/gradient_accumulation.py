"""Gradient accumulation: forward and backward passes of a step's rows in micro-batches, summed over all ranks.

From the outside in:

    run                 repeats the rows in smaller micro-batches on all ranks when memory runs out on one
    _run_passes         decides which passes are needed: one, except for coupled losses, see `gradient_cache`
    _run_pass           one pass, and the sum of its gradients over all ranks
    _run_microbatch     batch, forward pass, losses and backward pass of a micro-batch of this rank
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from nlpmtl.data import Batch, Collator, split_into_microbatches
from nlpmtl.errors import RunError
from nlpmtl.heads import Outputs
from nlpmtl.model import MultiTaskModel, TaskLoss, batch_losses, task_outputs
from nlpmtl.sampling import RowRef
from nlpmtl.tasks import Task
from nlpmtl.training.accelerator import check_precision, is_out_of_memory
from nlpmtl.training.distributed import all_reduce_gradients, all_reduce_max
from nlpmtl.training.fsdp import is_sharded
from nlpmtl.training.gradient_cache import CoupledLoss, OutputCache, Pass, coupled_terms
from nlpmtl.training.signals import StopSignals

_BATCH_OVERHEAD = {"cpu": 64, "cuda": 4096}
"""Fixed cost of a forward and backward pass, in tokens; measured for small encoders."""


class RankFailureError(RunError):
    """A failure on one rank that cannot be communicated to the others."""


class _OutOfMemoryError(Exception):
    """Memory ran out on any rank; raised on all ranks."""


@dataclass(frozen=True)
class StepRows:
    """Rows of a step over all ranks.

    Args:
        step: number of the step, counted from 0.
        rows: the rows.
        lengths: number of tokens of each row, over all its sequences.
        sequences: number of sequences of each row.
        longest: number of tokens of the longest sequence of each row.
    """

    step: int
    rows: Sequence[RowRef]
    lengths: Sequence[int]
    sequences: Sequence[int]
    longest: Sequence[int]


@dataclass(frozen=True)
class ForwardResult:
    """Result of a forward (and backward) pass.

    Args:
        rows: rows that this rank computed; the rows of all ranks if the model is sharded.
        loss_sums: summed loss of each task on this rank, ``[tasks]``, in the order of the run's tasks.
        uncertainty_sums: summed uncertainty of each task's predictions on this rank, ``[tasks]``; NaN if a task has
            none.
        stop_signal: number of a signal that any rank received; 0 for none.
        coupled: losses of the coupled tasks that have examples in several micro-batches.
        micro_tokens: limit on the tokens of the micro-batches.
    """

    rows: Sequence[RowRef]
    loss_sums: Tensor
    uncertainty_sums: Tensor
    stop_signal: int
    coupled: Mapping[str, CoupledLoss] = field(default_factory=dict)
    micro_tokens: int = 0


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

    def run(
        self, rows: StepRows, *, loss_scales: Mapping[str, float] | None = None, first: ForwardResult | None = None
    ) -> ForwardResult:
        """Run rows through the model, and add the gradient of Σ_t scale_t · (summed loss of task t) over all ranks.

        Args:
            rows: rows of the step.
            loss_scales: scale of the summed loss of each task to compute. None: all tasks, without gradients.
            first: result for the same rows and tasks without gradients, if it was computed before.

        Raises:
            RunError: memory is too small for a single row; on all ranks.
            RankFailureError: memory ran out and the model is sharded, or a task type failed on one of several ranks.
        """
        while True:
            microbatches = self.split(rows)
            try:
                return self._run_passes(rows, microbatches, loss_scales=loss_scales, first=first)
            except _OutOfMemoryError:
                self._halve_micro_tokens(rows, largest=max(len(batch) for batches in microbatches for batch in batches))

    def _run_passes(
        self,
        rows: StepRows,
        microbatches: Sequence[Sequence[Sequence[int]]],
        *,
        loss_scales: Mapping[str, float] | None,
        first: ForwardResult | None,
    ) -> ForwardResult:
        """Compute the rows in these micro-batches. See `run` for the arguments.

        Raises:
            _OutOfMemoryError: memory ran out on any rank; no gradients are left.
        """
        names = None if loss_scales is None else list(loss_scales)
        coupled = self._coupled(rows, microbatches, names=names)
        cache = OutputCache(coupled, microbatches[self.accelerator.process_index]) if coupled else None
        if loss_scales is None:
            return self._run_pass(rows, microbatches, Pass(names, coupled, cache=cache))
        losses: Mapping[str, CoupledLoss] = {}
        if coupled:  # their gradients need the outputs of all micro-batches
            if first is None or first.micro_tokens != self.micro_tokens:
                # The ranks of a sharded model run the same number of micro-batches, so none is excluded.
                only_coupled = Pass(names, coupled, cache=cache, only_coupled=not self.is_sharded)
                first = self._run_pass(rows, microbatches, only_coupled)
            losses = first.coupled
        return self._run_pass(rows, microbatches, Pass(names, coupled, loss_scales=loss_scales, losses=losses))

    def split(self, rows: StepRows) -> list[list[list[int]]]:
        """Return the micro-batches of each rank, as indices of rows."""
        overhead = None if self.packed else _BATCH_OVERHEAD.get(self.device.type, _BATCH_OVERHEAD["cuda"])
        return split_into_microbatches(
            range(len(rows.rows)),
            lengths=rows.lengths if self.packed else rows.longest,
            counts=rows.sequences,
            world_size=self.accelerator.num_processes,
            limit=self.micro_tokens,
            overhead=overhead,
        )

    def _coupled(
        self, rows: StepRows, microbatches: Sequence[Sequence[object]], *, names: Collection[str] | None
    ) -> dict[str, Task]:
        """Return the coupled tasks whose examples are in several micro-batches."""
        coupled = {name: task for name, task in self.tasks.items() if task.coupled and (names is None or name in names)}
        if not coupled or sum(map(len, microbatches)) < 2:
            return {}
        return {name: task for name, task in coupled.items() if self.collate.has_label(rows.rows, task=name).any()}

    def _run_pass(self, rows: StepRows, microbatches: Sequence[Sequence[Sequence[int]]], pass_: Pass) -> ForwardResult:
        """Run the micro-batches of this rank, then reduce gradients, or compute coupled losses, over all ranks.

        Args:
            rows: rows of the step.
            microbatches: micro-batches of each rank, as indices of rows.
            pass_: what is computed.

        Raises:
            _OutOfMemoryError: memory ran out on any rank; no gradients are left.
        """
        local = microbatches[self.accelerator.process_index]
        # A layer of a sharded model computes on all ranks at once, so all run the same number of micro-batches.
        count = max(map(len, microbatches)) if self.is_sharded else len(local)
        sums = self._run_microbatches(rows, local, count=count, pass_=pass_)
        present = [int(p.grad is not None) for p in self.parameters]
        out_of_memory, stop_signal, *present = all_reduce_max(
            [int(sums is None), self.signals.received, *present], device=self.device
        )
        if sums is None or out_of_memory:
            self.zero_grad()
            raise _OutOfMemoryError
        losses = pass_.losses
        if pass_.loss_scales is not None:
            all_reduce_gradients(self.parameters, present=[bool(value) for value in present])
        elif pass_.cache is not None:
            losses = self._coupled_losses(rows, pass_.cache)
        for name, coupled_loss in losses.items():  # the same on all ranks: their sum counts that of one
            index = list(self.tasks).index(name)
            sums[0, index] = coupled_loss.loss if self.accelerator.is_main_process else 0.0
            sums[1, index] = math.nan
        computed = rows.rows if self.is_sharded else [rows.rows[i] for batch in local for i in batch]
        return ForwardResult(list(computed), sums[0], sums[1], stop_signal, losses, self.micro_tokens)

    def _coupled_losses(self, rows: StepRows, cache: OutputCache) -> dict[str, CoupledLoss]:
        """Return the losses of coupled tasks over all ranks."""
        parts = self.collate(rows.rows, tasks=list(cache.tasks)).tasks
        has_label = {name: self.collate.has_label(rows.rows, task=name) for name in cache.tasks}
        return cache.losses(parts, has_label=has_label, device=self.device)

    def zero_grad(self) -> None:
        """Remove the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.grad = None

    def task_losses(self, batch: Batch, *, names: Sequence[str] | None = None) -> dict[str, TaskLoss]:
        """Forward pass and losses of a batch; see `batch_losses`.

        Raises:
            ConfigError: the encoder cannot be computed in the precision of the run.
        """
        batch = batch.to(self.device)
        return self._losses(batch, self._outputs(batch, names=names), names=names)

    def _outputs(self, batch: Batch, *, names: Collection[str] | None) -> dict[str, Outputs]:
        try:
            return task_outputs(self.model, batch, names=names)
        except RuntimeError as error:
            check_precision(error)
            raise

    def _losses(
        self, batch: Batch, outputs: Mapping[str, Outputs], *, names: Collection[str] | None
    ) -> dict[str, TaskLoss]:
        needs_uncertainties = self.needs_uncertainties
        return batch_losses(
            self.model, batch, self.tasks, names=names, needs_uncertainties=needs_uncertainties, outputs=outputs
        )

    def _run_microbatches(
        self, rows: StepRows, microbatches: Sequence[Sequence[int]], *, count: int, pass_: Pass
    ) -> Tensor | None:
        """Return the summed losses and uncertainties of this rank, ``[2, tasks]``; None if memory runs out.

        If there are fewer micro-batches than `count`, the others compute a row whose loss is scaled by zero.
        """
        sums = torch.zeros(2, len(self.tasks), dtype=torch.float64, device=self.device)
        try:
            for number in range(count):
                self._seed_dropout(rows.step, number)
                if number >= len(microbatches):
                    self._run_microbatch(rows.rows[:1], pass_, number=None)
                    continue
                batch_rows = [rows.rows[i] for i in microbatches[number]]
                has_targets = any(self.collate.has_label(batch_rows, task=task).any() for task in pass_.coupled)
                if pass_.only_coupled and pass_.cache is not None and not has_targets:
                    pass_.cache.add({})
                else:
                    sums += self._run_microbatch(batch_rows, pass_, number=number)
        except RunError as error:  # of a task type, for a row of this rank
            if self.accelerator.num_processes == 1:
                raise
            raise RankFailureError(str(error)) from error
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

    def _run_microbatch(self, rows: Sequence[RowRef], pass_: Pass, *, number: int | None) -> Tensor:
        """Forward pass, losses and backward pass; return summed losses and uncertainties, ``[2, tasks]``.

        Args:
            rows: rows of the micro-batch.
            pass_: what is computed.
            number: number of the micro-batch; None for rows that do not count.
        """
        with nullcontext() if pass_.loss_scales is not None else torch.no_grad():
            batch = self.collate(rows, tasks=pass_.names).to(self.device)
            outputs = self._outputs(batch, names=pass_.names)
            computed = self._losses(batch, outputs, names=outputs.keys() - pass_.coupled.keys())
        if pass_.loss_scales is not None:
            scales = pass_.loss_scales if number is not None else dict.fromkeys(pass_.loss_scales, 0.0)
            terms = [task.loss * scales[name] for name, task in computed.items()]
            if pass_.coupled:
                terms += coupled_terms(pass_, outputs, number=number)
            self.accelerator.backward(torch.stack(terms).sum())
        elif pass_.cache is not None and number is not None:
            pass_.cache.add(outputs)
        if not computed:
            return torch.zeros(2, len(self.tasks), dtype=torch.float64, device=self.device)
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
        self.micro_tokens = max(1, min(self.micro_tokens, len(rows.rows) * max(rows.lengths)) // 2)


def dropout_seed(seed: int, *, step: int, rank: int, micro: int) -> int:
    """Return the dropout seed of a micro-batch: computed, so that checkpoints need no generator state."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{micro}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
