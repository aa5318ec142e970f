"""Beside the line: the committed records of a topic between two times, for `firstclick dump` and for training.

Knows nothing of what the records say.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream.follower import Place, ToEnd, ends, messages, offsets, reader
from stream.topics import partitions

LATE_MS = 3_600_000
"""A record is found although it stands behind ones that are so much newer: producers' clocks differ, and they send
again. More: so much more is read in vain. Where the broker stamps (LogAppendTime) none is late."""
NEVER_MS = 1 << 62
"""No record is of such a time; a broker that all the same tells an offset, as the embedded one does, finds no times."""


class Past:
    """A topic between two times: its offsets are asked for when it is made, its records read when it is gone through.

    Partition after partition: who reads twice what has passed reads the same in the same order, as from a file. It
    costs 50 ms a partition, and little else: reading is bound by this process.

    Attributes:
        topic: its name.
        offsets: how many there are to pass, markers and what compaction has taken away among them; too few where a
            marker, which has the time of its commit, is late and the records behind it are not. None where the broker
            does not know: the embedded one finds no times, and tells ends that lie too low.
        passed: how many have been.
    """

    def __init__(
        self, client: Mapping[str, Any], topic: str, from_ms: int, to_ms: int | None, option: str = "--topic"
    ) -> None:
        """Asks where the times lie.

        Args:
            client: librdkafka's settings, with `bootstrap.servers`.
            topic: any.
            from_ms: first record time (Kafka's, not the event's own) that is wanted.
            to_ms: first that is not; None: all that is there. What arrives after the call may be there or not.
            option: who named the topic, for the error.

        Raises:
            Unreachable: no broker answers, or there is no such topic.
        """
        self._client, self.topic, self._from_ms, self._to_ms = client, topic, from_ms, to_ms
        admin = AdminClient({"log_level": 0, **client})
        places = sorted((topic, part) for part in partitions(admin, topic, option, client["bootstrap.servers"]))
        finds_times = offsets(admin, places[:1], OffsetSpec.for_timestamp(NEVER_MS))[places[0]] < 0
        begin, self._end = offsets(admin, places, OffsetSpec.for_timestamp(from_ms)), ends(admin, places)
        self._begin = {place: begin[place] for place in places if 0 <= begin[place] < self._end[place]}
        until = {} if to_ms is None else offsets(admin, places, OffsetSpec.for_timestamp(to_ms + LATE_MS))
        self._length = {
            place: max((until[place] if until.get(place, -1) >= 0 else self._end[place]) - first, 0)
            for place, first in self._begin.items()
        }
        self.offsets = sum(self._length.values()) if finds_times else None
        self.passed = 0

    def __iter__(self) -> Iterator[Message]:
        """The records.

        Raises:
            Unreachable: a transaction stays open.
        """
        to_ms = NEVER_MS if self._to_ms is None else self._to_ms
        before = 0
        for place, begin in self._begin.items():
            to_end = _ToTime({place: self._end[place]}, self.offsets is not None, to_ms + LATE_MS)
            for message in messages(reader(self._client, [TopicPartition(*place, begin)]), to_end, self.topic):
                passed = cast("int", message.offset()) - begin + 1
                self.passed = before + (passed if self.offsets is None else min(passed, self._length[place]))
                if self._from_ms <= message.timestamp()[1] < to_ms:
                    yield message
            before = self.passed = self.passed if self.offsets is None else before + self._length[place]


class _ToTime(ToEnd):
    """Whether a partition has been read to its end, or to a record that is as late as must be.

    The broker's offset of that time would not do: it may be that of a marker, whose time is that of the commit.
    """

    def __init__(self, wanted: Mapping[Place, int], isolates: bool, late_ms: int) -> None:
        super().__init__(wanted, isolates)
        self._late_ms = late_ms

    def heed(self, message: Message) -> None:
        """A record, or the end-of-partition event."""
        super().heed(message)
        if message.error() is None and message.timestamp()[1] >= self._late_ms:
            self._left.pop(cast("int", message.partition()), None)
