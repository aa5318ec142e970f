"""The format `common`: rows of user_id, item_id, type, rating, timestamp in seconds; perhaps qty, price, text, order.

The form in which public behaviour logs are prepared for training; `model/training/logs/common.py` reads its files of
items, too. A row is one event; its types are the contract's kinds, `view` (a click) and `rating` (a review).
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import Draft, Source
from model.values import number, seconds, text

KINDS = {"view": "click", "rating": "review"}


def split(record: Source) -> Sequence[Source]:
    """The row."""
    return [record]


def event(part: Source) -> Draft:
    """The row's event."""
    draft = Draft()
    draft.take("kind", part, "type", read=_kind)
    draft.take("user_id", part, "user_id", read=text)
    draft.take("item_id", part, "item_id", read=text)
    draft.take("at", part, "timestamp", read=seconds)
    draft.take("rating", part, "rating", read=number)
    draft.take("quantity", part, "qty", read=number)
    draft.take("price", part, "price", read=number)
    draft.take("session_id", part, "order", read=text)
    draft.take("text", part, "text")
    return draft


def _kind(value: Any) -> object:
    return KINDS.get(value, value) if type(value) is str else value
