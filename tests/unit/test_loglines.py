"""A line of a log becomes a record, or is refused with its reason."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.event import Event, Item, Kind, parse_event, parse_item
from model.training.logs.files import LINE_BYTES, File
from model.training.logs.forms import Format, form
from stream import loglines
from stream.loglines import LineError, Record, Row, records

NOW_MS = 1_700_000_000_000


def record(line: Row, number: int, form: str, subject: loglines.Subject = "events") -> Record:
    """The only record of a line."""
    (found,) = records(line, number, form=form, subject=subject, name="log")
    if not isinstance(found, Record):
        raise found
    return found


def made(row: object, form: str = "common", subject: loglines.Subject = "events") -> Record:
    return record(orjson.dumps(row), 7, form, subject)


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
    sent = record(line, 1, "firstclick")
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
        (b"{}", "field_missing: user_id"),
        (b'{"timestamp": true, "user_id": "u"}', "time_invalid: timestamp"),
        (b'{"timestamp": 1}', "time_past: timestamp"),
        (b'{"user_id": ""}', "field_missing: user_id"),
        (b'{"user_id": true}', "field_invalid: user_id"),
        (b'{"user_id": "u", "type": "buy"}', "kind_unknown: type"),
        (b"x" * LINE_BYTES, f"longer than {LINE_BYTES} bytes"),
    ],
)
def test_a_line_that_cannot_be_addressed_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(LineError) as refused:
        record(line, 1, "common")
    assert str(refused.value) == reason


def test_a_call_of_a_batch_without_a_time_has_the_batchs_and_else_the_time_of_sending() -> None:
    call = {"type": "track", "event": "Product Viewed", "userId": "u", "properties": {"product_id": "i"}}
    batch = {"batch": [call], "sentAt": "2026-01-02T00:00:00.000Z"}
    assert made(batch, "segment").at_ms == 1_767_312_000_000
    (sent,) = records(orjson.dumps(call), 1, form="segment", subject="events", name="log", now_ms=NOW_MS)
    assert isinstance(sent, Record)
    assert (sent.at_ms, orjson.loads(sent.value or b"")["at"]) == (NOW_MS, NOW_MS)


def test_each_value_of_a_list_in_one_line_has_an_id_of_its_own() -> None:
    row = {"user_id": "u", "item_id": "i", "type": "view", "timestamp": 1291191960}
    found = [one.event for one in records(orjson.dumps([row, row]), 7, form="common", subject="events", name="log")]
    assert [event.event_id for event in found if event] == ["log-7.0", "log-7.1"]


def test_an_event_without_a_readable_time_is_sent_all_the_same() -> None:
    assert made({"user_id": "u", "at": "yesterday"}, "firstclick").at_ms is None


REVIEW = {"rating": 4.0, "title": "Good", "text": "Works.", "parent_asin": "i", "user_id": "u", "timestamp": NOW_MS}
LINES: dict[str, tuple[str, str]] = {
    "amazon2018": (
        '{"reviewerID":"u","asin":"i","overall":4.0,"reviewText":"Good.","unixReviewTime":1700000000}\nno JSON\n[1]',
        '{"asin":"i","title":"Boots &amp; more","category":["Shoes","Boots"],"price":"$9.50"}',
    ),
    "amazon2023": (
        f"{orjson.dumps(REVIEW).decode()}\n{{}}\nno JSON",
        '{"parent_asin":"i","title":"Boots","store":"Bootmaker","categories":["Shoes"]}',
    ),
    "recbole": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ti\t4\t1700000000\nu\ti\t4\t5\t6\n\ti\t4\t5",
        "item_id:token\ttitle:token_seq\ni\tBoots",
    ),
    "movielens": (
        "userId,movieId,rating,timestamp\nu,i,0.5,1700000000\nu,i\n,i,4,5",
        'movieId,title,genres\ni,"Boots, The (1995)",Drama|War',
    ),
}
"""Of each form: one event and two lines that are none, and one item."""


def parquet(tmp_path: Path) -> tuple[Path, Path]:
    """The two files of the form `journey`."""
    bought = {"household_id": [7], "basket_id": [5], "product_id": [9], "quantity": [2], "sales_value": [1.0]}
    stamps = {"transaction_timestamp": pa.array([NOW_MS], pa.timestamp("ms"))}
    told = ("department", "brand", "product_category", "product_type", "package_size")
    named = {"product_id": [9], **{name: ["BREAD"] for name in told}}
    paths = tmp_path / "transactions.parquet", tmp_path / "products.parquet"
    pq.write_table(pa.table(bought | stamps), paths[0])
    pq.write_table(pa.table(named), paths[1])
    return paths


def sent(path: Path, log_format: Format, subject: loglines.Subject) -> tuple[list[Record], list[str]]:
    """What is sent of a file, and why other lines are not."""
    sent, reasons = [], []
    for number, line in loglines.lines(File(path), log_format, subject):
        try:
            sent.append(record(line, number, log_format, subject))
        except LineError as error:
            reasons.append(str(error))
    return sent, reasons


@pytest.mark.parametrize("log_format", sorted(set(get_args(Format)) - {"firstclick", "common"}))
def test_a_replay_of_any_form_is_what_training_reads(log_format: Format, tmp_path: Path) -> None:
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    if log_format == "journey":
        events, items = parquet(tmp_path)
    else:
        for path, written in zip((events, items), LINES[log_format], strict=True):
            path.write_text(written + "\n")
    records, reasons = sent(events, log_format, "events")
    assert len(reasons) == (0 if log_format == "journey" else 2)
    assert set(reasons) <= {f"not of the form {log_format}", "no user_id"}
    (of_event,) = records
    told = next(form(log_format).events(File(events)))
    learnt: Event = parse_event(told.value, told.key, told.headers, NOW_MS)
    streamed = parse_event(of_event.value, of_event.key, of_event.headers, NOW_MS)
    assert streamed._replace(event_id=learnt.event_id) == learnt
    assert streamed.event_id == f"log-{told.number}"
    assert of_event.at_ms == NOW_MS
    ((of_item,), none) = sent(items, log_format, "items")
    told = next(form(log_format).items(File(items)))
    product: Item | None = parse_item(told.value, told.key, told.headers)
    assert parse_item(of_item.value, of_item.key, of_item.headers) == product
    assert product is not None
    assert none == []
    assert b"event_id" not in (of_item.value or b"")


def test_the_projects_own_forms_need_nothing_of_training(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"user_id":"u","timestamp":1600000000,"type":"view","item_id":"i"}\n')
    script = "import sys; from stream.cli import invoke\n"
    script += "for form in 'firstclick', 'common': assert invoke([*sys.argv[1:], '--format', form]) < 2\n"
    script += "print({'torch', 'polars', 'pyarrow', 'pandas'} & set(sys.modules))"
    command = [sys.executable, "-c", script, "replay", str(log), "--to", "events", "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"
