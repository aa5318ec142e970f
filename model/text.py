"""Step 2 of 10: an event becomes a line of its user's window, an item the text that the encoder reads.

Knows nothing of users, windows or Kafka. A changed word here changes every bundle's fingerprint.
"""

import re
from typing import NamedTuple, assert_never

from model.event import Event, Item, Kind

TEXT_CHARS = 400
"""Longest text of a line or an item. About 100 tokens: sentence encoders are trained on 128, and a window's record
keeps every line's text."""

REVIEWED_ITEM_CHARS = 150
"""What an inline item may take of its review's TEXT_CHARS."""

_WORD = re.compile("[^\\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]+")
"""A run of neither white space nor control characters; byte order marks and the marks that turn text around count as
control, because they mean nothing to an encoder and much to a terminal. Joiners stay: scripts and emoji need them."""


class Line(NamedTuple):
    """One event as its user's window holds it. `text` is read beside the item's own; "" and None stand for none."""

    at_ms: int
    event_id: str
    kind: Kind
    item_id: str
    text: str
    dwell_ms: int | None
    rating: float | None
    price: float | None
    quantity: float | None


BAD_RATING = 2.0
"""Stars at or below which a review speaks against its item."""


def refuses(line: Line) -> bool:
    """Whether a line's rating says no to its item."""
    return line.rating is not None and line.rating <= BAD_RATING


def render(event: Event) -> Line:
    """The line of an event. What a user typed is never syntax: it is folded and cut, and stays itself."""
    match event.kind:
        case (
            Kind.CLICK
            | Kind.BROWSE
            | Kind.IMPRESSION
            | Kind.PURCHASE
            | Kind.CART
            | Kind.FAVOURITE
            | Kind.RETURN
            | Kind.DISLIKE
        ):
            text = "" if event.item is None else item_text(event.item)
        case Kind.REVIEW:
            text = _reviewed(event)
        case Kind.SEARCH:
            text = fold(event.text)
        case Kind.SIGNUP:
            text = fold(", ".join(event.interests))
        case _:
            assert_never(event.kind)
    return Line(
        event.at_ms,
        event.event_id,
        event.kind,
        event.item_id,
        text,
        event.dwell_ms,
        event.rating,
        event.price,
        event.quantity,
    )


def _reviewed(event: Event) -> str:
    """A review's text, after what it is about where the item came inline."""
    if event.item is None:
        return fold(event.text)
    return fold(f"{fold(item_text(event.item), REVIEWED_ITEM_CHARS)} {event.text}")


def item_text(item: Item) -> str:
    """What the encoder reads of an item: the title and, where the title lacks it, the brand.

    An item without a title is read by its category or its description; never empty: in the end by its id.
    """
    brand = fold(item.brand)
    text = fold(item.title) or fold(item.category) or fold(item.description)
    if not text:
        return brand or fold(item.item_id) or item.item_id
    return text if not brand or brand.casefold() in text.casefold() else fold(f"{text}, {brand}")


def fold(text: str, chars: int = TEXT_CHARS) -> str:
    """`text` with white space and control characters folded to one blank, at most `chars` long. Idempotent."""
    if len(text) <= chars and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")
    words: list[str] = []
    length = 0
    for word in _WORD.finditer(text):  # Lazily: a megabyte of text costs as much as its first line.
        words.append(word.group())
        length += len(words[-1]) + 1
        if length > chars:
            break
    return " ".join(words)[:chars].rstrip(" ")
