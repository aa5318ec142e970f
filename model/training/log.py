"""A log of events, read one line at a time: who touched what, when and how.

Knows nothing of windows or counts. The form `firstclick` is the project's own contract, one event a line; `common` is a
flat log: user_id, item_id, type, rating, timestamp in seconds, and perhaps qty, price, text.
"""

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import orjson

from model.event import EventError, Kind, parse_event

Format = Literal["firstclick", "common"]

KINDS_OF_COMMON = {"view": "click", "rating": "review"}
"""Names in flat logs that the contract calls otherwise."""
RENAMED = {"qty": "quantity", "type": "kind"}


class LogError(Exception):
    """The log cannot be used; the text names the file and why."""


class Touch(NamedTuple):
    """One event that names an item."""

    user_id: str
    item_id: str
    at_ms: int
    kind: Kind
    rating: float | None


def read(path: Path, log_format: Format = "firstclick") -> Iterator[Touch]:
    """The log's touches, in its order. A line that the stream would reject is left out here, too.

    Raises:
        LogError: the file cannot be read, or not one of its lines is an event.
    """
    told, first_fault = 0, ""
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    touch = _touch(line, number, log_format)
                except (EventError, ValueError, TypeError, OverflowError) as error:
                    first_fault = first_fault or f"line {number}: {error}"
                    continue
                told += 1
                if touch.item_id:
                    yield touch
    except (OSError, EOFError) as error:
        raise LogError(f"{path} cannot be read: {error}") from error
    if not told:
        raise LogError(f"{path} holds no event of the form {log_format}; {first_fault or 'it is empty'}")


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _touch(line: bytes, number: int, log_format: Format) -> Touch:
    row = orjson.loads(line)
    if not isinstance(row, dict):
        raise TypeError("not a JSON object")
    if log_format == "common":
        value = orjson.dumps(_from_common(row, number))
        user_id = row.get("user_id")
    else:
        value = line
        data = row.get("data", row) if "specversion" in row else row
        user_id = data.get("user_id") if isinstance(data, dict) else None
    if not isinstance(user_id, str):
        raise TypeError("user_id is not a string")
    event = parse_event(value, user_id.encode(), None, 0)
    return Touch(event.user_id, event.item_id, event.at_ms, event.kind, event.rating)


def _from_common(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    stamp = row.get("timestamp")
    if not isinstance(stamp, int | float):
        raise TypeError("timestamp is not a number of seconds")
    kind = row.get("type")
    event = {RENAMED.get(name, name): value for name, value in row.items() if value is not None and name != "timestamp"}
    return event | {"event_id": f"{number}", "at": round(stamp * 1000), "kind": KINDS_OF_COMMON.get(str(kind), kind)}
