"""What a worker consists of, and the only place where it is put together.

Knows nothing of what the parts do, nor of when they start and stop (app.py).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient

from model.bundle import Bundle
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from model.item_tower import item_tower
from model.reading import reader
from model.window import EMPTY
from stream import topics
from stream.agents import Behaviour, Turns
from stream.backlog import Backlog
from stream.batcher import Share
from stream.capabilities import guarantee_of, protocol_of, topics_of
from stream.follower import Follower, Pair, Place, ends, read_to_end
from stream.intake import Intake
from stream.lane import Lane
from stream.logs import CLIENT
from stream.messages import read_catalogue_record
from stream.metrics import Metrics
from stream.outbox import Deliveries, Outbox, Transactions
from stream.pulse import Pulse
from stream.recommender import Recommender
from stream.registry import Registry
from stream.settings import Settings
from stream.shelf import Shelves
from stream.shelving import Shelving
from stream.windows import DAY_MS, Windows

# Items of one transaction: about a second of encoding on two cores: a new item never waits long behind a bulk load.
SHELF_ITEMS = 256
# Counts of one transaction: half a second of sums. Ten busy workers write fewer in the two seconds between.
SHELF_COUNTS = 20_000
KAFKA_RECORD_BYTES = 1_048_588  # Kafka's own default of max.message.bytes, where the broker does not tell.


@dataclass
class Parts:
    """What a worker consists of."""

    settings: Settings
    bundle: Bundle
    guarantee: str
    why: str
    metrics: Metrics
    encoder: Encoder
    catalogue: Catalogue
    recommender: Recommender
    intake: Intake
    follower: Follower
    behaviour: Behaviour
    shelving: Shelving
    shares: Mapping[str, Sequence[Share]]
    backlog: Backlog
    failure: BaseException | None = None
    stopping: bool = False
    warm: bool = False
    """Whether the model has run."""
    loop: Pulse = field(default_factory=lambda: Pulse("loop"))
    """Of the event loop."""

    def warm_up(self) -> None:
        """Runs the model once, so that the first shopper does not wait for what it sets up when it first runs."""
        self.encoder.vectors(["firstclick"])
        self.recommender.recommend([EMPTY])
        self.warm = True

    @property
    def turns(self) -> Sequence[Turns]:
        """Of all lanes."""
        return self.behaviour, self.shelving

    @property
    def pulses(self) -> list[Pulse]:
        """Of all loops."""
        return [self.loop, self.intake.pulse, self.follower.pulse, *(turns.lane.pulse for turns in self.turns)]

    @property
    def wrong(self) -> list[str]:
        """What keeps the worker from working for good: it has failed, or a loop is stuck."""
        limit_s = (self.settings.stuck_ms + self.settings.transaction_timeout_ms) / 1000
        silent = [(pulse.name, pulse.silent_s) for pulse in self.pulses]
        stuck = [f"{name} has not turned for {for_s:.1f} s, of {limit_s:g} s allowed; start this worker again"
                 for name, for_s in silent if for_s > limit_s]  # fmt: skip
        return [*([str(self.failure)] if self.failure is not None else []), *stuck]

    @property
    def waits_for(self) -> list[str]:
        """What has to be done before lists can be right. The bundle is loaded: else there were no parts."""
        done = {"model": self.warm, "catalogue": self.follower.ready.is_set(), "group": self.intake.joined.is_set()}
        done |= {turns.lane.name: turns.loaded for turns in self.turns}
        done["items"] = self.backlog.over
        return [name for name, is_done in done.items() if not is_done]

    @property
    def ready(self) -> bool:
        """The model has run, the catalogue is read to its end, the group has taken this worker in, the windows and
        items of its partitions are loaded, what stood on `items` at the start is on the shelf, and nothing is wrong."""
        return not self.waits_for and not self.wrong


class Cluster(NamedTuple):
    """The brokers, and what was found that they can."""

    settings: Settings
    admin: AdminClient
    partitions: int
    """Of every topic that a worker reads or writes by user or item."""
    rejected_bytes: int
    """Largest record that the topic of rejections takes."""
    guarantee: str
    why: str

    @classmethod
    def ask(cls, settings: Settings, space: str) -> "Cluster":
        """Connects, and asks for topics and guarantees.

        Raises:
            CommandError: something that is needed is not there; it says what and the remedy.
        """
        # Quiet: what it cannot do is raised, and said once.
        admin = AdminClient({**settings.client, "log_level": 2})
        found = topics_of(settings, space, admin)
        rejected_bytes = int(found[topics.REJECTED].config.get("max.message.bytes", KAFKA_RECORD_BYTES))
        return cls(
            settings, admin, found[next(iter(settings.formats))].partitions, rejected_bytes, *guarantee_of(settings)
        )

    @property
    def exact(self) -> bool:
        """Whether a micro-batch is one transaction."""
        return self.guarantee == "exactly_once"

    def reader(self, topic: str, lane: Lane) -> Callable[[Sequence[int]], Any]:
        """What reads these partitions of a topic to their ends, for a lane."""
        beat = lane.pulse.beat
        return lambda wanted: read_to_end(self.settings.client, self.admin, topic, wanted, self.exact, beat)

    def event_ends(self, wanted: Sequence[int]) -> Mapping[Place, int]:
        """Where these partitions of all event topics end.

        The embedded broker tells ends that lie too low: there every topic would pass for one that was created anew.
        """
        if not self.exact:
            return {}
        return ends(self.admin, [(name, number) for name in self.settings.formats for number in wanted])

    def outbox(self, intake: Intake, lane: Lane) -> Outbox:
        """A lane's."""
        return (Transactions if self.exact else Deliveries)(self.settings, intake, lane)


