"""One optimizer step: the tasks weighed, their gradients added up, the weights moved.

weigh the tasks                 by what is remembered, by the step's losses, or by a gradient for each of them
add up the gradient             of Σ weight · share · mean loss, and of the sharing scheme's penalty
where it is not finite          blame rows; stop, or leave the step out
clip, move the weights          and tell weighting and sampler what happened, if they learn
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.optim import Optimizer

from nlpmtl.data import BatchStats
from nlpmtl.errors import RunError
from nlpmtl.sampling import Feedback, StepPlan
from nlpmtl.training.distributed import all_gather_strings, all_reduce_max, all_reduce_sum
from nlpmtl.training.fsdp import clip, total_norm
from nlpmtl.training.gradient_accumulation import ForwardResult, GradientAccumulator, Row, Rows, subset_rows
from nlpmtl.training.optimizer import Schedule
from nlpmtl.training.task_gradients import TaskGradients
from nlpmtl.weighting import StepObservation, Weighting

_TOLD = 5
"""Rows that an error names at most."""


@dataclass(frozen=True)
class StepReport:
    """What happened in a step.

    Args:
        step: counted from 1.
        sums: each task's summed loss in this process, ``[tasks]``, in the order of the run's tasks.
        counts: each task's labelled items in the whole step.
        shares: what a task's mean loss is multiplied with in the step's loss: its share of the rows times its weight.
        weights: the weight of each task that had rows.
        probabilities: of each dataset, as the sampler gave them.
        tokens: tokens in the whole step, padding excluded.
        lr: the learning rate of the first group of parameters: the encoder's, unless it is frozen.
        skipped: why the weights were left as they were; None where they moved.
        asked: the number of a signal that asked any process to stop; 0 for none.
        halved: whether memory ran out, so that it was computed in smaller micro-batches.
        feedback: what the step showed a sampler that learns; None without one, or where the step was left out.
        note: why the weighting or the sampler did not learn from the step; None where they did, or don't learn.
    """

    step: int
    sums: Tensor
    counts: Sequence[int]
    shares: Sequence[float]
    weights: Mapping[str, float]
    probabilities: Sequence[float]
    tokens: int
    lr: float
    skipped: str | None = None
    asked: int = 0
    halved: bool = False
    feedback: Feedback | None = None
    note: str | None = None


@dataclass
class TrainStep:
    """Computes steps.

    Args:
        accumulator: puts rows through the model and adds up gradients.
        optimizer: the model's optimizer.
        weighting: the tasks' weights.
        schedule: (step counted from 0) → factor of the learning rates.
        clip: the largest norm of the gradient; 0 for never clipped.
        skips: whether a step whose loss or gradient is not finite is left out; else it ends the run.
        teaches: whether there is a sampler to be told of every step.
    """

    accumulator: GradientAccumulator
    optimizer: Optimizer
    weighting: Weighting
    schedule: Schedule
    clip: float
    skips: bool = False
    teaches: bool = False

    def __call__(self, plan: StepPlan) -> StepReport:
        """Compute a step and move the weights.

        Raises:
            RunError: a loss or gradient is not finite, or memory is too small for a single row; in all processes alike.
        """
        run = self.accumulator
        tally = run.collate.tally(plan.rows)
        rows = subset_rows(plan, lengths=tally.lengths, chosen=tally.labelled)
        lr, before = self._set_rates(plan.step), run.micro_tokens
        seen, weights, passed = self._gradient(plan, rows, tally=tally)
        penalty = run.model.penalty() if seen.shares else None
        if penalty is not None:  # the same in all processes, so added where their gradients are added up
            run.accelerator.backward(penalty)
        norm, skipped, feedback, note = self._norm(), None, None, None
        # Of the losses each process knows its own alone; the norm is the same in all.
        finite = torch.isfinite(passed.sums).all() & torch.isfinite(norm)
        (lost,) = all_reduce_max([int(not bool(finite))], device=run.device)
        if lost:
            skipped = self._blame(plan.step, passed.rows, scales=_scales(seen, weights, tally), norm=float(norm))
            if not self.skips:
                raise RunError(skipped)
        else:
            if self.clip > 0:
                clip(run.parameters, most=self.clip, norm=norm)
            self.optimizer.step()
            run.model.post_step()
        run.forget()
        if not lost and seen.shares:
            feedback, note = self._teach(plan, rows, seen=seen, passed=passed, tally=tally)
        return StepReport(
            step=plan.step + 1,
            sums=passed.sums,
            counts=[tally.items.get(task, 0) for task in run.tasks],
            shares=[weights.get(task, 0.0) * seen.shares.get(task, 0.0) for task in run.tasks],
            weights=weights,
            probabilities=plan.probabilities,
            tokens=sum(rows.lengths),
            lr=lr,
            skipped=skipped,
            asked=passed.asked,
            halved=run.micro_tokens != before,
            feedback=feedback,
            note=note,
        )

    def _gradient(
        self, plan: StepPlan, rows: Rows, *, tally: BatchStats
    ) -> tuple[StepObservation, dict[str, float], ForwardResult]:
        """Leave the gradient of the step's loss with the parameters; what was seen, and the weights, come back."""
        run, total = self.accumulator, sum(tally.rows.values())
        seen = StepObservation(plan.step, {task: tally.rows[task] / total for task in run.tasks if task in tally.rows})
        if self.weighting.requires == "gradients" and seen.shares:
            return self._by_task(plan, seen, tally=tally)
        if self.weighting.requires == "losses":
            seen = replace(seen, losses=self._means(run.pass_through(rows).sums, tally))
        weights = self.weighting.compute_weights(seen)
        return seen, weights, run.pass_through(rows, scales=_scales(seen, weights, tally))

    def _by_task(
        self, plan: StepPlan, seen: StepObservation, *, tally: BatchStats
    ) -> tuple[StepObservation, dict[str, float], ForwardResult]:
        """The same, by way of a gradient for each task: rows with labels for several go through once for each."""
        run, gradients, all_passed = self.accumulator, TaskGradients(self.accumulator.parameters), []
        for task, scale in _scales(seen, dict.fromkeys(seen.shares, 1.0), tally).items():
            own = subset_rows(plan, lengths=tally.lengths, chosen=run.collate.carrying(plan.rows, task=task))
            all_passed.append(run.pass_through(own, scales={task: scale}))
            gradients.take()
        passed = ForwardResult(
            rows=list(dict.fromkeys(row for one in all_passed for row in one.rows)),
            sums=torch.stack([one.sums for one in all_passed]).sum(dim=0),
            unsure=torch.stack([one.unsure for one in all_passed]).sum(dim=0),
            asked=max(one.asked for one in all_passed),
        )
        seen = replace(seen, losses=self._means(passed.sums, tally), gramian=gradients.gramian())
        weights = self.weighting.compute_weights(seen)
        gradients.put([weights[task] for task in seen.shares])
        return seen, weights, passed

    def _teach(
        self, plan: StepPlan, rows: Rows, *, seen: StepObservation, passed: ForwardResult, tally: BatchStats
    ) -> tuple[Feedback | None, str | None]:
        """Update the weighting, if it learns; return the feedback for a sampler, and why nothing was learned."""
        if not (self.weighting.is_adaptive or self.teaches):
            return None, None
        losses, after = seen.losses or self._means(passed.sums, tally), {}
        if self.weighting.needs_post_step_losses:
            after = self._means(self.accumulator.pass_through(rows).sums, tally)
        for when, means in (("", losses), (" after the step", after)):
            for task, mean in means.items():
                if not math.isfinite(mean):
                    return None, (
                        f"step {plan.step + 1}: the loss of task {task!r}{when} is {mean}: the weighting and the "
                        "sampler are not updated by this step"
                    )
        if self.weighting.is_adaptive:
            self.weighting.update(seen, losses=losses, post_step_losses=after)
        if not self.teaches:
            return None, None
        picks = [0] * len(self.accumulator.collate.datasets)
        for dataset, _ in plan.rows:
            picks[dataset] += 1
        unsure = self._means(passed.unsure, tally) if self.accumulator.tells_unsure else {}
        return Feedback(picks, losses, {task: one for task, one in unsure.items() if not math.isnan(one)}), None

    def _means(self, sums: Tensor, tally: BatchStats) -> dict[str, float]:
        """Of each task that has rows, over all processes."""
        summed = dict(zip(self.accumulator.tasks, all_reduce_sum(sums).tolist(), strict=True))
        return {task: summed[task] / tally.items[task] for task in summed if task in tally.items}

    def _blame(self, step: int, rows: Sequence[Row], *, scales: Mapping[str, float], norm: float) -> str:
        """What to tell of a step whose loss or gradient is not finite: its tasks and rows, each tried alone."""
        found = list(dict.fromkeys(all_gather_strings(list(self._lost(rows, scales=scales)))))
        told = "".join(f"\n  {line}" for line in found[:_TOLD])
        more = f"\n  … and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        alone = "" if found else f"; it is finite for each row alone; tasks: {', '.join(scales)}"
        return (
            f"step {step + 1}: a loss or gradient is not finite (norm {norm}){alone}{told}{more}\n"
            'lower train.lr, raise train.warmup, or look at the rows; train.on_bad_step = "skip" leaves such steps out'
        )

    def _lost(self, rows: Sequence[Row], *, scales: Mapping[str, float]) -> Iterator[str]:
        run = self.accumulator
        torch.manual_seed(run.seed)  # dropout alike in all processes, of which each may have a slice of the model
        for dataset, row in rows:
            source = run.collate.datasets[dataset]
            for name in run.tasks:
                if name not in source.labels or source.labels[name].counts[row] == 0:
                    continue
                run.forget()
                ((_, summed, _),) = run.losses([(dataset, row)], of=[name])
                place = source.place(row)
                if not bool(torch.isfinite(summed)):
                    yield f"{place}: the loss of task {name!r} is {summed.item()}"
                    continue
                run.accelerator.backward(summed * scales[name])
                if not bool(torch.isfinite(self._norm())):
                    yield f"{place}: the gradient of task {name!r} is not finite, its loss is {summed.item()}"

    def _norm(self) -> Tensor:
        """Of the gradient over all weights, a scalar."""
        return total_norm([p.grad for p in self.accumulator.parameters if p.grad is not None])

    def _set_rates(self, step: int) -> float:
        factor = self.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(self.optimizer.param_groups[0]["lr"])


def _scales(seen: StepObservation, weights: Mapping[str, float], tally: BatchStats) -> dict[str, float]:
    """What each task's summed loss is multiplied with."""
    return {task: weights[task] * share / tally.items[task] for task, share in seen.shares.items()}
