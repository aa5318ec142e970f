"""The format `rees46`: the CSV of the public shop logs of REES46 (multi-category store, cosmetics, electronics …).

event_time (UTC), event_type (view, cart, remove_from_cart, purchase), product_id, category_id, category_code
(`electronics.smartphone`; may be empty), brand (may be empty), price, user_id, user_session; a row is one event. The
purchase histories of the same shops have an order_id in place of event_type and user_session.
Specification: https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store,
…/mkechinov/ecommerce-events-history-in-cosmetics-shop and …/mkechinov/ecommerce-purchase-history-from-electronics-store

A price of 0 or below (the logs have thousands) is none. There are no titles: category and brand go along as the
product, the only words that there are about it.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import Draft, Source
from model.values import moment, number, text

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
    _kind(record)
    return [record]


def event(part: Source) -> Draft:
    """The row's event."""
    draft = Draft(_kind(part))
    draft.take("user_id", part, "user_id", read=text)
    draft.take("item_id", part, "product_id", read=text)
    draft.take("at", part, "event_time", read=moment)
    price = draft.take("price", part, "price", read=number)
    if type(price) is float and price <= 0:
        del draft.fields["price"]
    draft.take("session_id", part, "user_session", "order_id", read=text)
    draft.item(part, category=("category_code",), brand=("brand",))
    item: dict[str, Any] = draft.fields.get("item", {})
    if "category" in item:
        item["category"] = item["category"].replace(".", " > ").replace("_", " ")
    return draft


def _kind(row: Source) -> str:
    if "event_type" not in row.fields:
        row.either("event_type", "order_id")
        return "purchase"
    return row.named("event_type", KINDS)
