"""Requests that wait together are computed together, by one thread. Of HTTP and of models it knows nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

Compute = Callable[[Any, list[Any]], Sequence[Any]]
"""What is asked and the inputs of one or more requests that ask it, to one answer for each input."""


class QueueFullError(Exception):
    """As many requests wait as may."""


class ShuttingDownError(Exception):
    """Nothing new is taken any more."""


class CrashError(Exception):
    """The computation raised what is not an `Exception`, such as a panic of a library that is written in Rust."""


@dataclass(frozen=True)
class _Job:
    key: Hashable
    inputs: Sequence[Any]
    future: Future[Sequence[Any]] = field(default_factory=Future)


class Batcher:
    """One thread that computes; while it does, other requests gather for the next batch, so nobody waits for company.

    The oldest request goes first, and takes along those that ask the same. Where a batch fails, its requests are
    computed one by one, so that an error reaches only the request that it belongs to. No failure ends the thread.

    Args:
        compute: computes a batch.
        batch: most inputs in one batch; a request that alone has more is a batch by itself.
        queue: most requests that wait.
    """

    def __init__(self, compute: Compute, *, batch: int, queue: int) -> None:
        self._compute, self._batch, self._queue = compute, batch, queue
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._refusing = self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._jobs)

    @property
    def open(self) -> bool:
        """Whether requests are taken."""
        return not self._refusing and self.alive

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, inputs: Sequence[Any], *, key: Hashable) -> Future[Sequence[Any]]:
        """The answers to come, one for each input. To cancel them before they are computed spares the work.

        Raises:
            QueueFullError: too many requests wait.
            ShuttingDownError: nothing new is taken.
        """
        job = _Job(key, inputs)
        with self._changed:
            if not self.open:
                raise ShuttingDownError
            if len(self._jobs) >= self._queue:
                self._jobs = deque(one for one in self._jobs if not one.future.cancelled())
            if len(self._jobs) >= self._queue:
                raise QueueFullError
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def refuse(self) -> None:
        """Take nothing new; what waits is still computed. Takes no lock: a signal's handler may call it."""
        self._refusing = True

    def stop(self) -> None:
        """Take nothing new, give up what waits, and return when what is being computed is done."""
        self.refuse()
        with self._changed:
            self._stopping = True
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._take():
            try:
                self._answer(jobs)
            except BaseException as error:  # whatever it is, no request waits for ever, and the next one is computed
                for job in jobs:
                    if not job.future.done():
                        job.future.set_exception(_as_exception(error))

    def _take(self) -> list[_Job]:
        """The next batch, of jobs that nobody gave up; none when it is time to stop."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._stopping)
                if self._stopping:
                    return []
                if jobs := self._gather():
                    return jobs

    def _gather(self) -> list[_Job]:
        jobs: list[_Job] = []
        room, later = self._batch, deque[_Job]()
        for job in self._jobs:
            fits = not jobs or (job.key == jobs[0].key and len(job.inputs) <= room)
            if not fits:
                later.append(job)
            elif job.future.set_running_or_notify_cancel():
                jobs.append(job)
                room -= len(job.inputs)
        self._jobs = later
        return jobs

    def _answer(self, jobs: Sequence[_Job]) -> None:
        inputs = [one for job in jobs for one in job.inputs]
        try:
            answers = self._compute(jobs[0].key, inputs)
            if len(answers) != len(inputs):
                raise RuntimeError(f"{len(answers)} answers for {len(inputs)} inputs")
        except BaseException as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(_as_exception(error))
            else:
                for job in jobs:
                    self._answer([job])
            return
        start = 0
        for job in jobs:
            job.future.set_result(answers[start : start + len(job.inputs)])
            start += len(job.inputs)


def _as_exception(error: BaseException) -> Exception:
    """Return an exception that a future can hand to a coroutine.

    Others would end the event loop (KeyboardInterrupt, SystemExit), mean that the request was cancelled, or are
    not allowed in a coroutine (StopIteration).
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration | CancelledError):
        return error
    crash = CrashError(f"{type(error).__name__}: {error}")
    crash.__cause__ = error
    return crash
