"""Runs receive SIGINT and SIGTERM, and the handlers of the caller are restored."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nlpmtl.training import StopSignals


@pytest.fixture
def of_caller() -> Iterator[list[int]]:
    """The signals that the handler of the caller receives."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


def test_runs_that_overlap_receive_signals_and_the_last_restores_the_handlers(of_caller: list[int]) -> None:
    """As of two iterators of events that are read in turn: the first run may end before the second."""
    runs = [StopSignals(), StopSignals()]
    blocks = [ExitStack(), ExitStack()]
    for run, block in zip(runs, blocks, strict=True):
        block.enter_context(run.installed())
    blocks[0].close()
    signal.raise_signal(signal.SIGTERM)
    assert [run.received for run in runs] == [0, signal.SIGTERM]
    blocks[1].close()
    assert of_caller == []
    signal.raise_signal(signal.SIGTERM)
    assert of_caller == [signal.SIGTERM]


def test_a_run_may_end_in_another_thread(of_caller: list[int]) -> None:
    """Only the main thread can set handlers."""
    run, block, errors = StopSignals(), ExitStack(), []
    block.enter_context(run.installed())

    def end() -> None:
        try:
            block.close()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert errors == []
    signal.raise_signal(signal.SIGTERM)
    assert (run.received, of_caller) == (0, [signal.SIGTERM])
    signal.raise_signal(signal.SIGTERM)
    assert len(of_caller) == 2
