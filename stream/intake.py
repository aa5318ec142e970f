"""Step 0 of 10: Kafka's records become batches, each of one partition, with its assignment epoch.

Knows nothing of events. One thread owns the one consumer and makes every call: since confluent-kafka 2.16 each method
of a consumer blocks while another thread polls, and can starve for ever. Others leave that thread chores.

A lane is a set of topics that are handled together and committed in one transaction: behaviour is one, the shelf (items
and their counts) the other. Partition p of a lane is worked on only while this worker owns p of all its topics, because
all of them end in one state. Its epoch grows whenever that ownership, or the place to read from, changes.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.errors import NotAllowed, Unreachable
from stream.settings import Settings

log = logging.getLogger(__name__)

# How long a quiet consumer sleeps in poll(): the longest that a chore waits and that group metadata ages. Shorter only
# spins; longer makes the commits after a rebalance stale.
POLL_S = 0.05
# Records of one poll. At 200 bytes each about a MiB; more only delays the chores.
FETCH = 5_000
# A lane's waiting bytes: above the first its partitions pause, below the second they go on. Both bound memory; the gap
# keeps the client, which drops what it has fetched of a paused partition, from fetching the same twice at every turn.
HIGH_BYTES, LOW_BYTES = 64 << 20, 16 << 20
RECORD_BYTES = 500  # What a record takes beside its value: 64 MiB are 100,000 small records.
# A group with more workers than partitions tells the spare ones nothing (KIP-848): who has heard nothing for this long,
# and no error, counts as taken in. Joins take 1 to 3 s.
SPARE_S = 10.0
COMMITTED_TIMEOUT_S = 60  # A dead worker's open transaction hides its offsets until it times out; then ask again.

Place = tuple[str, int]
"""Topic and partition."""


class Fetched(Protocol):
    """A record as it came. The client's own type says that everything may be None; of a fetched record it may not."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...


class Batch(NamedTuple):
    """Records of one partition, in order. `start` is where the batch before ended, `end` the offset to commit."""

    topic: str
    partition: int
    start: int | None
    end: int
    epoch: int
    messages: list[Fetched]


