"""The format `segment`: track calls of the e-commerce spec, as Segment, RudderStack and PostHog have them.

A record is one call, or a `batch` of them. An order is a purchase for each of its `products`. Names of events are read
whatever their case and punctuation (`Product Added`, `product_added`), those of the spec's first version, too; PostHog
has `distinct_id` for the user's id and `uuid` for the message's. A call without a time happened when it arrived.

Specifications: https://segment.com/docs/connections/spec/ecommerce/v2/ (and its first version, …/spec/ecommerce/),
https://segment.com/docs/connections/spec/track/, https://www.rudderstack.com/docs/event-spec/ecommerce-events-spec/,
https://posthog.com/docs/data/event-spec/ecommerce-events and https://posthog.com/docs/api/capture

Passed over: calls that are no track calls, and what is no behaviour towards a product (Product Removed, Cart Viewed,
Checkout Started, Promotion Viewed, Signed Up …).
"""

from collections.abc import Sequence

from model.foreign import Draft, NoBehaviour, Source, each_call, folded
from model.rejection import EventError
from model.values import moment, number, text

KINDS = {
    folded(name): kind
    for name, kind in {
        "Products Searched": "search",
        "Product List Viewed": "impression",
        "Product List Filtered": "impression",
        "Viewed Product Category": "impression",
        "Product Clicked": "click",
        "Clicked Product": "click",
        "Product Viewed": "browse",
        "Viewed Product": "browse",
        "Product Added": "cart",
        "Added Product": "cart",
        "Product Added to Wishlist": "favourite",
        "Wishlist Product Added to Cart": "cart",
        "Product Reviewed": "review",
        "Order Completed": "purchase",
        "Completed Order": "purchase",
        "Order Refunded": "return",
    }.items()
}
MANY = frozenset({"impression", "purchase", "return"})
"""Kinds of several products."""
USERS = ("userId", "user_id", "distinct_id", "anonymousId", "anonymous_id")
TIMES = ("timestamp", "originalTimestamp", "original_timestamp", "sentAt", "receivedAt")


def split(record: Source) -> Sequence[Source | EventError]:
    """The products of each call; else the call's properties."""
    record.either("event", "batch", "type")
    if record.fields.get("batch") is not None:
        return each_call(record.each("batch"), _split)
    return _split(record)


def _split(call: Source) -> Sequence[Source]:
    of_type = call.word("type")
    if of_type and of_type not in ("track", "capture"):
        raise NoBehaviour(of_type)
    kind = call.named("event", KINDS, free=True)
    properties = call.inner("properties")
    if kind in MANY:
        return properties.some("products", optional=kind != "purchase")
    # Some shops list the one product, too, as the destinations of these systems want it.
    listed = properties.each("products") if type(properties.fields.get("products")) in (list, dict) else ()
    return listed or [properties]


def event(part: Source) -> Draft:
    """The event of a product, or of the call's properties."""
    properties = part if part.place < 0 else part.parent
    call = properties.parent
    draft = Draft(KINDS[folded(call.fields["event"])], on_arrival=True)
    draft.take("event_id", call, "messageId", "message_id", "uuid", read=text)
    draft.user(call, *USERS)
    if "user_id" not in draft.fields and "distinct_id" in properties.fields:
        draft.user(properties, "distinct_id")
    draft.take("at", call.parent, "sentAt", "sent_at", read=moment)
    draft.take("at", call, *TIMES, read=moment)
    draft.take("session_id", properties, "$session_id", "session_id", read=text)
    if draft.fields["kind"] == "search":
        draft.take("query", properties, "query")
        return draft
    draft.take("item_id", part, "product_id", "productId", "id", "sku", read=text)
    draft.take("price", part, "price", read=number)
    draft.take("quantity", part, "quantity", read=number)
    draft.item(part, title=("name",), category=("category",), brand=("brand",))
    if draft.fields["kind"] == "review":
        draft.take("rating", part, "rating", read=number)
        draft.take("text", part, "review_body")
    return draft
