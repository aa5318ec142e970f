"""Beside the line: the shop page's producer.

Knows nothing of what is sent. A record waits here while the broker is away, up to GIVE_UP_MS, and the page says so.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from stream.replay import PARTITIONER

GIVE_UP_MS = 300_000
POLL_S = 0.1
STOP_S = 5.0

Delivered = Callable[[int | None, str], None]
"""Told the record's offset, or None and what went wrong; called in the sender's thread."""


class Sender(threading.Thread):
    """Sends records and tells what became of them.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        super().__init__(name="send", daemon=True)
        self._producer = Producer(
            {
                "partitioner": PARTITIONER,
                # A retry keeps the order; what it doubles changes nothing, for its event id is the same. An idempotent
                # producer would be known to the broker by a number, and lost where that has been emptied.
                "acks": "all",
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 0,
                "message.timeout.ms": GIVE_UP_MS,
                **client,
                "log_level": 0,  # What fails is shown on the page.
                "reconnect.backoff.max.ms": 1_000,
            }
        )
        self._over = threading.Event()

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
        while not self._over.is_set():
            self._producer.poll(POLL_S)

    def stop(self, up: bool) -> None:
        """Sends what waits, if it can be sent at once: if Kafka is `up`."""
        self._over.set()
        self.join(STOP_S)
        self._producer.flush(STOP_S if up else 0)
        self._producer.close()  # The embedded broker waits 5 s for whoever is still connected when it stops.