class Lane:
    """One set of co-partitioned topics: what waits of them, how far they are done, and who may commit."""

    def __init__(self, name: str, topics: Sequence[str]) -> None:
        self.name = name
        self.topics = tuple(topics)
        self.commit_lock = threading.Lock()
        """Held by a commit from its check to its end, and by the callbacks: a revocation waits for the commit."""
        self.on_dropped: Callable[[int], None] = lambda partition: None
        """Called (from the consumer's thread; must not block) when a partition's state is no longer ours."""
        self.on_waiting: Callable[[], None] = lambda: None
        """Called (from the consumer's thread; must not block) when something waits."""
        self._lock = threading.Lock()
        self._waiting: dict[Place, deque[Batch]] = {}
        self._bytes = 0
        self._events = 0
        self._epoch: dict[int, int] = {}
        self._assigned: set[Place] = set()
        self._position: dict[Place, int | None] = {}
        self._done: dict[Place, int | None] = {}

    @property
    def waiting(self) -> int:
        """Records read and not yet taken."""
        return self._events

    @property
    def bytes(self) -> int:
        """What they take in memory, about."""
        return self._bytes

    @property
    def partitions(self) -> list[int]:
        """The partitions that are wholly ours."""
        with self._lock:
            return sorted({p for _, p in self._assigned if self._whole(p)})

    def _whole(self, partition: int) -> bool:
        return all((topic, partition) in self._assigned for topic in self.topics)

    def take(self, most: int, topics: Collection[str]) -> list[Batch]:
        """What waits of these topics' whole partitions, in order, `most` records at the most."""
        taken: list[Batch] = []
        with self._lock:
            for place in list(self._waiting):
                if most <= 0:
                    break
                if place[0] not in topics or not self._whole(place[1]):
                    continue
                batches = self._waiting.pop(place)
                self._waiting[place] = batches  # To the back: under load every partition has its turn.
                while batches and most > 0:
                    batch = batches.popleft()
                    if len(batch.messages) > most:
                        batch, rest = _split(batch, most)
                        batches.appendleft(rest)
                    most -= len(batch.messages)
                    self._count(batch, -1)
                    taken.append(batch)
        return taken

    def current(self, batches: Iterable[Batch]) -> bool:
        """Whether these batches may be committed: same epoch, and each starts where its partition is done."""
        with self._lock:
            done = dict(self._done)
            for topic, partition, start, end, epoch, _ in batches:
                place = topic, partition
                if epoch != self._epoch.get(partition) or place not in done or done[place] != start:
                    return False
                done[place] = end
        return True

    def committed(self, batches: Iterable[Batch]) -> None:
        """These batches are done."""
        with self._lock:
            for batch in batches:
                self._done[batch.topic, batch.partition] = batch.end

    # What follows is the consumer thread's.

    def offer(self, place: Place, messages: list[Fetched]) -> None:
        """Records that follow those offered before; what lies before the position is known already and dropped."""
        with self._lock:
            position = self._position[place]
            if position is not None and messages[0].offset() < position:
                messages = [message for message in messages if message.offset() >= position]
                if not messages:
                    return
            end = messages[-1].offset() + 1
            batch = Batch(*place, position, end, self._epoch[place[1]], messages)
            self._position[place] = end
            self._waiting.setdefault(place, deque()).append(batch)
            self._count(batch, 1)
        self.on_waiting()

    def assign(self, done: dict[Place, int | None]) -> dict[Place, int | None]:
        """These partitions are ours from here on; `done` is their committed offset, None where nothing is committed.

        Returns where their other topics, ours already, are to be read from again.
        """
        with self._lock:
            self._assigned |= done.keys()
            self._done |= done
            back = self._turn_over({partition for _, partition in done})
        return {place: at for place, at in back.items() if place not in done}

    def revoke(self, places: Collection[Place]) -> dict[Place, int | None]:
        """These partitions are no longer ours; nor is their state. Returns as `assign` does."""
        with self._lock:
            for place in places:
                self._assigned.discard(place)
                self._done.pop(place, None)
                self._position.pop(place, None)
            return self._turn_over({partition for _, partition in places})

    def rewind(self, partition: int) -> dict[Place, int | None]:
        """Back to what is committed, under a new epoch. Returns where each topic is to be read from."""
        with self._lock:
            return self._turn_over({partition})

    def _turn_over(self, partitions: Collection[int]) -> dict[Place, int | None]:
        """A new epoch: what waits is dropped, and all topics of these partitions are read again from what is done."""
        for partition in partitions:
            self._drop(partition)
        back = {place: done for place, done in self._done.items() if place[1] in partitions}
        self._position |= back
        return back

    def _drop(self, partition: int) -> None:
        self._epoch[partition] = self._epoch.get(partition, 0) + 1
        for topic in self.topics:
            for batch in self._waiting.pop((topic, partition), ()):
                self._count(batch, -1)
        self.on_dropped(partition)

    def _count(self, batch: Batch, sign: int) -> None:
        records = len(batch.messages)
        self._events += sign * records
        self._bytes += sign * (sum(map(len, batch.messages)) + RECORD_BYTES * records)

    def place_done(self, place: Place) -> int | None:
        """The committed offset of a partition of ours; None where nothing is committed yet."""
        return self._done.get(place)


