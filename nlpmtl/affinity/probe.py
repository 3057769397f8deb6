"""Probe of task affinity: per-task gradients, and the losses after a lookahead step on each task (Fifty et al., 2021).

Gradients and steps concern the shared parameters: all trainable ones except those of the heads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from torch import Tensor, nn

from nlpmtl.affinity.metrics import Floats, affinity, cosines, step_size
from nlpmtl.data import Collator
from nlpmtl.model import batch_losses
from nlpmtl.sampling import RowRef
from nlpmtl.tasks import Task
from nlpmtl.training import Gradient, StepRows, inner_products

Row = tuple[int, int]
"""(dataset, row)."""
EMBEDDINGS, OTHER, ALL = "embeddings", "other", "all"
LOSS_DECREASE = 0.01
"""Relative decrease of a task's loss by a lookahead step on it, on average over tasks, to first order."""
_NUMBER = re.compile(r"\.(\d+)\.")


def shared_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters outside the heads, by name."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("heads.")
    }


def layer_of(name: str) -> str:
    """Return the encoder layer of a parameter, by its name; layers count from 1.

    >>> layer_of("sharing.encoder.encoder.layer.0.output.dense.weight")
    'layer 1'
    """
    number = _NUMBER.search(name)
    if number is not None:
        return f"layer {int(number[1]) + 1}"
    return EMBEDDINGS if "embed" in name else OTHER


