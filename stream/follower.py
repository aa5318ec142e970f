"""Beside the line: reads a compacted topic from its beginning to its end, and on.

Knows nothing of what the records say. The end is the high watermark, not the end-of-partition event: that event fires
at the last stable offset, and commit markers lag behind commits (missing right after a commit in 262 of 550 tries), so
a reader that trusts it misses the newest records.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream.errors import NotAllowed, Unreachable
from stream.pulse import Pulse

log = logging.getLogger(__name__)

Pair = tuple[bytes, bytes | None]
"""Key and value of one record; None is a tombstone."""

Place = tuple[str, int]
"""Topic and partition."""

FETCH = 5_000
# Who reads beside an event loop that must answer in milliseconds: a third of a millisecond's work, and then the loop's
# turn. It still reads more than 10,000 records a second. With a worker's batch of 1,000 users every second, the slowest
# of 100 answers took 6 ms without this and 1.5 ms with it.
SIP, BREATH_S = 16, 0.0005
POLL_S = 0.1
ASK_S = 30.0
# A leader is being elected or has just moved: after a topic's creation for tenths of a second, after a broker's death
# for some seconds. The admin client does not ask again by itself.
MOVING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
TRIES, TRY_AGAIN_S = 100, 0.1
# With transactions a reader waits for those that a dead worker left open: at most its transaction timeout (operators
# may set minutes) plus the broker's clean-up. Without any progress for this long something else is wrong.
STUCK_S = 180.0


def reader(client: Mapping[str, Any], places: list[TopicPartition]) -> Consumer:
    """A read_committed consumer without a group, at these offsets; it tells the ends of partitions."""
    consumer = Consumer(
        {
            **client,
            "group.id": "firstclick-follower",  # The client wants one; it is never joined nor committed to.
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": 50,
        }
    )
    # Else it asks for the first offset before it knows whom, and then waits 500 ms.
    consumer.list_topics(places[0].topic, timeout=ASK_S)
    consumer.assign(places)
    return consumer


def ends(admin: AdminClient, places: Iterable[Place]) -> dict[Place, int]:
    """Each partition's high watermark: where its log ends, open transactions and markers included.

    Args:
        admin: one per process: now and then its end takes 1 or 3 s (seen in 1 of 10).
    """
    return offsets(admin, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def offsets(admin: AdminClient, places: Iterable[Place], spec: OffsetSpec) -> dict[Place, int]:
    """Each partition's offset at `spec`; that of a time is -1 where no record is as late."""
    asked = {TopicPartition(*place): spec for place in places}
    for tries_left in reversed(range(TRIES)):
        try:
            # The client never learns by itself that a leader has moved: it asks the old one for as long as a request
            # may take, or the new one with the old epoch, in vain (FENCED_LEADER_EPOCH for 45 s and more).
            for topic in {place.topic for place in asked}:
                admin.list_topics(topic, timeout=ASK_S)
            found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ASK_S)
            return {(place.topic, place.partition): int(answer.result().offset) for place, answer in found.items()}
        except KafkaException as error:
            if not tries_left or (error.args[0].code() not in MOVING and not error.args[0].retriable()):
                raise
            time.sleep(TRY_AGAIN_S)
    raise AssertionError("the last try returns or raises")


class ToEnd:
    """Which of the partitions have been read up to their high watermark."""

    def __init__(self, wanted: Mapping[Place, int], isolates: bool) -> None:
        self._left = {partition: end for (_, partition), end in wanted.items() if end > 0}
        self._isolates = isolates
        self.reached: dict[int, int] = {}
        """Partition -> the offset that comes next; markers of transactions are passed over."""

    def __bool__(self) -> bool:
        return not self._left

    def heed(self, message: Message) -> None:
        """A record, or the end-of-partition event with the offset that is fetched next."""
        partition, offset = cast("tuple[int, int]", (message.partition(), message.offset()))
        error = message.error()
        at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
        self.reached[partition] = offset if at_end else offset + 1
        if not self._isolates:
            # The embedded broker tells ends that lie too low, and has no markers that lag: there the event is right.
            if at_end and offset >= self._left.get(partition, 0):
                self._left.pop(partition, None)
        elif (offset if at_end else offset + 1) >= self._left.get(partition, 1 << 63):
            del self._left[partition]


class ToTime(ToEnd):
    """The same for who does not know whether the broker isolates: up to offsets or, where those lie too low, to a time.

    The embedded broker tells such ends, and finds no times; a busy topic is never at its end. So a partition is done
    where the broker says so at or behind the offset, or where a record there is as late as must be.
    """

    def __init__(self, wanted: Mapping[Place, int], late_ms: int) -> None:
        super().__init__(wanted, isolates=False)
        self._late_ms = late_ms

    def heed(self, message: Message) -> None:
        """A record, or the end-of-partition event."""
        super().heed(message)
        if message.error() is None:
            partition, offset = cast("tuple[int, int]", (message.partition(), message.offset()))
            if offset >= self._left.get(partition, 1 << 63) and message.timestamp()[1] >= self._late_ms:
                del self._left[partition]


class ToSight(ToEnd):
    """Up to where nothing more can be seen: who keeps a transaction open there holds nobody up."""

    def __init__(self, places: Iterable[Place]) -> None:
        super().__init__(dict.fromkeys(places, 1), isolates=False)

    def heed(self, message: Message) -> None:
        """A record, or the end-of-partition event."""
        if message.error() is not None:
            self._left.pop(cast(int, message.partition()), None)


