"""Dynamic batching: one thread computes requests that wait at the same time in one batch.

Independent of HTTP and of models.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

Compute = Callable[[Any, list[Any]], Sequence[Any]]
"""Key and inputs of one or more requests with this key -> one result per input."""


class QueueFullError(Exception):
    """The maximum number of requests is waiting."""


class ShuttingDownError(Exception):
    """The batcher accepts no more requests."""


class CrashError(Exception):
    """The computation raised a `BaseException` that is not an `Exception`, such as the panic of a Rust library."""


@dataclass(frozen=True)
class _Job:
    key: Hashable
    inputs: Sequence[Any]
    future: Future[Sequence[Any]] = field(default_factory=Future)


class Batcher:
    """A thread that computes batches; requests that arrive meanwhile form the next one, without extra waiting time.

    A batch holds the oldest request and others with the same key. If a batch fails, its requests are computed one by
    one, so that an error reaches only the request that caused it. No error ends the thread.

    Args:
        compute: computes a batch.
        batch: maximum number of inputs in a batch; a request with more is a batch by itself.
        queue: maximum number of requests that wait.
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
        """Number of requests that wait."""
        return len(self._jobs)

    @property
    def open(self) -> bool:
        """Whether requests are accepted."""
        return not self._refusing and self.alive

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def submit(self, inputs: Sequence[Any], *, key: Hashable) -> Future[Sequence[Any]]:
        """Return a future of the results, one per input. A future that is cancelled in time is not computed.

        Raises:
            QueueFullError: too many requests are waiting.
            ShuttingDownError: no more requests are accepted.
        """
        job = _Job(key, inputs)
        with self._changed:
            if not self.open:
                raise ShuttingDownError
            if len(self._jobs) >= self._queue:
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
            if len(self._jobs) >= self._queue:
                raise QueueFullError
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def refuse(self) -> None:
        """Accept no more requests; those that wait are still computed. Lock-free, for signal handlers."""
        self._refusing = True

    def stop(self) -> None:
        """Accept no more requests, cancel those that wait, and return when the current batch is done."""
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
                self._run(jobs)
            except BaseException as error:  # no request may wait for ever, and the thread must continue
                for job in jobs:
                    if not job.future.done():
                        job.future.set_exception(_as_exception(error))

    def _take(self) -> list[_Job]:
        """Wait for the next batch, and return it; an empty list when the batcher is stopped."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._stopping)
                if self._stopping:
                    return []
                if jobs := self._gather():
                    return jobs

    def _gather(self) -> list[_Job]:
        jobs: list[_Job] = []
        free, later = self._batch, deque[_Job]()
        for job in self._jobs:
            fits = not jobs or (job.key == jobs[0].key and len(job.inputs) <= free)
            if not fits:
                later.append(job)
            elif job.future.set_running_or_notify_cancel():
                jobs.append(job)
                free -= len(job.inputs)
        self._jobs = later
        return jobs

    def _run(self, jobs: Sequence[_Job]) -> None:
        inputs = [value for job in jobs for value in job.inputs]
        try:
            results = self._compute(jobs[0].key, inputs)
            if len(results) != len(inputs):
                raise RuntimeError(f"{len(results)} results for {len(inputs)} inputs")
        except BaseException as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(_as_exception(error))
            else:
                for job in jobs:
                    self._run([job])
            return
        start = 0
        for job in jobs:
            job.future.set_result(results[start : start + len(job.inputs)])
            start += len(job.inputs)


def _as_exception(error: BaseException) -> Exception:
    """Return an exception that a future can hand to a coroutine.

    KeyboardInterrupt and SystemExit would end the event loop, CancelledError would mean that the request was
    cancelled, and StopIteration is not allowed in a coroutine.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration | CancelledError):
        return error
    crash = CrashError(f"{type(error).__name__}: {error}")
    crash.__cause__ = error
    return crash
