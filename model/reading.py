"""Part of step 1: a record of any format is read: its events, and what is wrong with its other parts.

Knows nothing of any one format. All of a record's events come from one call, in the record's order, so that all or none
of them can be applied. An event whose format gives it no id of its own has the record's, and its place in the record
behind it where there are several: the same record gives the same ids however often it is read, and ids sort as the
record does.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from model.envelope import Headers, unwrap
from model.event import Event, parse_event
from model.fields import Fields, not_utf8, shown
from model.foreign import Draft, NoBehaviour, Source
from model.formats import CONTRACT, Format, adapter, columns, separator
from model.rejection import EventError, Reason

TAB = "\t"
HEADS = 12
"""Most columns that a rejection names."""


class Reading(NamedTuple):
    """What a record holds."""

    events: Sequence[Event] = ()
    faults: Sequence[EventError] = ()
    """Of the parts that are no events; the other parts are."""
    passed_over: str = ""
    """What the format calls a record that holds no behaviour; "" where it holds some."""


Reader = Callable[[bytes | None, bytes | None, Headers | None, int], Reading]
"""Reads a record by its value, key, headers and time of arrival, as `parse_event` does, and never raises."""


def reader(name: str) -> Reader:
    """Reads the records of a topic in this format."""
    if name == CONTRACT:
        return _read_contract
    shape, heads, parted = adapter(name), columns(name), separator(name)

    def read(value: bytes | None, key: bytes | None, headers: Headers | None, arrived_ms: int) -> Reading:
        if value is None:
            return Reading(faults=[EventError(Reason.TOMBSTONE, "a null value; events cannot be deleted")])
        if key is None:
            return Reading(
                faults=[EventError(Reason.KEY_MISSING, "the record has no key; send the user id as the key")]
            )
        try:
            fields = row(value, heads, parted) if heads and value[:1] != b"{" else unwrap(value, headers)
        except EventError as error:
            return Reading(faults=[error])
        return reading(shape, fields, f"{blake2b(value, digest_size=12).hexdigest()}", key, arrived_ms)

    return read


def reading(shape: Format, fields: Fields, record_id: str, key: bytes | None = None, arrived_ms: int = 0) -> Reading:
    """What a record's fields say.

    Args:
        record_id: names the record where its format does not.
        key: the record's; None is not compared with the user ids.
        arrived_ms: as for `parse_event`.
    """
    events: list[Event] = []
    faults: list[EventError] = []
    try:
        for part in parts(shape, fields, record_id):
            if isinstance(part, EventError):
                faults.append(part)
                continue
            try:
                events.append(part.event(key, arrived_ms))
            except EventError as error:
                faults.append(error)
    except NoBehaviour as nothing:
        return Reading(passed_over=nothing.name)
    return Reading(events, faults)


def parts(shape: Format, fields: Fields, record_id: str) -> Iterator[Draft | EventError]:
    """The events of a record before they are checked, each with its id, and why a part is none.

    Raises:
        NoBehaviour: there is nothing of the contract's kinds in it.
    """
    try:
        found = shape.split(Source(fields))
    except EventError as error:
        yield error
        return
    for place, part in enumerate(found):
        try:
            if isinstance(part, EventError):
                raise part
            draft = shape.event(part.checked())
        except EventError as error:
            yield error
            continue
        draft.fields["event_id"] = _event_id(draft, part, place, len(found), record_id)
        yield draft


def _event_id(draft: Draft, part: Source, place: int, of: int, record_id: str) -> object:
    given = draft.fields.get("event_id")
    if given is None:
        return f"{record_id}.{place:03d}" if of > 1 else record_id
    if part.place < 0 or draft.names.get("event_id", (part, ""))[0] is part or type(given) is not str:
        return given
    return f"{given}.{part.place:03d}"


def row(line: bytes, heads: Sequence[str], parted: str = ",") -> Fields:
    """A line of CSV by its columns.

    Args:
        parted: what parts its cells; where it is a tab, nothing is quoted.

    Raises:
        EventError: it is none.
    """
    found = cells(line, parted)
    if len(found) != len(heads):
        came = f"the line has {len(found)} cells: {shown(line.decode())}"
        told = ",".join(heads) if len(heads) <= HEADS else f"{','.join(heads[:HEADS])},…"
        by = "" if parted == "," else f" parted by {'tabs' if parted == TAB else parted}"
        raise EventError(Reason.NOT_AN_OBJECT, f"{came}; send {len(heads)}{by}: {told}")
    return dict(zip(heads, found, strict=True))


def cells(line: bytes, parted: str) -> list[str]:
    """The cells of a line of CSV, without the blanks that some write behind a comma.

    Raises:
        EventError: it is none.
    """
    try:
        written = line.decode()
        if '"' in written and parted != TAB:
            return next(csv.reader([written], strict=True, skipinitialspace=True, delimiter=parted), [])
    except UnicodeDecodeError:
        raise EventError(Reason.NOT_AN_OBJECT, f"the line is no CSV in UTF-8: {not_utf8(line)}") from None
    except csv.Error as error:
        came = f"{shown(line.decode())}: {error}"
        raise EventError(Reason.NOT_AN_OBJECT, f"the line is no CSV: {came}; close each quote") from None
    if "\0" in written:
        raise EventError(Reason.NOT_AN_OBJECT, f"the line is no CSV in UTF-8: {not_utf8(line)}")
    if f"{parted} " in written:
        return [cell.lstrip(" ") for cell in written.split(parted)]
    return written.split(parted)


def _read_contract(value: bytes | None, key: bytes | None, headers: Headers | None, arrived_ms: int) -> Reading:
    try:
        return Reading((parse_event(value, key, headers, arrived_ms),))
    except EventError as error:
        return Reading(faults=(error,))
