"""What /metrics says, in Prometheus' text form: requests and tokens as HTTP saw them; rows, pages and sums of the
engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from m2jax.serve.worker import Worker

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)
GAUGES = {
    "rows": "Requests that hold a slot.",
    "waiting": "Requests that wait for a slot.",
    "pages": "Pages of the cache.",
    "pages_free": "Pages that nobody reads.",
}


class Metrics:
    """The counters of one server."""

    def __init__(self, worker: Worker, accepted: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "m2jax"}
        self.requests = Counter("requests", "Answers by path and status.", ["path", "status"], **own)
        self.tokens = Counter("tokens", "Tokens of prompts, and of completions.", ["kind"], **own)
        self.first_token = Histogram("first_token_seconds", "To the first token of a stream.", buckets=SECONDS, **own)
        self.seconds = Histogram("request_seconds", "Of a whole answer.", ["path"], buckets=SECONDS, **own)
        self.gone = Counter("disconnects", "Clients that left before their answer was whole.", **own)
        Gauge("accepted", "Choices that are being made.", **own).set_function(accepted)
        self.registry.register(_Engine(worker))

    def page(self) -> tuple[bytes, str]:
        """(text, content type)"""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class _Engine:
    """The engine's own figures, as they stand when they are asked for."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        for name, what in GAUGES.items():
            yield GaugeMetricFamily(f"m2jax_engine_{name}", what, value=self._worker.gauges.get(name, 0))
        counts = CounterMetricFamily("m2jax_engine", "Sums of the engine: tokens, hits, seconds.", labels=["what"])
        for name, value in sorted(self._worker.counts.copy().items()):
            counts.add_metric([name], value)
        yield counts
