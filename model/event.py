"""Step 1 of 10: bytes become an `Event` (or an `Item`), or an `EventError` that says why not.

Knows nothing of windows, models or Kafka's clients. After this step no illegal state can be met: nobody
checks again. The same for producers: `model/contract/event.json` and `item.json`, held against this file by tests.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from model.envelope import KIND_FIELDS, MAX_EVENT_BYTES, unwrap
from model.fields import (
    CLOCK_AHEAD_MS,
    EARLIEST_MS,
    ID_BYTES,
    LATEST_MS,
    Fields,
    boolean,
    foreign_key,
    identifier,
    moment,
    number,
    optional_identifier,
    shown,
    string,
    text_of_key,
    whole_number,
)
from model.rejection import EventError, Reason

__all__ = [
    "CLOCK_AHEAD_MS",
    "EARLIEST_MS",
    "ID_BYTES",
    "LATEST_MS",
    "MAX_EVENT_BYTES",
    "Event",
    "EventError",
    "Item",
    "Kind",
    "Reason",
    "event_of",
    "item_of",
    "parse_event",
    "parse_item",
]

DWELL_MS = 24 * 3_600_000
"""Longest dwell. A tab left open over night says nothing more."""
PRICE = 1e9
"""Highest price, in the shop's one currency."""
QUANTITY = 1e6
"""Highest quantity. Whole sale included: the largest order in two years of a wholesaler's log is 80,995."""
INTERESTS = 50
"""Most interests of a signup, each at most INTEREST_CHARS long: one screen of boxes to tick."""
INTEREST_CHARS = 200
TEXT_FIELD_CHARS = 2000
"""Longest title, category and brand. They are copied into the catalogue's records, which must stay small."""
ATTRIBUTES = 50
"""Most attributes of an item, names at most ATTRIBUTE_NAME_CHARS and strings at most ATTRIBUTE_CHARS long."""
ATTRIBUTE_NAME_CHARS = 64
ATTRIBUTE_CHARS = 256
ATTRIBUTE_NUMBER = 1e15
"""Largest attribute by size: below 2^53 every whole number is exact as a float."""


class Kind(StrEnum):
    """What a shopper did. A new member needs its line in `model/text.py`, or the type checker refuses."""

    IMPRESSION = "impression"
    CLICK = "click"
    BROWSE = "browse"
    SEARCH = "search"
    FAVOURITE = "favourite"
    CART = "cart"
    PURCHASE = "purchase"
    RETURN = "return"
    REVIEW = "review"
    SIGNUP = "signup"
    DISLIKE = "dislike"


ALIASES = {
    "view_item_list": Kind.IMPRESSION,
    "view_promotion": Kind.IMPRESSION,
    "select_item": Kind.CLICK,
    "select_promotion": Kind.CLICK,
    "view_item": Kind.BROWSE,
    "view_search_results": Kind.SEARCH,
    "add_to_wishlist": Kind.FAVOURITE,
    "favorite": Kind.FAVOURITE,
    "add_to_cart": Kind.CART,
    "refund": Kind.RETURN,
    "sign_up": Kind.SIGNUP,
}
"""Other names of kinds: GA4's (its `search` and `purchase` are ours already) and the American favourite."""

KINDS: dict[str, Kind] = {**{kind.value: kind for kind in Kind}, **ALIASES}
WITHOUT_ITEM = frozenset({Kind.SEARCH, Kind.SIGNUP})
"""Kinds that need no item; all others do."""
TYPED = frozenset({Kind.SEARCH, Kind.REVIEW})
"""Kinds with words of the user's own."""


class Item(NamedTuple):
    """A product as the shop describes it. At least one of title, category, brand and description is not blank."""

    item_id: str
    title: str
    category: str
    brand: str
    price: float | None
    description: str
    attributes: dict[str, str | float | bool]
    available: bool


class Event(NamedTuple):
    """One thing that one user did. "" and () stand for none in strings and interests."""

    event_id: str
    user_id: str
    kind: Kind
    at_ms: int
    item_id: str
    text: str
    """A search's query or a review's text, as typed and as long as it came."""
    interests: tuple[str, ...]
    dwell_ms: int | None
    rating: float | None
    """1 to 5."""
    price: float | None
    quantity: float | None
    """Above 0; a return's too."""
    session_id: str
    recommendation_id: str
    item: Item | None
    """Came inline, for a product that the catalogue does not know."""


