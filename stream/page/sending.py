"""Beside the line: the shop page's producer, and its look at whether Kafka answers.

Knows nothing of what is sent. A record waits here while the broker is away, up to GIVE_UP_MS, and the page says so.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from stream.replay import PARTITIONER

GIVE_UP_MS = 300_000
ASK_S = 2.0
ASK_EVERY_S = 2.0
POLL_S = 0.1
STOP_S = 5.0

Delivered = Callable[[int | None, str], None]
"""Told the record's offset, or None and what went wrong; called in the sender's thread."""


class Sender(threading.Thread):
    """Sends records and tells what became of them.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        topic: one that Kafka is asked about, to see whether it answers.
        turned: called when Kafka begins or ceases to answer.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, turned: Callable[[], None]) -> None:
        super().__init__(name="send", daemon=True)
        self.up = True
        """Whether the broker answered when it was asked last."""
        quiet = {**client, "log_level": 0, "reconnect.backoff.max.ms": 1_000}  # What fails is shown on the page.
        self._producer = Producer(
            {
                "partitioner": PARTITIONER,
                "enable.idempotence": True,  # A retry keeps the order and doubles nothing.
                "linger.ms": 0,
                "message.timeout.ms": GIVE_UP_MS,
                **quiet,
            }
        )
        self._admin, self._topic = AdminClient(quiet), topic
        self._turned = turned
        self._over = threading.Event()
        self._asking = threading.Thread(target=self._ask, name="ask", daemon=True)

    def send(self, topic: str, key: str, value: bytes, at_ms: int, told: Delivered) -> None:
        """One record, with this record timestamp.

        Raises:
            BufferError: 100,000 records wait already.
        """

        def delivered(error: KafkaError | None, message: Message) -> None:
            told(message.offset(), "") if error is None else told(None, error.str())

        self._producer.produce(topic, value, key, on_delivery=delivered, timestamp=at_ms)

    def run(self) -> None:
        """The thread's body: without it nothing would tell what became of a record."""
        self._asking.start()
        while not self._over.is_set():
            self._producer.poll(POLL_S)

    def stop(self) -> None:
        """Sends what waits, if it can be sent at once."""
        self._over.set()
        self.join(STOP_S)
        self._producer.flush(STOP_S if self.up else 0)
        self._producer.close()  # The embedded broker waits 5 s for whoever is still connected when it stops.

    def _ask(self) -> None:
        while not self._over.wait(ASK_EVERY_S):
            try:
                self._admin.list_topics(self._topic, timeout=ASK_S)
                up = True
            except KafkaException:
                up = False
            if up != self.up:
                self.up = up
                self._turned()
