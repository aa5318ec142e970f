"""Step 3 for records of other formats: all events of a record are applied, or none; what is wrong with one is told."""

from typing import Any

import orjson
import pytest

from model.event import Reason
from model.window import Window
from stream.messages import read_window_record
from tests.records import NOW_MS, FakeRecord, batch, event
from tests.unit.test_windows import World, reasons, shown

ITEMS = [{"item_id": f"i-{place}", "item_name": f"Boots {place}", "price": 10.0 + place} for place in range(5)]


def ga4(offset: int, name: str = "purchase", user: str = "u", **fields: Any) -> FakeRecord:
    """A GA4 row of five items, keyed by its user."""
    row = {"event_name": name, "event_timestamp": (NOW_MS + offset) * 1000, "user_pseudo_id": user, "items": ITEMS}
    return FakeRecord("clicks", 0, offset, user.encode(), orjson.dumps(row | fields), NOW_MS + offset)


def window_of(world: World) -> Window:
    """The user's window as the changelog has it last."""
    value = world.changelog[-1][1][1]
    assert value is not None
    return read_window_record(value)[1]


def world(lines: int = 10) -> World:
    return World(lines=lines, form="ga4", now_ms=NOW_MS + 1000)


def test_a_purchase_of_five_items_is_five_lines_in_the_orders_order_and_one_changelog_record() -> None:
    ours = world()
    taken = ours.run(batch(ga4(7)))
    assert len(ours.changelog) == 1
    lines = window_of(ours).lines
    assert [(line.item_id, line.price, line.text) for line in lines] == [
        (f"i-{place}", 10.0 + place, f"Boots {place}") for place in range(5)
    ]
    assert [line.item_id for line in taken.accepted] == [f"i-{place}" for place in range(5)]
    assert taken.texts == 5
    held, trigger = taken.changed[0, "u"]
    assert held.offsets == {"clicks": 7}
    assert held.window.n_events == 5
    assert trigger == (lines[-1].event_id, "clicks", 0, 7)


def test_a_record_that_is_read_again_changes_nothing_and_a_dead_worker_s_list_names_the_same_event() -> None:
    old, new = world(), world()
    first = old.run(batch(ga4(7)))
    new.changelog = old.changelog
    taken = new.run(batch(ga4(7)))
    assert (len(taken.repeated), taken.accepted) == (5, [])
    assert taken.changed[0, "u"][1] == first.changed[0, "u"][1]
    assert window_of(new) == first.changed[0, "u"][0].window


def test_a_record_that_was_sent_twice_is_in_its_window_once() -> None:
    ours = world()
    again = ga4(7)
    again._offset = 8
    taken = ours.run(batch(ga4(7), again))
    assert (len(taken.repeated), len(window_of(ours).lines), taken.rejected) == (5, 5, [])


def test_of_more_events_than_a_window_has_lines_the_last_stay() -> None:
    ours = world(lines=3)
    ours.run(batch(ga4(7)))
    assert [line.item_id for line in window_of(ours).lines] == ["i-2", "i-3", "i-4"]
    assert window_of(ours).n_events == 5


def test_a_bad_part_is_rejected_once_for_the_record_and_counted_and_the_rest_goes_through() -> None:
    items = [{**ITEMS[0], "price": "dear"}, ITEMS[1], {"item_name": "no id"}, "no object", ITEMS[4]]
    ours = world()
    record = ga4(7, items=items)
    taken = ours.run(batch(record))
    assert [line.item_id for line in window_of(ours).lines] == ["i-1", "i-4"]
    assert taken.refused == {"field_invalid": 2, "field_missing": 1}
    (rejection,) = taken.rejected
    headers = dict(rejection.headers)
    assert rejection.value == record.value()
    assert headers["reason"] == b"field_invalid"
    assert headers["detail"] == b"items[0].price is 'dear'; send a number; 2 more parts of this record are rejected"


def test_a_bug_in_the_middle_of_a_record_applies_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = world()
    ours.run(batch(ga4(1, "view_item", items=ITEMS[:1])))
    before = window_of(ours)
    push, calls = Window.push, iter(range(100))

    def stumbles(self: Window, *more: Any) -> Window:
        if next(calls) == 3:
            raise ZeroDivisionError
        return push(self, *more)

    monkeypatch.setattr(Window, "push", stumbles)
    taken = ours.run(batch(ga4(7)))
    assert reasons(taken.rejected) == [Reason.BUG]
    assert (taken.accepted, taken.changed, taken.repeated) == ([], {}, [])
    assert window_of(ours) == before


def test_what_is_no_behaviour_is_passed_over_and_counted() -> None:
    taken = world().run(batch(ga4(7, "page_view"), ga4(8, "view_item")))
    assert (taken.passed_over, taken.rejected, len(taken.accepted)) == (1, [], 5)


def test_the_id_that_the_record_is_keyed_by_is_the_users() -> None:
    taken = world().run(batch(ga4(7, user="browser-1", user_id="customer-9")))
    assert list(taken.changed) == [(0, "browser-1")]
    other = ga4(8, user="browser-1", user_pseudo_id="browser-2", user_id="customer-9")
    assert reasons(world().run(batch(other)).rejected) == ["key_mismatch"]


def test_an_event_without_a_time_of_its_own_happened_when_it_arrived() -> None:
    request = {"client_id": "u", "events": [{"name": "add_to_cart", "params": {"items": ITEMS[:1]}}]}
    taken = world().run(batch(FakeRecord("clicks", 0, 3, b"u", orjson.dumps(request), NOW_MS)))
    assert [(line.at_ms, line.item_id) for line in taken.accepted] == [(NOW_MS, "i-0")]


def test_topics_of_several_formats_end_in_one_window() -> None:
    ours = world()
    ours.run(batch(ga4(7)), batch(event(2, topic="reviews", kind="review", rating=5, at=NOW_MS)))
    assert "reviews@2" in shown(ours.run(batch(event(3, topic="reviews"))))["u"]
    assert len(window_of(ours).lines) == 7


def test_a_page_view_of_many_products_leaves_the_window_of_who_has_done_something_as_it_was() -> None:
    ours = world(lines=3)
    ours.run(batch(ga4(1), ga4(2, "view_item", items=ITEMS[:1])))
    before = window_of(ours)
    taken = ours.run(batch(ga4(3, "view_item_list")))
    assert (taken.changed, taken.repeated, list(taken.records()), taken.texts) == ({}, [], [], 0)
    assert [(line.kind, line.item_id) for line in taken.accepted] == [
        ("impression", f"i-{place}") for place in range(5)
    ]
    assert window_of(ours) == before


def test_who_was_only_shown_something_has_a_window_until_the_first_act() -> None:
    ours = world()
    taken = ours.run(batch(ga4(1, "view_item_list")))
    assert [(line.kind, line.item_id) for line in window_of(ours).lines] == [("impression", "i-4")]
    assert (len(taken.accepted), taken.newcomers) == (5, {(0, "u")})
    again = ours.run(batch(ga4(1, "view_item_list")))
    assert (len(again.repeated), again.accepted, again.newcomers) == (5, [], set())
    taken = ours.run(batch(ga4(2, "select_item", items=ITEMS[:1])))
    assert [(line.kind, line.item_id) for line in window_of(ours).lines] == [("click", "i-0")]
    assert (window_of(ours).n_events, taken.newcomers) == (1, set())
