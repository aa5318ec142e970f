"""Content types and CloudEvents in both modes: what is understood, and what the producer is told."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from model.event import Event, EventError, Kind, Reason, parse_event

CLICK: dict[str, Any] = {"event_id": "e-1", "user_id": "u-17", "kind": "click", "at": 1764041590000, "item_id": "i-7"}
Headers = Sequence[tuple[str, bytes | None]]


def event_of(headers: Headers, **changed: Any) -> Event:
    return parse_event(orjson.dumps({**CLICK, **changed}), b"u-17", headers, 0)


def told(headers: Headers, fields: dict[str, Any]) -> EventError:
    with pytest.raises(EventError) as caught:
        parse_event(orjson.dumps(fields), b"u-17", headers, 0)
    return caught.value


BAD_HEADERS: list[tuple[list[tuple[str, bytes | None]], Reason]] = [
    ([("content-type", b"application/avro")], Reason.CONTENT_TYPE),
    ([("content-type", b"text/plain")], Reason.CONTENT_TYPE),
    ([("content-type", b"")], Reason.CONTENT_TYPE),
    ([("content-type", b"\xff\xfe")], Reason.CONTENT_TYPE),
    ([("Content-Type", b"application/json; charset=iso-8859-1")], Reason.CONTENT_TYPE),
    ([("content-type", b"application/cloudevents-batch+json")], Reason.CONTENT_TYPE),
    ([("content-type", b"application/cloudevents+json")], Reason.CLOUDEVENT),
    ([("ce_specversion", b"0.3")], Reason.CLOUDEVENT),
    ([("ce_specversion", b"\xff")], Reason.CLOUDEVENT),
    ([("ce_id", b"e-2")], Reason.CLOUDEVENT),
]


@pytest.mark.parametrize(("headers", "reason"), BAD_HEADERS)
def test_bad_headers(headers: list[tuple[str, bytes | None]], reason: Reason) -> None:
    assert told(headers, CLICK).reason is reason


def test_harmless_headers_change_nothing() -> None:
    for headers in (
        [],
        [("content-type", None), ("traceparent", b"\xff")],
        [("content-type", b'Application/JSON ; charset="UTF-8"')],
    ):
        assert event_of(headers) == event_of([])


def test_cloudevents_fill_in_only_what_is_absent() -> None:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"other"),
        ("ce_type", b"shop.cart"),
        ("ce_time", b"2001-01-01T00:00:00Z"),
    ]
    assert event_of(headers) == event_of([])
    filled = event_of(headers, event_id=None, kind=None, at=None)
    assert (filled.event_id, filled.kind, filled.at_ms) == ("other", Kind.CART, 978_307_200_000)


@pytest.mark.parametrize("name", ["cart", "shop.cart", "com.shop.cart.v2", "com.shop.add_to_cart"])
def test_the_last_word_of_a_cloudevents_type_is_the_kind(name: str) -> None:
    assert event_of([("ce_specversion", b"1.0"), ("ce_type", name.encode())], kind=None).kind is Kind.CART


BAD_ENVELOPES: list[tuple[dict[str, Any], Reason]] = [
    ({"data": None}, Reason.CLOUDEVENT),
    ({"data": [CLICK]}, Reason.NOT_AN_OBJECT),
    ({"data": "click"}, Reason.NOT_AN_OBJECT),
    ({"data": None, "data_base64": "***"}, Reason.CLOUDEVENT),
    ({"data": None, "data_base64": "ä"}, Reason.CLOUDEVENT),
    ({"data": None, "data_base64": "AAAA"}, Reason.NOT_JSON),
    ({"data": None, "data_base64": 7}, Reason.CLOUDEVENT),
    ({"specversion": 1.0}, Reason.CLOUDEVENT),
    ({"id": 7}, Reason.CLOUDEVENT),
    ({"datacontenttype": "text/xml"}, Reason.CONTENT_TYPE),
    ({"datacontenttype": 7}, Reason.CLOUDEVENT),
    ({"datacontenttype": "application/cloudevents+json"}, Reason.CONTENT_TYPE),
]


@pytest.mark.parametrize(("changed", "reason"), BAD_ENVELOPES)
def test_bad_envelopes(changed: dict[str, Any], reason: Reason) -> None:
    envelope = {"specversion": "1.0", "id": "e", "type": "click", "source": "/", "data": CLICK, **changed}
    headers = [("content-type", b"application/cloudevents+json")]
    assert told(headers, envelope).reason is reason
