"""Losses and gradients of the tasks on some rows, and looks ahead: a step on one task, tried and undone.

The weights that are looked at are those that tasks share: all that are trained, but for the heads.
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
from nlpmtl.data import Collator, split_into_microbatches
from nlpmtl.model import batch_losses
from nlpmtl.tasks import Task
from nlpmtl.training import Gradient, inner_products

Row = tuple[int, int]
"""(dataset, row)."""
EMBEDDINGS, OTHER, ALL = "embeddings", "other", "all"
SHARE = 0.01
"""How much a look ahead lowers the loss of the task that steps, on average over the tasks, to first order."""
_NUMBER = re.compile(r"\.(\d+)\.")


def shared_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What is trained and is no head's, by name."""
    return {
        name: weight
        for name, weight in model.named_parameters()
        if weight.requires_grad and not name.startswith("heads.")
    }


def layer_of(name: str) -> str:
    """The layer of an encoder that a weight belongs to, by its name; layers count from 1.

    >>> layer_of("sharing.encoder.encoder.layer.0.output.dense.weight")
    'layer 1'
    """
    found = _NUMBER.search(name)
    if found is not None:
        return f"layer {int(found[1]) + 1}"
    return EMBEDDINGS if "embed" in name else OTHER


def parameters_by_layer(names: Sequence[str]) -> dict[str, list[int]]:
    """Which of the weights belong to each layer, from the embeddings upward; then the others, then all."""
    found: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        found.setdefault(layer_of(name), []).append(at)
    numbered = sorted((name for name in found if name.startswith("layer ")), key=lambda name: int(name[6:]))
    order = [name for name in (EMBEDDINGS, *numbered, OTHER) if name in found]
    return {**{name: found[name] for name in order}, ALL: list(range(len(names)))}


def lookahead_losses(
    weights: Sequence[nn.Parameter], *, gradients: Sequence[Gradient], rate: float, losses: Callable[[], Floats]
) -> Floats:
    """The losses after a step θ − η g along each gradient, tried from the same weights, which are left as they were.

    Args:
        weights: θ.
        gradients: the g.
        rate: η.
        losses: tells the losses with the weights as they are, ``[tasks]``.

    Returns:
        ``[gradients, tasks]``.
    """
    kept = [weight.detach().clone() for weight in weights]
    after = []
    for gradient in gradients:
        with torch.no_grad():
            for weight, own in zip(weights, gradient, strict=True):
                if own is not None:
                    weight.sub_(own, alpha=rate)
            after.append(losses())
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
    return np.stack(after)


@dataclass(frozen=True)
class ProbeResult:
    """What is found at one step.

    Args:
        affinity: Z of each task upon each, ``[stepped on, tasks]``.
        own: the same of each task upon itself, but on other rows than the step was taken on, ``[tasks]``: to first
            order, η ∇L_j(half of the rows) · ∇L_j(the other half) / L_j; NaN of a task with a single row.
        cosines: layer → between the gradients of the tasks, ``[tasks, tasks]``.
    """

    affinity: Floats
    own: Floats
    cosines: Mapping[str, Floats]


@dataclass(frozen=True)
class AffinityProbe:
    """Measures a model that learns: without dropout, and without a trace in it.

    Args:
        model: the model.
        tasks: the run's tasks.
        collate: makes batches of rows.
        tokens: most tokens in a forward, padding included.
        device: where the model is.
    """

    model: nn.Module
    tasks: Mapping[str, Task]
    collate: Collator
    tokens: int
    device: torch.device

    def __call__(self, rows: Sequence[Row]) -> ProbeResult:
        """Measure on rows of which each task has labels."""
        self.model.eval()
        named = shared_parameters(self.model)
        weights = list(named.values())
        batches = self._deal(rows)
        gradients, repeated = [], []
        for task in self.tasks:
            whole, product = self._gradient(task, rows, weights=weights)
            gradients.append(whole)
            repeated.append(product)
        products = {
            layer: inner_products(gradients, indices=places)
            for layer, places in parameters_by_layer(list(named)).items()
        }
        with torch.no_grad():
            before = self._losses(batches)
        rate = step_size(before, squares=np.diag(products[ALL]), share=SHARE)
        after = lookahead_losses(weights, gradients=gradients, rate=rate, losses=lambda: self._losses(batches))
        own = np.divide(rate * np.array(repeated), before, out=np.full(len(before), np.nan), where=before > 0)
        return ProbeResult(affinity(before, after), own, {layer: cosines(found) for layer, found in products.items()})

    def _deal(self, rows: Sequence[Row]) -> list[list[Row]]:
        lengths = self.collate.tally(rows).lengths.tolist()
        return split_into_microbatches(rows, lengths=lengths, world_size=1, limit=self.tokens, overhead=None)[0]

    def _gradient(self, task: str, rows: Sequence[Row], *, weights: Sequence[nn.Parameter]) -> tuple[Gradient, float]:
        """Of a task's mean loss on its rows, and the inner product of those on either half of them."""
        own = list(compress(rows, self.collate.carrying(rows, task=task)))
        halves = [half for half in (own[::2], own[1::2]) if half]
        items = [self.collate.tally(half).items[task] for half in halves]
        sums = [self._summed(task, half, weights=weights) for half in halves]
        whole = [None if g is None else g / sum(items) for g in _add(*sums)]
        if len(halves) < 2:
            return whole, float("nan")
        there = [(a, b) for a, b in zip(*sums, strict=True) if a is not None and b is not None]
        return whole, sum(float((a * b).sum()) for a, b in there) / (items[0] * items[1])

    def _summed(self, task: str, rows: Sequence[Row], *, weights: Sequence[nn.Parameter]) -> Gradient:
        """The gradient of a task's summed loss."""
        found = []
        for micro in self._deal(rows):
            (loss,) = self._forward(micro, [task]).values()
            found.append(torch.autograd.grad(loss, weights, allow_unused=True))
        return _add(*found)

    def _losses(self, batches: Sequence[Sequence[Row]]) -> Floats:
        """Each task's mean loss, ``[tasks]``."""
        sums, items = dict.fromkeys(self.tasks, 0.0), dict.fromkeys(self.tasks, 0)
        for rows in batches:
            for task, loss in self._forward(rows, list(self.tasks)).items():
                sums[task] += float(loss.detach())
            for task, many in self.collate.tally(rows).items.items():
                items[task] += many
        return np.array([sums[task] / items[task] for task in self.tasks])

    def _forward(self, rows: Sequence[Row], tasks: Sequence[str]) -> dict[str, Tensor]:
        """The summed loss of each of the tasks that has labels here."""
        losses = batch_losses(self.model, self.collate(rows).to(self.device), self.tasks, names=tasks)
        return {task: losses[task].loss for task in losses}


def _add(*gradients: Gradient) -> Gradient:
    """Their sum; one that is None adds nothing."""
    found = []
    for each in zip(*gradients, strict=True):
        there = [one for one in each if one is not None]
        found.append(torch.stack(there).sum(dim=0) if len(there) > 1 else there[0] if there else None)
    return found
