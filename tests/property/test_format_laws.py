"""Laws of the formats: whatever the JSON, events or rejections; a spoiled example is rejected by its field, or good."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.event import EventError
from model.fields import Fields
from model.foreign import Draft, NoBehaviour
from model.formats import NAMES, adapter
from model.reading import parts, reader, reading
from model.rejection import Reason
from stream.loglines import LineError, Record, records
from tests.contract.test_schemas import EVENT
from tests.formats import EXAMPLE_NAMES, EXAMPLES, RECORD_ID, Example
from tests.property.strategies import json_values, odd_values

Path = tuple[str | int, ...]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The places of all values in a JSON value, but for the whole."""
    children: Any = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for name, child in children:
        yield (*path, name)
        yield from paths(child, (*path, name))


KEYS = {
    name: sorted({str(key) for e in EXAMPLES if e.form == name for p in paths(e.fields) for key in p}) for name in NAMES
}
LEAVES = {name: [v for e in EXAMPLES if e.form == name for v in e.fields.values()] for name in NAMES}


def of_the_format(name: str) -> st.SearchStrategy[Fields]:
    """Objects of the format's own names, with values of its own and of any other kind."""
    values = st.sampled_from(LEAVES[name]) | odd_values | json_values
    inner = st.dictionaries(st.sampled_from(KEYS[name]), values, max_size=5)
    return st.dictionaries(
        st.sampled_from(KEYS[name]), values | inner | st.lists(inner | values, max_size=3), max_size=8
    )


def check_reading(name: str, fields: Fields) -> None:
    found = reading(adapter(name), fields, RECORD_ID)
    for fault in found.faults:
        assert fault.field
        assert fault.detail.startswith(fault.field)
    for event in found.events:
        assert event.event_id
        assert event.user_id


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
def test_any_json_ends_in_events_and_rejections(name: str, data: st.DataObject) -> None:
    fields = data.draw(of_the_format(name) | st.dictionaries(st.text(max_size=3), json_values, max_size=3))
    check_reading(name, fields)
    for subject in ("events", "items"):
        for sent in records(orjson.dumps(fields), 1, form=name, subject=subject, name="log"):
            assert isinstance(sent, Record | LineError | NoBehaviour)


@pytest.mark.parametrize("name", NAMES)
@given(st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=4))
def test_any_bytes_end_in_events_and_rejections(name: str, value: bytes | None, key: bytes | None) -> None:
    found = reader(name)(value, key, None, 0)
    assert found.events or found.faults or found.passed_over


def spoil(example: Example, data: st.DataObject) -> tuple[Fields, Path]:
    """The example with one value dropped or exchanged, and where."""
    fields = example.fields
    path = data.draw(st.sampled_from(sorted(paths(fields), key=str)))
    holder: Any = fields
    for name in path[:-1]:
        holder = holder[name]
    if isinstance(path[-1], str) and data.draw(st.booleans()):
        del holder[path[-1]]
    else:
        holder[path[-1]] = data.draw(odd_values | json_values)
    return fields, path


BEHAVIOURS = {"event", "event_name", "name", "type", "eventType", "EVENT_TYPE", "event_type", "action_name", "kind"}
"""Fields that name a behaviour: under another name, others are needed."""


def about(fault: EventError, path: Path) -> bool:
    """Whether a rejection names the field at this place (its version may be left out), or the one that holds it."""
    if path[-1] in BEHAVIOURS and fault.reason is Reason.FIELD_MISSING:
        return True
    words = filter(None, re.split(r"[.\[ ]", fault.field))
    return any(str(path[0]).startswith(word) for word in words)


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
def test_a_spoiled_example_is_rejected_by_the_fields_name_or_still_good(name: str, data: st.DataObject) -> None:
    example = data.draw(st.sampled_from([one for one in EXAMPLES if one.form == name and one.events]))
    fields, path = spoil(example, data)
    for fault in reading(adapter(name), fields, RECORD_ID).faults:
        assert about(fault, path), (path, fault)
    try:
        found = list(parts(adapter(name), fields, RECORD_ID))
    except NoBehaviour:
        return
    for part in found:
        if isinstance(part, Draft):
            try:
                part.event()
            except EventError:
                continue
            EVENT.validate(part.fields)


@pytest.mark.parametrize("case", [str.upper, str.title, str.swapcase])
@pytest.mark.parametrize("example", EXAMPLES, ids=EXAMPLE_NAMES)
def test_a_behaviour_in_another_case_is_the_same_or_none_of_the_formats(
    example: Example, case: Callable[[str], str]
) -> None:
    fields = example.fields
    for path in list(paths(fields)):
        holder: Any = fields
        for name in path[:-1]:
            holder = holder[name]
        if path[-1] in BEHAVIOURS and isinstance(holder[path[-1]], str):
            holder[path[-1]] = case(holder[path[-1]])
    found = reading(adapter(example.form), fields, RECORD_ID)
    if example.form != "firstclick" and example.form != "common":
        assert not found.faults
    assert len(found.events) in (0, len(example.events)) or len(example.events) > 1


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
def test_one_bad_part_takes_no_other_with_it(name: str, data: st.DataObject) -> None:
    several = [one for one in EXAMPLES if one.form == name and len(one.events) > 1]
    if not several:
        return
    example = data.draw(st.sampled_from(several))
    whole = reading(adapter(name), example.fields, RECORD_ID)
    place = data.draw(st.integers(0, len(whole.events) - 1))
    shape = adapter(name)

    class Spoiled:
        @staticmethod
        def split(record: Any) -> Any:
            return shape.split(record)

        @staticmethod
        def event(part: Any) -> Draft:
            draft = shape.event(part)
            if next(count) == place:
                draft.fields["user_id"] = None
            return draft

    count = iter(range(1000))
    found = reading(Spoiled(), example.fields, RECORD_ID)
    assert len(found.faults) == 1
    assert list(found.events) == [event for at, event in enumerate(whole.events) if at != place]
