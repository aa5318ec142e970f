"""The format `ga4`: Google Analytics 4, rows of the BigQuery export and requests of the Measurement Protocol.

A row is one event (`event_name`, `event_timestamp` in microseconds, `user_pseudo_id`, `event_params`, `items`); a
request holds up to 25 (`client_id`, `timestamp_micros`, `events` of `name` and `params`). An e-commerce event is one of
ours for each of its items. A request's events without a time happened when it arrived.

Specifications: https://support.google.com/analytics/answer/7029846 (BigQuery export schema),
https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference (Measurement Protocol),
https://developers.google.com/analytics/devguides/collection/ga4/reference/events (events and items).

Passed over: what is no behaviour towards an item (page_view, begin_checkout, remove_from_cart …), sign_up, which tells
no interests, and the export's rows of visitors who did not consent and so have no id.
"""

from collections.abc import Sequence
from typing import Any

from model.fields import shown
from model.foreign import Draft, NoBehaviour, Source, each_call
from model.rejection import EventError, Reason
from model.values import microseconds, number, text

KINDS = {
    "view_item_list": "impression",
    "view_promotion": "impression",
    "select_item": "click",
    "select_promotion": "click",
    "view_item": "browse",
    "search": "search",
    "view_search_results": "search",
    "add_to_wishlist": "favourite",
    "add_to_cart": "cart",
    "purchase": "purchase",
    "refund": "return",
}
ITEMLESS = frozenset({"view_item_list", "view_promotion", "select_promotion", "refund"})
"""Events whose items are optional: a promotion's, and a whole order's refund."""
UNTOLD = "(not set)"
"""What the export writes for nothing."""
CATEGORIES = ("item_category", "item_category2", "item_category3", "item_category4", "item_category5")


def split(record: Source) -> Sequence[Source | EventError]:
    """The items of the row's event, or of each of the request's events; a search itself."""
    record.either("event_name", "events")
    if record.fields.get("event_name") is not None:
        if _without_consent(record):
            raise NoBehaviour(f"{record.word('event_name')} without consent")
        return _split(record, "event_name", record)
    return each_call(record.each("events"), lambda call: _split(call, "name", call.inner("params")))


def _split(call: Source, name: str, holder: Source) -> Sequence[Source]:
    if call.named(name, KINDS) == "search":
        return [call]
    items = holder.some("items", optional=call.fields[name] in ITEMLESS)
    return [Source(one.fields, one.path, call, one.place) for one in items]


def _without_consent(row: Source) -> bool:
    """Whether a visitor refused to be told apart: the export has such rows, of nobody."""
    get = row.fields.get
    return not (get("user_id") or get("user_pseudo_id")) and row.inner("privacy_info").word("analytics_storage") == "No"


def event(part: Source) -> Draft:
    """The event of an item, or a search."""
    call = part.parent if part.path.endswith(f"items[{part.place}]") else part
    exported = call.fields.get("event_name") is not None
    draft = Draft(KINDS[call.fields["event_name" if exported else "name"]], on_arrival=not exported)
    if exported:
        params = _params(call, ("ga_session_id", "search_term") if part is call else ("ga_session_id",))
        draft.user(call, "user_id", "user_pseudo_id")
        draft.take("at", call, "event_timestamp", read=microseconds)
        draft.take("session_id", params, "ga_session_id", read=text)
    else:
        params, request = call.inner("params"), call.parent
        draft.user(request, "user_id", "client_id", "app_instance_id")
        draft.take("at", request, "timestamp_micros", read=microseconds)
        draft.take("at", call, "timestamp_micros", read=microseconds)
        draft.take("session_id", params, "session_id", read=text)
    if part is call:
        draft.take("query", params, "search_term", read=_searched)
    else:
        _item(draft, part)
    return draft


def _searched(value: Any) -> object:
    """The words; the export tells a search for `501` as a number, by its `int_value`."""
    return f"{value:g}" if type(value) is float else text(value)


def _item(draft: Draft, item: Source) -> None:
    told = item
    if UNTOLD in item.fields.values():
        if item.fields.get("item_id") == UNTOLD:
            raise item.fault("item_id", f"is {UNTOLD!r}; send the item's id", Reason.FIELD_MISSING)
        told = Source({name: value for name, value in item.fields.items() if value != UNTOLD}, item.path, item.parent)
    draft.take("item_id", told, "item_id", read=text)
    draft.take("price", told, "price", read=number)
    draft.take("quantity", told, "quantity", read=number)
    draft.item(told, title=("item_name",), category=CATEGORIES, brand=("item_brand",))
    levels = [value for name in CATEGORIES if type(value := told.fields.get(name)) is str and value]
    if levels and "item" in draft.fields:
        draft.fields["item"]["category"] = " > ".join(levels)


def _params(row: Source, wanted: tuple[str, ...]) -> Source:
    """These parameters by their keys: the export has a list of {key, value: {string_value, int_value …}}."""
    found: dict[str, Any] = {}
    params = row.fields.get("event_params") or []
    if type(params) is not list:
        raise row.fault("event_params", f"is {shown(params)}; send a list")
    for place, param in enumerate(params):  # Thirty in a row, for each of its items: no more than is wanted.
        if type(param) is not dict:
            raise row.fault(f"event_params[{place}]", f"is {shown(param)}; send a key and a value, an object")
        if param.get("key") not in wanted:
            continue
        told = param.get("value") or {}
        if type(told) is not dict:
            raise row.fault(f"event_params[{place}].value", f"is {shown(told)}; send an object")
        found[param["key"]] = next((value for value in told.values() if value is not None), None)
        if len(found) == len(wanted):
            break
    return Source(found, "event_params", row)
