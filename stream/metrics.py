"""Beside the line: every metric, its name, unit and meaning. Read at /metrics by Prometheus.

Knows nothing of how anything is done. One registry per worker, so that tests can hold several in a process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

# Seconds of one step: from a cache hit to a full batch of long texts on a CPU.
STEP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)


class Metrics:
    """The worker's numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of: Any = {"registry": self.registry}
        self.events = Counter(
            "firstclick_events",
            "Events by kind and fate (accepted, repeated, passed_over: of a format, no behaviour; or why rejected).",
            ["kind", "fate"],
            **of,
        )
        self.batch_events = Histogram(
            "firstclick_batch_events", "Records of one micro-batch.", ["lane"], buckets=BATCH_BUCKETS, **of
        )
        self.batch_users = Histogram(
            "firstclick_batch_users", "Users whose window a micro-batch changed.", buckets=BATCH_BUCKETS, **of
        )
        self.step = Histogram(
            "firstclick_step_seconds",
            "Seconds of one step of a micro-batch.",
            ["lane", "step"],
            buckets=STEP_BUCKETS,
            **of,
        )
        self.end_to_end = Histogram(
            "firstclick_end_to_end_seconds",
            "Seconds from an event's arrival in Kafka to its committed list, newest event per user and batch.",
            buckets=STEP_BUCKETS,
            **of,
        )
        self.lists = Counter("firstclick_lists", "Recommendation lists published, by stage.", ["stage"], **of)
        self.unchanged = Counter("firstclick_lists_unchanged", "Lists not published because nothing changed.", **of)
        self.failed = Counter("firstclick_lists_failed", "Windows that the model stumbled over: see the log.", **of)
        self.aborts = Counter("firstclick_aborts", "Micro-batches given up and read again.", ["lane"], **of)
        self.foreign = Counter(
            "firstclick_foreign_partition_users",
            "New users whose events do not arrive in the partition of murmur2(user id): their producer hashes another "
            "way, and one that hashes like Java would split their windows.",
            **of,
        )
        self.encoded = Counter("firstclick_items_encoded", "Item texts encoded by this worker.", **of)
        self.users = Gauge("firstclick_users", "Users whose windows are held.", **of)
        self.items = Gauge("firstclick_items", "Items on the shelf.", **of)
        self.waiting = Gauge("firstclick_waiting_events", "Records read from Kafka and not yet taken.", ["lane"], **of)
        self.lag = Gauge(
            "firstclick_lag_events", "Records in Kafka behind what is committed.", ["topic", "partition"], **of
        )
        self.ready = Gauge(
            "firstclick_ready", "1 once the catalogue is read to its end and partitions are assigned.", **of
        )
        self.model = Info("firstclick_model", "The model, its device and the guarantee.", **of)

    @contextmanager
    def timed(self, lane: str, step: str) -> Iterator[None]:
        """Counts the seconds of a step."""
        start = perf_counter()
        try:
            yield
        finally:
            self.step.labels(lane, step).observe(perf_counter() - start)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
