"""Part of step 1: the strict checks of single JSON fields, by hand because they run per event.

Knows nothing of kinds, keys or Kafka. JSON's types are taken at their word: a boolean is no number, a number no string.
"""

import re
from datetime import datetime, timedelta
from typing import Any

from model.rejection import EventError, Reason

ID_BYTES = 256
"""Longest id in UTF-8. Ids are repeated in keys, windows and lists; a longer one is a mistake, such as a URL."""

CLOCK_AHEAD_MS = 5 * 60_000
"""How far a producer's clock may run ahead of the record's arrival. A faster one would own the top of the window
and, by the age limit, throw out the user's honest rest."""

EARLIEST_MS = 788_918_400_000
"""1995-01-01: logs of film ratings begin here. Anything before is a unit error (seconds stay below this until the year
26969) or a dead clock."""

LATEST_MS = 4_102_444_800_000
"""2100-01-01. Holds where the record's own time is unknown or as wrong as the event's."""

Fields = dict[str, Any]
"""A JSON object as orjson gives it."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_NAMES = {dict: "an object", list: "a list", bool: "a boolean", int: "a number", float: "a number", str: "a string"}


def shown(value: object) -> str:
    """A value as an error message shows it: short, printable, one line."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    if isinstance(value, bytes):
        return repr(value[:60])
    if isinstance(value, dict | list):
        return _NAMES[type(value)]
    return str(value)


def not_utf8(line: bytes) -> str:
    """What is wrong with bytes that are no text in UTF-8, and what to do; "" where they are."""
    if b"\0" in line:
        return "it seems to be UTF-16; send UTF-8 (iconv -f utf-16 -t utf-8)"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        before = shown(line[: error.start].decode()[-20:])
        return (
            f"byte {error.start + 1}, behind {before}, is 0x{line[error.start]:02x}; send UTF-8 "
            f"(from Windows: iconv -f windows-1252 -t utf-8)"
        )
    return ""


def identifier(fields: Fields, name: str) -> str:
    """The id in `name`: 1 to ID_BYTES bytes of UTF-8, no control characters, no outer blanks."""
    value = fields.get(name)
    if (
        type(value) is str
        and 0 < len(value) <= ID_BYTES
        and value.isascii()
        and value.isprintable()
        and value[0] != " "
        and value[-1] != " "
    ):
        return value
    if value is None:
        raise EventError(Reason.FIELD_MISSING, f"{name} is missing", name)
    if type(value) is not str:
        kind = _NAMES.get(type(value), "of another type")
        raise EventError(Reason.FIELD_INVALID, f"{name} is {kind} ({shown(value)}); send a string", name)
    wrong = fault_of_id(value)
    if wrong:
        raise EventError(Reason.ID_INVALID, f"{name} {wrong}", name)
    return value


def optional_identifier(fields: Fields, name: str) -> str:
    """The id in `name`; "" where it is absent, null or empty."""
    value = fields.get(name)
    return "" if value is None or value == "" else identifier(fields, name)


def fault_of_id(value: str) -> str:
    """What is wrong with an id, as the end of a sentence; "" for a good one."""
    if not value:
        return "is empty"
    if len(value) > ID_BYTES or len(value.encode("utf-8", "replace")) > ID_BYTES:
        return f"is longer than {ID_BYTES} bytes"
    if _CONTROL.search(value):
        return f"has control characters: {shown(value)}"
    if value != value.strip():
        return f"begins or ends with a blank: {shown(value)}"
    return ""


def text_of_key(key: bytes) -> str:
    """The id that is a record's key."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise EventError(Reason.KEY_INVALID, f"the key is not UTF-8: {shown(key)}") from None
    wrong = fault_of_id(text)
    if wrong:
        raise EventError(Reason.KEY_INVALID, f"the key {wrong}")
    return text


def foreign_key(key: bytes, named: str) -> EventError:
    """Why a key is not the id that the value names."""
    try:
        text = text_of_key(key)
    except EventError as error:
        return error
    hint = "; the key is the bare id, without quotes" if text == f'"{named}"' else ""
    return EventError(Reason.KEY_MISMATCH, f"the key is {shown(text)}, but the value names {shown(named)}{hint}")


def number(fields: Fields, name: str, low: float, high: float) -> float | None:
    """The number in `name`, between `low` and `high`; None where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise EventError(Reason.FIELD_INVALID, f"{name} is {_NAMES[type(value)]} ({shown(value)}); send a number", name)
    if not low <= value <= high:
        raise EventError(
            Reason.FIELD_INVALID, f"{name} is {shown(value)}; it must lie between {low:g} and {high:g}", name
        )
    return float(value)


