"""One optimizer step: its rows shared out and cut into micro-batches, each task's loss a sum over a count.

micro-batch by micro-batch: forward, backward      where memory runs out: smaller ones, from the start of the step
all processes agree on what befell any of them
the gradients of all are added up                  where they are not finite: blame rows; stop, or leave it out
clip, move the weights
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from nlpmtl.data import Batch, Collator
from nlpmtl.data.cuts import cheapest_cuts, fullest_cuts
from nlpmtl.errors import RunError
from nlpmtl.sampling import StepPlan
from nlpmtl.tasks import Task
from nlpmtl.training.optim import Schedule
from nlpmtl.training.processes import add_gradients, agree, gather_lines
from nlpmtl.weighting import Weighting

Row = tuple[int, int]
"""(dataset, row)."""

_OVERHEAD = {"cpu": 64, "cuda": 4096}
"""What a forward and backward costs beside its wordpieces, in wordpieces: measured for small encoders."""
_NO_MEMORY = ("not enough memory", "can't allocate memory", "ALLOC_FAILED")
"""What errors of PyTorch that have no class of their own say where memory ran out."""
_TOLD = 5
"""Rows that an error names at most."""


@dataclass(frozen=True)
class StepReport:
    """What happened in a step.

    Args:
        step: counted from 1.
        sums: each task's summed loss in this process, ``[tasks]``, in the order of the run's tasks.
        counts: each task's labelled items in the whole step.
        shares: what a task's mean loss is multiplied with in the step's loss.
        tokens: wordpieces in the whole step, padding excluded.
        lr: the learning rate of the first group of parameters: the encoder's, unless it is frozen.
        skipped: why the weights were left as they were; None where they moved.
        asked: the number of a signal that asked any process to stop; 0 for none.
        halved: whether memory ran out, so that it was computed in smaller micro-batches.
    """

    step: int
    sums: Tensor
    counts: Sequence[int]
    shares: Sequence[float]
    tokens: int
    lr: float
    skipped: str | None = None
    asked: int = 0
    halved: bool = False


def deal(
    rows: Sequence[Row], *, lengths: Sequence[int], world: int, limit: int, overhead: int | None
) -> list[list[list[Row]]]:
    """The micro-batches of every process: rows of like length together.

    Rows are dealt out in the order of their lengths, so that processes have alike work. Each process cuts its own so
    that padded wordpieces and `overhead` for each cut are together least; where nothing is padded, into as few as may
    be.

    Args:
        rows: of the step.
        lengths: wordpieces of each.
        world: processes.
        limit: most wordpieces in a micro-batch, padding included; a row that is longer alone is one by itself.
        overhead: what a micro-batch costs beside its wordpieces; None where nothing is padded.

    Returns:
        For each process its micro-batches; one may have fewer than another, or none.
    """
    order = sorted(range(len(rows)), key=lambda i: -lengths[i])
    dealt = []
    for rank in range(world):
        own = order[rank::world]
        sizes = [lengths[i] for i in own]
        if overhead is None:
            cuts = fullest_cuts(sizes, limit=limit)
        else:
            cuts = cheapest_cuts(sizes, overhead=overhead, limit=limit)
        dealt.append([[rows[i] for i in own[a:b]] for a, b in cuts])
    return dealt


def dropout_seed(seed: int, *, step: int, rank: int, micro: int) -> int:
    """The seed of one micro-batch's dropout: nothing of it needs to be saved."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{micro}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass
