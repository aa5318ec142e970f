"""Each mistake that a producer can make, with the reason that it is told; and what is taken all the same."""

import pickle
from typing import Any

import orjson
import pytest

from model.event import ALIASES, KINDS, EventError, Kind, Reason, parse_event, parse_item
from model.rejection import DETAIL_BYTES

AT_MS = 1_764_041_590_000
ARRIVED_MS = AT_MS + 200
CLICK: dict[str, Any] = {"event_id": "e-1", "user_id": "u-17", "kind": "click", "at": AT_MS, "item_id": "i-7"}


def told(
    value: bytes | None, key: bytes | None = b"u-17", headers: Any = None, arrived_ms: int = ARRIVED_MS
) -> EventError:
    with pytest.raises(EventError) as caught:
        parse_event(value, key, headers, arrived_ms)
    return caught.value


def told_of(headers: Any = None, /, **changed: Any) -> EventError:
    return told(orjson.dumps({**CLICK, **changed}), headers=headers)


def event_of(headers: Any = None, /, **changed: Any) -> Any:
    return parse_event(orjson.dumps({**CLICK, **changed}), b"u-17", headers, ARRIVED_MS)


def raw(**changed: str) -> bytes:
    """A click with some fields as literal JSON."""
    fields = {name: orjson.dumps(value).decode() for name, value in CLICK.items()} | changed
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


BAD_BYTES: dict[str, tuple[bytes | None, Reason, str]] = {
    "tombstone": (None, Reason.TOMBSTONE, "deleted"),
    "empty": (b"", Reason.NOT_JSON, "empty"),
    "not JSON": (b"click u-17 i-7", Reason.NOT_JSON, ""),
    "half": (raw()[:-9], Reason.NOT_JSON, ""),
    "two in one": (raw() + raw(), Reason.NOT_JSON, ""),
    "a list": (b"[" + raw() + b"]", Reason.NOT_AN_OBJECT, "a list"),
    "a string": (b'"click"', Reason.NOT_AN_OBJECT, "click"),
    "a number": (b"17", Reason.NOT_AN_OBJECT, "17"),
    "true": (b"true", Reason.NOT_AN_OBJECT, "True"),
    "null": (b"null", Reason.NOT_AN_OBJECT, "None"),
    "5 MB of text": (raw(text='"' + "x" * 5_000_000 + '"'), Reason.TOO_LARGE, "1048576"),
    "5 MB of anything": (b"x" * 5_000_000, Reason.TOO_LARGE, ""),
    "deep lists": (b"[" * 100_000, Reason.NOT_JSON, "depth"),
    "deep lists, closed": (b"[" * 100_000 + b"]" * 100_000, Reason.NOT_JSON, "depth"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Reason.NOT_JSON, "depth"),
    "deep field": (raw(rating="[" * 900 + "]" * 900), Reason.FIELD_INVALID, "a list"),
    "NaN": (raw(rating="NaN"), Reason.NOT_JSON, ""),
    "infinity": (raw(price="Infinity"), Reason.NOT_JSON, ""),
    "minus infinity": (raw(price="-Infinity"), Reason.NOT_JSON, ""),
    "1e400": (raw(price="1e400"), Reason.NOT_JSON, "infinity"),
    "2^63": (raw(at=str(2**63)), Reason.TIME_AHEAD, "2100"),
    "2^64": (raw(at=str(2**64)), Reason.TIME_INVALID, "whole number"),
    "below -2^63": (raw(dwell_ms=str(-(2**63) - 1)), Reason.FIELD_INVALID, "whole number"),
    "10^400": (raw(quantity="1" + "0" * 400), Reason.NOT_JSON, "infinity"),
    "lone surrogate in a value": (raw(item_id='"\\ud800"'), Reason.NOT_JSON, "surrogate"),
    "lone surrogate in a name": (raw(**{"\\udc00": "1"}), Reason.NOT_JSON, "surrogate"),
    "raw surrogate": (raw().replace(b"i-7", b"\xed\xa0\x80"), Reason.NOT_JSON, "UTF-8"),
    "raw invalid UTF-8": (raw().replace(b"i-7", b"\xff\xfe"), Reason.NOT_JSON, "UTF-8"),
    "overlong NUL": (raw().replace(b"i-7", b"\xc0\x80"), Reason.NOT_JSON, "UTF-8"),
    "raw NUL": (raw().replace(b"i-7", b"\0"), Reason.NOT_JSON, "control character"),
    "Confluent wire format": (b"\0\0\0\0\x07" + raw(), Reason.NOT_JSON, "Confluent wire format"),
    "gzip": (b"\x1f\x8b\x08\0" + raw(), Reason.NOT_JSON, "gzip"),
    "byte order mark": (b"\xef\xbb\xbf" + raw(), Reason.NOT_JSON, "byte order mark"),
    "UTF-16": (raw().decode().encode("utf-16"), Reason.NOT_JSON, "UTF-16"),
}


