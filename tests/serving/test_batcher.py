"""Batching of waiting requests; each request gets its own result."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nlpmtl.serving.batcher import Batcher, QueueFullError, ShuttingDownError


class Doubling:
    """A computation that waits until `allowed` is set, then doubles its inputs; it fails for strings."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, list[Any]]] = []
        self.started, self.allowed = threading.Event(), threading.Event()

    def __call__(self, key: Any, inputs: list[Any]) -> list[Any]:
        self.batches.append((key, inputs))
        self.started.set()
        assert self.allowed.wait(10)
        if any(isinstance(item, str) for item in inputs):
            raise ValueError(f"no number among {len(inputs)}")
        return [2 * item for item in inputs]


@contextmanager
def batching(**options: int) -> Iterator[tuple[Batcher, Doubling]]:
    """Yield a batcher that is busy with the input 0 until `allowed` is set."""
    compute = Doubling()
    batcher = Batcher(compute, **{"batch": 4, "queue": 100, **options})
    try:
        batcher.submit([0], key="a")
        assert compute.started.wait(10)
        yield batcher, compute
    finally:
        compute.allowed.set()
        batcher.stop()


def test_waiting_requests_with_the_same_key_are_batched_oldest_first() -> None:
    with batching() as (batcher, compute):
        requests = [("a", [1]), ("b", [2]), ("a", [3, 4]), ("a", [5, 6]), ("a", [7]), ("b", [8])]
        futures = [batcher.submit(inputs, key=key) for key, inputs in requests]
        assert batcher.waiting == 6
        compute.allowed.set()
        assert [list(future.result(10)) for future in futures] == [[2], [4], [6, 8], [10, 12], [14], [16]]
        assert compute.batches == [("a", [0]), ("a", [1, 3, 4, 7]), ("b", [2, 8]), ("a", [5, 6])]


def test_a_request_larger_than_a_batch_is_a_batch_by_itself() -> None:
    with batching() as (batcher, compute):
        large, small = batcher.submit(list(range(9)), key="a"), batcher.submit([1], key="a")
        compute.allowed.set()
        assert (len(large.result(10)), small.result(10)) == (9, [2])
        assert [len(inputs) for _, inputs in compute.batches] == [1, 9, 1]


def test_an_error_affects_only_its_request() -> None:
    with batching() as (batcher, compute):
        good, bad, last = (batcher.submit([item], key="a") for item in (1, "x", 3))
        compute.allowed.set()
        assert (good.result(10), last.result(10)) == ([2], [6])
        with pytest.raises(ValueError, match="no number among 1"):
            bad.result(10)


def test_cancelled_requests_are_not_computed_and_free_the_queue() -> None:
    with batching(queue=2) as (batcher, compute):
        cancelled, second = batcher.submit([1], key="a"), batcher.submit([2], key="a")
        with pytest.raises(QueueFullError):
            batcher.submit([3], key="a")
        assert cancelled.cancel()
        third = batcher.submit([3], key="a")
        with pytest.raises(QueueFullError):
            batcher.submit([4], key="a")
        compute.allowed.set()
        assert (second.result(10), third.result(10)) == ([4], [6])
        assert compute.batches[1:] == [("a", [2, 3])]


def test_refuse_finishes_waiting_requests_and_stop_cancels_them() -> None:
    with batching() as (batcher, compute):
        waiting = batcher.submit([1], key="a")
        assert batcher.open
        batcher.refuse()
        assert not batcher.open
        with pytest.raises(ShuttingDownError):
            batcher.submit([2], key="a")
        compute.allowed.set()
        assert waiting.result(10) == [2]
    with batching() as (batcher, compute):
        waiting = batcher.submit([1], key="a")
        stopping = threading.Thread(target=batcher.stop)
        stopping.start()
        while not waiting.cancelled():
            pass
        compute.allowed.set()
        stopping.join(10)
        assert [inputs for _, inputs in compute.batches] == [[0]]
