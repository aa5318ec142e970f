"""Beside the line, for consumers: the numbers of `firstclick serve`, read at /metrics by Prometheus.

Knows nothing of HTTP or Kafka. What others count already is asked for when the page is read. Every label has a finite
set of values, never a user; series whose labels are known stand at 0 from the start, else `rate()` misses their first.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.states import State

# Seconds of an answer: a look-up, a page of SQLite from the disk, a process that is held up.
ANSWER_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
OTHER = "other"
"""The route of a path or method that there is not."""
STATUSES: Mapping[str, tuple[int, ...]] = {
    "recommendations": (200, 304, 400, 404, 500, 503),
    "interest": (200, 304, 404, 500, 503),
    "healthz": (200, 503),
    "readyz": (200, 503),
    "metrics": (200,),
    "openapi": (200,),
    OTHER: (404, 405),
}
"""Route -> what it may answer."""


class Held(Protocol):
    """What a server holds and has read."""

    @property
    def state(self) -> State:
        """The newest of every user."""

    @property
    def ready(self) -> bool:
        """As /readyz says."""

    def silent_s(self) -> float:
        """Seconds since a broker answered; 0 while they do."""

    def newest_ms(self) -> Mapping[str, int]:
        """Topic -> when its newest record was written (epoch), 0 before the first."""

    def read(self) -> Mapping[str, int]:
        """Topic -> records read."""

    def skipped(self) -> Mapping[str, Mapping[str, int]]:
        """Topic -> what is wrong -> records passed over for it."""


class ServeMetrics(Collector):
    """The numbers of one server."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.registry = CollectorRegistry()
        of: Any = {"registry": self.registry}
        ProcessCollector(**of)  # Memory, CPU seconds, open files.
        self._requests = Counter(
            "firstclick_serve_requests", "Requests answered, by page and status.", ["route", "status"], **of
        )
        self._seconds = Histogram(
            "firstclick_serve_request_seconds",
            "Seconds from a request that has been read to its answer, by page.",
            ["route"],
            buckets=ANSWER_BUCKETS,
            **of,
        )
        for route, statuses in STATUSES.items():
            self._seconds.labels(route)
            for status in statuses:
                self._requests.labels(route, status)
        self.registry.register(self)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One more; `route` is one of STATUSES."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What is held, as it is now."""
        held = self._held
        now_ms = time.time() * 1000
        users = _gauge("firstclick_serve_users", "Users held, by topic.", "topic")
        age = _gauge("firstclick_serve_age_seconds", "Seconds since the topic's newest record was written.", "topic")
        read = CounterMetricFamily("firstclick_serve_records", "Records read by this process.", labels=["topic"])
        skipped = CounterMetricFamily("firstclick_serve_skipped", "Records that are none of ours.", labels=["topic"])
        for topic, records in held.read().items():
            users.add_metric([topic], held.state.users(topic))
            read.add_metric([topic], records)
        for topic, newest_ms in held.newest_ms().items():
            age.add_metric([topic], (now_ms - newest_ms) / 1000 if newest_ms else float("nan"))
        for topic, faults in held.skipped().items():
            skipped.add_metric([topic], sum(faults.values()))
        yield from (users, age, read, skipped)
        yield GaugeMetricFamily(
            "firstclick_serve_silent_seconds", "Seconds since a broker answered; 0 while they do.", held.silent_s()
        )
        yield GaugeMetricFamily("firstclick_serve_ready", "1 once /readyz says so.", held.ready)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


def _gauge(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=[label])
