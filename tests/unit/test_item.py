"""Upserts and tombstones of items: each mistake with its reason, and what is taken."""

from typing import Any

import orjson
import pytest

from model.event import EventError, Reason, parse_item


def item_error(key: bytes | None = b"i-7", **fields: Any) -> EventError:
    with pytest.raises(EventError) as caught:
        parse_item(orjson.dumps(fields), key, None)
    return caught.value


BAD_ITEMS: list[tuple[dict[str, Any], Reason, str]] = [
    ({}, Reason.FIELD_MISSING, "title"),
    ({"title": " ", "category": None}, Reason.FIELD_MISSING, "title"),
    ({"title": 7}, Reason.FIELD_INVALID, "string"),
    ({"title": "x" * 2001}, Reason.FIELD_INVALID, "2000"),
    ({"item_id": "i-8"}, Reason.KEY_MISMATCH, "i-8"),
    ({"item_id": 7}, Reason.FIELD_INVALID, "string"),
    ({"price": "9.99"}, Reason.FIELD_INVALID, "number"),
    ({"price": False}, Reason.FIELD_INVALID, "boolean"),
    ({"available": "false"}, Reason.FIELD_INVALID, "true or false"),
    ({"available": 0}, Reason.FIELD_INVALID, "true or false"),
    ({"attributes": ["red"]}, Reason.FIELD_INVALID, "object"),
    ({"attributes": {"size": {"eu": 43}}}, Reason.FIELD_INVALID, "size"),
    ({"attributes": {"size": 2**63}}, Reason.FIELD_INVALID, "size"),
    ({"attributes": {"": 1}}, Reason.FIELD_INVALID, "name"),
    ({"attributes": {"x": "y" * 257}}, Reason.FIELD_INVALID, "256"),
    ({"attributes": {str(n): n for n in range(51)}}, Reason.FIELD_INVALID, "50"),
]


@pytest.mark.parametrize(("changed", "reason", "words"), BAD_ITEMS)
def test_bad_items(changed: dict[str, Any], reason: Reason, words: str) -> None:
    error = item_error(**({"title": "Shoe", **changed} if changed else {}))
    assert (error.reason, words in error.detail) == (reason, True), error.detail


def test_a_null_value_takes_an_item_off_the_shelf() -> None:
    assert parse_item(None, b"i-7", None) is None
    assert parse_item(None, "慢跑鞋".encode(), [("content-type", b"text/plain")]) is None


def test_an_item_is_available_unless_it_says_otherwise() -> None:
    for sent, taken in ({}, True), ({"available": None}, True), ({"available": False}, False):
        item = parse_item(orjson.dumps({"title": "Shoe", **sent}), b"i-7", None)
        assert item is not None
        assert item.available is taken
