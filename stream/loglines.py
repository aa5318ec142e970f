"""Before the line: a line of a log of any format becomes Kafka records: their key, value, headers and time.

Knows nothing of Kafka. A line of `firstclick` is sent byte for byte, unjudged: whatever can be addressed is sent as it
is, and the worker rejects what is wrong with it. Other formats are translated into the contract, a record for each
event of a line; what is wrong with one is told here, by the format's own names of the fields.

`model/formats` reads lines that stand alone; `model/training/logs` reads the forms of published data sets.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import orjson

from model.event import Event, Item, parse_event, parse_item
from model.fields import Fields, not_utf8, shown
from model.foreign import NoBehaviour, Source
from model.formats import CONTRACT, NAMES, adapter, columns, separator
from model.reading import TAB, cells, parts, row
from model.rejection import EventError
from model.training.logs import common, firstclick, forms
from model.training.logs.files import LINE_BYTES, File, Told
from stream.joined import Numbered, joined, quoted

Subject = Literal["events", "items"]
OWNERS: dict[Subject, str] = {"events": "user_id", "items": "item_id"}
"""Whose id is the key."""

STDIN = Path("-")

Row = bytes | Fields | EventError | Told
"""A line as it stands, by its columns or why it has none, or what a form of training makes of it."""

MARKS = (",", ";", "\t")
"""What parts the cells of CSV; spreadsheets of many countries write semicolons."""

_PLACE = re.compile(r"\[\d+\]")


class LineError(ValueError):
    """This line, or this part of it, cannot be sent.

    Args:
        reason: short enough to be counted by.
        detail: the whole sentence; "" where the reason is it.
        field: at fault, by the format's own name; "" where it is no single one.
    """

    def __init__(self, reason: str, detail: str = "", field: str = "") -> None:
        super().__init__(f"{reason}: {_PLACE.sub('[]', field)}" if field else reason)
        self.reason, self.detail, self.field = reason, detail or reason, field

    @classmethod
    def of(cls, error: EventError) -> "LineError":
        """A rejection."""
        return cls(error.reason.value, error.detail, error.field)


class Record(NamedTuple):
    """What goes to Kafka. `at_ms` is the event's own time, None where it has none."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    at_ms: int | None
    event: Event | None = None
    """What the value says, where that has been looked at."""


Found = Record | LineError | NoBehaviour
"""What a line holds: a record to send, what cannot be sent, or nothing of the contract's kinds."""


class _Stdin(File):
    def _opened(self) -> BufferedReader:
        return cast("BufferedReader", sys.stdin.buffer)

    @property
    def read_bytes(self) -> int:
        return 0


def log_file(path: Path) -> File:
    """The file; `-` is what comes in."""
    return _Stdin(path) if path == STDIN else File(path)


def lines(file: File, form: str, subject: Subject) -> Iterator[tuple[int, Row]]:
    """(number from 1, line) of all lines.

    Raises:
        LogError: the file cannot be read, or breaks off.
    """
    if form in NAMES:
        heads = columns(form)
        if not heads:
            return joined(file.lines())
        parted = separator(form)
        return _table(joined(file.lines() if parted == TAB else quoted(file.lines())), heads, parted)
    shape = forms.form(form)
    return ((told.number, told) for told in (shape.events(file) if subject == "events" else shape.items(file)))


def _table(numbered: Iterator[Numbered], heads: tuple[str, ...], parted: str) -> Iterator[tuple[int, Row]]:
    """Lines of CSV: by the names in the head above them if there is one, else in the format's own order; or JSON.

    Files that were put together have a head in their midst; a head tells what parts the cells, too.
    """
    own = {name.lower(): name for name in heads}
    first = heads[0].encode()
    for number, line in numbered:
        if line[:1] in (b"{", b"["):
            yield number, line
            continue
        try:
            named = _head(line, own, parted) if number == 1 or first in line else None
            if named is None:
                yield number, row(line, heads, parted)
            else:
                heads, parted = named
        except EventError as error:
            yield number, error


def _head(line: bytes, own: Mapping[str, str], parted: str) -> tuple[tuple[str, ...], str] | None:
    """What a line names if it is a head, and what parts its cells; None where it is none.

    Args:
        own: the format's columns, which may be written in any case.
    """
    for mark in (parted, *(mark for mark in MARKS if parted != TAB)):
        try:
            names = [name.strip(' "') for name in cells(line, mark)]
        except EventError:  # Of other marks' quotes; `row` will tell it of its own.
            continue
        if sum(name.lower() in own for name in names) > 1:
            return tuple(own.get(name.lower(), name) for name in names), mark
    return None


def records(line: Row, number: int, *, form: str, subject: Subject, name: str, now_ms: int = 0) -> Iterator[Found]:
    """What to send for one line: a record for each of its events or items, or why there is none.

    Args:
        line: as `lines` has it.
        name: names the log in the deterministic event ids and in the `source` header.
        now_ms: when an event happened whose format says that one without a time happened when it arrived; 0: unknown.
    """
    headers = [("content-type", b"application/json"), ("source", f"{name}:{number}".encode(errors="replace"))]
    line_id = f"{name}-{number}"
    try:
        if isinstance(line, Told):
            yield _translated(line, headers, line_id, form, subject)
            return
        read = _read(line)
    except (LineError, EventError) as error:
        yield error if isinstance(error, LineError) else LineError.of(error)
        return
    if isinstance(read, dict):
        yield from _made(read, line, headers, form, subject, line_id, now_ms)
        return
    for place, one in enumerate(read):
        yield from _made(one, orjson.dumps(one), headers, form, subject, f"{line_id}.{place}", now_ms)


