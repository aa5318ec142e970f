"""Laws of step 1: whatever the bytes, an event or an EventError; and what is good is taken as it was sent."""

import base64
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from model.event import Event, EventError, Kind, Reason, parse_event, parse_item
from model.rejection import DETAIL_BYTES
from stream.dump import contract
from tests.property.strategies import AT_MS, events, items, json_values, mutated_events, mutated_items

ARRIVED_MS = AT_MS + 1

NAMES = ["content-type", "Content-Type", "ce_specversion", "ce_id", "ce_type", "ce_time", "ce_", "traceparent"]
CONTENTS = [b"1.0", b"application/json", b"application/cloudevents+json;charset=utf-8", b"a.click", b"\xff"]
headers = st.none() | st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.binary(max_size=20) | st.sampled_from(CONTENTS)), max_size=4
)
keys = st.none() | st.binary(max_size=8) | st.just(b"u-17")
arrivals = st.sampled_from([-1, 0, ARRIVED_MS, 2**62])


def fate(value: bytes | None, key: bytes | None, sent: Any, arrived_ms: int) -> None:
    """Both parsers end with what they promise; the detail is fit for a header and the reason for a label."""
    for parse in (lambda: parse_event(value, key, sent, arrived_ms), lambda: parse_item(value, key, sent)):
        refused: EventError | None = None
        try:
            parse()
        except EventError as error:
            refused = error
        if refused is not None:
            assert refused.reason in Reason
            assert 0 < len(refused.detail.encode()) <= DETAIL_BYTES


@given(st.none() | st.binary(), keys, headers, arrivals)
@example(b"\xff\xfe", b"\xff", [], 0)
@example(b'{"user_id":"\\ud800"}', b"\xed\xa0\x80", None, 0)
def test_any_bytes_end_in_an_event_or_an_event_error(value: Any, key: Any, sent: Any, arrived_ms: int) -> None:
    fate(value, key, sent, arrived_ms)


@given(
    json_values | st.dictionaries(st.sampled_from(["data", "specversion", "kind", "item", "at"]), json_values), headers
)
def test_any_json_ends_in_an_event_or_an_event_error(value: Any, sent: Any) -> None:
    fate(orjson.dumps(value), b"u-17", sent, ARRIVED_MS)


@given(mutated_events() | mutated_items(), keys, headers, arrivals)
def test_a_spoiled_event_ends_in_an_event_or_an_event_error(fields: Any, key: Any, sent: Any, arrived_ms: int) -> None:
    user_id = fields.get("user_id")
    fate(orjson.dumps(fields), user_id.encode() if isinstance(user_id, str) else key, sent, arrived_ms)


@given(events(), st.data())
def test_a_good_event_with_damaged_bytes_ends_in_an_event_or_an_event_error(fields: Any, data: st.DataObject) -> None:
    value = bytearray(orjson.dumps(fields))
    for _ in range(3):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    fate(bytes(value), fields["user_id"].encode(), None, ARRIVED_MS)


@given(events())
def test_a_good_event_is_taken_as_it_was_sent(fields: dict[str, Any]) -> None:
    event = parsed(fields, fields["user_id"])
    assert (event.event_id, event.user_id, event.kind) == (fields["event_id"], fields["user_id"], fields["kind"])
    assert type(event.kind) is Kind
    if isinstance(fields["at"], int):
        assert event.at_ms == fields["at"]
    for name in ("dwell_ms", "rating", "price", "quantity"):
        assert getattr(event, name) == fields.get(name)
    assert event.item_id == fields.get("item_id", "")
    assert event.session_id == (fields.get("session_id") or "")
    assert event.text == (fields.get("query") or fields.get("text") or "")
    assert list(event.interests) == fields.get("interests", [])


@given(events())
def test_an_event_as_a_dump_tells_it_is_the_same_event(fields: dict[str, Any]) -> None:
    event = parsed(fields, fields["user_id"])
    assert parsed(contract(event), event.user_id) == event


@given(items)
def test_a_good_item_is_taken_as_it_was_sent(fields: dict[str, Any]) -> None:
    item = parse_item(orjson.dumps(fields), b"i-7", None)
    assert item is not None
    assert item.item_id == "i-7"
    for name in ("title", "category", "brand", "description"):
        assert getattr(item, name) == (fields.get(name) or "")
    assert item.price == fields.get("price")
    assert item.available is (fields.get("available") is not False)
    sent = fields.get("attributes") or {}
    assert item.attributes == {name: value for name, value in sent.items() if value is not None}


@given(events())
def test_both_modes_of_cloudevents_say_what_the_plain_event_says(fields: dict[str, Any]) -> None:
    plain = parsed(fields, fields["user_id"])
    rest = {name: value for name, value in fields.items() if name not in ("event_id", "at", "kind")}
    at = fields["at"] if isinstance(fields["at"], str) else None
    if at is None:
        rest["at"] = fields["at"]
    attributes = {"specversion": "1.0", "id": fields["event_id"], "source": "/shop", "type": f"shop.{fields['kind']}"}
    if at is not None:
        attributes["time"] = at
    binary = [("ce_" + name, text.encode()) for name, text in attributes.items()]
    assert parsed(rest, fields["user_id"], [*binary, ("content-type", b"application/json")]) == plain
    structured = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    encoded = base64.b64encode(orjson.dumps(rest)).decode()
    for sent in (structured, None):
        assert parsed({**attributes, "data": rest}, fields["user_id"], sent) == plain
        assert parsed({**attributes, "data_base64": encoded}, fields["user_id"], sent) == plain


def parsed(fields: dict[str, Any], user_id: str, sent: Any = None) -> Event:
    return parse_event(orjson.dumps(fields), user_id.encode(), sent, ARRIVED_MS)
