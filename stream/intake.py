"""Step 0 of 10: Kafka's records become batches, each of one partition, with its assignment epoch.

Knows nothing of events. One thread owns the one consumer and makes every call: since confluent-kafka 2.16 each method
of a consumer blocks while another thread polls, and can starve for ever. Others leave that thread chores.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from stream.errors import NotAllowed, Unreachable
from stream.lane import Batch, Fetched, Lane, Place, offsets_of
from stream.logs import CLIENT
from stream.pulse import Pulse
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
# A group with more workers than partitions tells the spare ones nothing (KIP-848): who has heard nothing for this long,
# and no error, counts as taken in. Joins take 1 to 3 s.
SPARE_S = 10.0
COMMITTED_TIMEOUT_S = 60  # Beyond the transaction timeout, until which a dead worker's transaction hides its offsets.


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
        self._committed_timeout_s = COMMITTED_TIMEOUT_S + settings.transaction_timeout_ms / 1000
        config: dict[str, Any] = {
            **settings.client,
            **CLIENT,
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
        self.pulse = Pulse("intake")
        self._stopping = threading.Event()
        self._moved: set[Place] = set()  # Assigned or revoked during the poll under way.
        self._seeks: dict[Place, int | None] = {}  # Where to read on; tried until the client takes it.
        self._paused: set[Place] = set()
        self._ours: set[Place] = set()
        self.on_rebalance: Callable[[str], None] = lambda change: None
        """Called (from the consumer's thread; must not block) after partitions were assigned, revoked or lost."""
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
                low, high = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                done = self.lanes[place[0]].place_done(place)
                if high >= 0:  # Where nothing is committed yet, all that the log holds waits.
                    lags[place] = max(high - (max(low, 0) if done is None else done), 0)
            return lags

        return self.chore(work)

    # What follows runs in the consumer's thread.

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                list(self.lanes), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            spare_at = time.monotonic() + SPARE_S
            while not self._stopping.is_set():
                self.pulse.beat()
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
            with contextlib.suppress(Exception):  # Others need not wait for its session to end: 45 s by default.
                self._consumer.close()
        else:
            self.failure.set_result(None)
        finally:
            self.pulse.rest()
            self._refuse_chores()

    def _do_chores(self) -> None:
        while not self._chores.empty():
            work, future = self._chores.get()
            if not future.set_running_or_notify_cancel():  # Whoever asked has stopped meanwhile.
                continue
            try:
                future.set_result(work(self._consumer))
            except Exception as error:
                future.set_exception(error)

    def _refuse_chores(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                _, future = self._chores.get_nowait()
                if future.set_running_or_notify_cancel():
                    future.set_exception(Unreachable("the consumer has ended"))

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

    def _sort(self, messages: Iterable[Any]) -> None:
        """Records to their lanes. A partition that moved during this very poll is thrown away and fetched again."""
        by_place: defaultdict[Place, list[Fetched]] = defaultdict(list)
        for message in messages:
            error = message.error()
            if error is None:
                by_place[message.topic(), message.partition()].append(message)
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
        self.on_rebalance("assigned")

    def _committed(self, consumer: Consumer, partitions: list[TopicPartition]) -> dict[Place, int | None]:
        if not partitions:
            return {}
        found = consumer.committed(partitions, timeout=self._committed_timeout_s)
        for partition in found:
            if partition.error is not None:
                raise KafkaException(partition.error)
        return {(tp.topic, tp.partition): tp.offset if tp.offset >= 0 else None for tp in found}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions)
        log.info("revoked %s", _shown((tp.topic, tp.partition) for tp in partitions))
        self.on_rebalance("revoked")

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(partitions)
        log.warning("lost %s: others have them already", _shown((tp.topic, tp.partition) for tp in partitions))
        self.on_rebalance("lost")

    def _drop(self, partitions: list[TopicPartition]) -> None:
        places = {(tp.topic, tp.partition) for tp in partitions}
        for lane in self._all_lanes:
            with lane.commit_lock:
                self._seeks |= lane.revoke([place for place in places if place[0] in lane.topics])
        self._ours -= places
        self._paused -= places
        self._moved |= places
        for place in places:
            self._seeks.pop(place, None)


def _shown(places: Iterable[Place]) -> str:
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        by_topic.setdefault(topic, []).append(partition)
    return ", ".join(f"{topic}{partitions}" for topic, partitions in by_topic.items()) or "nothing"
