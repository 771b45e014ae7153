"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The server's own registry.

    Args:
        ready: workers that answer.
        waiting: requests in the queue.
    """

    def __init__(self, ready: Callable[[], int], waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "sweepmaker_requests", "Answered requests", ("path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "sweepmaker_request_seconds", "From a request's head to its answer", ("path",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.queue_seconds = Histogram(
            "sweepmaker_queue_seconds", "From a request's end until a worker takes it",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.model_seconds = Histogram(
            "sweepmaker_model_seconds", "The model's part of an answer", buckets=_SECONDS, registry=registry
        )
        self.batch = Histogram(
            "sweepmaker_batch_requests", "Requests that a worker takes together", buckets=_BATCHES,
            registry=registry,
        )  # fmt: skip
        self.received = Counter(
            "sweepmaker_received_bytes", "Bodies of requests to /invocations", registry=registry
        )
        self.replaced = Counter(
            "sweepmaker_workers_replaced", "Workers that ended and were replaced", registry=registry
        )
        Gauge("sweepmaker_workers_ready", "Workers that answer", registry=registry).set_function(ready)
        Gauge("sweepmaker_queue_requests", "Requests that wait", registry=registry).set_function(waiting)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)
