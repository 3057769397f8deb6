"""Checks of loaded weights, and of what is computed with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nlpmtl.data import Batch
from nlpmtl.errors import ModelError


def check_finite(weights: Mapping[str, Tensor], *, failed: str) -> None:
    """Check that no weight is NaN or infinite: predictions would be empty, or not numbers.

    Args:
        weights: the tensors of a model by name.
        failed: how the message begins, such as ``"the model 'a/b' cannot be loaded"``.

    Raises:
        ModelError: a weight is not finite: in which tensor, how many, and the first of them.
    """
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.is_meta:
            finite = torch.isfinite(weight)
            if not finite.all():
                count, value = int((~finite).sum()), float(weight[~finite][0])
                raise ModelError(
                    f"{failed}: the tensor {name} has {count} of {weight.numel()} values that are not finite, the "
                    f"first is {value}. The training diverged, or the file is damaged: use another checkpoint"
                )


def with_finite_logits(
    infer: Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Tensor]],
) -> Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Tensor]]:
    """Return a model's `infer` that raises ModelError where logits are not finite: they would be read as predictions.

    Weights that are finite may still be so large that some inputs overflow.
    """

    def compute(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        logits = infer(batch, rows)
        for task, values in logits.items():
            tokens = batch.attention_mask[rows[task]].bool().to(values.device)
            if not (values[tokens] if values.dim() > 2 else values).isfinite().all():
                raise ModelError(
                    f"task {task!r}: the logits are not finite for this input: the weights are damaged, or too large "
                    "for the precision. Use another checkpoint"
                )
        return logits

    return compute
