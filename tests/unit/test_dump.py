"""A record becomes a line of a log: whoever reads the line sees what a worker saw of the record."""

from typing import Any

import orjson
import pytest

from model.event import EventError, parse_event, parse_item
from model.reading import reader
from model.training.logs.files import Told
from model.training.logs.firstclick import read_line
from stream.dump import contract, line
from tests.formats import EXAMPLE_NAMES, EXAMPLES, Example
from tests.shop import AT

EVENT = {"event_id": "e", "user_id": "u", "kind": "click", "item_id": "i", "at": AT}
ENVELOPE = {"specversion": "1.0", "id": "e", "type": "shop.click", "time": "2023-11-14T22:13:20Z"}
CE = [("ce_specversion", b"1.0"), ("ce_id", b"e"), ("ce_type", b"click"), ("ce_time", b"2023-11-14T22:13:20Z")]


def fate(value: bytes | None, key: bytes | None, headers: Any) -> object:
    """The event, or why there is none."""
    try:
        return parse_event(value, key, headers, 0)
    except EventError as error:
        return error.reason


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"u", orjson.dumps(EVENT), []),
        (b"u", orjson.dumps(EVENT, option=orjson.OPT_INDENT_2), [("source", b"web:1")]),
        (b"u", orjson.dumps(ENVELOPE | {"data": {"user_id": "u", "item_id": "i"}}), []),
        (b"u", orjson.dumps({"user_id": "u", "item_id": "i"}), CE),
        (b"v", orjson.dumps(EVENT), []),
        (None, orjson.dumps(EVENT), []),
        (b"u", None, []),
        (b"u", b"no\nJSON", []),
        (b"u", b"[1]", []),
        (b"u", orjson.dumps(EVENT | {"kind": "stare"}), []),
    ],
)
def test_a_line_has_the_fate_of_its_record(key: bytes | None, value: bytes | None, headers: Any) -> None:
    made = line(key, value, headers, "user_id")
    assert b"\n" not in made
    told: Told = read_line(1, made, "user_id")
    assert fate(told.value, told.key, told.headers) == fate(value, key, headers)


def test_a_value_without_its_user_gets_the_key() -> None:
    value = {name: field for name, field in EVENT.items() if name != "user_id"}
    assert orjson.loads(line(b"u", orjson.dumps(value), [], "user_id")) == EVENT
    item = {"title": "Boots"}
    assert orjson.loads(line(b"i", orjson.dumps(item), [], "item_id")) == item | {"item_id": "i"}


def test_an_item_that_was_taken_off_the_shelf_is_a_tombstone() -> None:
    assert orjson.loads(line(b"i", None, [], "item_id")) == {"key": "i", "value": None}


@pytest.mark.parametrize("example", EXAMPLES, ids=EXAMPLE_NAMES)
def test_an_event_of_any_format_is_the_same_in_the_contracts_names(example: Example) -> None:
    key = example.events[0]["user_id"].encode() if example.events else b"u"
    for event in reader(example.form)(example.value, key, None, 0).events:
        assert parse_event(orjson.dumps(contract(event)), key, None, 0) == event


def test_a_product_with_a_field_called_data_is_no_envelope() -> None:
    told = read_line(
        1, line(b"i", orjson.dumps({"title": "Lamp", "data": {"colour": "red"}}), [], "item_id"), "item_id"
    )
    item = parse_item(told.value, told.key, told.headers)
    assert item is not None
    assert (item.item_id, item.title) == ("i", "Lamp")
