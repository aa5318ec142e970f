"""Step 9 of 10: what goes out, to bytes, and what comes back from our own topics, from bytes.

Knows nothing of how anything was worked out, nor of when it is sent. The same state gives the same bytes: no clock, no
random, and keys in one order. Golden files in tests/contract hold each form: an old reader must still read.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import orjson

from model.catalogue import Shelved
from model.event import Kind
from model.live_pairs import NOBODY, Before
from model.rejection import EventError
from model.text import Line
from model.window import Window
from stream.recommender import Advice
from stream.topics import REJECTED

Header = tuple[str, bytes | None]

WINDOW_FORM = 1
CATALOGUE_FORM = 1


class Record(NamedTuple):
    """One record to send. `partition` -1 leaves the choice to the partitioner (murmur2 of the key)."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


class Trigger(NamedTuple):
    """The event that brought an output about: the newest in the micro-batch that changed the user's window."""

    event_id: str
    topic: str
    partition: int
    offset: int


def version_of(offsets: Mapping[str, int]) -> int:
    """A number that grows with every event that a user's window contains, and only then.

    The sum over the source topics of (newest contained offset + 1): all of one partition, each of which only grows.
    """
    return sum(offsets.values()) + len(offsets)


def rec_id_of(model: str, user_id: str, version: int) -> str:
    """The same list of the same window by the same model has the same id, on whichever worker and however often."""
    return hashlib.sha256(f"{model}\0{user_id}\0{version}".encode()).hexdigest()[:24]


def recommendation(model: str, user_id: str, window: Window, version: int, trigger: Trigger, advice: Advice) -> bytes:
    """A `recommendations` value. `at` is the newest event's time: the record's own timestamp says when it was sent."""
    return orjson.dumps(
        {
            "rec_id": rec_id_of(model, user_id, version),
            "user_id": user_id,
            "at": window.lines[-1].at_ms,
            "model": model,
            "stage": advice.stage,
            "n_events": window.n_events,
            "trigger": trigger._asdict(),
            "version": version,
            "items": [
                {
                    "item_id": item.item_id,
                    "rank": item.rank,
                    "score": round(item.score, 6),
                    "because": [
                        {"event_id": event_id, "weight": round(weight, 6)} for event_id, weight in item.because
                    ],
                }
                for item in advice.items
            ],
        }
    )


def interest(model: str, user_id: str, window: Window, version: int, advice: Advice) -> bytes:
    """An `interests` value: the (D,) unit vector rounded to six places, or all zeros while nothing is known."""
    vector = advice.vector
    return orjson.dumps(
        {
            "user_id": user_id,
            "at": window.lines[-1].at_ms,
            "model": model,
            "version": version,
            "dim": len(vector),
            "vector": np.round(vector.astype(np.float64), 6).tolist(),
            "n_events": window.n_events,
        }
    )


def window_record(
    user_id: str, window: Window, offsets: Mapping[str, int], touched_ms: int, owed: Trigger | None = None
) -> bytes:
    """A `firstclick.windows` value: all that a worker must know of a user, with the source offsets that it contains.

    Args:
        owed: what brought about the list that the user is owed, if one is.
    """
    return orjson.dumps(
        {
            "v": WINDOW_FORM,
            "user": user_id,
            "n": window.n_events,
            "version": version_of(offsets),
            "offsets": offsets,
            "touched": touched_ms,
            "lines": list(map(tuple, window.lines)),  # orjson takes no named tuples.
            "owned": window.owned,
            **({"owed": tuple(owed)} if owed is not None else {}),
        }
    )


def read_window_record(value: bytes) -> tuple[str, Window, dict[str, int], int, Trigger | None]:
    """User, window, the source offsets that it contains, when it was last touched (epoch ms), and what is owed."""
    record = orjson.loads(value)
    if record["v"] != WINDOW_FORM:
        raise ValueError(
            f"a window record of form {record['v']}; this version reads form {WINDOW_FORM}: upgrade the worker"
        )
    lines = tuple(Line(at, event_id, Kind(kind), *rest) for at, event_id, kind, *rest in record["lines"])
    owned = tuple((at, item_id) for at, item_id in record["owned"])
    owed = Trigger(*record["owed"]) if "owed" in record else None  # A record of before 0.3 has none.
    return record["user"], Window(lines, owned, record["n"]), record["offsets"], record["touched"], owed


