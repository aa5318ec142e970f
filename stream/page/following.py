"""Beside the line: a thread that reads topics from their beginning and goes on for ever, whatever the broker does.

Knows nothing of what the records say. The worker's follower ends where it cannot go on, because lists would be wrong;
this one only shows: it says what is wrong, and tries again.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

log = logging.getLogger(__name__)

ASK_S = 5.0
AGAIN_S = 1.0
POLL_S = 0.1
FETCH = 1_000
STOP_S = 5.0

Read = Sequence[tuple[Message, float]]
"""Records, each with its time of arrival (epoch ms)."""


class Following(threading.Thread):
    """Gives `take` every committed record of the topics, oldest first in each partition.

    After a broken connection it goes on where it was; after an error that librdkafka does not mend itself it begins at
    the beginning: `take` must bear repetitions.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        take: called in this thread.
        forget: called in this thread where `anew` was asked for: what was taken is true no longer.
        turned: called when `caught_up` or `trouble` has changed.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topics: Sequence[str],
        take: Callable[[Read], None],
        forget: Callable[[], None],
        turned: Callable[[], None],
    ) -> None:
        super().__init__(name="follow", daemon=True)
        self.caught_up = threading.Event()
        """Set once all topics have been read to where they ended."""
        self.trouble = ""
        """Why nothing is read just now."""
        self._topics, self._take, self._forget, self._turned = topics, take, forget, turned
        self._over, self._anew = threading.Event(), threading.Event()
        self._client = {
            **client,
            "group.id": "firstclick-shop-page",  # The client wants one; it is never joined nor committed to.
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "reconnect.backoff.max.ms": 1_000,  # Somebody looks on: 10 s, the default, is long.
            # The embedded broker lets a waiting fetch hold up everybody's writes (see demo/parts.py).
            "fetch.wait.max.ms": 20,
            "log_level": 2,
        }

    def anew(self) -> None:
        """Forgets, and begins at the beginning."""
        self._anew.set()

    def stop(self) -> None:
        """Reads no more."""
        self._over.set()
        self.join(STOP_S)

    def run(self) -> None:
        """The thread's body."""
        while not self._over.is_set():
            if self._anew.is_set():
                self._anew.clear()
                self.caught_up.clear()
                self._forget()
            consumer = Consumer(self._client)
            try:
                self._follow(consumer)
            except KafkaException as error:
                log.warning("reading again in %.0f s: %s", AGAIN_S, error.args[0].str())
                self._stumble(error.args[0].str())
                self._over.wait(AGAIN_S)
            finally:
                consumer.close()

    def _follow(self, consumer: Consumer) -> None:
        places = []
        for topic in self._topics:
            found = consumer.list_topics(topic, timeout=ASK_S).topics[topic]
            if found.error is not None:
                raise KafkaException(KafkaError(found.error.code(), f"{topic}: {found.error.str()}"))
            places += [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in found.partitions]
        consumer.assign(places)
        self._stumble("")
        behind = {(place.topic, place.partition) for place in places}
        while not (self._over.is_set() or self._anew.is_set()):
            first = consumer.poll(POLL_S)
            if first is None:
                continue
            arrived_ms = time.time() * 1000
            records = []
            for message in (first, *consumer.consume(FETCH, 0)):
                error = message.error()
                if error is None:
                    records.append((message, arrived_ms))
                elif error.code() == KafkaError._PARTITION_EOF:
                    behind.discard((message.topic() or "", message.partition() or 0))
                elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise KafkaException(error)
            if records:
                self._take(records)
            if not behind and not self.caught_up.is_set():
                self.caught_up.set()
                self._turned()

    def _stumble(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._turned()
