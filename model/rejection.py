"""Why an event is not taken: the short, finite list of reasons, and the one error that carries them.

Knows nothing of what an event is. Every reason has the same fate, so that nothing is only logged:

    EventError                      fate
    ├─ from a parser                the original bytes go to `events.rejected`, with reason and detail in headers
    └─ EVENT_ID_REUSED, a window    the same; the line that came first stays
"""

from enum import StrEnum

DETAIL_BYTES = 500
"""A detail travels in a record's header and is read by people. Longer ones are cut, between characters."""


class Reason(StrEnum):
    """Why a record was rejected. Labels a metric: members may be added, a value's meaning never changes."""

    TOO_LARGE = "too_large"
    """The value is longer than MAX_EVENT_BYTES."""
    CONTENT_TYPE = "content_type"
    """The content type header names something other than JSON in UTF-8."""
    NOT_JSON = "not_json"
    """Not JSON, not UTF-8, nested too deep, or with NaN, an infinity or a lone surrogate."""
    NOT_AN_OBJECT = "not_an_object"
    """JSON, but a list, a string, a number, a boolean or null."""
    CLOUDEVENT = "cloudevent"
    """The CloudEvents envelope itself is wrong."""
    TOMBSTONE = "tombstone"
    """A null value on an event topic. Only items can be deleted."""
    KEY_MISSING = "key_missing"
    """No key. Without it the user's events would spread over all partitions."""
    KEY_INVALID = "key_invalid"
    """The key is not an id in UTF-8."""
    KEY_MISMATCH = "key_mismatch"
    """Key and value name two users (or two items)."""
    FIELD_MISSING = "field_missing"
    """A field that this kind needs is absent or null."""
    FIELD_INVALID = "field_invalid"
    """A field has the wrong type or is out of range."""
    ID_INVALID = "id_invalid"
    """An id is empty, longer than ID_BYTES, or has control characters or outer blanks."""
    SCHEMA = "schema"
    """Framed by a schema registry, and not to be read: no --registry, no such schema, or other bytes than it says."""
    KIND_UNKNOWN = "kind_unknown"
    """Neither one of our kinds nor a known alias."""
    TIME_INVALID = "time_invalid"
    """`at` is neither epoch milliseconds nor an RFC 3339 time with offset."""
    TIME_PAST = "time_past"
    """`at` lies before 1995: mostly seconds sent for milliseconds."""
    TIME_AHEAD = "time_ahead"
    """`at` lies after the record's arrival: a fast clock, or microseconds sent for milliseconds."""
    EVENT_ID_REUSED = "event_id_reused"
    """The user's window holds another event under this event id."""
    BUG = "bug"
    """firstclick failed on this record. Ours to mend: a bug must not stop a partition, and nothing may be lost."""


class EventError(ValueError):
    """A record that is not taken. Nothing else leaves the parsers, whatever the bytes.

    Attributes:
        reason: One of the finite list.
        detail: One sentence for the producer, at most DETAIL_BYTES of UTF-8.
        field: The field at fault, as the detail calls it; "" where it is no single one.
    """

    def __init__(self, reason: Reason, detail: str, field: str = "") -> None:
        self.reason, self.field = reason, field
        self.detail = detail.encode("utf-8", "backslashreplace")[:DETAIL_BYTES].decode("utf-8", "ignore")
        super().__init__(f"{reason.value}: {self.detail}")

    def __reduce__(self) -> tuple[type["EventError"], tuple[Reason, str, str]]:
        """Pickled by its parts: ValueError's own way would call us with one argument."""
        return EventError, (self.reason, self.detail, self.field)

    def inside(self, name: str) -> "EventError":
        """The same of a field that stands in the object `name`."""
        field = f"{name}.{self.field}" if self.field else name
        detail = f"{name}.{self.detail}" if self.field else self.detail
        return EventError(self.reason, detail, field)
