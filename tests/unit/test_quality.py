"""What a log is worth: each count on a log where one can count by hand, each sentence where it must be said."""

import io
from typing import Any

import orjson
import pytest
from rich.console import Console

from model.training.logs.columns import Log
from model.training.quality import DAY_MS, Quality, quality, script
from model.training.quality_report import as_json, as_table, meanings
from model.training.splits import leave_one_out
from tests.logs import log_of

MIDNIGHT = 1_699_920_000_000


def event(user: str, item: str, at_ms: int = 0, **told: Any) -> dict[str, Any]:
    return {"user_id": user, "kind": "click", "item_id": item, "at": MIDNIGHT + at_ms} | told


def said(told: Quality, words: str) -> list[str]:
    return [meaning for meaning in meanings(told) if words in meaning]


def test_events_users_and_items_are_counted() -> None:
    log = log_of(
        [
            event("u", "a"),
            event("u", "b", 1, kind="review", rating=4, text="good"),
            event("v", "a", 2, kind="purchase", price=3),
            event("v", "a", 2, kind="purchase", price=3),
            event("v", "x", 3, kind="search", query="q", item_id=None),
            event("w", "a", 4, kind="stare"),
        ],
        [{"item_id": "z", "title": "Z"}],
    )
    told = quality(log)
    assert (told.events, told.users, told.items) == (5, 2, 3)
    assert told.kinds == {"click": 1, "search": 1, "purchase": 2, "review": 1}
    assert (told.with_text, told.with_rating, told.with_price) == (2, 1, 2)
    assert (told.first_ms, told.last_ms) == (MIDNIGHT, MIDNIGHT + 3)
    assert told.duplicates == 1
    assert told.rejected == {"kind_unknown": 1}
    assert told.users_by_events == {"0": 0, "1": 0, "2": 1, "3": 1, "4-5": 0, "6+": 0}
    assert told.items_by_events == {"0": 1, "1": 1, "2": 0, "3": 1, "4-5": 0, "6+": 0}
    assert told.leaks is None
    assert said(told, "events:6: kind is 'stare'")


def test_ties_are_counted_by_stamp_and_by_day_and_by_the_order_of_ids() -> None:
    log = log_of(
        [
            event("u", "b"),
            event("u", "a"),  # same stamp, descends
            event("u", "c", 5),  # same day, ascends
            event("u", "c", 6),  # the same item: no step
            event("u", "d", DAY_MS),  # another day
            event("u", "", DAY_MS, kind="search", query="q", item_id=None),
            event("u", "e", DAY_MS),  # same stamp, ascends; the search between names no item
            event("v", "z", DAY_MS),  # another user
        ]
    )
    ties = quality(log).ties
    assert (ties.steps, ties.same_stamp, ties.same_stamp_ascending) == (4, 2, 1)
    assert (ties.same_day, ties.same_day_ascending) == (3, 2)


def walks(order: str, users: int = 30) -> Log:
    """Users with four items of one day each, in the order told, and one on the day before."""
    return log_of(
        event(f"u{user}", item, 0 if place == 0 else DAY_MS)
        for user in range(users)
        for place, item in enumerate(f"m{order}")
    )


def test_a_sorted_source_is_told_first_and_one_that_is_not_is_not() -> None:
    for order, leaks in (("abcd", True), ("adcb", False)):
        log = walks(order)
        told = quality(log, leave_one_out(log))
        assert bool(said(told, "the source sorted them")) == leaks
        if leaks:
            assert "100.0 % of cases" in meanings(told)[0]


def test_leaks_of_a_split() -> None:
    log = log_of(
        [
            event("u", "a", 0, split=0),
            event("u", "b", 1 * DAY_MS, split=0),
            event("u", "c", 2 * DAY_MS, split=1),
            event("u", "a", 3 * DAY_MS, split=2),  # known
            event("v", "c", 4 * DAY_MS, split=0),
            event("v", "z", 4 * DAY_MS + 1, split=2),  # unseen, tied, ascending
            event("w", "b", 5 * DAY_MS, split=2),  # train comes after it
            event("w", "a", 6 * DAY_MS, split=0),
        ]
    )
    told = quality(log, leave_one_out(log))
    leaks = told.leaks
    assert leaks is not None
    assert (leaks.train, leaks.valid, leaks.test) == (4, 1, 3)
    assert (leaks.known, leaks.unseen, leaks.not_after) == (1, 1, 1)
    assert (leaks.tied, leaks.tied_ascending) == (1, 1)
    assert leaks.later_train == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3, abs=1e-4)
    for words in ("the future is learned", "touched by their user before", "no event of", "day of the event before"):
        assert said(told, words), words


def test_titles_by_script_missing_and_alike() -> None:
    titles = {"a": "Boots", "b": "boots ", "c": "", "d": "蓝牙耳机 X1", "e": "Ботинки", "f": "42"}
    items = [{"item_id": name, "title": title, "category": "Shoes"} for name, title in titles.items()]
    told = quality(log_of([event("u", "a"), event("u", "g")], items))
    assert (told.titles.items, told.titles.missing, told.titles.alike) == (7, 2, 2)
    assert told.titles.scripts == {"latin": 2, "cjk": 1, "cyrillic": 1, "none": 1}
    assert said(told, "cjk 20.0 %, cyrillic 20.0 %")
    assert said(told, "have the title of another")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Straße", "latin"),
        ("カメラ", "katakana"),
        ("حذاء", "arabic"),
        ("รองเท้า", "thai"),
        ("신발", "hangul"),
        ("—", "none"),
    ],
)
def test_the_script_of_a_text(text: str, name: str) -> None:
    assert script(text) == name


def test_a_report_is_a_table_and_a_line() -> None:
    log = walks("abcd")
    told = quality(log, leave_one_out(log))
    console = Console(width=200, file=io.StringIO())
    with console.capture() as shown_by:
        console.print(as_table(told))
    shown = shown_by.get()
    assert "90 of 120 steps; items ascend in 100.0 %" in shown
    assert "- Events of one user and day stand in the order of item ids" in shown
    line = orjson.loads(as_json(told))
    assert line["ties"]["same_day"] == 90
    assert line["meanings"] == meanings(told)
