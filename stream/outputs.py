"""Beside the line, for consumers: what stands on the output topics, read as anybody may read it.

Knows nothing of HTTP, of terminals or of how an output came about; writes nothing to Kafka. A record that is no output
is counted, told once in the log, and passed over: it must not keep anybody from all the others.
"""

import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from stream import topics
from stream.follower import Pair, ToTime, ends, messages, reader
from stream.murmur2 import partition_of
from stream.topics import partitions

log = logging.getLogger(__name__)

LARGEST = 1 << 63
"""SQLite's whole numbers end before it."""


class Output(NamedTuple):
    """A list or a vector of a user."""

    user_id: str
    at_ms: int
    version: int
    model: str
    body: bytes
    """The record's value as it stands on the topic: a document of `recommendation.json` or `interest.json`."""

    @property
    def etag(self) -> str:
        """New with every version, and where another model told the same version."""
        return f"{self.version}-{zlib.crc32(self.model.encode()):08x}"


class Unreadable(ValueError):
    """A record that is no output; the text says which field is at fault."""


class Gone(NamedTuple):
    """A tombstone: the worker has forgotten the user."""

    user_id: str


def read_output(topic: str, key: bytes | None, value: bytes | None) -> Output | Gone:
    """A record of `recommendations` or `interests`.

    Raises:
        Unreadable: it is neither an output nor a tombstone, whatever the bytes.
    """
    try:
        user_id = (key or b"").decode()
        told: Any = None if value is None else orjson.loads(value)
    except ValueError as error:  # Of JSON, and of a key that is not UTF-8.
        raise Unreadable(f"key and value must be UTF-8, the value JSON: {error}") from error
    if not user_id:
        raise Unreadable("the key must be the user's id, it is empty")
    if value is None:
        return Gone(user_id)
    match told:
        case {"user_id": str(named), "at": int(at_ms), "version": int(version), "model": str(model), "n_events": int()}:
            if named != user_id:
                raise Unreadable("user_id must be the key, it is another")
            if not (0 <= at_ms < LARGEST and 0 <= version < LARGEST):
                raise Unreadable("at and version must be from 0 to 2^63 - 1")
            if fault := _fault(topic, told):
                raise Unreadable(fault)
            return Output(user_id, at_ms, version, model, value)
    raise Unreadable(
        "user_id and model must be strings, at, version and n_events whole numbers: one is not, or missing"
    )


def _fault(topic: str, told: Any) -> str:
    if topic == topics.INTERESTS:
        vector = told.get("vector")
        # By their types: to ask each number takes three times as long as all the rest.
        whole = isinstance(vector, list) and vector and {int, float}.issuperset(map(type, vector))
        return "" if whole and told.get("dim") == len(vector or ()) else "vector must be a list of `dim` numbers"
    match told:
        case {"rec_id": str(), "stage": str(), "trigger": {"event_id": str()}, "items": list(items)}:
            return "" if all(map(_is_place, items)) else "each of items must have item_id, rank, score and because"
    return "rec_id and stage must be strings, trigger must have an event_id, items must be a list"


def _is_place(item: object) -> bool:
    match item:
        case {"item_id": str(), "rank": int(), "score": int() | float(), "because": list()}:
            return True
    return False


class Outputs:
    """The records of one topic as outputs, for a follower.

    Args:
        topic: `recommendations` or `interests`.
        keep: takes outputs and tombstones in the order of the topic.
    """

    def __init__(self, topic: str, keep: Callable[[Sequence[Output | Gone]], None]) -> None:
        self._topic, self._keep = topic, keep
        self.read = 0
        """Records so far."""
        self.skipped: Counter[str] = Counter()
        """Fault -> how many records had it."""

    def apply(self, records: Sequence[tuple[int, Pair]]) -> None:
        """Takes in what a follower has read."""
        found: list[Output | Gone] = []
        for partition, (key, value) in records:
            try:
                found.append(read_output(self._topic, key, value))
            except Unreadable as error:
                fault = str(error).partition(":")[0]
                if fault not in self.skipped:
                    log.warning("%s[%d]: a record is skipped: %s", self._topic, partition, error)
                self.skipped[fault] += 1
        self.read += len(records)
        self._keep(found)


def admin_of(client: Mapping[str, Any]) -> AdminClient:
    """A quiet one: what it cannot do is raised, and said once."""
    return AdminClient({**client, "log_level": 0})


def newest(client: Mapping[str, Any], topic: str, user_id: str) -> bytes | None:
    """The newest value of a user on a compacted topic; None: there is none, or the user has been forgotten.

    Reads the partition where a worker writes this user, and the others only where that has nothing: somebody else may
    have written the record, with another partitioner.

    Raises:
        Unreachable: no broker answers, or there is no such topic.
    """
    admin, key = admin_of(client), user_id.encode()
    numbers = partitions(admin, topic, "topic", client["bootstrap.servers"])
    home = partition_of(key, len(numbers))
    for wanted in ([home], [number for number in numbers if number != home]):
        if (last := _last(client, admin, topic, wanted, key)) is not None:
            return last.value()
    return None


def _last(
    client: Mapping[str, Any], admin: AdminClient, topic: str, numbers: Sequence[int], key: bytes
) -> Message | None:
    """The last record with this key."""
    to_end = ToTime(ends(admin, [(topic, number) for number in numbers]), time.time_ns() // 1_000_000)
    if to_end:
        return None
    consumer = reader(client, [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
    last = None
    for message in messages(consumer, to_end, topic):
        if message.key() == key:
            last = message
    return last
