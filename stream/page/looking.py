"""Beside the line: a thread that asks Kafka from time to time how things stand: whether it answers, whether it is still
the same one, and whether a worker is there.

Knows nothing of records. Whoever waits for an answer would notice as much; this tells also who waits for nothing.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

EVERY_S = 2.0
ASK_S = 2.0
STOP_S = 5.0
NOBODY = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


class Looking(threading.Thread):
    """Looks every two seconds.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        topics: that are followed.
        group: the workers'.
        turned: called when `kafka` or `worker` has changed.
        replaced: called when one of the topics is another under the same name: its records have begun anew.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topics: Sequence[str],
        group: str,
        turned: Callable[[], None],
        replaced: Callable[[], None],
    ) -> None:
        super().__init__(name="look", daemon=True)
        self.kafka = True
        """Whether a broker answered when it was asked last."""
        self.worker = True
        """Whether the group has a member. A worker that was killed counts as one until its session has run out (the
        embedded broker never ends it); where Kafka does not tell, this stays true."""
        self._topics, self._group, self._turned, self._replaced = topics, group, turned, replaced
        self._ids: dict[str, str] = {}
        self._admin = AdminClient({**client, "log_level": 0, "reconnect.backoff.max.ms": 1_000})
        self._over = threading.Event()

    def stop(self) -> None:
        """Looks no more."""
        self._over.set()
        if self.is_alive():
            self.join(STOP_S)

    def run(self) -> None:
        """The thread's body."""
        while True:
            before = self.kafka, self.worker
            try:
                self._look()
                self.kafka = True
            except KafkaException:
                self.kafka = False
            if (self.kafka, self.worker) != before:
                self._turned()
            if self._over.wait(EVERY_S):
                return

    def _look(self) -> None:
        self._admin.list_topics(self._topics[0], timeout=ASK_S)  # Raises where nobody answers.
        known, self._ids = self._ids, {**self._ids, **self._found()}
        if other := [topic for topic, found in self._ids.items() if known.get(topic, found) != found]:
            log.warning("%s: deleted and made anew; all is read again", ", ".join(other))
            self._replaced()
        self.worker = self._has_worker()

    def _found(self) -> dict[str, str]:
        """Topic -> its id. One that is away for a moment is left out: only another in its place is news."""
        found = {}
        for topic, answer in self._admin.describe_topics(
            TopicCollection(list(self._topics)), request_timeout=ASK_S
        ).items():
            try:
                found[topic] = str(answer.result().topic_id)
            except KafkaException as error:
                if error.args[0].code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                    raise
        return found

    def _has_worker(self) -> bool:
        try:
            told = self._admin.describe_consumer_groups([self._group], request_timeout=ASK_S)[self._group].result()
        except KafkaException as error:
            log.debug("the group %s cannot be asked about: %s", self._group, error)
            return True
        return told.state not in NOBODY
