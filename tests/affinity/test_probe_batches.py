"""Rows to measure on: enough for each task, the same for tasks that are labelled together, others each time."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.affinity.probe_batches import ProbeBatches
from nlpmtl.data import Encoded
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.targets import ClassLabels


def dataset(**labelled: list[int]) -> Encoded:
    """Rows of one token, of which each task has a label where a 1 stands."""
    many = len(next(iter(labelled.values())))
    labels = {}
    for task, counts in labelled.items():
        there = np.array(counts)
        labels[task] = ClassLabels(("a",), 1, there > 0, there, np.zeros(many, dtype=np.int8))
    return Encoded(Ragged(np.zeros(many, dtype=np.int32), np.arange(many + 1)), None, None, labels, 0)


BOTH = dataset(a=[1] * 40, b=[1] * 40)
SPARSE = dataset(c=[0] * 30 + [1] * 3, d=[1] * 33)


def source(datasets: dict[str, Encoded], tasks: str, *, many: int = 8, seed: int = 0) -> ProbeBatches:
    return ProbeBatches(datasets, tasks=list(tasks), many=many, seed=seed)


def test_tasks_on_the_same_rows_are_measured_on_the_same_rows() -> None:
    drawn = source({"both": BOTH}, "ab").draw(0)
    assert len(drawn) == len(set(drawn)) == 8
    assert drawn == sorted(drawn)


def test_each_task_gets_its_rows_or_all_that_it_has() -> None:
    drawn = source({"both": BOTH, "sparse": SPARSE}, "abcd").draw(3)
    assert {(1, 30), (1, 31), (1, 32)} <= set(drawn)
    assert sum(d == 0 for d, _ in drawn) == 8
    assert 8 <= sum(d == 1 for d, _ in drawn) <= 11


def test_a_task_in_two_datasets_takes_of_both() -> None:
    drawn = source({"one": BOTH, "two": BOTH}, "a", many=30).draw(0)
    assert len(drawn) == 30
    assert {d for d, _ in drawn} == {0, 1}


def test_rows_depend_on_the_seed_the_number_and_the_name_of_the_dataset_alone() -> None:
    draw = source({"both": BOTH, "sparse": SPARSE}, "abcd").draw(5)
    assert source({"both": BOTH, "sparse": SPARSE}, "dcba").draw(5) == draw
    turned = source({"sparse": SPARSE, "both": BOTH}, "abcd").draw(5)
    assert sorted((1 - d, r) for d, r in turned) == draw
    for other in (source({"both": BOTH, "sparse": SPARSE}, "abcd", seed=1).draw(5), source({"n": BOTH}, "ab").draw(5)):
        assert other != draw
    assert source({"both": BOTH}, "ab").draw(6) != source({"both": BOTH}, "ab").draw(5)


@pytest.mark.parametrize("many", [1, 40])
def test_every_row_may_come(many: int) -> None:
    drawn = {row for number in range(400 // many) for row in source({"both": BOTH}, "ab", many=many).draw(number)}
    assert len(drawn) == 40