def parameters_by_layer(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the indices of the parameters of each layer, from the embeddings upward, then of the others and of all."""
    by_layer: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        by_layer.setdefault(layer_of(name), []).append(index)
    numbered = sorted((layer for layer in by_layer if layer.startswith("layer ")), key=lambda layer: int(layer[6:]))
    order = [layer for layer in (EMBEDDINGS, *numbered, OTHER) if layer in by_layer]
    return {**{layer: by_layer[layer] for layer in order}, ALL: list(range(len(names)))}


def lookahead_losses(
    parameters: Sequence[nn.Parameter], *, gradients: Sequence[Gradient], rate: float, losses: Callable[[], Floats]
) -> Floats:
    """Return the losses after a step θ − η g along each gradient, each from the same parameters, which are restored.

    Args:
        parameters: θ.
        gradients: one g per step.
        rate: η.
        losses: computes the losses with the current parameters, ``[tasks]``.

    Returns:
        ``[gradients, tasks]``.
    """
    originals = [parameter.detach().clone() for parameter in parameters]
    after = []
    for gradient in gradients:
        with torch.no_grad():
            for parameter, direction in zip(parameters, gradient, strict=True):
                if direction is not None:
                    parameter.sub_(direction, alpha=rate)
            after.append(losses())
            for parameter, original in zip(parameters, originals, strict=True):
                parameter.copy_(original)
    return np.stack(after)


@dataclass(frozen=True)
class ProbeResult:
    """Measurements at one step.

    Args:
        affinity: Z_ij, the relative decrease of the loss of task j by a step on task i, ``[stepped on, tasks]``.
        self_affinity: the effect of a step on one half of the rows of a task on the other half, ``[tasks]``: to first
            order, η ∇L_j(one half of the rows) · ∇L_j(other half) / L_j; NaN for a task with a single row.
        cosines: layer → cosines between the gradients of the tasks, ``[tasks, tasks]``.
    """

    affinity: Floats
    self_affinity: Floats
    cosines: Mapping[str, Floats]


@dataclass(frozen=True)
class AffinityProbe:
    """Measures a model in training without changing it, and without dropout.

    Args:
        model: the model.
        tasks: the tasks of the run.
        collate: collates rows into batches.
        split: splits rows into micro-batches, as indices by rank; see `GradientAccumulator.split`.
        device: device of the model.
    """

    model: nn.Module
    tasks: Mapping[str, Task]
    collate: Collator
    split: Callable[[StepRows], Sequence[Sequence[Sequence[int]]]]
    device: torch.device

    def __call__(self, rows: Sequence[Row]) -> ProbeResult:
        """Measure on the given rows, some of which must be labelled for each task."""
        self.model.eval()
        by_name = shared_parameters(self.model)
        parameters = list(by_name.values())
        batches = self._microbatches(rows, list(self.tasks))
        gradients, half_products = [], []
        for task in self.tasks:
            gradient, half_product = self._gradient(task, rows, parameters=parameters)
            gradients.append(gradient)
            half_products.append(half_product)
        products = {
            layer: inner_products(gradients, indices=indices)
            for layer, indices in parameters_by_layer(list(by_name)).items()
        }
        with torch.no_grad():
            before = self._losses(batches)
        rate = step_size(before, squares=np.diag(products[ALL]), decrease=LOSS_DECREASE)
        after = lookahead_losses(parameters, gradients=gradients, rate=rate, losses=lambda: self._losses(batches))
        undefined = np.full(len(before), np.nan)
        self_affinity = np.divide(rate * np.array(half_products), before, out=undefined, where=before > 0)
        layers = {layer: cosines(values) for layer, values in products.items()}
        return ProbeResult(affinity(before, after), self_affinity, layers)

    def _microbatches(self, rows: Sequence[Row], tasks: Sequence[str]) -> list[Sequence[Row]]:
        if any(self.tasks[task].coupled for task in tasks):  # the examples of a coupled loss are computed together
            return [rows]
        stats = self.collate.count(rows)
        sizes = stats.lengths.tolist(), stats.sequences.tolist(), stats.longest.tolist()
        (microbatches,) = self.split(StepRows(0, [RowRef(*row) for row in rows], *sizes))
        return [[rows[index] for index in indices] for indices in microbatches]

    def _gradient(
        self, task: str, rows: Sequence[Row], *, parameters: Sequence[nn.Parameter]
    ) -> tuple[Gradient, float]:
        """Return the gradient of a task's mean loss, and the inner product of those on the two halves of its rows."""
        task_rows = list(compress(rows, self.collate.has_label(rows, task=task)))
        halves = [half for half in (task_rows[::2], task_rows[1::2]) if half]
        items = [self.collate.count(half).items[task] for half in halves]
        sums = [self._summed_gradient(task, half, parameters=parameters) for half in halves]
        # A coupled loss of all rows is not the sum of those of the halves.
        coupled = self.tasks[task].coupled
        summed = self._summed_gradient(task, task_rows, parameters=parameters) if coupled else _add(*sums)
        mean = [None if g is None else g / sum(items) for g in summed]
        if len(halves) < 2:
            return mean, float("nan")
        in_both = [(a, b) for a, b in zip(*sums, strict=True) if a is not None and b is not None]
        return mean, sum(float((a * b).sum()) for a, b in in_both) / (items[0] * items[1])

    def _summed_gradient(self, task: str, rows: Sequence[Row], *, parameters: Sequence[nn.Parameter]) -> Gradient:
        """Return the gradient of a task's summed loss."""
        gradients = []
        for microbatch in self._microbatches(rows, [task]):
            (loss,) = self._forward(microbatch, [task]).values()
            gradients.append(torch.autograd.grad(loss, parameters, allow_unused=True))
        return _add(*gradients)

    def _losses(self, batches: Sequence[Sequence[Row]]) -> Floats:
        """Return the mean loss of each task, ``[tasks]``."""
        sums, items = dict.fromkeys(self.tasks, 0.0), dict.fromkeys(self.tasks, 0.0)
        for rows in batches:
            for task, loss in self._forward(rows, list(self.tasks)).items():
                sums[task] += float(loss.detach())
            for task, count in self.collate.count(rows).items.items():
                items[task] += count
        return np.array([sums[task] / items[task] for task in self.tasks])

    def _forward(self, rows: Sequence[Row], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Return the summed loss of each of the tasks that has labels in these rows."""
        batch = self.collate(rows, tasks=tasks).to(self.device)
        losses = batch_losses(self.model, batch, self.tasks, names=tasks)
        return {task: losses[task].loss for task in losses}


def _add(*gradients: Gradient) -> Gradient:
    """Return the sum of gradients, where None counts as 0."""
    total = []
    for terms in zip(*gradients, strict=True):
        present = [term for term in terms if term is not None]
        total.append(torch.stack(present).sum(dim=0) if len(present) > 1 else present[0] if present else None)
    return total
