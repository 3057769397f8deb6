"""One optimizer step, in the order in which it is computed.

    plan                rows of the step, the same on all ranks
    batch               rows of this rank in micro-batches of similar length
    forward, losses     of each micro-batch
    weights             of the tasks: from the state of the weighting, from the losses, or from one gradient per task
    backward            of each micro-batch
    reduce              gradients are summed over all ranks
    finite check        a loss or gradient that is not finite raises, or skips the step
    clip, step          the gradient norm is clipped; the optimizer changes the parameters
    update              of an adaptive weighting and an adaptive sampler

`GradientAccumulator` in `gradient_accumulation.py` computes what is done per micro-batch, from batch to backward, and
reduces the gradients; all else is in this file. Only some weightings need the losses or the gradient of each task:
without them, the weights are known before the first forward pass, and each row is computed once.

The gradient is that of Σ_t w_t · s_t · L_t + P. Symbols: w_t is the weight of task t, s_t the fraction of the step's
labels, L_t its mean loss over them, P the penalty of the sharing scheme. L_t is a sum divided by a count that is known
before the first forward pass, so the result depends neither on the size of micro-batches nor on the number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy import bool_
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from nlpmtl.data import BatchStats
from nlpmtl.errors import RunError, quote
from nlpmtl.sampling import Feedback, StepPlan
from nlpmtl.training.distributed import all_reduce_max, all_reduce_sum, clip_gradients, total_norm
from nlpmtl.training.events import StepReport
from nlpmtl.training.gradient_accumulation import ForwardResult, GradientAccumulator, StepRows
from nlpmtl.training.nonfinite import describe_nonfinite
from nlpmtl.training.task_gradients import TaskGradients
from nlpmtl.weighting import StepObservation, Weighting

_MAX_CHARACTERS = 120
"""Maximum number of characters of a value in an error."""


@dataclass
class TrainStep:
    """Computes optimizer steps.

    Args:
        accumulator: runs rows through the model and accumulates gradients.
        optimizer: optimizer of the model.
        weighting: weights of the tasks.
        schedule: step, counted from 0 → factor of the learning rates.
        max_grad_norm: maximum gradient norm; 0 for no clipping.
        skip_nonfinite: whether a step whose loss or gradient is not finite is skipped; otherwise it raises.
        adaptive_sampler: whether a sampler needs feedback on each step.
    """

    accumulator: GradientAccumulator
    optimizer: Optimizer
    weighting: Weighting
    schedule: Callable[[int], float]
    max_grad_norm: float
    skip_nonfinite: bool = False
    adaptive_sampler: bool = False

    def __call__(self, plan: StepPlan) -> StepReport:
        """Compute a step.

        Raises:
            RunError: a loss or gradient is not finite, or memory is too small for a single row; on all ranks.
        """
        accumulator = self.accumulator
        stats = accumulator.collate.count(plan.rows)
        rows = _rows_where(stats.labelled, plan, stats)
        lr = self._set_learning_rates(plan.step)
        micro_tokens_before = accumulator.micro_tokens
        observation, weights, result = self._compute_gradient(plan, rows, stats)
        norm = total_norm([p.grad for p in accumulator.parameters if p.grad is not None])
        finite = torch.isfinite(result.loss_sums).all() & torch.isfinite(norm)
        # A rank knows only its own losses; the norm is the same on all ranks.
        (nonfinite,) = all_reduce_max([int(not bool(finite))], device=accumulator.device)
        skipped, feedback, note = None, None, None
        if nonfinite:
            scales = _loss_scales(observation, weights, stats)
            skipped = describe_nonfinite(accumulator, result.rows, step=plan.step, loss_scales=scales, norm=float(norm))
            accumulator.zero_grad()
            if not self.skip_nonfinite:
                raise RunError(skipped)
        else:
            if self.max_grad_norm > 0:
                clip_gradients(accumulator.parameters, max_norm=self.max_grad_norm, norm=norm)
            self.optimizer.step()
            accumulator.model.post_step()
            accumulator.zero_grad()
            if observation.label_fractions:
                feedback, note = self._update(plan, rows, stats, observation=observation, result=result)
        fractions = observation.label_fractions
        return StepReport(
            step=plan.step + 1,
            loss_sums=result.loss_sums,
            counts=[stats.items.get(task, 0) for task in accumulator.tasks],
            loss_factors=[weights.get(task, 0.0) * fractions.get(task, 0.0) for task in accumulator.tasks],
            weights=weights,
            probabilities=plan.probabilities,
            tokens=sum(rows.lengths),
            lr=lr,
            skipped=skipped,
            stop_signal=result.stop_signal,
            micro_tokens_halved=accumulator.micro_tokens != micro_tokens_before,
            feedback=feedback,
            note=note,
        )

    def _set_learning_rates(self, step: int) -> float:
        """Set the learning rates of a step; return that of the first parameter group."""
        factor = self.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return float(self.optimizer.param_groups[0]["lr"])

    def _compute_gradient(
        self, plan: StepPlan, rows: StepRows, stats: BatchStats
    ) -> tuple[StepObservation, dict[str, float], ForwardResult]:
        """Compute the task weights and leave the gradient of the step's loss in `Parameter.grad`."""
        accumulator = self.accumulator
        label_count = sum(stats.rows.values())
        fractions = {task: stats.rows[task] / label_count for task in accumulator.tasks if task in stats.rows}
        observation = StepObservation(plan.step, fractions)
        if self.weighting.requires == "gradients" and fractions:
            observation, weights, result = self._compute_task_gradients(plan, observation, stats)
        else:
            first = None
            if self.weighting.requires == "losses":
                first = accumulator.run(rows)
                observation = replace(observation, losses=self._mean_losses(first.loss_sums, stats))
            weights = self._compute_weights(observation)
            result = accumulator.run(rows, loss_scales=_loss_scales(observation, weights, stats), first=first)
        penalty = accumulator.model.penalty() if fractions else None
        if penalty is not None:  # the same on all ranks, so its gradient is added after they are reduced
            accumulator.accelerator.backward(penalty)
        return observation, weights, result

    def _compute_task_gradients(
        self, plan: StepPlan, observation: StepObservation, stats: BatchStats
    ) -> tuple[StepObservation, dict[str, float], ForwardResult]:
        """Compute the task weights from one gradient per task, and leave their weighted sum in `Parameter.grad`.

        Each task takes a backward pass over its own rows: a row with labels for several tasks is computed for each.
        """
        accumulator = self.accumulator
        gradients, results = TaskGradients(accumulator.parameters), []
        for task, scale in _loss_scales(observation, dict.fromkeys(observation.label_fractions, 1.0), stats).items():
            rows = _rows_where(accumulator.collate.has_label(plan.rows, task=task), plan, stats)
            results.append(accumulator.run(rows, loss_scales={task: scale}))
            gradients.take()
        result = ForwardResult(
            rows=list(dict.fromkeys(row for task_result in results for row in task_result.rows)),
            loss_sums=torch.stack([task_result.loss_sums for task_result in results]).sum(dim=0),
            uncertainty_sums=torch.stack([task_result.uncertainty_sums for task_result in results]).sum(dim=0),
            stop_signal=max(task_result.stop_signal for task_result in results),
        )
        losses = self._mean_losses(result.loss_sums, stats)
        observation = replace(observation, losses=losses, gramian=gradients.gramian())
        weights = self._compute_weights(observation)
        gradients.set_weighted_sum([weights[task] for task in observation.label_fractions])
        return observation, weights, result

    def _compute_weights(self, observation: StepObservation) -> dict[str, float]:
        """Return the weight of each task of the step.

        Raises:
            RunError: the weighting does not return a number for each of them.
        """
        weights: Any = self.weighting.compute_weights(observation)
        try:
            return {task: float(weights[task]) for task in observation.label_fractions}
        except (LookupError, TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several numbers
            raise RunError(
                f"weighting: {type(self.weighting).__name__}.compute_weights() must return a number for each of the "
                f"tasks {', '.join(observation.label_fractions)}; found {quote(weights, limit=_MAX_CHARACTERS)}"
            ) from None

    def _update(
        self,
        plan: StepPlan,
        rows: StepRows,
        stats: BatchStats,
        *,
        observation: StepObservation,
        result: ForwardResult,
    ) -> tuple[Feedback | None, str | None]:
        """Update an adaptive weighting; return the feedback for an adaptive sampler, or why it is not updated."""
        if not (self.weighting.is_adaptive or self.adaptive_sampler):
            return None, None
        losses = observation.losses or self._mean_losses(result.loss_sums, stats)
        post_step_losses: dict[str, float] = {}
        if self.weighting.needs_post_step_losses:
            post_step_losses = self._mean_losses(self.accumulator.run(rows).loss_sums, stats)
        for when, means in (("", losses), (" after the step", post_step_losses)):
            for task, mean in means.items():
                if not math.isfinite(mean):
                    return None, (
                        f"step {plan.step + 1}: the loss of task {task!r}{when} is {mean}: the weighting and the "
                        "sampler are not updated by this step"
                    )
        if self.weighting.is_adaptive:
            self.weighting.update(observation, losses=losses, post_step_losses=post_step_losses)
        if not self.adaptive_sampler:
            return None, None
        rows_per_dataset = [0] * len(self.accumulator.collate.datasets)
        for row in plan.rows:
            rows_per_dataset[row.dataset] += 1
        needs_uncertainties = self.accumulator.needs_uncertainties
        uncertainties = self._means(result.uncertainty_sums, stats.unweighted_items) if needs_uncertainties else {}
        known = {task: value for task, value in uncertainties.items() if not math.isnan(value)}
        return Feedback(rows_per_dataset, losses, known), None

    def _mean_losses(self, sums: Tensor, stats: BatchStats) -> dict[str, float]:
        """Return the mean loss over all ranks of each task that has labels, from the sums of this rank, ``[tasks]``."""
        return self._means(sums, stats.items)

    def _means(self, sums: Tensor, counts: Mapping[str, float]) -> dict[str, float]:
        """Return sums of all ranks, from those of this rank, ``[tasks]``, divided by the counts of the tasks."""
        totals = dict(zip(self.accumulator.tasks, all_reduce_sum(sums).tolist(), strict=True))
        return {task: totals[task] / counts[task] for task in totals if task in counts}


def _rows_where(mask: NDArray[bool_], plan: StepPlan, stats: BatchStats) -> StepRows:
    """Return the rows of a plan for which the mask, ``[rows]``, is set."""
    rows = [row for row, selected in zip(plan.rows, mask, strict=True) if selected]
    lengths, sequences, longest = (sizes[mask].tolist() for sizes in (stats.lengths, stats.sequences, stats.longest))
    return StepRows(plan.step, rows, lengths, sequences, longest)


def _loss_scales(observation: StepObservation, weights: Mapping[str, float], stats: BatchStats) -> dict[str, float]:
    """Return the factor w_t · s_t / count_t of each task's summed loss."""
    fractions = observation.label_fractions
    return {task: weights[task] * fraction / stats.items[task] for task, fraction in fractions.items()}