def parse_event(
    value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None, arrived_ms: int
) -> Event:
    """The event in a record of an event topic.

    Args:
        value: JSON in UTF-8, plain or in a CloudEvents envelope.
        key: The user id in UTF-8, equal to the value's `user_id`.
        headers: The record's headers: a content type, CloudEvents attributes; others are ignored.
        arrived_ms: The record's timestamp, epoch milliseconds; 0 or less where it has none. `at` may be
            CLOCK_AHEAD_MS after it at most.

    Raises:
        EventError: The record is not an event; nothing else is raised, whatever the bytes.
    """
    if value is None:
        raise EventError(Reason.TOMBSTONE, "a null value; events cannot be deleted")
    if key is None:
        raise EventError(Reason.KEY_MISSING, "the record has no key; send the user id as the key")
    return event_of(unwrap(value, headers), key, arrived_ms)


def event_of(fields: Fields, key: bytes | None, arrived_ms: int) -> Event:
    """The event in an object of the contract's fields, as `parse_event` has it.

    Args:
        key: None is not compared with the user id: a line of a log has no key.

    Raises:
        EventError: it is no event.
    """
    user_id = identifier(fields, "user_id")
    if key is not None and key != user_id.encode():
        raise foreign_key(key, user_id)
    kind = _kind(fields)
    sent_item = fields.get("item")
    item = None if sent_item is None else _inline_item(fields, sent_item)
    item_id = fields.get("item_id")
    if item_id is not None:
        item_id = identifier(fields, "item_id")
    elif item is not None:
        item_id = item.item_id
    elif kind in WITHOUT_ITEM:
        item_id = ""
    else:
        raise EventError(Reason.FIELD_MISSING, f"item_id is missing; {kind.value} needs it", "item_id")
    sent = (
        fields.get
    )  # Most events have few of these: to ask here spares a call each, a sixth of all that parsing costs.
    return Event(
        identifier(fields, "event_id"),
        user_id,
        kind,
        moment(fields, "at", arrived_ms),
        item_id,
        _text(fields, kind) if kind in TYPED else "",
        _interests(fields) if kind is Kind.SIGNUP else (),
        None if sent("dwell_ms") is None else whole_number(fields, "dwell_ms", 0, DWELL_MS),
        None if sent("rating") is None else number(fields, "rating", 1, 5),
        None if sent("price") is None else number(fields, "price", 0, PRICE),
        None if sent("quantity") is None else _quantity(fields),
        "" if sent("session_id") is None else optional_identifier(fields, "session_id"),
        "" if sent("recommendation_id") is None else optional_identifier(fields, "recommendation_id"),
        item,
    )


def parse_item(
    value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None
) -> Item | None:
    """The item in a record of the items topic; None for a tombstone, which takes it off the shelf.

    Args:
        value: JSON in UTF-8, plain or in a CloudEvents envelope; None is the tombstone.
        key: The item id in UTF-8; the value's `item_id` may be absent, but not another.
        headers: As for `parse_event`.

    Raises:
        EventError: The record is not an item; nothing else is raised, whatever the bytes.
    """
    if key is None:
        raise EventError(Reason.KEY_MISSING, "the record has no key; send the item id as the key")
    if not key and value is not None:  # A line of a file has its id as key: what is wrong is what stands in its place.
        identifier(unwrap(value, headers), "item_id")
    key_id = text_of_key(key)
    if value is None:
        return None
    fields = unwrap(value, headers)
    if fields.get("item_id") is not None:
        item_id = identifier(fields, "item_id")
        if item_id != key_id:
            raise foreign_key(key, item_id)
    return item_of(fields, key_id)


def _kind(fields: Fields) -> Kind:
    name = fields.get("kind")
    if name is None:
        name = next((fields[other] for other in KIND_FIELDS if fields.get(other) is not None), None)
        if name is None:
            raise EventError(Reason.FIELD_MISSING, "kind is missing", "kind")
    kind = KINDS.get(name) if type(name) is str else None
    if kind is None:
        raise EventError(Reason.KIND_UNKNOWN, f"kind is {shown(name)}; known are {', '.join(Kind)}", "kind")
    return kind


