"""A check that weights are finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nlpmtl.errors import ModelError


def check_finite(weights: Mapping[str, Tensor], *, error_prefix: str) -> None:
    """Check that no weight is NaN or infinite.

    Args:
        weights: tensors of a model by name.
        error_prefix: start of the error message, such as ``"the model 'a/b' cannot be loaded"``.

    Raises:
        ModelError: a weight is not finite; the message has its tensor, the number of such values and the first one.
    """
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.is_meta:
            finite = torch.isfinite(weight)
            if not finite.all():
                count, value = int((~finite).sum()), float(weight[~finite][0])
                raise ModelError(
                    f"{error_prefix}: the tensor {name} has {count} of {weight.numel()} values that are not finite, "
                    f"the first is {value}. Training diverged, or the file is damaged: use another checkpoint"
                )
