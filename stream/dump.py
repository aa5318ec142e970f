"""Beside the line: a topic between two times becomes lines of a log, which training and `firstclick replay` read.

Knows nothing of what the records say. A line is the record's value where that says all; where it does not (headers of a
CloudEvent, another key, a tombstone) the line is the whole record, so that a reader of the log sees what a worker saw.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson
from confluent_kafka import KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from model.envelope import Headers
from stream.errors import Unreachable
from stream.follower import ASK_S, Place, ToEnd, ends, messages, offsets, reader

LATE_MS = 3_600_000
"""A record is found although it stands behind ones that are so much newer: producers' clocks differ, and they send
again. More: so much more is read in vain. Where the broker stamps (LogAppendTime) none is late."""


class _ToTime(ToEnd):
    """Which partitions have been read up to an offset or, where the broker tells one that lies too low, to a time.

    The embedded broker tells such ends, and finds no times; a busy topic is never at its end. So a partition is done
    where the broker says so at or behind the offset, or where a record there is as late as must be.
    """

    def __init__(self, wanted: Mapping[Place, int], late_ms: Mapping[Place, int]) -> None:
        super().__init__(wanted, isolates=False)
        self._late_ms = {partition: at_ms for (_, partition), at_ms in late_ms.items()}

    def heed(self, message: Message) -> None:
        """A record, or the end-of-partition event."""
        super().heed(message)
        if message.error() is None:
            partition, offset = cast("tuple[int, int]", (message.partition(), message.offset()))
            if offset >= self._left.get(partition, 1 << 63) and message.timestamp()[1] >= self._late_ms[partition]:
                del self._left[partition]


def records(client: Mapping[str, Any], topic: str, from_ms: int, to_ms: int, owner: str = "user_id") -> Iterator[bytes]:
    """The committed records of a topic as lines without their ends; each partition's in its order.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        topic: any.
        from_ms: first record time (Kafka's, not the event's own) that is wanted.
        to_ms: first that is not. What arrives after the call may be there or not.
        owner: the field that a value's key must be: `user_id`, or `item_id` for items.

    Raises:
        Unreachable: no broker answers, there is no such topic, or a transaction stays open.
    """
    admin = AdminClient({"log_level": 0, **client})
    places = [(topic, partition) for partition in _partitions(admin, client, topic)]
    begin, last = offsets(admin, places, OffsetSpec.for_timestamp(from_ms)), ends(admin, places)
    begin = {place: offset for place, offset in begin.items() if offset >= 0 and last[place] > 0}
    if not begin:
        return
    until = offsets(admin, begin, OffsetSpec.for_timestamp(to_ms + LATE_MS))
    wanted = {place: max(until[place] if until[place] >= 0 else last[place], 1) for place in begin}
    late_ms = {place: to_ms + LATE_MS if until[place] >= 0 else to_ms for place in begin}
    consumer = reader(client, [TopicPartition(*place, offset) for place, offset in begin.items()])
    for message in messages(consumer, _ToTime(wanted, late_ms), topic):
        if from_ms <= message.timestamp()[1] < to_ms:
            headers = cast("Headers", message.headers() or [])
            yield line(message.key(), message.value(), headers, owner)


def _partitions(admin: AdminClient, client: Mapping[str, Any], topic: str) -> list[int]:
    try:
        there = admin.list_topics(topic, timeout=ASK_S).topics[topic]
    except KafkaException as error:
        remedy = "check --bootstrap (FIRSTCLICK_BOOTSTRAP)"
        raise Unreachable(f"no broker answers at {client['bootstrap.servers']}", remedy) from error
    if there.error is not None:
        raise Unreachable(f"--topic {topic}: {there.error.str()}", "`firstclick topics` tells which there are")
    return list(there.partitions)


def line(key: bytes | None, value: bytes | None, headers: Headers, owner: str) -> bytes:
    """One record as a line of the form `firstclick`.

    A value without its owner's id gets it from the key. What is no JSON stays what it is, on one line: the reader
    counts it.
    """
    try:
        told = None if value is None else orjson.loads(value)
        named = None if key is None else key.decode()
    except ValueError:  # Of JSON, and of a key that is not UTF-8.
        return (value or b"").replace(b"\n", b" ")
    sent = {name: content.decode("utf-8", "replace") for name, content in headers if content is not None}
    body = told["data"] if isinstance(told, dict) and isinstance(told.get("data"), dict) else told
    binary = any(name.lower().startswith("ce_") for name in sent)
    if not isinstance(body, dict) or binary or named is None:
        return orjson.dumps({"key": named, "value": told, **({"headers": sent} if binary else {})})
    if body.get(owner) is None:
        body[owner] = named
    if body[owner] != named:
        return orjson.dumps({"key": named, "value": told})
    return orjson.dumps(told)
