"""Gradient cache (Gao et al., 2021): the loss of a coupled task over all micro-batches and ranks of a step.

    L = ℓ(z_1, …, z_n)        ∂L/∂θ = Σ_i ∂ℓ/∂z_i · ∂z_i/∂θ

Symbols:
- z_i: outputs of the head for sequence i of the step
- ℓ: loss of the task, in which the examples depend on each other, such as a contrastive loss
- θ: parameters of the model

A first pass computes all z_i without gradients. The loss ℓ and its gradients ∂ℓ/∂z_i follow from them, and a second
pass adds z_i · ∂ℓ/∂z_i, whose gradient is the term of the sum, for one micro-batch after the other. Both passes have
the same dropout masks.

Departures from the paper:
- The outputs of all ranks are gathered, so that a step does not depend on the number of ranks.

References:
    Gao, Zhang, Han and Callan (2021), Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup,
        RepL4NLP, https://arxiv.org/abs/2101.06983

Example:
    >>> import torch
    >>> z = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> def loss(z):
    ...     return (z @ z.T).sum()
    >>> gradient = torch.func.grad(loss)(z)
    >>> parts = [torch.func.grad(lambda z_i, i=i: (z_i * gradient[i]).sum())(z[i]) for i in range(2)]
    >>> torch.equal(torch.stack(parts), gradient)
    True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from numpy import bool_
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data import TaskBatch
from nlpmtl.errors import RunError
from nlpmtl.heads import Outputs
from nlpmtl.model import weighted_losses
from nlpmtl.tasks import Task
from nlpmtl.training.distributed import all_gather_lists, all_reduce_sum, is_distributed


@dataclass(frozen=True)
class CoupledLoss:
    """Loss of a coupled task on the rows of a step.

    Args:
        loss: its summed loss over all ranks, a scalar.
        gradients: for each micro-batch of this rank the gradient of the loss with respect to the outputs, by name.
    """

    loss: Tensor
    gradients: Sequence[Outputs]


@dataclass(frozen=True)
class OutputCache:
    """Outputs of coupled tasks in the first pass.

    Args:
        tasks: the coupled tasks.
        microbatches: indices of the rows of the step in each micro-batch of this rank.
        outputs: task -> outputs of its head for each micro-batch; empty for one without targets.
    """

    tasks: Mapping[str, Task]
    microbatches: Sequence[Sequence[int]]
    outputs: Mapping[str, list[Outputs]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", {task: [] for task in self.tasks})

    def add(self, outputs: Mapping[str, Outputs]) -> None:
        """Add the outputs of the next micro-batch, of the tasks that have targets in it."""
        for task, cached in self.outputs.items():
            cached.append({name: values.detach() for name, values in outputs.get(task, {}).items()})

    def losses(
        self, parts: Mapping[str, TaskBatch], *, has_label: Mapping[str, NDArray[bool_]], device: torch.device
    ) -> dict[str, CoupledLoss]:
        """Return the losses, and their gradients with respect to the outputs; called on all ranks.

        Args:
            parts: examples of each task in the whole step, on the CPU, in the order of the plan.
            has_label: task -> whether each row of the step has targets for it, ``[rows]``.
            device: device of the model.

        Raises:
            RunError: the outputs of a task have a different shape in different batches.
        """
        return {
            name: _coupled_loss(
                task,
                parts[name],
                self.outputs[name],
                _positions(parts[name], has_label[name], self.microbatches),
                device,
            )
            for name, task in self.tasks.items()
        }


@dataclass(frozen=True)
class Pass:
    """A pass over the micro-batches of this rank.

    Args:
        names: names of the tasks to compute; None: all.
        coupled: tasks whose losses are computed over the whole step.
        loss_scales: scale of each task's summed loss; None: no gradients.
        losses: losses of the coupled tasks, which a pass with gradients reads.
        cache: outputs of these tasks, which a pass without gradients fills.
        only_coupled: whether only the outputs of coupled tasks are needed: then the sums of others are not complete.
    """

    names: Sequence[str] | None
    coupled: Mapping[str, Task]
    loss_scales: Mapping[str, float] | None = None
    losses: Mapping[str, CoupledLoss] = field(default_factory=dict)
    cache: OutputCache | None = None
    only_coupled: bool = False


def coupled_terms(pass_: Pass, outputs: Mapping[str, Outputs], *, number: int | None) -> list[Tensor]:
    """Return the terms of a micro-batch whose gradient is that of the coupled losses.

    Args:
        pass_: a pass with gradients.
        outputs: outputs of all tasks.
        number: number of the micro-batch; None: the terms have a gradient of zero.
    """
    assert pass_.loss_scales is not None, "the pass has no gradients"
    terms = []
    for name in pass_.coupled:
        gradients = {} if number is None else pass_.losses[name].gradients[number]
        for key, values in outputs.get(name, {}).items():
            if key in gradients:
                terms.append((values * gradients[key]).sum() * pass_.loss_scales[name])
            elif values.requires_grad:
                terms.append(values.sum() * 0.0)
    return terms


def _positions(part: TaskBatch, has_label: NDArray[bool_], microbatches: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return for each micro-batch the places of its sequences among those of the step."""
    sizes = part.sizes
    starts, example = (sizes.cumsum(0) - sizes).tolist(), (has_label.cumsum() - 1).tolist()
    places = []
    for rows in microbatches:
        examples = [example[row] for row in rows if has_label[row]]
        parts = [torch.arange(starts[i], starts[i] + int(sizes[i])) for i in examples]
        places.append(torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64))
    return places


def _coupled_loss(
    task: Task, part: TaskBatch, cached: Sequence[Outputs], positions: Sequence[Tensor], device: torch.device
) -> CoupledLoss:
    positions = [index.to(device) for index in positions]
    part = part.replace(tensor.to(device) for tensor in part.tensors)
    outputs = {}
    for name, (shape, dtype) in _shapes(task, cached).items():
        gathered = torch.zeros(len(part.sequences), *shape, dtype=dtype, device=device)
        for index, values in zip(positions, cached, strict=True):
            if values:
                gathered[index] = values[name]
        gathered = all_reduce_sum(gathered)
        outputs[name] = gathered.requires_grad_() if dtype.is_floating_point else gathered
    with torch.enable_grad():
        loss = weighted_losses(task, outputs, part).sum()
        differentiable = {name: values for name, values in outputs.items() if values.requires_grad}
        gradients = torch.autograd.grad(loss, list(differentiable.values()), allow_unused=True)
    known = {name: gradient for name, gradient in zip(differentiable, gradients, strict=True) if gradient is not None}
    return CoupledLoss(
        loss.detach(), [{name: gradient[index] for name, gradient in known.items()} for index in positions]
    )


def _shapes(task: Task, cached: Sequence[Outputs]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shape of each output without its first axis, and its type; a rank may have no outputs."""
    local = [(name, tuple(values.shape[1:]), values.dtype) for outputs in cached for name, values in outputs.items()]
    shapes = list(dict.fromkeys(local))
    if is_distributed():
        shapes = list(dict.fromkeys(all_gather_lists(shapes)))
    by_name = {name: (shape, dtype) for name, shape, dtype in shapes}
    if len(by_name) < len(shapes):
        raise RunError(
            f"task {task.name!r}: its loss is coupled, so each output of its head must have the same shape and dtype "
            f"in every batch, except for the first axis; found {sorted(map(str, shapes))}"
        )
    return by_name
