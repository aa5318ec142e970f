"""A form of logs: the project's own contract, one event or item a line, as Kafka carries it.

A line is the record's value, perhaps in a CloudEvents envelope; or an object of `key`, `value` and perhaps `headers`,
which is the whole record (a null value is a tombstone). Knows nothing of what is in an event.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from model.fields import Fields
from model.training.logs.files import File, Told, found, packed

RECORD = {"key", "value", "headers"}


def events(file: File) -> Iterator[Told]:
    """The events of the file, in its order."""
    return (read_line(number, line, "user_id") for number, line in file.lines())


def items(file: File) -> Iterator[Told]:
    """The items of the file."""
    return (read_line(number, line, "item_id") for number, line in file.lines())


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """All JSON lines; those named items… are items."""
    return found(path, packed("*.jsonl"), packed("items*.jsonl"))


def read_line(number: int, line: bytes, owner: str) -> Told:
    """The record in a line; `owner` names the field that is its key where the line is no whole record."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Told(number, line, b"")
    if type(row) is not dict:
        return Told(number, line, b"")
    if is_record(row):
        value, sent = row["value"], row.get("headers")
        headers = [(name, str(text).encode()) for name, text in sent.items()] if type(sent) is dict else None
        key = None if row["key"] is None else str(row["key"]).encode()
        return Told(number, None if value is None else orjson.dumps(value), key, headers)
    named = body(row).get(owner)
    return Told(number, line, named.encode() if type(named) is str else b"")


def is_record(row: Fields) -> bool:
    """Whether a line's object is a whole record."""
    return "key" in row and "value" in row and row.keys() <= RECORD


def body(row: Fields) -> Fields:
    """The payload of a line that is a value: what is in the CloudEvents envelope, or the object itself."""
    payload = row.get("data")
    return payload if "specversion" in row and type(payload) is dict else row