def _text(fields: Fields, kind: Kind) -> str:
    """What the user typed: a search's query (needed) or a review's text (may be absent: many only rate)."""
    if kind is Kind.SEARCH:
        sent = fields.get
        name = "search_term" if sent("query") is None and sent("search_term") is not None else "query"  # GA4's name.
        query = string(fields, name, MAX_EVENT_BYTES)
        if not query.strip():
            raise EventError(Reason.FIELD_MISSING, f"{name} is missing or blank; search needs it", name)
        return query
    return string(fields, "text", MAX_EVENT_BYTES) if kind is Kind.REVIEW else ""


def _interests(fields: Fields) -> tuple[str, ...]:
    value = fields.get("interests")
    if value is None:
        raise EventError(Reason.FIELD_MISSING, "interests is missing; signup needs it", "interests")
    if type(value) is not list or not 0 < len(value) <= INTERESTS:
        wrong = f"interests is {shown(value)}; send a list of 1 to {INTERESTS} strings"
        raise EventError(Reason.FIELD_INVALID, wrong, "interests")
    for place, interest in enumerate(value):
        if type(interest) is not str or not interest.strip() or len(interest) > INTEREST_CHARS:
            name = f"interests[{place}]"
            wrong = f"{name} is {shown(interest)}; send 1 to {INTEREST_CHARS} characters"
            raise EventError(Reason.FIELD_INVALID, wrong, name)
    return tuple(value)


def _quantity(fields: Fields) -> float | None:
    quantity = fields.get("quantity")
    if quantity is None:
        return None
    if type(quantity) in (int, float) and quantity <= 0:
        raise EventError(
            Reason.FIELD_INVALID,
            f"quantity is {shown(quantity)}; it must be above 0 (a return is kind return with a positive quantity)",
            "quantity",
        )
    return number(fields, "quantity", 0, QUANTITY)


def _inline_item(fields: Fields, sent: object) -> Item:
    if type(sent) is not dict:
        raise EventError(Reason.FIELD_INVALID, f"item is {shown(sent)}; send an object", "item")
    named = sent if sent.get("item_id") is not None else fields
    item_id = identifier(named, "item_id")
    if fields.get("item_id") not in (None, item_id):
        wrong = f"item_id is {shown(fields['item_id'])}, but item.item_id is {shown(item_id)}"
        raise EventError(Reason.FIELD_INVALID, wrong, "item_id")
    try:
        return item_of(sent, item_id)
    except EventError as error:
        raise error.inside("item") from None


def item_of(fields: Fields, item_id: str) -> Item:
    """The item in an object of the contract's fields.

    Raises:
        EventError: it is none.
    """
    title = string(fields, "title", TEXT_FIELD_CHARS)
    category = string(fields, "category", TEXT_FIELD_CHARS)
    brand = string(fields, "brand", TEXT_FIELD_CHARS)
    description = string(fields, "description", MAX_EVENT_BYTES)
    if not (title.strip() or category.strip() or brand.strip() or description.strip()):
        raise EventError(Reason.FIELD_MISSING, "title is missing, and so are category, brand and description", "title")
    price = number(fields, "price", 0, PRICE)
    return Item(
        item_id, title, category, brand, price, description, _attributes(fields), boolean(fields, "available", True)
    )


def _attributes(fields: Fields) -> dict[str, str | float | bool]:
    """The item's attributes: flat, few and short, because they travel in the catalogue's records."""
    sent = fields.get("attributes")
    if sent is None:
        return {}
    if type(sent) is not dict or len(sent) > ATTRIBUTES:
        wrong = f"attributes is {shown(sent)}; send an object of at most {ATTRIBUTES} members"
        raise EventError(Reason.FIELD_INVALID, wrong, "attributes")
    taken: dict[str, str | float | bool] = {}
    for name, value in sent.items():
        if not 0 < len(name) <= ATTRIBUTE_NAME_CHARS:
            wrong = f"attributes has the name {shown(name)}; 1 to {ATTRIBUTE_NAME_CHARS} characters are taken"
            raise EventError(Reason.FIELD_INVALID, wrong, "attributes")
        if type(value) is bool or (type(value) is str and len(value) <= ATTRIBUTE_CHARS):
            taken[name] = value
        elif type(value) in (int, float) and abs(value) <= ATTRIBUTE_NUMBER:
            taken[name] = float(value)
        elif value is not None:
            raise EventError(
                Reason.FIELD_INVALID,
                f"attributes.{name} is {shown(value)}; send a boolean, a number up to {ATTRIBUTE_NUMBER:g} "
                f"or a string of at most {ATTRIBUTE_CHARS} characters",
                f"attributes.{name}",
            )
    return taken
