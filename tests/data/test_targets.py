"""Label targets of batches as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nlpmtl.data import (
    IGNORED,
    ClassLabels,
    NumberLabels,
    Ragged,
    SetLabels,
    TagLabels,
    Targets,
    stack_targets,
)
from nlpmtl.data.targets import join_padded

THREE: dict[str, Any] = {
    "names": ("a", "b", "c"),
    "known": 2,
    "labelled": np.array([True, False, True]),
    "counts": np.array([1, 0, 1]),
}


def test_classes() -> None:
    labels = ClassLabels(**THREE, ids=np.array([1, -1, 2]))
    assert labels.values([2, 0]) == ["c", "b"]
    assert labels.tensor([0], first_tokens=None, sequence_length=9).tolist() == [1]
    assert labels.tensor([0, 2], first_tokens=None, sequence_length=9).dtype == torch.int64


def test_numbers() -> None:
    labels = NumberLabels(**{**THREE, "names": (), "known": 0}, numbers=np.array([0.1, np.nan, -2.0]))
    assert labels.values([2, 0]) == [-2.0, 0.1]
    assert all(type(value) is float for value in labels.values([0, 2]))
    tensor = labels.tensor([2, 0], first_tokens=None, sequence_length=9)
    assert tensor.dtype == torch.float64
    assert tensor.tolist() == [-2.0, 0.1]


def test_sets() -> None:
    labels = SetLabels(**{**THREE, "known": 3}, ids=Ragged.pack([[2, 0], [], []]))
    assert labels.values([0, 2]) == [["c", "a"], []]
    assert labels.tensor([2, 0], first_tokens=None, sequence_length=9).tolist() == [[0, 0, 0], [1, 0, 1]]


def test_tags_are_on_first_tokens() -> None:
    labels = TagLabels(**THREE, ids=Ragged.pack([[1, 0, 1], [], [0]]))
    first_tokens = Ragged.pack([[1, -1, 4], [2]])
    assert labels.values([2, 0]) == [["a"], ["b", "a", "b"]]
    i = IGNORED
    assert labels.tensor([0, 2], first_tokens=first_tokens, sequence_length=6).tolist() == [
        [i, 1, i, i, 1, i],
        [i, i, 0, i, i, i],
    ]


def test_tags_need_words() -> None:
    with pytest.raises(AssertionError, match="words"):
        TagLabels(**THREE, ids=Ragged.pack([[1], [], [0]])).tensor([0], first_tokens=None, sequence_length=3)


@pytest.mark.parametrize("first_tokens", [[1, 2, 3], [1, -1, -1], [-1, -1, -1], [1, 1, 2]])
def test_padding_targets_are_the_ignore_index_of_torch(first_tokens: list[int]) -> None:
    labels = TagLabels(**THREE, ids=Ragged.pack([[1, 0, 1], [], [0]]))
    row = labels.tensor([0], first_tokens=Ragged.pack([first_tokens]), sequence_length=5)
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORED
    assert int((row != IGNORED).sum()) == len(set(first_tokens) - {-1})


@pytest.mark.parametrize(("dtype", "fill"), [(np.int64, IGNORED), (np.float64, np.nan), (np.bool_, False)])
def test_arrays_are_padded_in_every_axis(dtype: Any, fill: Any) -> None:
    small, wide = np.ones((1, 1), dtype=dtype), np.ones((2, 3), dtype=dtype)
    padded = stack_targets([Targets(example={"table": small}), Targets(example={"table": wide})])["table"]
    expected = np.full((2, 2, 3), fill, dtype=dtype)
    expected[0, 0, 0], expected[1] = 1, 1
    np.testing.assert_array_equal(padded.numpy(), expected)
    parts = [stack_targets([Targets(example={"table": table})])["table"] for table in (small, wide)]
    np.testing.assert_array_equal(join_padded(parts).numpy(), expected)
