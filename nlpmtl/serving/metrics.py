"""What a server tells of itself, in the text format of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

Labels = tuple[tuple[str, str], ...]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Counter:
    """Numbers that only rise, one for each value of the labels."""

    def __init__(self, name: str, help: str) -> None:
        self.name, self.help = name, help
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count."""
        key = tuple(labels.items())
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def lines(self) -> Iterator[str]:
        """The series."""
        yield from _head(self.name, self.help, "counter")
        for labels, value in dict(self._values).items():
            yield _line(self.name, labels, value)


class Histogram:
    """How many values were at most as large as each bound, one such row for each value of the labels."""

    def __init__(self, name: str, help: str, *, bounds: Sequence[float]) -> None:
        self.name, self.help, self.bounds = name, help, tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, **labels: str) -> None:
        """Count a value."""
        key = tuple(labels.items())
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(self.bounds) + 1))
            counts[bisect_left(self.bounds, value)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + value

    def lines(self) -> Iterator[str]:
        """The series: cumulative counts, their sum and their number."""
        yield from _head(self.name, self.help, "histogram")
        with self._lock:
            rows = [(labels, list(counts), self._sums[labels]) for labels, counts in self._counts.items()]
        for labels, counts, total in rows:
            reached = 0
            for bound, count in zip((*map(_number, self.bounds), "+Inf"), counts, strict=True):
                reached += count
                yield _line(f"{self.name}_bucket", (*labels, ("le", bound)), reached)
            yield _line(f"{self.name}_sum", labels, total)
            yield _line(f"{self.name}_count", labels, reached)


class Metrics:
    """All that is told.

    Args:
        waiting: says how many requests wait.
    """

    def __init__(self, *, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self.requests = Counter("nlpmtl_requests_total", "Requests by route and status.")
        self.seconds = Histogram(
            "nlpmtl_request_seconds", "From a request's first byte to its answer's last.", bounds=_SECONDS
        )
        self.inputs = Counter("nlpmtl_inputs_total", "Inputs that were answered, by route.")
        self.batches = Histogram("nlpmtl_batch_inputs", "Inputs that were computed together.", bounds=_SIZES)

    def text(self) -> str:
        """The page that Prometheus reads."""
        queue = "nlpmtl_queue_requests"
        lines = [*_head(queue, "Requests that wait to be computed.", "gauge"), _line(queue, (), self._waiting())]
        for one in (self.requests, self.seconds, self.inputs, self.batches):
            lines.extend(one.lines())
        return "\n".join(lines) + "\n"


def _head(name: str, help: str, type: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {type}"


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    return f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
