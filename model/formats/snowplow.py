"""The format `snowplow`: enriched events as JSON (Analytics SDKs, Snowbridge, BigQuery loader), those of e-commerce.

A `snowplow_ecommerce_action` is one of ours for each of its product entities; so is an older `transaction_item`; a
`site_search` is a search. Versions behind the names of entities (`_product_1`, `_product_1_0_0`) do not matter.

Specifications: https://docs.snowplow.io/docs/events/ootb-data/ecommerce-events/ (actions and entities),
https://github.com/snowplow/iglu-central/tree/master/schemas/com.snowplowanalytics.snowplow.ecommerce (schemas),
https://docs.snowplow.io/docs/fundamentals/canonical-event/ (fields of all events).

Passed over: all other events, and actions that are no behaviour towards a product (remove_from_cart, checkout_step,
promo_view …).
"""

from collections.abc import Sequence

from model.foreign import Draft, NoBehaviour, Source, number, text, utc

VENDOR = "com_snowplowanalytics_snowplow"
ACTION = f"unstruct_event_{VENDOR}_ecommerce_snowplow_ecommerce_action_1"
SEARCH = f"unstruct_event_{VENDOR}_site_search_1"
PRODUCTS = f"contexts_{VENDOR}_ecommerce_product_1"
KINDS = {
    "list_view": "impression",
    "list_click": "click",
    "product_view": "browse",
    "add_to_cart": "cart",
    "transaction": "purchase",
    "refund": "return",
}
ITEMLESS = frozenset({"list_view", "refund"})
"""Actions whose products are optional: an empty list, and a whole order's refund."""


def split(record: Source) -> Sequence[Source]:
    """The action's products; else the record."""
    action = _key(record, ACTION)
    if action:
        told = record.inner(action)
        told.named("type", KINDS)
        return record.some(_key(record, PRODUCTS) or PRODUCTS, optional=told.fields["type"] in ITEMLESS)
    if not _key(record, SEARCH) and record.word("event") != "transaction_item":
        raise NoBehaviour(record.word("event_name") or record.word("event") or "an event without a name")
    return [record]


def event(part: Source) -> Draft:
    """The event of a product, a line of an older transaction, or a search."""
    if part.place >= 0:
        record = part.parent
        draft = Draft(KINDS[record.fields[_key(record, ACTION)]["type"]])
        draft.take("item_id", part, "id", read=text)
        draft.take("price", part, "price", read=number)
        draft.take("quantity", part, "quantity", read=number)
        draft.item(part, title=("name",), category=("category",), brand=("brand",))
    elif key := _key(part, SEARCH):
        record, draft = part, Draft("search")
        draft.take("query", part.inner(key), "terms", read=_terms)
    else:
        record, draft = part, Draft("purchase")
        draft.take("item_id", part, "ti_sku", read=text)
        draft.take("price", part, "ti_price", read=number)
        draft.take("quantity", part, "ti_quantity", read=number)
        draft.item(part, title=("ti_name",), category=("ti_category",))
    draft.take("event_id", record, "event_id", read=text)
    draft.user(record, "user_id", "domain_userid", "network_userid")
    draft.take("at", record, "derived_tstamp", "dvce_created_tstamp", "collector_tstamp", read=utc)
    draft.take("session_id", record, "domain_sessionid", read=text)
    return draft


def _key(record: Source, name: str) -> str:
    """The name under which a record has this event or entity, whatever its minor version; "" if it has none."""
    if record.fields.get(name) is not None:
        return name
    return next((key for key, value in record.fields.items() if key.startswith(f"{name}_") and value is not None), "")


def _terms(value: object) -> object:
    if type(value) is list and all(type(term) is str for term in value):
        return " ".join(value)
    return text(value)
