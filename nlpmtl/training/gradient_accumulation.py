"""The gradient of a step: its rows shared out and cut into micro-batches, added up over all processes.

micro-batch by micro-batch: forward, backward      where memory runs out: smaller ones, from the start of the step
all processes agree on what befell any of them
the gradients of all are added up
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from nlpmtl.data import Batch, Collator
from nlpmtl.data.batching import greedy_length_batches, optimal_length_batches
from nlpmtl.errors import RunError
from nlpmtl.model import MultiTaskModel
from nlpmtl.sampling import StepPlan
from nlpmtl.tasks import Task
from nlpmtl.training.accelerator import check_precision
from nlpmtl.training.distributed import all_reduce_gradients, all_reduce_max
from nlpmtl.training.fsdp import is_sharded

Row = tuple[int, int]
"""(dataset, row)."""

_OVERHEAD = {"cpu": 64, "cuda": 4096}
"""What a forward and backward costs beside its tokens, in tokens: measured for small encoders."""
_NO_MEMORY = ("not enough memory", "can't allocate memory", "ALLOC_FAILED")
"""What errors of PyTorch that have no class of their own say where memory ran out."""


class RankFailureError(RunError):
    """What befell this process alone, and the others cannot be told."""


@dataclass(frozen=True)
class Rows:
    """Rows of a step, over all processes.

    Args:
        step: counted from 0.
        rows: which.
        lengths: tokens of each.
    """

    step: int
    rows: Sequence[Row]
    lengths: Sequence[int]


def subset_rows(plan: StepPlan, *, lengths: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Rows:
    """Those of a step's rows that are chosen."""
    rows = [row for row, own in zip(plan.rows, chosen, strict=True) if own]
    return Rows(plan.step, rows, lengths[chosen].tolist())


@dataclass(frozen=True)
class ForwardResult:
    """What came of rows that went through the model.

    Args:
        rows: those of this process; where each has a slice of the model, those of all.
        sums: each task's summed loss on them, ``[tasks]``, in the order of the run's tasks …
        unsure: … and the summed uncertainty of its answers; NaN for kinds that have none.
        asked: the number of a signal that asked any process to stop; 0 for none.
    """

    rows: list[Row]
    sums: Tensor
    unsure: Tensor
    asked: int


def split_into_microbatches(
    rows: Sequence[Row], *, lengths: Sequence[int], world: int, limit: int, overhead: int | None
) -> list[list[list[Row]]]:
    """The micro-batches of every process: rows of like length together.

    Rows are dealt out in the order of their lengths, so that processes have alike work. Each process cuts its own so
    that padded tokens and `overhead` for each cut are together least; where nothing is padded, into as few as may
    be.

    Args:
        rows: of the step.
        lengths: tokens of each.
        world: processes.
        limit: most tokens in a micro-batch, padding included; a row that is longer alone is one by itself.
        overhead: what a micro-batch costs beside its tokens; None where nothing is padded.

    Returns:
        For each process its micro-batches; one may have fewer than another, or none.
    """
    order = sorted(range(len(rows)), key=lambda i: -lengths[i])
    dealt = []
    for rank in range(world):
        own = order[rank::world]
        sizes = [lengths[i] for i in own]
        if overhead is None:
            cuts = greedy_length_batches(sizes, limit=limit)
        else:
            cuts = optimal_length_batches(sizes, overhead=overhead, limit=limit)
        dealt.append([[rows[i] for i in own[a:b]] for a, b in cuts])
    return dealt


