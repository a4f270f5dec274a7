"""Metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, with the time of its first use


class Metrics:
    """The metrics of one application; several applications in a process share nothing.

    Args:
        gauges: name -> (help text, function that returns the value).
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "twelve_requests", "Requests, by endpoint and status.", ["endpoint", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "twelve_request_seconds",
            "Time from the start of a request to the end of its reply.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "twelve_batch_questions", "Questions in a batch.", buckets=_BATCHES, registry=self.registry
        )
        self.build = Info("twelve_build", "Version of the package, and SHA-256 of the weights.", registry=self.registry)
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
