"""Kafka's records, without Kafka: what the client would hand over, made by hand."""

from collections.abc import Sequence
from typing import Any

import orjson

from stream.lane import Batch, Fetched

NOW_MS = 1_700_000_000_000
Headers = list[tuple[str, bytes | None]]


class FakeRecord:
    """A fetched record, or an error in a record's place; as `confluent_kafka.Message` looks."""

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None = None,
        value: bytes | None = None,
        at_ms: int = NOW_MS,
        headers: Headers | None = None,
        error: Any = None,
    ) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset
        self._key, self._value, self._at_ms, self._headers, self._error = key, value, at_ms, headers, error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at_ms

    def error(self) -> Any:
        return self._error

    def __len__(self) -> int:
        return len(self._value or b"")


def plain(topic: str, partition: int, *offsets: int, size: int = 0) -> list[Fetched]:
    """Records of `size` bytes that nobody reads."""
    return [FakeRecord(topic, partition, offset, b"k", b"x" * size) for offset in offsets]


def event(
    offset: int,
    user: str = "u",
    event_id: str = "",
    topic: str = "clicks",
    partition: int = 0,
    arrived_ms: int = NOW_MS,
    **fields: Any,
) -> FakeRecord:
    """A click on item `i` by default; its id is its topic and offset, its time its arrival."""
    value = {"event_id": event_id or f"{topic}@{offset}", "user_id": user, "kind": "click", "item_id": "i"}
    value |= {"at": arrived_ms} | fields
    return FakeRecord(topic, partition, offset, user.encode(), orjson.dumps(value), arrived_ms)


def upsert(offset: int, item_id: str, title: str | None, partition: int = 0, **fields: Any) -> FakeRecord:
    """An item's upsert; without a title its tombstone."""
    value = None if title is None else orjson.dumps({"item_id": item_id, "title": title} | fields)
    return FakeRecord("items", partition, offset, item_id.encode(), value)


def batch(*records: Fetched, start: int | None = None, epoch: int = 1) -> Batch:
    """The batch of these records, of one topic and partition; it starts at its first record unless told otherwise."""
    first, last = records[0], records[-1]
    begin = first.offset() if start is None else start
    return Batch(first.topic(), first.partition(), begin, last.offset() + 1, epoch, list(records))


def offsets(batches: Sequence[Batch]) -> list[tuple[str, int, list[int]]]:
    """Topic, partition and offsets of each batch."""
    return [(b.topic, b.partition, [record.offset() for record in b.messages]) for b in batches]
