"""Tables of targets: what is written for each row is read again, whatever its form."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nlpmtl.data.computed_targets import ComputedLabels, TargetsWriter
from nlpmtl.data.targets import Targets

DTYPES = [np.bool_, np.int64, np.float32, np.float64]


def written(rows: list[Targets | None], path: Path | None = None, *, size: int = 2) -> ComputedLabels:
    with ExitStack() as stack:
        writer = TargetsWriter(path, stack, has_sequences=True)
        for i, row in enumerate(rows):
            sequences = [] if row is None else [len(row.sequence[name]) for name in row.sequence][:1]
            checked = None if row is None else writer.check(row, sequences=sequences[0] if sequences else 0)
            writer.append(checked, hash=i, sequences=range(i))
            if i % size == 0:
                writer.flush()
        writer.flush(last=True)
    labelled = np.array([row is not None for row in rows])
    parsed: Any = None
    return ComputedLabels((), 0, labelled, labelled.view(np.int8), parsed).with_targets(writer.table())


def same(left: Any, right: Any) -> bool:
    left, right = np.asarray(left), np.asarray(right)
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right, equal_nan=True)


@st.composite
def tables(draw: st.DrawFn) -> list[Targets | None]:
    """Return rows with two targets of one form each; all items of a name have the same trailing axes."""
    forms = [
        (draw(st.sampled_from(DTYPES)), draw(st.integers(0, 3)), draw(st.tuples(*[st.integers(1, 2)] * 2)))
        for _ in range(2)
    ]

    def item(form: Any) -> Any:
        dtype, dimensions, axes = form
        shape = (draw(st.integers(0, 3)), *axes)[:dimensions] if dimensions else ()
        return draw(arrays.arrays(dtype, shape))

    def row() -> Targets | None:
        if draw(st.booleans()):
            return None
        return Targets(1, {"a:b": item(forms[0])}, {"c": [item(forms[1]) for _ in range(draw(st.integers(0, 3)))]})

    return [row() for _ in range(draw(st.integers(1, 7)))]


@settings(deadline=None, max_examples=50)
@given(rows=tables(), size=st.integers(1, 9))
def test_targets_of_any_form_are_read_again(rows: list[Targets | None], size: int) -> None:
    labels = written(rows, size=size)
    assert labels.hashes is not None
    assert labels.hashes.tolist() == list(range(len(rows)))
    assert labels.counts.tolist() == [0 if row is None else 1 for row in rows]
    typed = any(np.size(item) for row in rows if row is not None for item in row.sequence["c"])
    for i, row in enumerate(rows):
        if row is not None:
            read = labels.example_targets(i)
            assert same(read.example["a:b"], row.example["a:b"]) or not np.size(row.example["a:b"])
            assert np.shape(read.example["a:b"]) == np.shape(row.example["a:b"])
            assert len(read.sequence["c"]) == len(row.sequence["c"])
            for left, right in zip(read.sequence["c"], row.sequence["c"], strict=True):
                assert same(left, right) or (not typed and np.shape(left) == np.shape(right))


@pytest.mark.parametrize("file", [True, False])
def test_the_first_number_decides_the_type_of_all_rows(tmp_path: Path, file: bool) -> None:
    rows = [Targets(example={"a": values}) for values in ([], [], [3], [4, 5], [])]
    labels = written([None, *rows], tmp_path / "a" if file else None)
    read = [labels.example_targets(i).example["a"] for i in range(1, 6)]
    assert [(array.dtype, array.tolist()) for array in read] == [
        (np.dtype(np.int64), values) for values in ([], [], [3], [4, 5], [])
    ]


def test_a_task_without_targets_has_only_counts() -> None:
    labels = written([Targets(3), None, Targets(0)])
    assert labels.counts.tolist() == [3, 0, 0]
    assert labels.example_targets(0) == Targets(3, {}, {})
