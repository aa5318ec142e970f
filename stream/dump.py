"""Beside the line: a topic between two times becomes lines of a log, which training and `firstclick replay` read.

Knows nothing of what the records say. A line is the record's value where that says all; where it does not (headers of a
CloudEvent, another key, a tombstone) the line is the whole record, so that a reader of the log sees what a worker saw.
Records of another format become lines of the contract, one for each of their events: a log of one form, that no reader
needs the keys and the times of arrival for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from confluent_kafka import Message

from model.envelope import Headers
from model.event import Event, Kind
from model.fields import Fields
from model.formats import CONTRACT
from model.reading import Reader, reader
from model.training.logs.firstclick import body as payload
from stream.past import Past
from stream.settings import split_format


@dataclass(slots=True)
class LeftOut:
    """What of the records of another format is in no line.

    Attributes:
        rejected: reason -> how many parts of records are no events.
        first: where the first of them is, and what is wrong with it.
        passed_over: records without behaviour.
    """

    rejected: Counter[str] = field(default_factory=Counter)
    first: str = ""
    passed_over: int = 0

    def __str__(self) -> str:
        told = [f"{count} {reason}" for reason, count in self.rejected.items()]
        told = [f"rejected {', '.join(told)}; the first is {self.first}"] if told else []
        return "; ".join([*told, *([f"passed over {self.passed_over}"] if self.passed_over else [])])


def records(
    client: Mapping[str, Any],
    topic: str,
    from_ms: int,
    to_ms: int | None,
    owner: str = "user_id",
    left_out: LeftOut | None = None,
) -> Iterator[bytes]:
    """The committed records of a topic between two times as lines without their ends; see `past.Past`.

    Args:
        topic: of events in another format: `clicks:ga4`.
        owner: the field that a value's key must be: `user_id`, or `item_id` for items.
        left_out: told what is in no line.
    """
    name, form = split_format(topic)
    read = reader(form)
    for message in Past(client, name, from_ms, to_ms):
        if form == CONTRACT:
            yield line(message.key(), message.value(), cast("Headers", message.headers() or []), owner)
        else:
            yield from _translated(message, read, left_out or LeftOut())


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
    body = payload(told) if isinstance(told, dict) else told
    binary = any(name.lower().startswith("ce_") for name in sent)
    if not isinstance(body, dict) or binary or named is None:
        return orjson.dumps({"key": named, "value": told, **({"headers": sent} if binary else {})})
    if body.get(owner) is None:
        body[owner] = named
    if body[owner] != named:
        return orjson.dumps({"key": named, "value": told})
    return orjson.dumps(told)


def _translated(message: Message, read: Reader, left_out: LeftOut) -> Iterator[bytes]:
    headers = cast("Headers | None", message.headers())
    events, faults, passed_over = read(message.value(), message.key(), headers, message.timestamp()[1])
    for event in events:
        yield orjson.dumps(contract(event))
    for fault in faults:
        left_out.rejected[fault.reason.value] += 1
        left_out.first = (
            left_out.first or f"{message.topic()}[{message.partition()}]:{message.offset()}: {fault.detail}"
        )
    left_out.passed_over += bool(passed_over)


def contract(event: Event) -> Fields:
    """An event in the contract's names, without what is not told: `model.event` reads the same event in it."""
    told: Fields = {name: value for name, value in event._asdict().items() if value not in (None, "", ())}
    told["at"] = told.pop("at_ms")
    if event.kind is Kind.SEARCH:
        told["query"] = told.pop("text")
    if event.item is not None:
        told["item"] = {name: value for name, value in event.item._asdict().items() if value not in (None, "", {})}
    return told
