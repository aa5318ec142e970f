"""A line of a log becomes a record, or is refused with its reason."""

import orjson
import pytest

from model.event import Kind, parse_event, parse_item
from model.training.logs.files import LINE_BYTES
from stream import loglines
from stream.loglines import LineError, Record, record

NOW_MS = 1_700_000_000_000


def made(row: object, form: loglines.Form = "common", subject: loglines.Subject = "events") -> Record:
    return record(orjson.dumps(row), 7, form=form, subject=subject, name="log")


def test_a_purchase_of_a_common_log_is_an_event_of_the_contract() -> None:
    row = {"user_id": "u", "item_id": "i", "type": "purchase", "rating": None, "timestamp": 1291191960}
    sent = made({**row, "qty": 6, "price": 4.25, "order": "o1"})
    event = parse_event(sent.value, sent.key, list(sent.headers), NOW_MS)
    assert (event.event_id, event.user_id, event.item_id, event.kind) == ("log-7", "u", "i", Kind.PURCHASE)
    assert (event.at_ms, event.quantity, event.price, event.session_id) == (1291191960000, 6, 4.25, "o1")
    assert sent.at_ms == event.at_ms
    assert ("source", b"log:7") in sent.headers


def test_a_review_keeps_its_rating_and_text() -> None:
    row = {"user_id": "u", "item_id": "i", "type": "review", "rating": 4.0, "timestamp": 1165338257.5, "text": "Good."}
    sent = made(row)
    event = parse_event(sent.value, sent.key, list(sent.headers), NOW_MS)
    assert (event.kind, event.rating, event.text, event.at_ms) == (Kind.REVIEW, 4.0, "Good.", 1165338257500)


def test_an_item_of_a_common_log_is_an_item_of_the_contract() -> None:
    row = {"item_id": "i", "title": "Globe", "category": "Gift", "brand": "", "price": None, "description": ""}
    sent = made(row, subject="items")
    item = parse_item(sent.value, sent.key, list(sent.headers))
    assert item is not None
    assert (item.item_id, item.title, item.category, item.price) == ("i", "Globe", "Gift", None)


def test_an_event_in_the_contracts_own_form_is_sent_byte_for_byte() -> None:
    line = b'{"user_id": "u", "event_id": "e",  "kind": "whatever", "at": "2020-01-01T00:00:00Z"}'
    sent = record(line, 1, form="firstclick", subject="events", name="log")
    assert (sent.key, sent.value, sent.at_ms) == (b"u", line, 1577836800000)


def test_a_structured_cloud_event_gets_its_key_and_its_content_type() -> None:
    body = {"specversion": "1.0", "type": "click", "id": "e", "time": "2020-01-01T01:00:00+01:00"}
    sent = made({**body, "data": {"user_id": "u", "item_id": "i"}}, "firstclick")
    assert (sent.key, sent.at_ms) == (b"u", 1577836800000)
    event = parse_event(sent.value, sent.key, list(sent.headers), NOW_MS)
    assert (event.event_id, event.kind) == ("e", Kind.CLICK)


def test_a_whole_record_may_be_a_tombstone_and_bring_headers() -> None:
    tombstone = made({"key": "i", "value": None}, "firstclick", "items")
    assert (tombstone.key, tombstone.value) == (b"i", None)
    assert parse_item(tombstone.value, tombstone.key, list(tombstone.headers)) is None
    with_headers = made({"key": "u", "value": {"at": 5}, "headers": {"ce_id": "e"}}, "firstclick")
    assert ("ce_id", b"e") in with_headers.headers
    assert with_headers.at_ms == 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not JSON", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "timestamp is not a number of seconds"),
        (b'{"timestamp": true, "user_id": "u"}', "timestamp is not a number of seconds"),
        (b'{"timestamp": 1}', "no user_id"),
        (b'{"timestamp": 1, "user_id": ""}', "no user_id"),
        (b'{"timestamp": 1, "user_id": true}', "no user_id"),
        (b"x" * LINE_BYTES, f"longer than {LINE_BYTES} bytes"),
    ],
)
def test_a_line_that_cannot_be_addressed_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(LineError) as refused:
        record(line, 1, form="common", subject="events", name="log")
    assert str(refused.value) == reason


def test_an_event_without_a_readable_time_is_sent_all_the_same() -> None:
    assert made({"user_id": "u", "at": "yesterday"}, "firstclick").at_ms is None
