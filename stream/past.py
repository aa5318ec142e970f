"""Beside the line: the committed records of a topic between two times, for `firstclick dump` and for training.

Knows nothing of what the records say.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from confluent_kafka import KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream.errors import Unreachable
from stream.follower import ASK_S, Place, ToTime, ends, messages, offsets, reader

LATE_MS = 3_600_000
"""A record is found although it stands behind ones that are so much newer: producers' clocks differ, and they send
again. More: so much more is read in vain. Where the broker stamps (LogAppendTime) none is late."""


class Past:
    """A topic between two times: its offsets are asked for when it is made, its records read when it is gone through.

    Partition after partition: who reads twice what has passed reads the same in the same order, as from a file. It
    costs 50 ms a partition, and little else: reading is bound by this process.

    Attributes:
        topic: its name.
        offsets: how many there are to pass; markers and what compaction has taken away are among them.
        passed: how many have been.
    """

    def __init__(
        self, client: Mapping[str, Any], topic: str, from_ms: int, to_ms: int, option: str = "--topic"
    ) -> None:
        """Asks where the times lie.

        Args:
            client: librdkafka's settings, with `bootstrap.servers`.
            topic: any.
            from_ms: first record time (Kafka's, not the event's own) that is wanted.
            to_ms: first that is not. What arrives after the call may be there or not.
            option: who named the topic, for the error.

        Raises:
            Unreachable: no broker answers, or there is no such topic.
        """
        self._client, self.topic, self._from_ms, self._to_ms = client, topic, from_ms, to_ms
        admin = AdminClient({"log_level": 0, **client})
        places = [(topic, partition) for partition in partitions(admin, client, topic, option)]
        begin, last = offsets(admin, places, OffsetSpec.for_timestamp(from_ms)), ends(admin, places)
        self._begin = {place: offset for place, offset in sorted(begin.items()) if offset >= 0 and last[place] > 0}
        until = offsets(admin, self._begin, OffsetSpec.for_timestamp(to_ms + LATE_MS)) if self._begin else {}
        self._end = {place: max(until[place] if until[place] >= 0 else last[place], 1) for place in self._begin}
        self._late_ms = {place: to_ms + LATE_MS if until[place] >= 0 else to_ms for place in self._begin}
        self.offsets, self.passed = sum(map(self._length, self._begin)), 0

    def __iter__(self) -> Iterator[Message]:
        """The records.

        Raises:
            Unreachable: a transaction stays open.
        """
        before = 0
        for place, begin in self._begin.items():
            length, to_time = self._length(place), ToTime({place: self._end[place]}, self._late_ms[place])
            for message in messages(reader(self._client, [TopicPartition(*place, begin)]), to_time, self.topic):
                self.passed = before + min(cast("int", message.offset()) - begin + 1, length)
                if self._from_ms <= message.timestamp()[1] < self._to_ms:
                    yield message
            before += length
        self.passed = self.offsets

    def _length(self, place: Place) -> int:
        return max(self._end[place] - self._begin[place], 0)


def partitions(admin: AdminClient, client: Mapping[str, Any], topic: str, option: str = "topic") -> list[int]:
    """Those of a topic.

    Args:
        admin: of the brokers that `client` names.
        client: librdkafka's settings.
        topic: any.
        option: who named it, for the error.

    Raises:
        Unreachable: no broker answers, or there is no such topic.
    """
    try:
        there = admin.list_topics(topic, timeout=ASK_S).topics[topic]
    except KafkaException as error:
        remedy = "check --bootstrap (FIRSTCLICK_BOOTSTRAP)"
        raise Unreachable(f"no broker answers at {client['bootstrap.servers']}", remedy) from error
    if there.error is not None:
        raise Unreachable(f"{option} {topic}: {there.error.str()}", "`firstclick topics` tells which there are")
    return list(there.partitions)
