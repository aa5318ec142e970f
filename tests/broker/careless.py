"""Workers' parts that leave one of the six rules out, or make the moment come in which it matters."""

import threading
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream.intake import Intake
from stream.lane import Batch, Lane
from stream.windows import Windows


class Careless(Lane):
    """Rule 1 left out: commits whatever it has."""

    def current(self, batches: Iterable[Batch]) -> bool:
        return True


class Overlapping(Consumer):
    """A consumer whose poll, once `hold` is set, takes so long that a partition leaves and comes back within it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.hold = threading.Event()
        self.held: list[Message] = []
        self._came_back = False

    def subscribe(self, topics: Any, on_assign: Any = None, **callbacks: Any) -> None:  # type: ignore[override]
        def heard(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            on_assign(consumer, partitions)
            self._came_back = bool(partitions)

        super().subscribe(topics, on_assign=heard, **callbacks)

    def poll(self, timeout: float = -1) -> Message | None:
        message = super().poll(timeout)
        if not self.hold.is_set():
            return message
        self._came_back = False
        while not self._came_back:
            self.held += [message] if message is not None else []
            message = super().poll(timeout)
        self.held += [message] if message is not None else []
        self.hold.clear()
        return self.held[0]

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        held, self.held = self.held[1:], []
        return held or super().consume(num_messages, timeout)


class Credulous(Intake):
    """Rule 2 left out: believes every poll."""

    def _sort(self, messages: Iterable[Message]) -> None:
        self._moved.clear()
        super()._sort(messages)


class Failing(Producer):
    """A producer whose next transaction, once told so, the broker has to abort with all its records in the log."""

    fails = False

    def send_offsets_to_transaction(self, *args: Any, **kwargs: Any) -> None:
        if self.fails:
            self.fails = False
            self.flush(10)
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, "stale", txn_requires_abort=True))
        super().send_offsets_to_transaction(*args, **kwargs)


class Attached(Windows):
    """Rule 3 left out: keeps what it has, whatever becomes of it."""

    def drop(self, partitions: Iterable[int]) -> None:
        pass

    def load(self, batches: Iterable[Batch]) -> None:
        super().load([batch for batch in batches if batch.partition not in self._partitions])
