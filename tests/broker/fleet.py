"""Small workers on a real broker: the real intake, lane, outbox and windows, turned by hand.

A `Copier` copies each record of its topics to `out`; whoever reads `out` sees at once what was lost or doubled. A
`Keeper` keeps windows as a worker does.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from model.window import Window
from stream.agents import Behaviour
from stream.follower import ends, read_to_end
from stream.intake import Intake
from stream.lane import Batch, Lane
from stream.messages import Record, read_window_record
from stream.metrics import Metrics
from stream.outbox import Aborted, Transactions
from stream.recommender import Advice, RankedItem, Recommender
from stream.settings import Settings
from stream.topics import INTERESTS, RECOMMENDATIONS, WINDOWS
from stream.windows import DAY_MS, Windows
from tests.brokers import ApacheKafka
from tests.eventually import eventually
from tests.records import NOW_MS, event

JOIN_S = 30.0  # Joins take 1 to 3 s; more only when the machine is busy.
PARTITIONS = 2
TOPICS = ("clicks", "out", WINDOWS, RECOMMENDATIONS, INTERESTS)


class Shop:
    """The topics of a test on a broker: `clicks` in, `out` and the windows out."""

    def __init__(self, kafka: ApacheKafka) -> None:
        self.bootstrap = kafka.bootstrap
        self.client: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
        self.admin = AdminClient(self.client)
        # Their records are of 2023: the broker's retention would delete them after 30 s.
        kept = {"retention.ms": "-1"}
        made = self.admin.create_topics([NewTopic(name, PARTITIONS, 1, config=kept) for name in TOPICS])
        for future in made.values():
            try:
                future.result(20)
            except KafkaException as error:  # The broker was cleared: its answer was late, and the client asked twice.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._producer = Producer({**self.client, "linger.ms": 0})
        self._numbers = itertools.count()

    def settings(self, replica: str, **more: Any) -> Settings:
        return Settings(bootstrap=self.bootstrap, replica=replica, group="g", kafka={"log_level": "0"}, **more)

    def clicks(self, count: int) -> None:
        """`count` clicks in each partition, each with its number for key and event id."""
        for _ in range(count):
            for partition in range(PARTITIONS):
                number = next(self._numbers)
                made = event(number, user=f"u{partition}", event_id=str(number), item_id=str(number))
                self._producer.produce("clicks", made.value(), made.key(), partition, timestamp=NOW_MS)
        assert self._producer.flush(20) == 0

    def read(self, topic: str) -> list[tuple[int, tuple[bytes, bytes | None]]]:
        """All committed records."""
        return list(read_to_end(self.client, self.admin, topic, range(PARTITIONS), True))

    def copies(self) -> Counter[str]:
        """How often each click is in `out`."""
        return Counter((value or b"").decode() for _, (_, value) in self.read("out"))

    def once(self, numbers: Iterable[int]) -> Counter[str]:
        return Counter(map(str, numbers))

    def kept(self) -> dict[str, list[int]]:
        """User -> the numbers of the clicks in the newest committed window."""
        found = {}
        for _, (key, value) in self.read(WINDOWS):
            lines = () if value is None else read_window_record(value)[1].lines
            found[key.decode()] = sorted(int(line.event_id) for line in lines)
        return found


class Copier:
    """A worker that copies; every part can be replaced by a careless one."""

    def __init__(
        self,
        shop: Shop,
        replica: str,
        lane: Callable[..., Lane] = Lane,
        intake: Callable[..., Intake] = Intake,
        consumer: Callable[..., Consumer] = Consumer,
        **settings: Any,
    ) -> None:
        self.shop = shop
        self.settings = shop.settings(replica, **settings)
        self.lane = lane("behaviour", ["clicks"])
        self.intake = intake(self.settings, "consumer", [self.lane], consumer=consumer)
        self.outbox = Transactions(self.settings, self.intake, self.lane)
        self.aborts = 0

    def start(self) -> "Copier":
        self.outbox.open()
        self.intake.start()
        return self

    def owns(self, count: int) -> list[int]:
        """Waits until this many partitions are ours."""
        eventually(lambda: len(self.lane.partitions) == count or self.intake.failure.done(), JOIN_S, "an assignment")
        return self.lane.partitions

    def waits(self, count: int) -> None:
        """Waits until this many records wait in the lane."""
        eventually(lambda: self.lane.waiting >= count, JOIN_S, lambda: f"{self.lane.waiting} records wait")

    def take(self) -> list[Batch]:
        return self.lane.take(1_000_000, self.lane.topics)

    def copy(self, batches: list[Batch]) -> None:
        """One transaction, or `Aborted`."""
        self.outbox.commit(batches, records_of(batches))

    def turn(self) -> None:
        """Copies what waits; after an abort it is read again."""
        if batches := self.take():
            try:
                self.copy(batches)
            except Aborted:
                self.aborts += 1
                self.intake.rewind(self.lane, {batch.partition for batch in batches})

    def until_done(self) -> None:
        """Turns until all that the topics hold is committed."""
        logs = ends(self.shop.admin, [("clicks", partition) for partition in self.lane.partitions])

        def done() -> bool:
            self.turn()
            return all((self.lane.place_done(place) or 0) >= end for place, end in logs.items())

        eventually(done, JOIN_S, lambda: f"{self.lane.waiting} wait, {self.aborts} aborts")

    def stop(self) -> None:
        self.intake.stop()


def records_of(batches: Iterable[Batch]) -> list[Record]:
    numbered = [(batch.partition, message) for batch in batches for message in batch.messages]
    return [Record("out", partition, message.key(), number_of(message.value())) for partition, message in numbered]


def number_of(value: bytes | None) -> bytes:
    """The event id, which stands first."""
    return (value or b"").split(b'"')[3]


class Constant:
    """Recommends the same to everybody."""

    def recommend(self, windows: Sequence[Window]) -> list[Advice]:
        return [Advice("cold", (RankedItem("i", 1, 1.0, ()),), np.ones(1, np.float32)) for _ in windows]


class Keeper(Copier):
    """A worker that keeps windows, with one list for all."""

    def __init__(
        self,
        shop: Shop,
        replica: str,
        producer: Callable[..., Producer] = Producer,
        windows: Callable[..., Windows] = Windows,
        **more: Any,
    ) -> None:
        super().__init__(shop, replica, **more)
        self.outbox = Transactions(self.settings, self.intake, self.lane, producer=producer)
        held = windows(
            lambda wanted: read_to_end(shop.client, shop.admin, WINDOWS, wanted, True),
            lambda wanted: ends(shop.admin, [("clicks", partition) for partition in wanted]),
            lines=1_000,
            age_ms=DAY_MS,
            forget_ms=1_000 * DAY_MS,
            rejected_bytes=1_000_000,
        )
        self.metrics = Metrics()
        self.turns = Behaviour(
            self.lane,
            self.intake,
            self.outbox,
            self.metrics,
            held,
            cast(Recommender, Constant()),
            "m",
            {},
            PARTITIONS,
            self.settings,
        )

    def turn(self) -> None:
        if batches := self.take():
            self.turns.thread.submit(self.turns.turn, batches).result()
            self.aborts = int(
                self.metrics.registry.get_sample_value("firstclick_aborts_total", {"lane": "behaviour"}) or 0
            )