class Intake:
    """The consumer, its thread, and the lanes that it fills."""

    def __init__(
        self,
        settings: Settings,
        protocol: str,
        lanes: Sequence[Lane],
        consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
    ) -> None:
        self.lanes = {topic: lane for lane in lanes for topic in lane.topics}
        self._all_lanes = tuple(lanes)
        self._incremental = protocol == "consumer"
        config: dict[str, Any] = {
            **settings.client,
            "group.id": settings.group,
            "client.id": settings.replica_name,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 10,  # Its default of 1000 reads 130-180 k records/s; 10 reads 750-990 k.
            "queued.max.messages.kbytes": 16_384,
            "fetch.wait.max.ms": 50,
            "group.protocol": protocol,
        }
        if self._incremental:
            config["group.remote.assignor"] = "range"  # KIP-848's timeouts live on the broker.
        else:
            config["partition.assignment.strategy"] = "range"
            config["session.timeout.ms"] = settings.session_timeout_ms
            config["heartbeat.interval.ms"] = max(settings.session_timeout_ms // 6, 300)
        self._consumer = consumer(config)
        self._chores: queue.SimpleQueue[tuple[Callable[[Consumer], Any], Future[Any]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._moved: set[Place] = set()  # Assigned or revoked during the poll under way.
        self._seeks: dict[Place, int | None] = {}  # Where to read on; tried until the client takes it.
        self._paused: set[Place] = set()
        self._ours: set[Place] = set()
        self.metadata: Any = None
        """The group's metadata as of the last poll; a stale one is fenced by the broker."""
        self.joined = threading.Event()
        """Set once the group has taken this worker in, be it without a partition."""
        self.failure: Future[None] = Future()
        """Ends with the thread: with the error that ended it, or with None."""
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Leaves the group, so that others take over at once."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def chore(self, work: Callable[[Consumer], Any]) -> "Future[Any]":
        """Leaves the consumer's thread something to do between two polls."""
        future: Future[Any] = Future()
        self._chores.put((work, future))
        if self.failure.done():  # The thread has ended, perhaps before it saw this.
            self._refuse_chores()
        return future

    def rewind(self, lane: Lane, partitions: Iterable[int]) -> None:
        """After an abort: drops these partitions' state, reads them again from the last commit. Waits until done."""
        wanted = sorted(set(partitions))

        def work(_: Consumer) -> None:
            for partition in wanted:
                self._seeks |= lane.rewind(partition)

        self.chore(work).result()

    def commit_offsets(self, lane: Lane, batches: Sequence[Batch]) -> bool:
        """Without transactions: commits the batches' offsets if they are current. Waits until done."""

        def work(consumer: Consumer) -> bool:
            if not lane.current(batches):
                return False
            consumer.commit(offsets=offsets_of(batches), asynchronous=False)
            lane.committed(batches)
            return True

        return bool(self.chore(work).result())

    def lag(self) -> "Future[dict[Place, int]]":
        """Records that wait in Kafka behind what is committed, by place, as far as the client knows."""

        def work(consumer: Consumer) -> dict[Place, int]:
            lags: dict[Place, int] = {}
            for place in self._ours:
                _, high = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                done = self.lanes[place[0]].place_done(place)
                if high >= 0 and done is not None:
                    lags[place] = max(high - done, 0)
            return lags

        return self.chore(work)

    # What follows runs in the consumer's thread.

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                list(self.lanes), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            spare_at = time.monotonic() + SPARE_S
            while not self._stopping.is_set():
                if not self.joined.is_set() and time.monotonic() > spare_at:
                    self.joined.set()
                self._do_chores()
                self._pause_and_seek()
                self._moved.clear()
                first = self._consumer.poll(POLL_S)
                messages = [first, *self._consumer.consume(FETCH, 0)] if first is not None else []
                self.metadata = self._consumer.consumer_group_metadata()
                self._sort(messages)
            self._consumer.close()
        except BaseException as error:
            self.failure.set_exception(error)
        else:
            self.failure.set_result(None)
        finally:
            self._refuse_chores()

    def _do_chores(self) -> None:
        while not self._chores.empty():
            work, future = self._chores.get()
            try:
                future.set_result(work(self._consumer))
            except Exception as error:
                future.set_exception(error)

    def _refuse_chores(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._chores.get_nowait()[1].set_exception(Unreachable("the consumer has ended"))

    def _pause_and_seek(self) -> None:
        for place, offset in list(self._seeks.items()):
            try:
                self._consumer.seek(TopicPartition(*place, OFFSET_BEGINNING if offset is None else offset))
            except KafkaException as error:  # Just assigned, not yet fetched from: the next round.
                log.debug("cannot seek %s yet: %s", place, error)
            else:
                del self._seeks[place]
        paused = set(self._paused)
        for lane in self._all_lanes:
            places = {place for place in self._ours if place[0] in lane.topics}
            if lane.bytes > HIGH_BYTES:
                paused |= places
            elif lane.bytes <= LOW_BYTES:
                paused -= places
        if more := paused - self._paused:
            self._consumer.pause([TopicPartition(*place) for place in more])
        if fewer := self._paused - paused:
            self._consumer.resume([TopicPartition(*place) for place in fewer])
        self._paused = paused

    def _sort(self, messages: Iterable[Message]) -> None:
        """Records to their lanes. A partition that moved during this very poll is thrown away and fetched again."""
        by_place: dict[Place, list[Fetched]] = {}
        for message in messages:
            error = message.error()
            if error is None:
                fetched = cast(Fetched, message)
                by_place.setdefault((fetched.topic(), fetched.partition()), []).append(fetched)
            else:
                self._heed(error)
        for place, found in by_place.items():
            if place not in self._ours or place in self._seeks:
                continue
            if place in self._moved:
                self._seeks[place] = self.lanes[place[0]].place_done(place)
                continue
            self.lanes[place[0]].offer(place, found)

    def _heed(self, error: KafkaError) -> None:
        if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise NotAllowed(
                f"Kafka does not let this worker read: {error.str()}", "grant READ on the topics and the group"
            )
        if error.fatal() or error.code() in (KafkaError._AUTHENTICATION, KafkaError.UNSUPPORTED_VERSION):
            raise Unreachable(f"the consumer cannot go on: {error.str()}")
        log.warning("kafka: %s", error.str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        done = self._committed(consumer, partitions)
        places = [TopicPartition(*place, OFFSET_BEGINNING if at is None else at) for place, at in done.items()]
        for lane in self._all_lanes:
            with lane.commit_lock:
                self._seeks |= lane.assign({place: at for place, at in done.items() if place[0] in lane.topics})
        if self._incremental:
            consumer.incremental_assign(places)
        else:
            consumer.assign(places)
        if places:
            consumer.resume(places)  # A partition that was paused when it was revoked comes back paused, for good.
        self._ours |= done.keys()
        self._moved |= done.keys()
        self.joined.set()
        log.info("assigned %s", _shown(done))

    def _committed(self, consumer: Consumer, partitions: list[TopicPartition]) -> dict[Place, int | None]:
        if not partitions:
            return {}
        found = consumer.committed(partitions, timeout=COMMITTED_TIMEOUT_S)
        for partition in found:
            if partition.error is not None:
                raise KafkaException(partition.error)
        return {(tp.topic, tp.partition): tp.offset if tp.offset >= 0 else None for tp in found}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = {(tp.topic, tp.partition) for tp in partitions}
        for lane in self._all_lanes:
            with lane.commit_lock:
                self._seeks |= lane.revoke([place for place in places if place[0] in lane.topics])
        self._ours -= places
        self._paused -= places
        self._moved |= places
        for place in places:
            self._seeks.pop(place, None)
        log.info("revoked %s", _shown(places))


def _split(batch: Batch, most: int) -> tuple[Batch, Batch]:
    """The first `most` records of a batch, and the rest."""
    middle = batch.messages[most].offset()
    first = batch._replace(end=middle, messages=batch.messages[:most])
    return first, batch._replace(start=middle, messages=batch.messages[most:])


def offsets_of(batches: Iterable[Batch]) -> list[TopicPartition]:
    """The offsets to commit: the last end of each partition."""
    ends = {(batch.topic, batch.partition): batch.end for batch in batches}
    return [TopicPartition(*place, end) for place, end in ends.items()]


def _shown(places: Iterable[Place]) -> str:
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        by_topic.setdefault(topic, []).append(partition)
    return ", ".join(f"{topic}{partitions}" for topic, partitions in by_topic.items()) or "nothing"