class Followed:
    """The shelf as the catalogue topic tells it."""

    def __init__(self, catalogue: Catalogue, metrics: Metrics) -> None:
        self.partition_of: dict[str, int] = {}
        """Item -> the topic's partition that tells of it."""
        self._catalogue, self._metrics = catalogue, metrics

    def apply(self, records: Sequence[tuple[int, Pair]]) -> None:
        """Takes in (partition, record) in the order of the topic."""
        changes: list[tuple[str, Shelved | None]] = []
        for partition, (key, value) in records:
            item_id = key.decode()
            if value is None:
                self.partition_of.pop(item_id, None)
                changes.append((item_id, None))
            else:
                self.partition_of[item_id] = partition
                changes.append((item_id, read_catalogue_record(value).item))
        self._catalogue.apply(changes)
        self._metrics.items.set(len(self._catalogue))


def build(settings: Settings, *, model: bool = True) -> Parts:
    """Joins the parts of a worker; connects to Kafka to ask what it can.

    Args:
        model: False leaves out steps 4 to 9, to measure what the rest costs.

    Raises:
        CommandError: something cannot be; it says what and the remedy.
        BundleError: the bundle is not one that this worker may run.
        DeviceError: the device is not there.
    """
    bundle = Bundle.load(settings.bundle)
    cluster = Cluster.ask(settings, bundle.space)
    metrics = Metrics()
    events = Lane("behaviour", tuple(settings.formats))
    shelf = Lane("shelf", (settings.items, topics.COUNTS))
    intake = Intake(settings, protocol_of(settings, cluster.admin), (events, shelf))

    encoder = Encoder(bundle, settings.device, settings.threads, settings.padded_tokens)
    catalogue = Catalogue(item_tower(bundle, settings.threads), bundle.half_life_ms, threads=settings.threads)
    recommender = _recommender(settings, bundle, catalogue, encoder, metrics)
    registry = Registry(settings.registry)
    topic, followed = topics.catalogue_topic(bundle.space), Followed(catalogue, metrics)
    client = {**settings.client, **CLIENT}
    follower = Follower(client, cluster.admin, topic, cluster.partitions, cluster.exact, followed.apply)

    windows = _windows(cluster, bundle, events, registry)
    behaviour = Behaviour(
        events,
        intake,
        cluster.outbox(intake, events),
        metrics,
        windows,
        recommender if model else None,
        bundle.model,
        followed.partition_of,
        cluster.partitions,
        settings,
    )
    read = cluster.reader(topic, shelf)
    shelves = Shelves(read, encoder, topic, bundle.half_life_ms, cluster.rejected_bytes, registry.opened)
    shelving = Shelving(shelf, intake, cluster.outbox(intake, shelf), metrics, shelves)
    _tell_metrics(metrics, encoder, shelves, windows, follower, intake)
    where = {"device": settings.device, "provider": encoder.provider, "guarantee": cluster.guarantee}
    metrics.model.info({"model": bundle.model, "version": metadata.version("firstclick"), **where})
    return Parts(
        settings,
        bundle,
        cluster.guarantee,
        cluster.why,
        metrics,
        encoder,
        catalogue,
        recommender,
        intake,
        follower,
        behaviour,
        shelving,
        {events.name: [Share(events.topics, settings.batch_events)], shelf.name: _shelf_shares(settings)},
        Backlog(client, cluster.admin, settings.group, settings.items, cluster.partitions, (topic, follower)),
    )


def _shelf_shares(settings: Settings) -> list[Share]:
    """What a micro-batch of the shelf takes."""
    counts = Share((topics.COUNTS,), SHELF_COUNTS, settings.counts_every_ms)
    return [Share((settings.items,), SHELF_ITEMS), counts]


def _tell_metrics(
    metrics: Metrics, encoder: Encoder, shelves: Shelves, windows: Windows, follower: Follower, intake: Intake
) -> None:
    """Metrics that the parts keep for themselves: asked for when somebody reads them."""
    metrics.users.set_function(lambda: len(windows))
    metrics.windows_loaded.source = lambda: windows.loaded
    metrics.encoded.source = lambda: shelves.encoded
    metrics.hits.source = lambda: encoder.texts_found
    metrics.misses.source = lambda: encoder.texts_encoded
    metrics.vectors.set_function(lambda: encoder.cached)

    def age_s() -> float:
        return max(time.time() - follower.newest_ms / 1000, 0.0) if follower.newest_ms else math.nan  # Empty: ageless.

    metrics.catalogue_age.set_function(age_s)
    intake.on_rebalance = lambda change: metrics.rebalances.labels(change).inc()


def _recommender(
    settings: Settings, bundle: Bundle, catalogue: Catalogue, encoder: Encoder, metrics: Metrics
) -> Recommender:
    """With what the operator has set."""
    return Recommender(
        bundle,
        catalogue,
        encoder,
        device=settings.device,
        threads=settings.threads,
        items=settings.list_items,
        candidates=settings.candidates,
        repeat_categories=settings.repeat_categories,
        timed=lambda step: metrics.timed("behaviour", step),
    )


def _windows(cluster: Cluster, bundle: Bundle, lane: Lane, registry: Registry) -> Windows:
    """Of the bundle's length, kept as long as the operator has set."""
    return Windows(
        cluster.reader(topics.WINDOWS, lane),
        cluster.event_ends,
        bundle.lines,
        bundle.age_ms,
        cluster.settings.forget_days * DAY_MS,
        cluster.rejected_bytes,
        {topic: reader(form) for topic, form in cluster.settings.formats.items()},
        registry.opened,
    )
