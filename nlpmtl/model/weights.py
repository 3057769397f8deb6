"""Checks that weights and logits are finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nlpmtl.data import Batch
from nlpmtl.errors import ModelError
from nlpmtl.heads import Outputs, named_outputs


def check_finite(weights: Mapping[str, Tensor], *, failed: str) -> None:
    """Check that no weight is NaN or infinite.

    Args:
        weights: tensors of a model by name.
        failed: beginning of the error message, such as ``"the model 'a/b' cannot be loaded"``.

    Raises:
        ModelError: a weight is not finite; the message has its tensor, the number of such values and the first one.
    """
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.is_meta:
            finite = torch.isfinite(weight)
            if not finite.all():
                count, value = int((~finite).sum()), float(weight[~finite][0])
                raise ModelError(
                    f"{failed}: the tensor {name} has {count} of {weight.numel()} values that are not finite, the "
                    f"first is {value}. Training diverged, or the file is damaged: use another checkpoint"
                )


def all_finite(outputs: Tensor | Outputs, *, mask: Tensor) -> bool:
    """Return whether all outputs of a head are finite.

    Args:
        outputs: what the head returned.
        mask: 1 on tokens, 0 on padding, ``[sequences, time]``: outputs of padding do not count.
    """
    for values in named_outputs(outputs).values():
        by_token = values.dim() > 2 and values.shape[:2] == mask.shape
        if not (values[mask.bool().to(values.device)] if by_token else values).isfinite().all():
            return False
    return True


def with_finite_logits(
    predict_logits: Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Any]],
) -> Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Any]]:
    """Wrap a model's `predict_logits` so that it raises ModelError if logits are not finite.

    Finite weights may be so large that some inputs overflow.

    Args:
        predict_logits: returns the logits of each task for a batch and the rows of the task.
    """

    def compute(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Any]:
        logits = predict_logits(batch, rows)
        for task, outputs in logits.items():
            if not all_finite(outputs, mask=batch.attention_mask[rows[task]]):
                raise ModelError(
                    f"task {task!r}: the logits are not finite for this input: the weights are damaged, or too large "
                    "for the precision. Use another checkpoint"
                )
        return logits

    return compute
