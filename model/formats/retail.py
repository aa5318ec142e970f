"""The format `retail`: user events of Google's Retail API (Vertex AI Search for commerce), as written or imported.

A record is one event (`eventType`, `visitorId`, `productDetails`), or the request of an inline import with many. It is
one of ours for each of its products; a `search` is a search, if it tells a query and not a browsed category, and an
impression of each product that it found. An event that was written without `eventTime` happened when it arrived.

Specification: https://cloud.google.com/retail/docs/reference/rest/v2/projects.locations.catalogs.userEvents,
https://cloud.google.com/retail/docs/user-events and https://cloud.google.com/retail/docs/import-user-events

Passed over: pages that are about no product (home-page-view, category-page-view, shopping-cart-page-view …).
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import Draft, NoBehaviour, Source, each_call
from model.rejection import EventError
from model.values import number, text, utc

KINDS = {
    "detail-page-view": "browse",
    "add-to-cart": "cart",
    "purchase-complete": "purchase",
    "search": "search",
}


def split(record: Source) -> Sequence[Source | EventError]:
    """The event's products and its search, or those of each event of an import."""
    record.either("eventType", "inputConfig")
    if record.fields.get("inputConfig") is None:
        return _split(record)
    given = record.inner("inputConfig").inner("userEventInlineSource")
    return each_call(given.some("userEvents", what="events"), _split)


def _split(record: Source) -> Sequence[Source]:
    if record.named("eventType", KINDS) != "search":
        return record.some("productDetails")
    found = record.each("productDetails")
    if record.word("searchQuery"):
        return [record, *found]
    if not found:
        raise NoBehaviour("search without searchQuery")
    return found


def event(part: Source) -> Draft:
    """The event of a product, or a search."""
    is_product = part.path.endswith(f"productDetails[{part.place}]")
    record = part.parent if is_product else part
    kind = KINDS[record.fields["eventType"]]
    draft = Draft("impression" if is_product and kind == "search" else kind, on_arrival=True)
    draft.user(record.inner("userInfo"), "userId")
    draft.user(record, "visitorId")
    draft.take("at", record, "eventTime", read=utc)
    draft.take("session_id", record, "sessionId", read=text)
    if not is_product:
        draft.take("query", record, "searchQuery")
        return draft
    product = part.inner("product")
    draft.take("item_id", product, "name", read=_last)
    draft.take("item_id", product, "id", read=text)
    draft.take("price", product.inner("priceInfo"), "price", read=number)
    draft.take("quantity", part, "quantity", read=number)
    draft.item(product, title=("title",), category=("categories",), brand=("brands",), description=("description",))
    return draft


def _last(value: Any) -> object:
    """The id at the end of a resource's name: `projects/…/branches/0/products/sku-1`."""
    return value.rsplit("/", 1)[-1] if type(value) is str else text(value)
