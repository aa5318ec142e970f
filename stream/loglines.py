"""Before the line: a line of a log file of any form becomes a Kafka record's key, value, headers and time.

Knows nothing of Kafka, and does not judge events: whatever can be addressed is sent as it is, and the worker rejects
what is wrong with it. Only a line that has no key, or is none of its form, is refused here.

Forms are read as training reads them, by `model/training/logs`; a line of `firstclick` is sent byte for byte.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from model.training.logs import common, firstclick, forms
from model.training.logs.files import LINE_BYTES, File, Told
from model.training.logs.forms import Format

Subject = Literal["events", "items"]
OWNERS: dict[Subject, str] = {"events": "user_id", "items": "item_id"}
"""Whose id is the key."""


class LineError(ValueError):
    """This line cannot be sent; the text is the reason, short enough to be counted by."""


class Record(NamedTuple):
    """What goes to Kafka. `at_ms` is the event's own time, None where it has none."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    at_ms: int | None


def lines(file: File, log_format: Format, subject: Subject) -> Iterator[tuple[int, bytes | Told]]:
    """(number, line) of all lines; of a form with a head, columns or names of its own, what the form makes of each.

    Raises:
        LogError: the file cannot be read, or breaks off.
    """
    if log_format in ("firstclick", "common"):  # Read by the line: what is sent is the line, or refused for its reason.
        return file.lines()
    shape = forms.form(log_format)
    return ((told.number, told) for told in (shape.events(file) if subject == "events" else shape.items(file)))


def record(line: bytes | Told, number: int, *, form: Format, subject: Subject, name: str) -> Record:
    """What to send for one line.

    Args:
        line: as `lines` has it.
        name: names the log in the deterministic event ids and in the `source` header.

    Raises:
        LineError: it cannot be sent.
    """
    headers = [("content-type", b"application/json"), ("source", f"{name}:{number}".encode(errors="replace"))]
    if isinstance(line, Told):
        return _translated(line, headers, f"{name}-{number}", form, subject)
    if len(line) >= LINE_BYTES:
        raise LineError(f"longer than {LINE_BYTES} bytes")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise LineError("not JSON") from None
    if not isinstance(row, dict):
        raise LineError("not a JSON object")
    if form == "common":
        return _common_event(row, headers, f"{name}-{number}") if subject == "events" else _common_item(row, headers)
    if firstclick.is_record(row):
        return _whole(row, headers)
    body = firstclick.body(row)
    if body is not row:  # A structured CloudEvent says so itself.
        headers[0] = ("content-type", b"application/cloudevents+json")
    return Record(_key(body, OWNERS[subject]), line, headers, _at_ms(body.get("at", row.get("time"))))


def _whole(row: dict[str, Any], headers: list[tuple[str, bytes]]) -> Record:
    value, named = row["value"], row.get("headers")
    if named is not None:
        if not (isinstance(named, dict) and all(isinstance(text, str) for text in named.values())):
            raise LineError("headers are not an object of strings")
        headers = [(key, text.encode()) for key, text in named.items()] + headers[1:]
    own = _at_ms(value.get("at")) if isinstance(value, dict) else None
    return Record(_key(row, "key"), None if value is None else orjson.dumps(value), headers, own)


def _translated(
    told: Told, headers: list[tuple[str, bytes]], event_id: str, log_format: str, subject: Subject
) -> Record:
    try:
        row = orjson.loads(told.value or b"")
    except orjson.JSONDecodeError:
        row = None
    if not isinstance(row, dict):  # A form hands on what it cannot read.
        raise LineError(f"not of the form {log_format}")
    if not told.key:
        raise LineError(f"no {OWNERS[subject]}")
    del row["event_id"]  # It names the file, where --name may name another; and an item has none.
    sent = common.item(row) if subject == "items" else _without_null({"event_id": event_id, **row})
    return Record(told.key, orjson.dumps(sent), headers, _at_ms(row.get("at")))


def _common_event(row: dict[str, Any], headers: list[tuple[str, bytes]], event_id: str) -> Record:
    event = {"event_id": event_id, **common.event(row)}
    at_ms = event["at"]
    if type(at_ms) is not int:
        raise LineError("timestamp is not a number of seconds")
    return Record(_key(row, "user_id"), orjson.dumps(_without_null(event)), headers, at_ms)


def _common_item(row: dict[str, Any], headers: list[tuple[str, bytes]]) -> Record:
    return Record(_key(row, "item_id"), orjson.dumps(common.item(row)), headers, None)


def _without_null(row: dict[str, Any]) -> dict[str, Any]:
    return {name: told for name, told in row.items() if told is not None}


def _key(row: dict[str, Any], name: str) -> bytes:
    key = row.get(name)
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str) or not key:
        raise LineError(f"no {name}")
    return key.encode()


def _at_ms(at: object) -> int | None:
    """The event's own time for the pace of a replay; one that cannot be read does not matter here."""
    if isinstance(at, int) and not isinstance(at, bool):
        return at
    if isinstance(at, str):
        try:
            read = datetime.fromisoformat(at)
        except ValueError:
            return None
        return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
    return None
