"""A Predictor shared by several threads, compared with one thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from nlpmtl import Predictor
from tests.tiny import make_rows

THREADS = 8
SHORT = [row["text"] for row in make_rows(4)]
LONG = [" ".join(row["text"] for row in make_rows(count, seed=count)) for count in (12, 30)]
PAIRS = [(SHORT[0], LONG[0]), (LONG[1], SHORT[1]), (SHORT[2], SHORT[3])]


def calls_of(predictor: Predictor) -> list[tuple[Any, dict[str, Any]]]:
    """Inputs and options that differ in length, type, tasks and truncation."""
    calls: list[tuple[Any, dict[str, Any]]] = [
        *((text, {}) for text in (*SHORT, *LONG)),
        ([SHORT[0], LONG[1], SHORT[1]], {"all_scores": True}),
        ([{"words": SHORT[2].split()}, {"words": LONG[0].split()}], {"aggregation_strategy": "none"}),
        *((LONG[0], {"tasks": [name]}) for name, task in predictor.tasks.items() if not task.takes_pairs),
    ]
    if any(task.takes_pairs for task in predictor.tasks.values()):
        calls += [(PAIRS, {}), ([SHORT[3], PAIRS[1], LONG[0]], {})]
    return calls


def check_threads(predictor: Predictor, *, rounds: int = 1, meanwhile: Callable[[], object] | None = None) -> None:
    """Check that every thread gets the predictions of a single thread.

    Args:
        predictor: the shared predictor.
        rounds: number of repetitions of each call per thread.
        meanwhile: called before each call in every other thread.
    """
    calls = calls_of(predictor)
    expected = [predictor.predict_all(inputs, **options) for inputs, options in calls]
    wrong: list[str] = []
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        start.wait()
        for turn in range(rounds * len(calls)):
            index = (number + turn) % len(calls)
            inputs, options = calls[index]
            try:
                if meanwhile is not None and number % 2:
                    meanwhile()
                if predictor.predict_all(inputs, **options) != expected[index]:
                    wrong.append(f"call {index} has another prediction")
            except BaseException as error:
                wrong.append(f"call {index}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
