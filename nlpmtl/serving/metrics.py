"""Request metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class _Registry(CollectorRegistry):
    """A registry without the time series `…_created`, which `prometheus_client` can only disable globally."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Metrics:
    """The metrics of one application.

    Args:
        waiting: returns the number of requests that wait.
    """

    def __init__(self, *, waiting: Callable[[], int]) -> None:
        self._registry = registry = _Registry()
        Gauge("nlpmtl_queue_requests", "Requests that wait to be computed.", registry=registry).set_function(waiting)
        self.requests = Counter(
            "nlpmtl_requests_total", "Requests by route and status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "nlpmtl_request_seconds",
            "Time from the first byte of a request to the last byte of its response.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.inputs = Counter(
            "nlpmtl_inputs_total", "Inputs that were predicted, by route.", ["route"], registry=registry
        )
        self.batches = Histogram(
            "nlpmtl_batch_inputs", "Number of inputs in a batch.", buckets=_SIZES, registry=registry
        )

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)
