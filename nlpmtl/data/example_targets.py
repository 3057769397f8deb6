"""Targets of examples: what the loss of a task reads, and how those of a batch are stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""PyTorch's mark of a position without a label."""


@dataclass(frozen=True)
class Targets:
    """What the loss of a task reads for one example.

    Args:
        count: number of items over which the loss is summed, such as tokens. It depends on the data only, never on
            randomness: every process knows the counts of a whole step before the first forward pass.
        example: name -> scalar or array; in a batch ``[examples]`` or ``[examples, most, ...]``, padded.
        sequence: name -> a scalar or array per sequence; in a batch ``[sequences]`` or ``[sequences, most, ...]``.
    """

    count: int = 1
    example: Mapping[str, Any] = field(default_factory=dict)
    sequence: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def stack_targets(targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the targets of examples as tensors: ``[examples, ...]``, or ``[sequences, ...]`` if given by sequence.

    Arrays that differ in their first axis are padded at its end: integers with -100, numbers with NaN, booleans with
    False.

    >>> stack_targets([Targets(example={"tags": [1, 2]}), Targets(example={"tags": [3]})])["tags"].tolist()
    [[1, 2], [3, -100]]
    """
    stacked = {name: _stack([target.example[name] for target in targets]) for name in targets[0].example}
    for name in targets[0].sequence:
        stacked[name] = _stack([value for target in targets for value in target.sequence[name]])
    return stacked


def _stack(values: Sequence[Any]) -> Tensor:
    import torch

    arrays = [np.asarray(value) for value in values]
    dtype = np.result_type(*arrays)
    if np.issubdtype(dtype, np.integer):
        dtype = np.dtype(np.int64)
    if len({array.shape for array in arrays}) == 1:
        return torch.from_numpy(np.stack(arrays).astype(dtype))
    return _pad([array[np.newaxis] for array in arrays], dtype)


def join_padded(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate the targets of several batches; padded as by `stack_targets` if they differ in their second axis."""
    import torch

    if len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(list(parts))
    arrays = [part.numpy() for part in parts]
    return _pad(arrays, np.result_type(*arrays))


def _pad(arrays: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> Tensor:
    """Concatenate arrays, ``[rows, items, ...]``, with as many items as the longest."""
    import torch

    fill = {"i": IGNORED, "b": False}.get(dtype.kind, np.nan)
    longest, rows = max(array.shape[1] for array in arrays), sum(map(len, arrays))
    padded = np.full((rows, longest, *arrays[0].shape[2:]), fill, dtype=dtype)
    start = 0
    for array in arrays:
        padded[start : start + len(array), : array.shape[1]] = array
        start += len(array)
    return torch.from_numpy(padded)
