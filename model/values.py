"""Part of step 1: values of other systems as the contract has them: texts, numbers and times of many spellings.

Knows nothing of formats, nor what any value is for.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from model.fields import EARLIEST_MS, LATEST_MS
from model.rejection import Reason

Conversion = Callable[[Any], object]
"""A foreign value as the contract has it; raises `Unfit`."""


class Unfit(Exception):
    """A value that a conversion does not take."""

    def __init__(self, expected: str, reason: Reason = Reason.FIELD_INVALID) -> None:
        super().__init__(expected)
        self.expected, self.reason = expected, reason


def text(value: Any) -> object:
    """A string; a whole number, as many systems have ids, is written out."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise Unfit("a string")


def number(value: Any) -> object:
    """A number; one in a string is read."""
    if type(value) is float or type(value) is int:
        return value
    if type(value) is str:
        try:
            read = float(value)
        except ValueError:
            read = math.nan
        if math.isfinite(read):
            return read
    raise Unfit("a number")


def since_1970(unit: str, per_second: int) -> Conversion:
    """The conversion of a number of these units since 1970, perhaps in a string, to milliseconds."""

    def read(value: Any) -> object:
        try:
            units = number(value)
        except Unfit:
            raise Unfit(f"{unit} since 1970", Reason.TIME_INVALID) from None
        # By whole numbers where they come so: a float would cost the last digits of nanoseconds.
        exact: Any = int(value) if type(value) is str and value.isascii() and value.isdecimal() else units
        at_ms = exact * 1000 // per_second if type(exact) is int else exact * (1000 / per_second)
        if EARLIEST_MS <= at_ms <= LATEST_MS:
            return round(at_ms)
        reason = Reason.TIME_PAST if at_ms < EARLIEST_MS else Reason.TIME_AHEAD
        raise Unfit(f"{unit} since 1970, between the years 1995 and 2100", reason)

    return read


seconds = since_1970("seconds", 1)
milliseconds = since_1970("milliseconds", 1000)
microseconds = since_1970("microseconds", 1_000_000)


def moment(value: Any) -> object:
    """Seconds or milliseconds since 1970, which their size tells apart, or a time as `utc` reads it."""
    if type(value) is str and not value.isdecimal():
        return utc(value)
    try:
        return milliseconds(value)
    except Unfit as unfit:
        if unfit.reason is Reason.TIME_INVALID:
            raise Unfit(f"{unfit.expected}, or a time such as 2026-11-25T09:30:00Z", unfit.reason) from None
        if unfit.reason is not Reason.TIME_PAST:
            raise
        return seconds(value)


def listed(value: Any) -> object:
    """A string, or the first of a list of them; "" where it is empty."""
    if type(value) is list:
        return text(value[0]) if value else ""
    return text(value)


_UTC = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,12})?)(?: ?UTC|[Zz]|([+-]\d\d)(?::?(\d\d))?Z?)?", re.ASCII
)


def utc(value: Any) -> object:
    """A time of RFC 3339, or one like it: with a blank, UTC, +0000 or +00, or without a zone, which is UTC."""
    match = _UTC.fullmatch(value) if type(value) is str else None
    if match is None:
        raise Unfit("a time such as 2026-11-25T09:30:00Z", Reason.TIME_INVALID)
    zone = f"{match[3]}:{match[4] or '00'}" if match[3] else "Z"
    return f"{match[1]}T{match[2]}{zone}"


def loaded(written: str) -> Any:
    """The object or list that is written in a string; "" is none, and any other string is itself."""
    if written[:1] not in ("{", "["):
        return written or None
    try:
        return orjson.loads(written)
    except orjson.JSONDecodeError:
        return written