def whole_number(fields: Fields, name: str, low: int, high: int) -> int | None:
    """The integer in `name`, between `low` and `high`; None where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise EventError(Reason.FIELD_INVALID, f"{name} is {shown(value)}; send a whole number", name)
    if not low <= value <= high:
        raise EventError(Reason.FIELD_INVALID, f"{name} is {value}; it must lie between {low} and {high}", name)
    return value


def string(fields: Fields, name: str, longest: int) -> str:
    """The text in `name`, at most `longest` characters, as it was sent; "" where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise EventError(Reason.FIELD_INVALID, f"{name} is {_NAMES[type(value)]} ({shown(value)}); send a string", name)
    if len(value) > longest:
        raise EventError(Reason.FIELD_INVALID, f"{name} has {len(value)} characters; at most {longest} are taken", name)
    return value


def boolean(fields: Fields, name: str, default: bool) -> bool:
    """The boolean in `name`; `default` where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not bool:
        raise EventError(Reason.FIELD_INVALID, f"{name} is {shown(value)}; send true or false", name)
    return value


def moment(fields: Fields, name: str, arrived_ms: int) -> int:
    """The time in `name`, in epoch milliseconds: not before 1995, not after the record's arrival.

    Args:
        arrived_ms: The Kafka record's timestamp; 0 or less where it has none.
    """
    value = fields.get(name)
    if type(value) is int:
        at_ms = value
    elif type(value) is str:
        at_ms = _rfc3339_ms(name, value)
    elif value is None:
        raise EventError(Reason.FIELD_MISSING, f"{name} is missing", name)
    else:
        raise EventError(
            Reason.TIME_INVALID,
            f"{name} is {shown(value)}; send epoch milliseconds as a whole number, or RFC 3339",
            name,
        )
    if at_ms < EARLIEST_MS:
        hint = "; it looks like seconds: send milliseconds" if value == at_ms and at_ms * 1000 >= EARLIEST_MS else ""
        raise EventError(Reason.TIME_PAST, f"{name} is {shown(value)}, before the year 1995{hint}", name)
    if at_ms > LATEST_MS or 0 < arrived_ms < at_ms - CLOCK_AHEAD_MS:
        raise EventError(Reason.TIME_AHEAD, _ahead(name, value, at_ms, arrived_ms), name)
    return at_ms


def _ahead(name: str, value: int | str, at_ms: int, arrived_ms: int) -> str:
    for unit, per_ms in (("microseconds", 1000), ("nanoseconds", 1_000_000)):
        if EARLIEST_MS <= at_ms // per_ms <= LATEST_MS:
            return f"{name} is {value}; it looks like {unit}: send milliseconds"
    if at_ms > LATEST_MS:
        return f"{name} is {shown(value)}, after the year 2100"
    return f"{name} is {at_ms - arrived_ms} ms after the record's arrival; at most {CLOCK_AHEAD_MS} are taken"


def _rfc3339_ms(name: str, value: str) -> int:
    """Epoch milliseconds of an RFC 3339 time; digits beyond milliseconds are cut."""
    match = _RFC3339.fullmatch(value)
    if match is None:
        hint = "" if not value.strip().lstrip("-").isdecimal() else "; send epoch milliseconds as a number"
        raise EventError(
            Reason.TIME_INVALID, f"{name} is {shown(value)}, not an RFC 3339 time with Z or an offset{hint}", name
        )
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, off_hours, off_minutes = match.group(7, 8, 9, 10)
    leap = second == 60  # A leap second is legal in RFC 3339 and unknown to datetime.
    offset_ms = 0
    if sign:
        if int(off_hours) > 23 or int(off_minutes) > 59:
            raise EventError(Reason.TIME_INVALID, f"{name} is {shown(value)}: no such offset", name)
        offset_ms = (int(off_hours) * 60 + int(off_minutes)) * (60_000 if sign == "+" else -60_000)
    try:
        local = datetime(year, month, day, hour, minute, 59 if leap else second)
    except ValueError as error:
        raise EventError(Reason.TIME_INVALID, f"{name} is {shown(value)}: {error}", name) from None
    at_ms = (local - _EPOCH) // _MILLISECOND - offset_ms + (1000 if leap else 0)
    return at_ms + (int(fraction[:3].ljust(3, "0")) if fraction else 0)