@pytest.mark.parametrize(("value", "reason", "words"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_bad_bytes(value: bytes | None, reason: Reason, words: str) -> None:
    error = told(value)
    assert error.reason is reason
    assert words in error.detail


DAY_MS = 86_400_000
BAD_FIELDS: list[tuple[dict[str, Any], Reason, str]] = [
    *(({name: None}, Reason.FIELD_MISSING, name) for name in ("event_id", "user_id", "kind", "at", "item_id")),
    *(({name: 7}, Reason.FIELD_INVALID, "send a string") for name in ("event_id", "user_id", "item_id", "session_id")),
    *(({name: True}, Reason.FIELD_INVALID, "boolean") for name in ("event_id", "rating", "price", "session_id")),
    *(({name: ""}, Reason.ID_INVALID, "empty") for name in ("event_id", "user_id", "item_id")),
    *(({name: "x" * 10_000}, Reason.ID_INVALID, "256 bytes") for name in ("event_id", "item_id", "recommendation_id")),
    ({"item_id": "é" * 129}, Reason.ID_INVALID, "256 bytes"),
    ({"item_id": "a\0b"}, Reason.ID_INVALID, "control"),
    ({"item_id": "a\x7f"}, Reason.ID_INVALID, "control"),
    ({"item_id": "ä\x85ö"}, Reason.ID_INVALID, "control"),
    ({"item_id": " a"}, Reason.ID_INVALID, "blank"),
    ({"item_id": "a\u00a0"}, Reason.ID_INVALID, "blank"),
    ({"kind": "teleport"}, Reason.KIND_UNKNOWN, "teleport"),
    ({"kind": "Click"}, Reason.KIND_UNKNOWN, "known are impression"),
    ({"kind": ["click"]}, Reason.KIND_UNKNOWN, "a list"),
    ({"kind": "x" * 10_000}, Reason.KIND_UNKNOWN, "…"),
    ({"at": True}, Reason.TIME_INVALID, "True"),
    ({"at": float(AT_MS)}, Reason.TIME_INVALID, "whole number"),
    ({"at": str(AT_MS)}, Reason.TIME_INVALID, "as a number"),
    ({"at": "yesterday"}, Reason.TIME_INVALID, "RFC 3339"),
    ({"at": "2025-11-25T03:33:10"}, Reason.TIME_INVALID, "offset"),
    ({"at": "2025-11-25"}, Reason.TIME_INVALID, "RFC 3339"),
    ({"at": "2025-02-30T03:33:10Z"}, Reason.TIME_INVALID, "day"),
    ({"at": "2025-11-25T25:00:00Z"}, Reason.TIME_INVALID, "hour"),
    ({"at": "0000-11-25T03:33:10Z"}, Reason.TIME_INVALID, "year"),
    ({"at": "2025-11-25T03:33:10+24:00"}, Reason.TIME_INVALID, "offset"),
    ({"at": "２０２５-11-25T03:33:10Z"}, Reason.TIME_INVALID, "RFC 3339"),
    ({"at": 0}, Reason.TIME_PAST, "1995"),
    ({"at": -1}, Reason.TIME_PAST, "1995"),
    ({"at": "1970-01-01T00:00:00Z"}, Reason.TIME_PAST, "1995"),
    ({"at": AT_MS // 1000}, Reason.TIME_PAST, "looks like seconds"),
    ({"at": AT_MS * 1000}, Reason.TIME_AHEAD, "looks like microseconds"),
    ({"at": AT_MS * 1_000_000}, Reason.TIME_AHEAD, "looks like nanoseconds"),
    ({"at": "2200-01-01T00:00:00Z"}, Reason.TIME_AHEAD, "2100"),
    ({"at": 7_258_118_400_000}, Reason.TIME_AHEAD, "2100"),
    ({"at": AT_MS + DAY_MS}, Reason.TIME_AHEAD, "after the record's arrival"),
    ({"dwell_ms": True}, Reason.FIELD_INVALID, "whole number"),
    ({"dwell_ms": 2.5}, Reason.FIELD_INVALID, "whole number"),
    ({"dwell_ms": -1}, Reason.FIELD_INVALID, "between"),
    ({"dwell_ms": DAY_MS + 1}, Reason.FIELD_INVALID, "between"),
    ({"rating": "5"}, Reason.FIELD_INVALID, "a string"),
    ({"rating": 0}, Reason.FIELD_INVALID, "between 1 and 5"),
    ({"rating": 5.01}, Reason.FIELD_INVALID, "between 1 and 5"),
    ({"price": -0.01}, Reason.FIELD_INVALID, "between"),
    ({"price": 1e10}, Reason.FIELD_INVALID, "between"),
    ({"price": 2**63}, Reason.FIELD_INVALID, "between"),
    ({"quantity": 0}, Reason.FIELD_INVALID, "above 0"),
    ({"quantity": -2, "kind": "return"}, Reason.FIELD_INVALID, "kind return"),
    ({"quantity": True}, Reason.FIELD_INVALID, "boolean"),
    ({"quantity": 1e7}, Reason.FIELD_INVALID, "between"),
    ({"kind": "search"}, Reason.FIELD_MISSING, "query"),
    ({"kind": "search", "query": " \n"}, Reason.FIELD_MISSING, "query"),
    ({"kind": "search", "query": 7}, Reason.FIELD_INVALID, "query"),
    ({"kind": "review", "text": {"en": "fine"}}, Reason.FIELD_INVALID, "an object"),
    ({"kind": "signup"}, Reason.FIELD_MISSING, "interests"),
    ({"kind": "signup", "interests": []}, Reason.FIELD_INVALID, "interests"),
    ({"kind": "signup", "interests": "coffee"}, Reason.FIELD_INVALID, "interests"),
    ({"kind": "signup", "interests": ["coffee", 7]}, Reason.FIELD_INVALID, "7"),
    ({"kind": "signup", "interests": ["coffee", " "]}, Reason.FIELD_INVALID, "interest"),
    ({"kind": "signup", "interests": ["x"] * 51}, Reason.FIELD_INVALID, "50"),
    ({"item": "shoe"}, Reason.FIELD_INVALID, "object"),
    ({"item": {"item_id": "i-8", "title": "Sock"}}, Reason.FIELD_INVALID, "i-8"),
    ({"item": {"item_id": "i-7"}}, Reason.FIELD_MISSING, "title"),
    ({"item": {"title": "Sock"}, "item_id": None}, Reason.FIELD_MISSING, "item_id"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "reason", "words"), BAD_FIELDS)
def test_bad_fields(changed: dict[str, Any], reason: Reason, words: str) -> None:
    error = told(orjson.dumps({**CLICK, **changed}), key=b"" if changed.get("user_id") == "" else b"u-17")
    assert (error.reason, words in error.detail) == (reason, True), error.detail
    assert len(error.detail.encode()) <= DETAIL_BYTES


BAD_KEYS = [
    (None, Reason.KEY_MISSING, "key"),
    (b"", Reason.KEY_INVALID, "empty"),
    (b"\xff\xfe", Reason.KEY_INVALID, "UTF-8"),
    (b"\xed\xa0\x80", Reason.KEY_INVALID, "UTF-8"),
    (b"\0\0\0\x11", Reason.KEY_INVALID, "control"),
    (b"u" * 10_000, Reason.KEY_INVALID, "256 bytes"),
    (b"u-18", Reason.KEY_MISMATCH, "u-17"),
    (b'"u-17"', Reason.KEY_MISMATCH, "without quotes"),
]


@pytest.mark.parametrize(("key", "reason", "words"), BAD_KEYS)
def test_bad_keys(key: bytes | None, reason: Reason, words: str) -> None:
    error = told(raw(), key)
    assert (error.reason, words in error.detail) == (reason, True), error.detail
    if reason is not Reason.KEY_MISMATCH:
        with pytest.raises(EventError) as caught:
            parse_item(None, key, None)
        assert caught.value.reason is reason


def test_a_clock_may_run_five_minutes_ahead_of_the_arrival_and_no_more() -> None:
    assert event_of(at=ARRIVED_MS + 300_000).at_ms == ARRIVED_MS + 300_000
    assert told_of(at=ARRIVED_MS + 300_001).reason is Reason.TIME_AHEAD


@pytest.mark.parametrize("arrived_ms", [-1, 0])
def test_a_record_without_a_time_of_its_own_is_held_to_2100_only(arrived_ms: int) -> None:
    assert parse_event(raw(at="4102444800000"), b"u-17", None, arrived_ms).at_ms == 4_102_444_800_000
    assert told(raw(at="4102444800001"), arrived_ms=arrived_ms).reason is Reason.TIME_AHEAD


@pytest.mark.parametrize(
    ("at", "at_ms"),
    [
        ("2025-11-25T03:33:10Z", AT_MS),
        ("2025-11-25t03:33:10z", AT_MS),
        ("2025-11-25 03:33:10.0Z", AT_MS),
        ("2025-11-25T03:33:09.9999Z", AT_MS - 1),
        ("2025-11-25T03:33:10.123456789+00:00", AT_MS + 123),
        ("2025-11-25T09:03:10+05:30", AT_MS),
        ("2025-11-24T19:33:10-08:00", AT_MS),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        (788_918_400_000, 788_918_400_000),
    ],
)
def test_times(at: str | int, at_ms: int) -> None:
    assert event_of(at=at).at_ms == at_ms


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
@pytest.mark.parametrize("field", ["kind", "type", "event_name"])
def test_every_kind_is_known_by_its_names(name: str, kind: Kind, field: str) -> None:
    fields = {**CLICK, "query": "shoe", "interests": ["shoes"], "kind": None, field: name}
    assert parse_event(orjson.dumps(fields), b"u-17", None, ARRIVED_MS).kind is kind


def test_aliases_never_hide_a_kind() -> None:
    assert not set(ALIASES) & set(Kind)


def test_kind_counts_before_type_and_type_before_event_name() -> None:
    assert event_of(type="cart", event_name="purchase").kind is Kind.CLICK
    assert event_of(kind=None, type="cart", event_name="purchase").kind is Kind.CART


@pytest.mark.parametrize("kind", set(Kind) - {Kind.SEARCH, Kind.SIGNUP})
def test_kinds_about_an_item_need_one(kind: Kind) -> None:
    assert told_of(kind=kind, item_id=None).reason is Reason.FIELD_MISSING
    assert event_of(kind=kind).item_id == "i-7"


def test_a_review_may_have_neither_rating_nor_text() -> None:
    review = event_of(kind="review")
    assert (review.rating, review.text) == (None, "")


def test_fields_of_other_kinds_are_unknown_fields() -> None:
    assert event_of(query=7, text=[], interests="x", whatever={"deep": [1]}) == event_of()


def test_an_inline_item_may_bring_the_id() -> None:
    told_item = {"item_id": "i-9", "title": "Sock", "price": 4, "attributes": {"wool": True, "size": 43, "x": None}}
    event = event_of(item_id=None, item=told_item)
    assert event.item_id == "i-9"
    assert event.item.attributes == {"wool": True, "size": 43.0}
    assert event.item.price == 4.0
    assert event_of(item={"title": "Sock"}).item.item_id == "i-7"


def test_an_error_survives_a_pickle_and_says_both_parts() -> None:
    error = told_of(kind="teleport")
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.detail) == (error.reason, error.detail)
    assert str(error).startswith("kind_unknown: ")


def test_a_detail_fits_a_header_in_any_script_and_is_cut_between_characters() -> None:
    error = EventError(Reason.BUG, "靴" * 1000 + "\ud800")
    assert error.detail == "靴" * (DETAIL_BYTES // 3)
    assert EventError(Reason.BUG, "\ud800").detail == "\\ud800"
