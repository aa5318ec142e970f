"""What a worker consists of, and the only place where it is put together.

Knows nothing of what the parts do, nor of when they start and stop (app.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient

from model.bundle import Bundle
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from model.item_tower import item_tower
from model.window import EMPTY
from stream import topics
from stream.agents import Behaviour, Shelving, Turns
from stream.batcher import Share
from stream.capabilities import guarantee_of, protocol_of, topics_of
from stream.follower import Follower, Pair, ends, read_to_end
from stream.intake import Intake
from stream.lane import Lane
from stream.messages import read_catalogue_record
from stream.metrics import Metrics
from stream.outbox import Deliveries, Outbox, Transactions
from stream.recommender import Recommender
from stream.settings import Settings
from stream.shelf import Shelves
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
    turns: Sequence[Turns]
    shares: Mapping[str, Sequence[Share]]
    failure: BaseException | None = None
    stopping: bool = False

    def warm_up(self) -> None:
        """Runs the model once, so that the first shopper does not wait for what it sets up when it first runs."""
        self.encoder.vectors(["firstclick"])
        self.recommender.recommend([EMPTY])

    @property
    def ready(self) -> bool:
        """The catalogue has been read to its end, and the group has taken this worker in."""
        return self.follower.ready.is_set() and self.intake.joined.is_set() and self.failure is None


def build(settings: Settings, *, model: bool = True) -> Parts:
    """Joins the parts of a worker; connects to Kafka to ask what it can.

    Args:
        model: False leaves out steps 4 to 9, to measure what the rest costs.

    Raises:
        CommandError: something cannot be; it says what and the remedy.
        BundleError: the bundle is not one that this worker may run.
    """
    bundle = Bundle.load(settings.bundle)
    # Quiet: what it cannot do is raised, and said once.
    admin = AdminClient({**settings.client, "log_level": 2})
    found = topics_of(settings, bundle.space, admin)
    partitions = found[settings.events[0]].partitions
    rejected_bytes = int(found[topics.REJECTED].config.get("max.message.bytes", KAFKA_RECORD_BYTES))
    guarantee, why = guarantee_of(settings)
    exact = guarantee == "exactly_once"
    metrics = Metrics()

    events = Lane("behaviour", settings.events)
    shelf = Lane("shelf", (settings.items, topics.COUNTS))
    intake = Intake(settings, protocol_of(settings, admin), (events, shelf))

    encoder = Encoder(bundle, settings.device, settings.threads, settings.padded_tokens)
    catalogue = Catalogue(item_tower(bundle, settings.threads), bundle.half_life_ms, threads=settings.threads)
    recommender = Recommender(
        bundle,
        catalogue,
        encoder,
        device=settings.device,
        threads=settings.threads,
        items=settings.list_items,
        candidates=settings.candidates,
        repeat_categories=settings.repeat_categories,
    )
    topic = topics.catalogue_topic(bundle.space)
    partition_of_item: dict[str, int] = {}

    def apply(records: list[tuple[int, Pair]]) -> None:
        changes: list[tuple[str, Shelved | None]] = []
        for partition, (key, value) in records:
            item_id = key.decode()
            if value is None:
                partition_of_item.pop(item_id, None)
                changes.append((item_id, None))
            else:
                partition_of_item[item_id] = partition
                changes.append((item_id, read_catalogue_record(value).item))
        catalogue.apply(changes)
        metrics.items.set(len(catalogue))

    def reader(name: str) -> Callable[[Sequence[int]], Any]:
        return lambda wanted: read_to_end(settings.client, admin, name, wanted, exact)

    outbox: Callable[[Lane], Outbox] = lambda lane: (Transactions if exact else Deliveries)(settings, intake, lane)  # noqa: E731
    windows = Windows(
        reader(topics.WINDOWS),
        # The embedded broker tells ends that lie too low: there every topic would pass for one that was created anew.
        lambda wanted: ends(admin, [(name, number) for name in settings.events for number in wanted]) if exact else {},
        bundle.lines,
        bundle.age_ms,
        settings.forget_days * DAY_MS,
        rejected_bytes,
    )
    shelves = Shelves(reader(topic), encoder, topic, bundle.half_life_ms, rejected_bytes)
    behaviour = Behaviour(
        events,
        intake,
        outbox(events),
        metrics,
        windows,
        recommender if model else None,
        bundle.model,
        partition_of_item,
        partitions,
        settings,
    )
    shares = {
        events.name: [Share(events.topics, settings.batch_events)],
        shelf.name: [
            Share((settings.items,), SHELF_ITEMS),
            Share((topics.COUNTS,), SHELF_COUNTS, settings.counts_every_ms),
        ],
    }
    metrics.model.info({"model": bundle.model, "device": settings.device, "guarantee": guarantee})
    return Parts(
        settings,
        bundle,
        guarantee,
        why,
        metrics,
        encoder,
        catalogue,
        recommender,
        intake,
        Follower(settings.client, admin, topic, partitions, exact, apply),
        (behaviour, Shelving(shelf, intake, outbox(shelf), metrics, shelves)),
        shares,
    )
