"""The format `snowplow`: enriched events, those of e-commerce: as JSON or as the lines of tab-separated values.

JSON is what Analytics SDKs, Snowbridge and the BigQuery loader make; the lines of 131 columns are what the stream of
enriched events itself carries, with self-describing JSON in `unstruct_event` and `contexts`. A
`snowplow_ecommerce_action` is one of ours for each of its product entities; so are an older `transaction_item` and
`add_to_cart`; a `site_search` is a search. Versions behind the names of entities (`_product_1`, `_product_1_0_0`) do
not matter.

Specifications: https://docs.snowplow.io/docs/events/ootb-data/ecommerce-events/ (actions and entities),
https://github.com/snowplow/iglu-central/tree/master/schemas/com.snowplowanalytics.snowplow.ecommerce (schemas),
https://docs.snowplow.io/docs/fundamentals/canonical-event/ (fields of all events, and the order of the columns).

Passed over: all other events, and actions that are no behaviour towards a product (remove_from_cart, checkout_step,
promo_view …).
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import Draft, NoBehaviour, Source
from model.rejection import Reason
from model.values import number, text, utc

SEPARATOR = "\t"
_COLUMNS = """
app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id name_tracker v_tracker
v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid domain_sessionidx network_userid geo_country
geo_region geo_city geo_zipcode geo_latitude geo_longitude geo_region_name ip_isp ip_organization ip_domain
ip_netspeed page_url page_title page_referrer page_urlscheme page_urlhost page_urlport page_urlpath page_urlquery
page_urlfragment refr_urlscheme refr_urlhost refr_urlport refr_urlpath refr_urlquery refr_urlfragment refr_medium
refr_source refr_term mkt_medium mkt_source mkt_term mkt_content mkt_campaign contexts se_category se_action
se_label se_property se_value unstruct_event tr_orderid tr_affiliation tr_total tr_tax tr_shipping tr_city tr_state
tr_country ti_orderid ti_sku ti_name ti_category ti_price ti_quantity pp_xoffset_min pp_xoffset_max pp_yoffset_min
pp_yoffset_max useragent br_name br_family br_version br_type br_renderengine br_lang br_features_pdf
br_features_flash br_features_java br_features_director br_features_quicktime br_features_realplayer
br_features_windowsmedia br_features_gears br_features_silverlight br_cookies br_colordepth br_viewwidth
br_viewheight os_name os_family os_manufacturer os_timezone dvce_type dvce_ismobile dvce_screenwidth
dvce_screenheight doc_charset doc_width doc_height tr_currency tr_total_base tr_tax_base tr_shipping_base
ti_currency ti_price_base base_currency geo_timezone mkt_clickid mkt_network etl_tags dvce_sent_tstamp
refr_domain_userid refr_device_tstamp derived_contexts domain_sessionid derived_tstamp event_vendor event_name
event_format event_version event_fingerprint true_tstamp
"""
COLUMNS = tuple(_COLUMNS.split())
VENDOR = "com.snowplowanalytics.snowplow"
ACTION = f"{VENDOR}.ecommerce/snowplow_ecommerce_action"
SEARCH, ADDED = f"{VENDOR}/site_search", f"{VENDOR}/add_to_cart"
PRODUCT = f"{VENDOR}.ecommerce/product"
EVENTS = {schema.rsplit("/", 1)[-1]: schema for schema in (ACTION, SEARCH, ADDED)}
EVENT_COLUMNS = tuple(f"unstruct_event_{schema.replace('.', '_').replace('/', '_')}_1" for schema in EVENTS.values())
PRODUCTS = f"contexts_{PRODUCT.replace('.', '_').replace('/', '_')}_1"
"""Where the JSON has these events and this entity."""
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
    """The action's products; else the search, the added product, or the record itself."""
    told = _told(record)
    if told is None or "ecommerce_action" not in told.path:
        if told is None and record.word("event") != "transaction_item":
            raise NoBehaviour(record.word("event_name") or record.word("event") or "an event without a name")
        return [told or record]
    kind = told.named("type", KINDS)
    found = _products(record)
    if found:
        return [Source(one.fields, one.path, told, one.place) for one in found]
    if told.fields["type"] in ITEMLESS:
        raise NoBehaviour(f"{told.fields['type']} without products")
    column = "contexts" if record.fields.get("unstruct_event") else PRODUCTS
    raise record.fault(column, f"has no product, which a {kind} needs", Reason.FIELD_MISSING)


def event(part: Source) -> Draft:
    """The event of a product, of what was added, of a line of an older transaction, or a search."""
    if part.place >= 0:
        record, kind = part.parent.parent, KINDS[part.parent.fields["type"]]
    else:
        named = "cart" if "add_to_cart" in part.path else "search"
        record, kind = part.parent, "purchase" if part.parent is part else named
    draft = Draft(kind)
    draft.take("event_id", record, "event_id", read=text)
    draft.user(record, "user_id", "domain_userid", "network_userid")
    draft.take("at", record, "derived_tstamp", "dvce_created_tstamp", "collector_tstamp", read=utc)
    draft.take("session_id", record, "domain_sessionid", read=text)
    if kind == "search":
        draft.take("query", part, "terms", read=_terms)
        return draft
    old = "ti_" if part is record else ""
    draft.take("item_id", part, *(("ti_sku",) if old else ("id", "sku")), read=text)
    draft.take("price", part, *(("ti_price",) if old else ("price", "unit_price", "unitPrice")), read=number)
    draft.take("quantity", part, f"{old}quantity", read=number)
    draft.item(part, title=(f"{old}name",), category=(f"{old}category",), brand=("brand",))
    return draft


def _key(record: Source, name: str) -> str:
    """The name under which a record has this event or entity, whatever its minor version; "" if it has none."""
    if record.fields.get(name) is not None:
        return name
    return next((key for key, value in record.fields.items() if key.startswith(f"{name}_") and value is not None), "")


def _told(record: Source) -> Source | None:
    """The record's self-describing event, if it is one of these."""
    written = record.fields.get("unstruct_event")
    if written:
        if type(written) is str and not any(name in written for name in EVENTS):  # Most: to parse them would cost most.
            return None
        told = record.inner("unstruct_event").inner("data")
        schema = told.word("schema")
        for name, described in EVENTS.items():
            if schema.startswith(f"iglu:{described}/"):
                return Source(told.inner("data").fields, f"unstruct_event.{name}", record)
        return None
    key = next((key for column in EVENT_COLUMNS if (key := _key(record, column))), "")
    return record.inner(key) if key else None


def _products(record: Source) -> list[Source]:
    if key := _key(record, PRODUCTS):
        return record.each(key)
    entities = [one.checked() for one in record.inner("contexts").each("data")]
    found = [one.inner("data").fields for one in entities if one.word("schema").startswith(f"iglu:{PRODUCT}/")]
    return [Source(fields, f"contexts.product[{place}]", record, place) for place, fields in enumerate(found)]


def _terms(value: Any) -> object:
    if type(value) is list and all(type(term) is str for term in value):
        return " ".join(value)
    return text(value)
