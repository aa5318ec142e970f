"""Before the line: a line of a log file becomes a Kafka record's key, value, headers and time.

Knows nothing of Kafka, and does not judge events: whatever can be addressed is sent as it is, and the worker rejects
what is wrong with it. Only a line that has no key, or is no JSON object, is refused here.

Two forms are read. `firstclick` is the contract itself, one event or item a line; a line that is an object of `key`,
`value` and perhaps `headers` is the whole record (a null value is a tombstone; headers may be those of CloudEvents).
`common` is a flat log: user_id, item_id, type, rating, timestamp in seconds, and perhaps text, qty, price, order.
"""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Self

import orjson

Form = Literal["firstclick", "common"]
Subject = Literal["events", "items"]

LINE_BYTES = 16 * 1024 * 1024  # Longer than any broker takes; a file without line ends must not fill the memory.
_KINDS_OF_COMMON = {"view": "click", "rating": "review"}  # Names in such logs that the contract calls otherwise.


class LineError(ValueError):
    """This line cannot be sent; the text is the reason, short enough to be counted by."""


class Record(NamedTuple):
    """What goes to Kafka. `at_ms` is the event's own time, None where it has none."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    at_ms: int | None


class LogFile:
    """A JSONL file, gzipped or not (its first bytes tell), read once and never held in memory."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.stat().st_size
        self._raw: IO[bytes] = path.open("rb")
        packed = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        self._lines: IO[bytes] = gzip.open(self._raw) if packed else self._raw  # type: ignore[assignment]  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._raw.close()

    @property
    def read_bytes(self) -> int:
        """How far into the file on disk, for a progress bar."""
        return self._raw.tell()

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """(line number from 1, the line), None for one over `LINE_BYTES`; empty lines are passed over.

        Raises:
            LineError: the gzip stream is broken from here on.
        """
        number = 0
        try:
            while line := self._lines.readline(LINE_BYTES):
                number += 1
                if line[-1:] != b"\n" and len(line) == LINE_BYTES:
                    while (rest := self._lines.readline(LINE_BYTES)) and rest[-1:] != b"\n":
                        pass
                    yield number, None
                elif line := line.strip():
                    yield number, line
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            raise LineError(f"unreadable after line {number}: {error}") from error


def record(line: bytes | None, number: int, *, form: Form, subject: Subject, name: str) -> Record:
    """What to send for one line.

    Args:
        name: names the log in the deterministic event ids and in the `source` header.

    Raises:
        LineError: it cannot be sent.
    """
    if line is None:
        raise LineError(f"longer than {LINE_BYTES} bytes")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise LineError("not JSON") from None
    if not isinstance(row, dict):
        raise LineError("not a JSON object")
    headers = [("content-type", b"application/json"), ("source", f"{name}:{number}".encode(errors="replace"))]
    if form == "common":
        return _common_event(row, headers, f"{name}-{number}") if subject == "events" else _common_item(row, headers)
    if "key" in row and "value" in row and row.keys() <= {"key", "value", "headers"}:
        return _whole(row, headers)
    body = row["data"] if "specversion" in row and isinstance(row.get("data"), dict) else row
    owner = "user_id" if subject == "events" else "item_id"
    if "specversion" in row:  # A structured CloudEvent says so itself.
        headers[0] = ("content-type", b"application/cloudevents+json")
    return Record(_key(body, owner), line, headers, _at_ms(body.get("at", row.get("time"))))


def _whole(row: dict[str, Any], headers: list[tuple[str, bytes]]) -> Record:
    value, named = row["value"], row.get("headers")
    if named is not None:
        if not (isinstance(named, dict) and all(isinstance(text, str) for text in named.values())):
            raise LineError("headers are not an object of strings")
        headers = [(key, text.encode()) for key, text in named.items()] + headers[1:]
    own = _at_ms(value.get("at")) if isinstance(value, dict) else None
    return Record(_key(row, "key"), None if value is None else orjson.dumps(value), headers, own)


def _common_event(row: dict[str, Any], headers: list[tuple[str, bytes]], event_id: str) -> Record:
    stamp = row.get("timestamp")
    if not isinstance(stamp, int | float) or isinstance(stamp, bool):
        raise LineError("timestamp is not a number of seconds")
    at_ms = round(stamp * 1000)
    kind = row.get("type")
    event = {
        "event_id": event_id,
        "user_id": row.get("user_id"),
        "kind": _KINDS_OF_COMMON.get(kind, kind) if isinstance(kind, str) else kind,
        "at": at_ms,
        "item_id": row.get("item_id"),
        "rating": row.get("rating"),
        "text": row.get("text"),
        "quantity": row.get("qty"),
        "price": row.get("price"),
        "session_id": row.get("order"),
    }
    value = orjson.dumps({name: told for name, told in event.items() if told is not None})
    return Record(_key(row, "user_id"), value, headers, at_ms)


def _common_item(row: dict[str, Any], headers: list[tuple[str, bytes]]) -> Record:
    item = {name: told for name, told in row.items() if told is not None and told != ""}
    return Record(_key(row, "item_id"), orjson.dumps(item), headers, None)


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
