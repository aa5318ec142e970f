"""Every format's golden examples: what the record is in the contract, and that the contract's schema takes it."""

import re
from typing import Any

import orjson
import pytest

from model.event import parse_event
from model.foreign import Draft, NoBehaviour
from model.formats import NAMES, adapter
from model.reading import Reading, parts, reader
from model.rejection import EventError, Reason
from stream.loglines import Record, records
from stream.options import LOG_FORMATS
from tests.contract.test_schemas import EVENT, ITEM
from tests.formats import EXAMPLE_NAMES, EXAMPLES, FOLDER, RECORD_ID, Example

examples = pytest.mark.parametrize("example", EXAMPLES, ids=EXAMPLE_NAMES)


def test_every_format_has_examples_and_cites_its_specification() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == list(NAMES)
    for name in NAMES:
        told = [example for example in EXAMPLES if example.form == name]
        assert any(example.events for example in told), name
        if name not in LOG_FORMATS:
            assert re.search("https://", adapter(name).__doc__ or ""), name


@examples
def test_an_example_is_these_events(example: Example) -> None:
    found: list[Draft | EventError] = []
    passed_over = ""
    try:
        found += parts(adapter(example.form), example.fields, RECORD_ID)
    except NoBehaviour as nothing:
        passed_over = nothing.name
    assert passed_over == example.passed_over
    assert [part.fields if isinstance(part, Draft) else part for part in found] == example.events


@examples
def test_the_contracts_schema_and_parser_take_its_events(example: Example) -> None:
    for fields in example.events:
        EVENT.validate(fields)
        parse_event(orjson.dumps(fields), fields["user_id"].encode(), None, 0)
    if example.item is not None:
        ITEM.validate(example.item)


@examples
def test_a_worker_reads_what_a_replay_sends(example: Example) -> None:
    if example.form == "firstclick":  # Sent byte for byte.
        return
    key = example.events[0]["user_id"].encode() if example.events else b"u"
    live = reader(example.form)(example.value, key, None, 0)
    line: Any = example.fields if isinstance(example.record, str) else example.value
    sent = [one for one in records(line, 1, form=example.form, subject="events", name="log") if isinstance(one, Record)]
    replayed = [parse_event(record.value, record.key, record.headers, 0) for record in sent]
    ours = [event._replace(event_id="") for event in live.events]
    assert ours == [event._replace(event_id="") for event in replayed]
    assert len(live.events) == len(example.events)
    assert live.passed_over == example.passed_over
    assert not live.faults


@examples
def test_ids_are_the_same_at_every_reading_differ_within_a_record_and_sort_as_it_does(example: Example) -> None:
    read = reader(example.form)
    key = example.events[0]["user_id"].encode() if example.events else b"u"
    once, again = (read(example.value, key, None, 0) for _ in range(2))
    ids = [event.event_id for event in once.events]
    assert ids == [event.event_id for event in again.events]
    assert len(set(ids)) == len(ids)
    if len({event.at_ms for event in once.events}) == 1:
        assert ids == sorted(ids)


@examples
def test_products_that_ride_along_are_upserts_of_a_replay(example: Example) -> None:
    if example.form in ("firstclick", "common"):
        return
    line: Any = example.fields if isinstance(example.record, str) else example.value
    sent = list(records(line, 1, form=example.form, subject="items", name="log"))
    upserts = [orjson.loads(record.value or b"") for record in sent if isinstance(record, Record)]
    told = [{"item_id": fields["item_id"], **fields["item"]} for fields in example.events if "item" in fields]
    assert upserts == ([example.item] if example.item is not None else told)
    for upsert in upserts:
        ITEM.validate(upsert)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "firstclick"])
def test_a_record_of_another_user_than_its_key_a_tombstone_and_no_json_are_rejected(name: str) -> None:
    value = next(example.value for example in EXAMPLES if example.form == name and example.events)

    def reasons(value: bytes | None, key: bytes | None) -> set[Reason]:
        found: Reading = reader(name)(value, key, None, 0)
        assert not found.events
        return {fault.reason for fault in found.faults}

    assert reasons(value, b"somebody else") == {Reason.KEY_MISMATCH}
    assert reasons(value, None) == {Reason.KEY_MISSING}
    assert reasons(None, b"u") == {Reason.TOMBSTONE}
    assert reasons(b"{", b"u") == {Reason.NOT_JSON}
    assert reasons(b"[]", b"u") <= {Reason.NOT_AN_OBJECT}