def fetched(consumer: Consumer, to_end: ToEnd, most: int = FETCH) -> list[Message]:
    """At most so many that have come of the consumer's topic, after at most a tenth of a second; `to_end` learns how
    far it is."""
    first = consumer.poll(POLL_S)
    found = []
    for message in [first, *consumer.consume(most - 1, 0)] if first is not None else []:
        error = message.error()
        if error is None:
            found.append(message)
        elif error.code() != KafkaError._PARTITION_EOF:
            if error.fatal():
                raise KafkaException(error)
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:  # Else it would be told for ever, and never read.
                raise NotAllowed(f"Kafka does not let this worker read: {error.str()}", "grant READ on the topic")
            log.warning("kafka: %s", error.str())
            continue
        to_end.heed(message)
    return found


def _pair(message: Message) -> tuple[int, Pair]:
    return cast("tuple[int, Pair]", (message.partition(), (message.key(), message.value())))


def read_to_end(
    client: Mapping[str, Any],
    admin: AdminClient,
    topic: str,
    partitions: Sequence[int],
    isolates: bool,
    beat: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, Pair]]:
    """Every committed record of these partitions, from their beginning to where their logs end now.

    Args:
        isolates: whether the broker isolates transactions (else its end-of-partition event is believed).
        beat: called at every turn of the loop that reads.
    Raises:
        Unreachable: no progress for three minutes.
    """
    to_end = ToEnd(ends(admin, [(topic, partition) for partition in partitions]), isolates)
    if to_end:
        return
    consumer = reader(client, [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    for message in messages(consumer, to_end, topic, beat):
        yield _pair(message)


def messages(
    consumer: Consumer, to_end: ToEnd, topic: str, beat: Callable[[], None] = lambda: None
) -> Iterator[Message]:
    """What the consumer reads of its topic until the end, and a little more; closes the consumer.

    Raises:
        Unreachable: no progress for three minutes.
    """
    try:
        idle_s = 0.0
        while not to_end:
            beat()
            found = fetched(consumer, to_end)
            idle_s = 0.0 if found else idle_s + POLL_S
            if idle_s > STUCK_S:
                raise Unreachable(f"{topic} cannot be read to its end: a transaction has been open for {STUCK_S:.0f} s")
            yield from found
    finally:
        consumer.close()


def last_seen(client: Mapping[str, Any], begin: Mapping[Place, int]) -> dict[Place, int]:
    """The offset of each partition's last committed record at or behind `begin`; of those that have one.

    Args:
        client: librdkafka's settings.
        begin: of one topic, an offset for each partition.
    """
    consumer = reader(client, [TopicPartition(*place, offset) for place, offset in begin.items()])
    read = messages(consumer, ToSight(begin), next(iter(begin))[0])
    return {cast(Place, (message.topic(), message.partition())): cast(int, message.offset()) for message in read}


class Follower:
    """A thread that gives `apply` every record of a topic, oldest first, for as long as the worker lives."""

    def __init__(
        self,
        client: Mapping[str, Any],
        admin: AdminClient,
        topic: str,
        partitions: int,
        isolates: bool | None,
        apply: Callable[[list[tuple[int, Pair]]], None],
        begin: Mapping[int, int] | None = None,
        gentle: bool = False,
    ) -> None:
        """Prepares; `start` begins.

        Args:
            client: librdkafka's settings.
            admin: of the same brokers.
            topic: compacted.
            partitions: how many it has.
            isolates: whether the broker isolates transactions; None: unknown, as who may not write cannot find out.
            apply: takes (partition, record), in the thread's time.
            begin: partition -> the first offset wanted; else its beginning.
            gentle: once ready, to read in sips, for the sake of another thread that must answer soon.
        """
        self._client, self._admin, self._topic, self._apply = client, admin, topic, apply
        self._partitions, self._isolates, self._gentle = range(partitions), isolates, gentle
        self.passed: dict[int, int] = dict(begin or {})
        """Partition -> the offset that comes next, as `apply` sees it once it has taken what it is given."""
        self.reached: dict[int, int] = {}
        """Partition -> the offset up to which `apply` has taken all, markers of transactions included."""
        self.ready = threading.Event()
        """Set once the topic has been read to where it ended at the start."""
        self.failure: Future[None] = Future()
        """Ends with the thread: with the error that ended it, or with None."""
        self.newest_ms = 0
        """When the newest record that was read was written; 0 before the first."""
        self.pulse = Pulse("follower")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {topic}", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Reads no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            places = [(self._topic, partition) for partition in self._partitions]
            late_ms = time.time_ns() // 1_000_000
            wanted = ends(self._admin, places)
            to_end = ToTime(wanted, late_ms) if self._isolates is None else ToEnd(wanted, self._isolates)
            begin = [TopicPartition(*place, self.passed.get(place[1], OFFSET_BEGINNING)) for place in places]
            consumer = reader(self._client, begin)
            while not self._stopping.is_set():
                self.pulse.beat()
                if to_end and not self.ready.is_set():
                    self.ready.set()
                sip = self._gentle and self.ready.is_set()
                if found := fetched(consumer, to_end, SIP if sip else FETCH):
                    self.passed |= {cast(int, m.partition()): cast(int, m.offset()) + 1 for m in found}
                    self._apply([_pair(message) for message in found])
                    self.newest_ms = max(self.newest_ms, *(message.timestamp()[1] for message in found))
                    if sip:
                        time.sleep(BREATH_S)
                self.reached = dict(to_end.reached)
            consumer.close()
        except BaseException as error:
            self.failure.set_exception(error)
        else:
            self.failure.set_result(None)
        finally:
            self.pulse.rest()
