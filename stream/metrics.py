"""Beside the line: every metric, its name, unit and meaning. Read at /metrics by Prometheus.

Knows nothing of how anything is done. One registry per worker, so that tests can hold several in a process. Every label
has a finite set of values, told below or by this worker's own partitions: never a user, an item, a text or an offset.
Series whose labels are known are there from the start at 0, else `rate()` would miss their first step.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from time import perf_counter
from typing import Any

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
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from model.event import Kind
from model.rejection import Reason

# Seconds of one step: from a cache hit to a full batch of long texts on a CPU.
STEP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# From a list on a quiet day to an hour's standstill that is being caught up with.
END_TO_END_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)
BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

LANES = ("behaviour", "shelf")
ITEM, UNKNOWN = "item", "unknown"
KINDS = (*(kind.value for kind in Kind), ITEM, UNKNOWN)
"""What may stand as a record's kind: an event's, an item's upsert, or unknown where it could not be read."""
FATES = ("accepted", "repeated", "rejected")
PASSED_OVER = "passed_over"
"""The fate of a record of another format than ours that tells of no behaviour."""
STAGES = ("fallback", "cold", "warm")
CHANGES = ("assigned", "revoked", "lost")


# A series per series, of when it began: twice as many, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Told(Collector):
    """A counter that another part keeps: it is asked when the metrics are read."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self.source: Callable[[], float] = lambda: 0.0
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The counter, as it is now."""
        return [CounterMetricFamily(self._name, self._text, value=self.source())]


class Metrics:
    """The worker's numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # Memory, CPU seconds, open files.
        self._line()
        self._lists()
        self._kafka()
        self._held()
        self._begin()

    def _line(self) -> None:
        of: Any = {"registry": self.registry}
        self.events = Counter(
            "firstclick_events",
            "Events and items by kind and fate: accepted, repeated, rejected, passed_over (of a format, no behaviour).",
            ["kind", "fate"],
            **of,
        )
        self.rejections = Counter("firstclick_rejections", "What was rejected, by reason.", ["lane", "reason"], **of)
        self.foreign = Counter(
            "firstclick_foreign_partition_users",
            "New users whose events do not arrive in the partition of murmur2(user id): their producer hashes another "
            "way, and one that hashes like Java would split their windows.",
            **of,
        )
        self.batch_events = Histogram(
            "firstclick_batch_events", "Records of one micro-batch.", ["lane"], buckets=BATCH_BUCKETS, **of
        )
        self.batch_users = Histogram(
            "firstclick_batch_users", "Users whose window a micro-batch changed.", buckets=BATCH_BUCKETS, **of
        )
        self.step = Histogram(
            "firstclick_step_seconds", "Seconds of one step of a micro-batch.", ["lane", "step"],
            buckets=STEP_BUCKETS, **of,
        )  # fmt: skip
        self.end_to_end = Histogram(
            "firstclick_end_to_end_seconds",
            "Seconds from an event's record time to its committed list, newest event per user and batch.",
            buckets=END_TO_END_BUCKETS,
            **of,
        )

    def _lists(self) -> None:
        of: Any = {"registry": self.registry}
        self.lists = Counter("firstclick_lists", "Recommendation lists published, by stage.", ["stage"], **of)
        self.unchanged = Counter(
            "firstclick_lists_unchanged", "Lists suppressed because they would repeat the one before.", **of
        )
        self.failed = Counter("firstclick_lists_failed", "Windows that the model stumbled over: see the log.", **of)

    def _kafka(self) -> None:
        of: Any = {"registry": self.registry}
        self.commits = Counter(
            "firstclick_commits", "Micro-batches committed; one transaction each, if exactly once.", ["lane"], **of
        )
        self.aborts = Counter("firstclick_aborts", "Micro-batches given up and read again.", ["lane"], **of)
        self.rebalances = Counter("firstclick_rebalances", "Rebalances heard of, by what they did.", ["change"], **of)
        self.waiting = Gauge("firstclick_waiting_events", "Records read from Kafka and not yet taken.", ["lane"], **of)
        self.lag = Gauge(
            "firstclick_lag_events", "Records in Kafka behind what is committed.", ["topic", "partition"], **of
        )

    def _held(self) -> None:
        of: Any = {"registry": self.registry}
        self.users = Gauge("firstclick_users", "Users whose windows are held.", **of)
        self.windows_loaded = Told("firstclick_windows_loaded", "Windows loaded from the changelog.", self.registry)
        self.items = Gauge("firstclick_items", "Items on the shelf.", **of)
        self.catalogue_age = Gauge(
            "firstclick_catalogue_age_seconds", "Seconds since the newest record of the catalogue was written.", **of
        )
        self.encoded = Told("firstclick_items_encoded", "Item texts encoded by this worker.", self.registry)
        self.vectors = Gauge("firstclick_vectors_cached", "Text vectors that the encoder keeps.", **of)
        self.hits = Told("firstclick_vector_cache_hits", "Texts whose vector was there.", self.registry)
        self.misses = Told("firstclick_vector_cache_misses", "Texts that had to be encoded.", self.registry)
        self.silence = Gauge(
            "firstclick_loop_silence_seconds", "Seconds since a loop turned; 0: rests.", ["loop"], **of
        )
        self.ready = Gauge("firstclick_ready", "1 once /readyz says so.", **of)
        self.model = Info("firstclick_model", "The model, where it runs, the guarantee and firstclick's version.", **of)

    def _begin(self) -> None:
        for labels in product(KINDS, FATES):
            self.events.labels(*labels)
        self.events.labels(UNKNOWN, PASSED_OVER)
        for pair in product(LANES, Reason):
            self.rejections.labels(*pair)
        for metric, values in (
            (self.lists, STAGES),
            (self.rebalances, CHANGES),
            (self.commits, LANES),
            (self.aborts, LANES),
            (self.waiting, LANES),
            (self.batch_events, LANES),
        ):
            for value in values:
                metric.labels(value)

    def reject(self, lane: str, kind: str, reasons: Iterable[str]) -> None:
        """Counts what was rejected, one reason each; a `Counter` of reasons counts as often as it says."""
        for reason, count in Tally(reasons).items():
            self.events.labels(kind, "rejected").inc(count)
            self.rejections.labels(lane, reason).inc(count)

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