class Stepper:
    """Computes steps.

    Args:
        accelerator: device, precision and processes.
        model: the model, its forward in the run's precision.
        optimizer: its optimizer.
        tasks: the run's tasks.
        weighting: the tasks' weights.
        collate: makes batches of the train splits' rows.
        schedule: (step counted from 0) → factor of the learning rates.
        micro_tokens: most wordpieces in a forward, padding included; it is halved where memory runs out.
        packed: whether the model computes rows without padding.
        clip: the largest norm of the gradient; 0 for never clipped.
        seed: of dropout.
        skips: whether a step whose loss or gradient is not finite is left out; else it ends the run.
        asked: tells the number of a signal that asked this process to stop; 0 for none.
    """

    accelerator: Accelerator
    model: nn.Module
    optimizer: Optimizer
    tasks: Mapping[str, Task]
    weighting: Weighting
    collate: Collator
    schedule: Schedule
    micro_tokens: int
    packed: bool
    clip: float
    seed: int
    skips: bool = False
    asked: Callable[[], int] = lambda: 0
    _parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]

    def __call__(self, plan: StepPlan) -> StepReport:
        """Compute a step and move the weights.

        Raises:
            RunError: a loss or gradient is not finite, or memory is too small for a single row; in all processes alike.
        """
        tally = self.collate.tally(plan.rows)
        labelled = [row for row, carries in zip(plan.rows, tally.labelled, strict=True) if carries]
        lengths, counts, shares = tally.lengths[tally.labelled].tolist(), tally.items, self._shares(tally.rows)
        scales = {task: shares[task] / counts[task] for task in shares}
        lr, before = self._set_rates(plan.step), self.micro_tokens
        own, sums, asked = self._accumulate(plan.step, labelled, lengths=lengths, scales=scales)
        norm = self._norm()
        skipped = None
        # Of the losses each process knows its own alone; the norm is the same in all.
        (lost,) = agree([int(not bool(torch.isfinite(sums).all() & torch.isfinite(norm)))], device=self._device)
        if lost:
            skipped = self._blame(plan.step, own, scales=scales, norm=float(norm))
            if not self.skips:
                raise RunError(skipped)
        else:
            if self.clip > 0:
                clip_grads_with_norm_(self._parameters, self.clip, norm)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepReport(
            step=plan.step + 1,
            sums=sums,
            counts=[counts.get(task, 0) for task in self.tasks],
            shares=[shares.get(task, 0.0) for task in self.tasks],
            tokens=sum(lengths),
            lr=lr,
            skipped=skipped,
            asked=asked,
            halved=self.micro_tokens != before,
        )

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    def _accumulate(
        self, step: int, rows: Sequence[Row], *, lengths: Sequence[int], scales: Mapping[str, float]
    ) -> tuple[list[Row], Tensor, int]:
        """The gradient of a step, added up over all processes: in smaller micro-batches, from its start, if need be.

        Returns:
            This process's rows, each task's summed loss on them, and the signal that any process got.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        overhead = None if self.packed else _OVERHEAD.get(self._device.type, _OVERHEAD["cuda"])
        while True:
            dealt = deal(rows, lengths=lengths, world=world, limit=self.micro_tokens, overhead=overhead)
            sums = self._try(step, dealt[rank], scales=scales)
            present = [int(p.grad is not None) for p in self._parameters]
            full, asked, *present = agree([int(sums is None), self.asked(), *present], device=self._device)
            if sums is not None and not full:
                add_gradients(self._parameters, present=[bool(has) for has in present])
                return [row for micro in dealt[rank] for row in micro], sums, asked
            self.optimizer.zero_grad(set_to_none=True)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            most = max(len(micro) for micros in dealt for micro in micros)
            if most == 1:
                raise RunError(
                    f"step {step + 1}: memory is too small for one row of {max(lengths)} wordpieces: lower "
                    "encoder.max_length, or set encoder.gradient_checkpointing = true"
                )
            # What does not fit is no more than all of the step's rows.
            self.micro_tokens = max(1, min(self.micro_tokens, len(rows) * max(lengths)) // 2)

    def _try(self, step: int, micros: Sequence[Sequence[Row]], *, scales: Mapping[str, float]) -> Tensor | None:
        """Forward and backward of this process's micro-batches; None where its memory is too small for one of them."""
        sums = torch.zeros(len(self.tasks), dtype=torch.float64, device=self._device)
        try:
            for number, rows in enumerate(micros):
                seed = dropout_seed(self.seed, step=step, rank=self.accelerator.process_index, micro=number)
                torch.manual_seed(seed)
                for index, summed in self._backward(rows, scales=scales):
                    sums[index] += summed
        except (MemoryError, RuntimeError) as error:
            if not _ran_out(error):
                raise
            return None
        return sums

    def _backward(self, rows: Sequence[Row], *, scales: Mapping[str, float]) -> list[tuple[int, Tensor]]:
        """Add the gradient of a micro-batch; the index and the summed loss of each of its tasks come back."""
        batch = self.collate(rows).to(self._device)
        logits = self._forward(batch)
        summed = [
            (index, name, task.loss(logits[name], batch.parts[name].labels))
            for index, (name, task) in enumerate(self.tasks.items())
            if name in batch.parts
        ]
        self.accelerator.backward(torch.stack([loss * scales[name] for _, name, loss in summed]).sum())
        return [(index, loss.detach()) for index, _, loss in summed]

    def _forward(self, batch: Batch) -> Mapping[str, Tensor]:
        rows = {task: part.rows for task, part in batch.parts.items()}
        logits: Mapping[str, Tensor] = self.model(**batch.inputs, rows=rows)
        return logits

    def _blame(self, step: int, rows: Sequence[Row], *, scales: Mapping[str, float], norm: float) -> str:
        """What to tell of a step whose loss or gradient is not finite: its tasks and rows, each tried alone."""
        found = gather_lines(list(self._lost(rows, scales=scales)))
        told = "".join(f"\n  {line}" for line in found[:_TOLD])
        more = f"\n  … and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        alone = "" if found else f"; it is finite for each row alone; tasks: {', '.join(scales)}"
        return (
            f"step {step + 1}: a loss or gradient is not finite (norm {norm}){alone}{told}{more}\n"
            'lower train.lr, raise train.warmup, or look at the rows; train.on_bad_step = "skip" leaves such steps out'
        )

    def _lost(self, rows: Sequence[Row], *, scales: Mapping[str, float]) -> Iterator[str]:
        for dataset, row in rows:
            source = self.collate.datasets[dataset]
            for name, task in self.tasks.items():
                if name not in source.labels or source.labels[name].counts[row] == 0:
                    continue
                self.optimizer.zero_grad(set_to_none=True)
                batch = self.collate([(dataset, row)]).to(self._device)
                summed = task.loss(self._forward(batch)[name], batch.parts[name].labels)
                place = source.place(row)
                if not bool(torch.isfinite(summed)):
                    yield f"{place}: the loss of task {name!r} is {summed.item()}"
                    continue
                self.accelerator.backward(summed * scales[name])
                norm = self._norm()
                if not bool(torch.isfinite(norm)):
                    yield f"{place}: the gradient of task {name!r} is not finite, its loss is {summed.item()}"

    def _norm(self) -> Tensor:
        """Of the gradient over all weights, a scalar."""
        return get_total_norm([p.grad for p in self._parameters if p.grad is not None])

    def _shares(self, rows: Mapping[str, int]) -> dict[str, float]:
        """Each task's weight times its share of the labels of the step's rows."""
        weights, total = self.weighting.weights(), sum(rows.values())
        return {task: weights[task] * many / total for task, many in rows.items()}

    def _set_rates(self, step: int) -> float:
        factor = self.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(self.optimizer.param_groups[0]["lr"])


def _ran_out(error: Exception) -> bool:
    """Whether it says that there is no memory left, of a device or of the machine."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in _NO_MEMORY)