def as_read(record: Record, subject: Subject) -> Event | Item | None:
    """What a worker reads in a record; None: a product is taken off the shelf.

    Raises:
        EventError: it rejects it.
    """
    if subject == "items":
        return parse_item(record.value, record.key, record.headers)
    return record.event or parse_event(record.value, record.key, record.headers, 0)


def _read(line: bytes | Fields | EventError) -> Fields | list[Any]:
    """The object of a line, or a list of them."""
    if isinstance(line, EventError):
        raise line
    if isinstance(line, dict):
        return line
    if len(line) >= LINE_BYTES:
        raise LineError(f"longer than {LINE_BYTES} bytes")
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        wrong = not_utf8(line) or f"{error}; the line begins {shown(line[:40].decode(errors='replace'))}"
        raise LineError("not JSON", f"not JSON: {wrong}") from None
    if type(read) is not dict and not (type(read) is list and read):
        raise LineError("not a JSON object", f"not a JSON object: {shown(read)}")
    return cast("Fields | list[Any]", read)


def _made(
    fields: Any,
    line: Row,
    headers: list[tuple[str, bytes]],
    form: str,
    subject: Subject,
    line_id: str,
    now_ms: int,
) -> Iterator[Found]:
    try:
        if type(fields) is not dict:
            raise LineError("not a JSON object", f"not a JSON object: {shown(fields)}")
        if form == CONTRACT:
            yield _own(fields, cast("bytes", line), list(headers), subject)
        elif form == "common" and subject == "items":
            yield Record(_key(fields, "item_id"), orjson.dumps(common.item(fields)), headers, None)
        elif subject == "events":
            yield from _events(fields, headers, form, line_id, now_ms)
        else:
            yield from _items(fields, headers, form, line_id)
    except (LineError, NoBehaviour) as nothing:
        yield nothing
    except EventError as error:
        yield LineError.of(error)


def _events(fields: Fields, headers: list[tuple[str, bytes]], form: str, line_id: str, now_ms: int) -> Iterator[Found]:
    for found in _judged(fields, form, line_id, now_ms):
        if isinstance(found, LineError):
            yield found
        else:
            told, event = found
            yield Record(event.user_id.encode(), orjson.dumps(told), headers, event.at_ms, event)


def _items(fields: Fields, headers: list[tuple[str, bytes]], form: str, line_id: str) -> Iterator[Found]:
    """The product that a line is, where its format has such lines; else those that its events bring along."""
    product = getattr(adapter(form), "item", lambda record: None)(Source(fields))
    if product is not None:
        yield Record(product.product().item_id.encode(), orjson.dumps(product.fields), headers, None)
        return
    for found in _judged(fields, form, line_id):
        if isinstance(found, LineError):
            yield found
        elif found[1].item is not None:
            told, event = found
            value = {"item_id": event.item_id, **told["item"]}
            yield Record(event.item_id.encode(), orjson.dumps(value), headers, None)


def _judged(fields: Fields, form: str, line_id: str, now_ms: int = 0) -> Iterator[tuple[Fields, Event] | LineError]:
    """The events of a line in the contract's words, and as they are read; or why a part is none."""
    for part in parts(adapter(form), fields, line_id):
        try:
            if isinstance(part, EventError):
                raise part
            if part.on_arrival and now_ms:
                part.fields.setdefault("at", now_ms)
            yield part.fields, part.event()
        except EventError as error:
            yield LineError.of(error)


def _own(fields: Fields, line: bytes, headers: list[tuple[str, bytes]], subject: Subject) -> Record:
    if firstclick.is_record(fields):
        return _whole(fields, headers)
    body = firstclick.body(fields)
    if body is not fields:  # A structured CloudEvent says so itself.
        headers[0] = ("content-type", b"application/cloudevents+json")
    return Record(_key(body, OWNERS[subject]), line, headers, _at_ms(body.get("at", fields.get("time"))))


def _whole(row: dict[str, Any], headers: list[tuple[str, bytes]]) -> Record:
    value, named = row["value"], row.get("headers")
    if named is not None:
        if not (isinstance(named, dict) and all(isinstance(text, str) for text in named.values())):
            raise LineError("headers are not an object of strings")
        headers = [(key, text.encode()) for key, text in named.items()] + headers[1:]
    own = _at_ms(value.get("at")) if isinstance(value, dict) else None
    return Record(_key(row, "key"), None if value is None else orjson.dumps(value), headers, own)


def _translated(told: Told, headers: list[tuple[str, bytes]], event_id: str, form: str, subject: Subject) -> Record:
    try:
        row = orjson.loads(told.value or b"")
    except orjson.JSONDecodeError:
        row = None
    if not isinstance(row, dict):  # A form hands on what it cannot read.
        raise LineError(f"not of the form {form}")
    if not told.key:
        raise LineError(f"no {OWNERS[subject]}")
    del row["event_id"]  # It names the file, where --name may name another; and an item has none.
    sent = common.item(row) if subject == "items" else _without_null({"event_id": event_id, **row})
    return Record(told.key, orjson.dumps(sent), headers, _at_ms(row.get("at")))


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