class Shelf(NamedTuple):
    """An item on the shelf: what everybody needs of it, and what only its owner does.

    `text_hash` tells whether a later upsert must be encoded; `offsets` are the source offsets that the record contains.
    """

    item: Shelved
    text_hash: str
    offsets: dict[str, int]


def text_hash(text: str) -> str:
    """Two texts with one hash are one text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def catalogue_record(shelf: Shelf) -> bytes:
    """A `firstclick.catalogue.<model>` value: the item with its vector as base64 of (D,) little-endian float16."""
    item = shelf.item
    return orjson.dumps(
        {
            "v": CATALOGUE_FORM,
            "item_id": item.item_id,
            "title": item.title,
            "category": item.category,
            "brand": item.brand,
            "price": item.price,
            "available": item.available,
            "vector": base64.b64encode(np.asarray(item.vector, dtype="<f2").tobytes()).decode(),
            "counts": item.counts,
            "text_hash": shelf.text_hash,
            "offsets": shelf.offsets,
            **({"since_ms": item.since_ms} if item.since_ms else {}),
            **({"before": tuple(item.before)} if item.before.steps else {}),
        }
    )


def read_catalogue_record(value: bytes) -> Shelf:
    """The item as its owner last committed it."""
    record = orjson.loads(value)
    if record["v"] != CATALOGUE_FORM:
        raise ValueError(
            f"a catalogue record of form {record['v']}; this version reads form {CATALOGUE_FORM}: upgrade the worker"
        )
    vector = np.frombuffer(base64.b64decode(record["vector"]), dtype="<f2").astype(np.float16)
    item = Shelved(
        record["item_id"],
        record["title"],
        record["category"],
        record["brand"],
        record["price"],
        record["available"],
        vector,
        {kind: (count, at_ms) for kind, (count, at_ms) in record["counts"].items()},
        record.get("since_ms", 0),  # A record of before 0.2 has none,
        Before(*record.get("before", NOBODY)),  # and one of before 0.3 no such thing.
    )
    return Shelf(item, record["text_hash"], record["offsets"])


class Touched(NamedTuple):
    """What one micro-batch did to one item."""

    counts: Mapping[str, tuple[float, int]]
    """Kind -> (events, newest at_ms)."""
    near: Mapping[str, float] = {}
    """Earlier item -> sum of 1 / distance, of `model.live_pairs`."""
    steps: float = 0
    """How often anybody came to the item."""


def counts_record(touched: Touched) -> bytes:
    """A `firstclick.counts` value: the kinds, and `near` and `steps` where anybody came to the item."""
    kinds = {str(kind): count for kind, count in touched.counts.items()}  # orjson takes no Kind for a key.
    return orjson.dumps({**kinds, "near": touched.near, "steps": touched.steps} if touched.steps else kinds)


def read_counts_record(value: bytes) -> Touched:
    """What `counts_record` wrote; a record of before 0.3 has kinds alone."""
    record = orjson.loads(value)
    near, steps = record.pop("near", {}), record.pop("steps", 0)
    counts = {kind: (float(count), int(at_ms)) for kind, (count, at_ms) in record.items()}
    return Touched(counts, {item_id: float(weight) for item_id, weight in near.items()}, float(steps))


# A header costs its name, its value and two lengths; a record of the batch some more. 512 bytes cover what librdkafka
# and the broker add to one record.
_ENVELOPE_BYTES = 512


def rejected(
    key: bytes | None, value: bytes | None, origin: tuple[str, int, int], at_ms: int, error: EventError, most_bytes: int
) -> Record:
    """The original key and bytes, with origin, reason and time in headers; never larger than `most_bytes`.

    What does not fit is cut, and the headers say how long it was: the origin tells where the whole still stands.
    """
    source, partition, offset = origin
    headers: list[Header] = [
        ("reason", error.reason.encode()),
        ("detail", error.detail.encode("utf-8", "replace")[:500]),
        ("topic", source.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(offset).encode()),
        ("at", str(at_ms).encode()),
    ]
    room = max(most_bytes - _ENVELOPE_BYTES - sum(len(name) + len(text or b"") + 10 for name, text in headers), 0)
    if key is not None and len(key) > room // 2:
        headers.append(("key_bytes", str(len(key)).encode()))
        key = key[: room // 2]
    room -= len(key or b"")
    if value is not None and len(value) > room:
        headers.append(("value_bytes", str(len(value)).encode()))
        value = value[:room]
    return Record(REJECTED, -1, key, value, headers)
