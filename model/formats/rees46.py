"""The format `rees46`: the CSV of the public shop logs of REES46 (multi-category store, cosmetics, electronics …).

event_time (UTC), event_type (view, cart, remove_from_cart, purchase), product_id, category_id, category_code
(`electronics.smartphone`; may be empty), brand (may be empty), price, user_id, user_session; a row is one event.
Specification: https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store

There are no titles: category and brand go along as the product, the only words that there are about it.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import Draft, Source, number, text, utc

COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
KINDS = {"view": "browse", "cart": "cart", "purchase": "purchase"}


def split(record: Source) -> Sequence[Source]:
    """The row; `remove_from_cart` is no behaviour of the contract's."""
    record.named("event_type", KINDS)
    return [record]


def event(part: Source) -> Draft:
    """The row's event."""
    draft = Draft(KINDS[part.fields["event_type"]])
    draft.take("user_id", part, "user_id", read=text)
    draft.take("item_id", part, "product_id", read=text)
    draft.take("at", part, "event_time", read=utc)
    draft.take("price", part, "price", read=number)
    draft.take("session_id", part, "user_session", read=text)
    draft.item(part, category=("category_code",), brand=("brand",))
    item: dict[str, Any] = draft.fields.get("item", {})
    if "category" in item:
        item["category"] = item["category"].replace(".", " > ").replace("_", " ")
    return draft
