"""The format `retail`: user events of Google's Retail API (Vertex AI Search for commerce), as written or imported.

A record is one event (`eventType`, `visitorId`, `productDetails`); it is one of ours for each of its products, and a
`search` is a search. An event that was written without `eventTime` happened when it arrived.

Specification: https://cloud.google.com/retail/docs/reference/rest/v2/projects.locations.catalogs.userEvents and
https://cloud.google.com/retail/docs/user-events

Passed over: pages that are about no product (home-page-view, category-page-view, shopping-cart-page-view …), and a
`search` without `searchQuery`, which is a browsed category.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import Draft, NoBehaviour, Source, number, text, utc

KINDS = {
    "detail-page-view": "browse",
    "add-to-cart": "cart",
    "purchase-complete": "purchase",
    "search": "search",
}


def split(record: Source) -> Sequence[Source]:
    """The event's products; a search itself."""
    if record.named("eventType", KINDS) != "search":
        return record.some("productDetails")
    if not record.word("searchQuery"):
        raise NoBehaviour("search without searchQuery")
    return [record]


def event(part: Source) -> Draft:
    """The event of a product, or a search."""
    record = part if part.place < 0 else part.parent
    draft = Draft(KINDS[record.fields["eventType"]], on_arrival=True)
    draft.user(record.inner("userInfo"), "userId")
    draft.user(record, "visitorId")
    draft.take("at", record, "eventTime", read=utc)
    draft.take("session_id", record, "sessionId", read=text)
    if part is record:
        draft.take("query", record, "searchQuery")
        return draft
    product = part.inner("product")
    draft.take("item_id", product, "name", read=_last)
    draft.take("item_id", product, "id", read=text)
    draft.take("price", product.inner("priceInfo"), "price", read=number)
    draft.take("quantity", part, "quantity", read=number)
    told = {name: _first(product.fields.get(name)) for name in ("title", "description", "categories", "brands")}
    draft.item(
        Source(told, product.path, part),
        title=("title",),
        category=("categories",),
        brand=("brands",),
        description=("description",),
    )
    return draft


def _last(value: Any) -> object:
    """The id at the end of a resource's name: `projects/…/branches/0/products/sku-1`."""
    return value.rsplit("/", 1)[-1] if type(value) is str else text(value)


def _first(value: Any) -> Any:
    return value[0] if type(value) is list and value else value
