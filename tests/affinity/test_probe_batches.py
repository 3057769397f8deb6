"""Rows to measure on: enough per task, the same for tasks labelled on the same rows, different for each measurement."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.affinity.probe_batches import ProbeBatches
from nlpmtl.data import TokenizedSplit
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.targets import ClassLabels
from nlpmtl.data.token_store import Tokens


def dataset(**labelled: list[int]) -> TokenizedSplit:
    """Return rows of one token, labelled for a task where its list has a 1."""
    count = len(next(iter(labelled.values())))
    labels = {}
    for task, counts in labelled.items():
        label_counts = np.array(counts)
        labels[task] = ClassLabels(("a",), 1, label_counts > 0, label_counts, np.zeros(count, dtype=np.int8))
    return TokenizedSplit(Tokens(Ragged(np.zeros(count, dtype=np.int32), np.arange(count + 1))), labels=labels)


BOTH = dataset(a=[1] * 40, b=[1] * 40)
SPARSE = dataset(c=[0] * 30 + [1] * 3, d=[1] * 33)


def batches(datasets: dict[str, TokenizedSplit], tasks: str, *, count: int = 8, seed: int = 0) -> ProbeBatches:
    return ProbeBatches(datasets, tasks=list(tasks), count=count, seed=seed)


def test_tasks_labelled_on_the_same_rows_are_measured_on_the_same_rows() -> None:
    drawn = batches({"both": BOTH}, "ab").draw(0)
    assert len(drawn) == len(set(drawn)) == 8
    assert drawn == sorted(drawn)


def test_each_task_gets_its_rows_or_all_labelled_ones() -> None:
    drawn = batches({"both": BOTH, "sparse": SPARSE}, "abcd").draw(3)
    assert {(1, 30), (1, 31), (1, 32)} <= set(drawn)
    assert sum(d == 0 for d, _ in drawn) == 8
    assert 8 <= sum(d == 1 for d, _ in drawn) <= 11


def test_a_task_in_two_datasets_gets_rows_of_both() -> None:
    drawn = batches({"one": BOTH, "two": BOTH}, "a", count=30).draw(0)
    assert len(drawn) == 30
    assert {d for d, _ in drawn} == {0, 1}


def test_rows_depend_only_on_the_seed_the_number_and_the_name_of_the_dataset() -> None:
    draw = batches({"both": BOTH, "sparse": SPARSE}, "abcd").draw(5)
    assert batches({"both": BOTH, "sparse": SPARSE}, "dcba").draw(5) == draw
    reordered = batches({"sparse": SPARSE, "both": BOTH}, "abcd").draw(5)
    assert sorted((1 - d, r) for d, r in reordered) == draw
    for other in (
        batches({"both": BOTH, "sparse": SPARSE}, "abcd", seed=1).draw(5),
        batches({"n": BOTH}, "ab").draw(5),
    ):
        assert other != draw
    assert batches({"both": BOTH}, "ab").draw(6) != batches({"both": BOTH}, "ab").draw(5)


@pytest.mark.parametrize("count", [1, 40])
def test_every_row_may_be_drawn(count: int) -> None:
    drawn = {row for number in range(400 // count) for row in batches({"both": BOTH}, "ab", count=count).draw(number)}
    assert len(drawn) == 40
