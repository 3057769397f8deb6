"""Arrays of rows with different lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.data import Ragged

ROWS = st.lists(st.lists(st.integers(-100, 100), max_size=5), max_size=8)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_rows_round_trip(rows: list[list[int]]) -> None:
    packed = Ragged.pack(rows)
    assert len(packed) == len(rows)
    assert [packed[i].tolist() for i in range(len(rows))] == rows
    assert packed.lengths.tolist() == list(map(len, rows))
    assert packed.values.tolist() == [value for row in rows for value in row]


@settings(deadline=None, max_examples=50)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_concatenation_keeps_the_order_of_rows(pieces: list[list[list[int]]]) -> None:
    joined = Ragged.join([Ragged.pack(piece) for piece in pieces])
    rows = [row for piece in pieces for row in piece]
    assert [joined[i].tolist() for i in range(len(joined))] == rows


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_the_dtype_is_kept(dtype: type[np.integer]) -> None:
    packed = Ragged.pack([[1], []], dtype=dtype)
    assert packed.values.dtype == Ragged.join([packed, packed]).values.dtype == packed[0].dtype == dtype
    assert Ragged.pack([], dtype=dtype).values.dtype == dtype


def test_rows_are_views() -> None:
    packed = Ragged.pack([i] * i for i in range(4))
    assert packed[3].tolist() == [3, 3, 3]
    assert np.shares_memory(packed[3], packed.values)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(OverflowError):
        Ragged.pack([[300]], dtype=np.int8)
