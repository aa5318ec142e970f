"""Beside the line: a topic between two times becomes lines of a log, which training and `firstclick replay` read.

Knows nothing of what the records say. A line is the record's value where that says all; where it does not (headers of a
CloudEvent, another key, a tombstone) the line is the whole record, so that a reader of the log sees what a worker saw.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson

from model.envelope import Headers
from stream.past import Past


def records(
    client: Mapping[str, Any], topic: str, from_ms: int, to_ms: int | None, owner: str = "user_id"
) -> Iterator[bytes]:
    """The committed records of a topic between two times as lines without their ends; see `past.Past`.

    Args:
        owner: the field that a value's key must be: `user_id`, or `item_id` for items.
    """
    for message in Past(client, topic, from_ms, to_ms):
        headers = cast("Headers", message.headers() or [])
        yield line(message.key(), message.value(), headers, owner)


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