def dropout_seed(seed: int, *, step: int, rank: int, micro: int) -> int:
    """The seed of one micro-batch's dropout: nothing of it needs to be saved."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{micro}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass
class GradientAccumulator:
    """Puts rows through the model, and adds up gradients.

    Args:
        accelerator: device, precision and processes.
        model: the model, its forward in the run's precision.
        tasks: the run's tasks.
        collate: makes batches of the train splits' rows.
        micro_tokens: most tokens in a forward, padding included; it is halved where memory runs out.
        packed: whether the model computes rows without padding.
        seed: of dropout.
        tells_unsure: whether it tells how sure the answers are.
        asked: tells the number of a signal that asked this process to stop; 0 for none.
    """

    accelerator: Accelerator
    model: MultiTaskModel
    tasks: Mapping[str, Task]
    collate: Collator
    micro_tokens: int
    packed: bool
    seed: int
    tells_unsure: bool = False
    asked: Callable[[], int] = lambda: 0
    parameters: list[nn.Parameter] = field(init=False)
    in_slices: bool = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.in_slices = is_sharded(self.model)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = self.accelerator.device
        return device

    def pass_through(self, rows: Rows, *, scales: Mapping[str, float] | None = None) -> ForwardResult:
        """Put rows through, in smaller micro-batches, from the first on, if need be.

        Args:
            rows: of the step.
            scales: what each task's summed loss is multiplied with before its gradient is added to what the parameters
                have, over all processes; tasks that are not in it are left out. None: no gradient is computed.

        Raises:
            RunError: memory is too small for a single row; in all processes alike.
            LoneError: memory ran out where each process has a slice of the model.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        overhead = None if self.packed else _OVERHEAD.get(self.device.type, _OVERHEAD["cuda"])
        while True:
            dealt = split_into_microbatches(
                rows.rows, lengths=rows.lengths, world=world, limit=self.micro_tokens, overhead=overhead
            )
            most = max(map(len, dealt)) if self.in_slices else len(dealt[rank])
            sums = self._try(rows, dealt[rank], many=most, scales=scales)
            present = [int(p.grad is not None) for p in self.parameters]
            full, asked, *present = all_reduce_max([int(sums is None), self.asked(), *present], device=self.device)
            if sums is not None and not full:
                if scales is not None:
                    all_reduce_gradients(self.parameters, present=[bool(has) for has in present])
                # To find which are to blame, all processes must go through the same where each has a slice.
                own = rows.rows if self.in_slices else [row for micro in dealt[rank] for row in micro]
                return ForwardResult(list(own), sums[0], sums[1], asked)
            self.forget()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if max(len(micro) for micros in dealt for micro in micros) == 1:
                raise RunError(
                    f"step {rows.step + 1}: memory is too small for one row of {max(rows.lengths)} tokens: lower "
                    "encoder.max_length, or set encoder.gradient_checkpointing = true"
                )
            # What does not fit is no more than all of the step's rows.
            self.micro_tokens = max(1, min(self.micro_tokens, len(rows.rows) * max(rows.lengths)) // 2)

    def forget(self) -> None:
        """Leave all parameters without a gradient."""
        for parameter in self.parameters:
            parameter.grad = None

    def _try(
        self, rows: Rows, micros: Sequence[Sequence[Row]], *, many: int, scales: Mapping[str, float] | None
    ) -> Tensor | None:
        """Sums of this process's micro-batches, ``[2, tasks]``; None where its memory is too small for one of them.

        Where there are more to compute than it has, the rest are of a row that counts for nothing.
        """
        sums = torch.zeros(2, len(self.tasks), dtype=torch.float64, device=self.device)
        try:
            for number in range(many):
                seed = dropout_seed(self.seed, step=rows.step, rank=self.accelerator.process_index, micro=number)
                self._seed(seed)
                if number < len(micros):
                    sums += self._micro(micros[number], scales=scales)
                else:
                    self._micro(rows.rows[:1], scales=None if scales is None else dict.fromkeys(scales, 0.0))
        except (MemoryError, RuntimeError) as error:
            if not _ran_out(error):
                raise
            if self.in_slices:  # the others wait in the midst of a layer: they cannot be told
                raise RankFailureError(
                    f"step {rows.step + 1}: memory ran out, and with FSDP a step cannot be tried again: lower "
                    f"train.micro_tokens, found {self.micro_tokens}, and go on with --resume"
                ) from error
            return None
        return sums

    def _seed(self, seed: int) -> None:
        """Of what is drawn where it computes: `torch.manual_seed` looks for all devices each time."""
        if self.device.type == "cpu":
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _micro(self, rows: Sequence[Row], *, scales: Mapping[str, float] | None) -> Tensor:
        """Put a micro-batch through; its tasks' summed losses and uncertainties come back, ``[2, tasks]``."""
        with nullcontext() if scales is not None else torch.no_grad():
            found = list(self.losses(rows, of=scales))
        if scales is not None:
            names = list(self.tasks)
            self.accelerator.backward(torch.stack([loss * scales[names[index]] for index, loss, _ in found]).sum())
        nothing, unknown = (found[0][1].new_full((), value) for value in (0.0, math.nan))
        losses, unsure = [nothing] * len(self.tasks), [nothing] * len(self.tasks)
        for index, loss, own in found:
            losses[index], unsure[index] = loss.detach(), unknown if own is None else own
        return torch.stack([torch.stack(losses), torch.stack(unsure)]).double()

    def losses(
        self, rows: Sequence[Row], *, of: Collection[str] | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """The index, summed loss and summed uncertainty of each task of a micro-batch; `of` some tasks alone.

        The uncertainty is None where it is not asked for, or the task's kind has none.
        """
        batch = self.collate(rows).to(self.device)
        asked = {task: part for task, part in batch.parts.items() if of is None or task in of}
        logits = self._forward(batch, {task: part.rows for task, part in asked.items()})
        for index, (name, task) in enumerate(self.tasks.items()):
            if name in asked:
                labels = asked[name].labels
                unsure = task.uncertainty(logits[name].detach(), labels) if self.tells_unsure else None
                yield index, task.loss(logits[name], labels), unsure

    def _forward(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        try:
            logits: Mapping[str, Tensor] = self.model(**batch.inputs, rows=rows)
        except RuntimeError as error:
            check_precision(error)
            raise
        return logits


def _ran_out(error: Exception) -> bool:
    """Whether it says that there is no memory left, of a device or of the machine."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in _NO_MEMORY)
