"""One optimizer step: its rows shared out and cut into micro-batches, each task's loss a sum over a count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpmtl.data import Batch, Collator
from nlpmtl.data.cuts import cheapest_cuts, fullest_cuts
from nlpmtl.sampling import StepPlan
from nlpmtl.tasks import Task
from nlpmtl.training.optim import Schedule
from nlpmtl.weighting import Weighting

Row = tuple[int, int]
"""(dataset, row)."""

_OVERHEAD = {"cpu": 64, "cuda": 4096}
"""What a forward and backward costs beside its wordpieces, in wordpieces: measured for small encoders."""


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
    """

    step: int
    sums: Tensor
    counts: Sequence[int]
    shares: Sequence[float]
    tokens: int
    lr: float


def deal(
    rows: Sequence[Row], *, lengths: Sequence[int], world: int, limit: int, overhead: int | None
) -> list[list[list[Row]]]:
    """The micro-batches of every process: rows of like length together, the same number of batches for all.

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
        For each process its micro-batches; one that has fewer than others ends with empty ones.
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
    most = max(map(len, dealt), default=0)
    return [micros + [[] for _ in range(most - len(micros))] for micros in dealt]


def dropout_seed(seed: int, *, step: int, rank: int, micro: int) -> int:
    """The seed of one micro-batch's dropout: nothing of it needs to be saved."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}/{micro}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass
class Stepper:
    """Computes steps.

    Args:
        accelerator: device, precision and processes.
        model: the prepared model.
        optimizer: its optimizer.
        tasks: the run's tasks.
        weighting: the tasks' weights.
        collate: makes batches of the train splits' rows.
        schedule: (step counted from 0) → factor of the learning rates.
        micro_tokens: most wordpieces in a forward, padding included.
        packed: whether the model computes rows without padding.
        clip: the largest norm of the gradient; 0 for never clipped.
        seed: of dropout.
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
    _parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]

    def __call__(self, plan: StepPlan) -> StepReport:
        """Compute a step and move the weights."""
        tally = self.collate.tally(plan.rows)
        labelled = [row for row, carries in zip(plan.rows, tally.labelled, strict=True) if carries]
        lengths, counts, shares = tally.lengths[tally.labelled].tolist(), tally.items, self._shares(tally.rows)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        overhead = None if self.packed else _OVERHEAD.get(self.accelerator.device.type, _OVERHEAD["cuda"])
        micros = deal(labelled, lengths=lengths, world=world, limit=self.micro_tokens, overhead=overhead)[rank]
        scales = {task: shares[task] / counts[task] * world for task in shares}  # DDP averages over processes: undo it
        sums = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.accelerator.device)
        lr = self._set_rates(plan.step)
        for number, rows in enumerate(micros):
            last = number == len(micros) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                torch.manual_seed(dropout_seed(self.seed, step=plan.step, rank=rank, micro=number))
                if rows:
                    self._backward(rows, scales=scales, sums=sums)
                else:  # every process runs as many micro-batches: this one has no rows left, and adds nothing
                    self._backward(labelled[:1], scales=dict.fromkeys(scales, 0.0), sums=None)
        if self.clip > 0:
            self.accelerator.clip_grad_norm_(self._parameters, self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepReport(
            step=plan.step + 1,
            sums=sums,
            counts=[counts.get(task, 0) for task in self.tasks],
            shares=[shares.get(task, 0.0) for task in self.tasks],
            tokens=sum(lengths),
            lr=lr,
        )

    def _backward(self, rows: Sequence[Row], *, scales: Mapping[str, float], sums: Tensor | None) -> None:
        batch = self.collate(rows).to(self.accelerator.device)
        logits = self._forward(batch)
        losses = []
        for index, (name, task) in enumerate(self.tasks.items()):
            if name in batch.parts:
                summed = task.loss(logits[name], batch.parts[name].labels)
                losses.append(summed * scales[name])
                if sums is not None:
                    sums[index] += summed.detach()
        self.accelerator.backward(torch.stack(losses).sum())

    def _forward(self, batch: Batch) -> Mapping[str, Tensor]:
        rows = {task: part.rows for task, part in batch.parts.items()}
        logits: Mapping[str, Tensor] = self.model(**batch.inputs, rows=rows)
        return logits

    def _shares(self, rows: Mapping[str, int]) -> dict[str, float]:
        """Each task's weight times its share of the labels of the step's rows."""
        weights, total = self.weighting.weights(), sum(rows.values())
        return {task: weights[task] * many / total for task, many in rows.items()}

    def _set_rates(self, step: int) -> float:
        factor = self.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(self.optimizer.param_groups[0]["lr"])
