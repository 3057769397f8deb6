"""Copies of batches to a device."""

from __future__ import annotations

import torch

from nlpmtl.data import to_device

TENSORS = [
    torch.arange(6).view(2, 3),
    torch.ones(4),
    torch.zeros(0, dtype=torch.int64),
    torch.arange(2),
    torch.ones(1, 1),
]


def test_on_the_cpu_tensors_are_returned_unchanged() -> None:
    moved = to_device(TENSORS, torch.device("cpu"))
    assert all(tensor is other for tensor, other in zip(moved, TENSORS, strict=True))


def test_tensors_of_one_dtype_are_copied_together() -> None:
    moved = to_device(TENSORS, torch.device("meta"))
    assert [(tensor.shape, tensor.dtype) for tensor in moved] == [(tensor.shape, tensor.dtype) for tensor in TENSORS]
    assert {tensor.device.type for tensor in moved} == {"meta"}
    assert moved[0]._base is moved[3]._base is not moved[1]._base is moved[4]._base
    assert [tensor.storage_offset() for tensor in moved] == [0, 0, 6, 6, 4]


def test_an_empty_list_is_not_copied() -> None:
    assert to_device([], torch.device("meta")) == []
