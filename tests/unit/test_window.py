"""Windows by hand-worked examples; the laws are in tests/property/test_window_laws.py."""

import pytest

from model.event import EventError, Kind, Reason
from model.text import Line
from model.window import EMPTY, OWNED, Window

DAY_MS = 86_400_000


def line(at_ms: int, event_id: str, kind: Kind = Kind.CLICK, item_id: str = "i", text: str = "") -> Line:
    return Line(at_ms, event_id, kind, item_id, text, None, None, None, None)


def filled(*lines: Line, most: int = 3, age_ms: int = DAY_MS) -> Window:
    window = EMPTY
    for one in lines:
        window = window.push(one, most, age_ms)
    return window


def event_ids(window: Window) -> str:
    return "".join(one.event_id for one in window.lines)


def test_the_newest_lines_stay_and_all_are_counted() -> None:
    window = filled(line(1, "a"), line(2, "b"), line(3, "c"), line(4, "d"))
    assert event_ids(window) == "bcd"
    assert window.n_events == 4


def test_a_late_line_takes_its_place_and_pushes_out_the_oldest() -> None:
    window = filled(line(10, "a"), line(20, "b"), line(30, "c"), line(25, "d"))
    assert event_ids(window) == "bdc"


def test_a_line_too_late_to_stay_changes_nothing_and_is_not_counted() -> None:
    window = filled(line(10, "a"), line(20, "b"), line(30, "c"))
    assert window.push(line(5, "d"), 3, DAY_MS) is window


def test_lines_of_one_moment_stand_in_order_of_their_ids() -> None:
    assert event_ids(filled(line(1, "b"), line(1, "c"), line(1, "a"))) == "abc"


def test_age_counts_from_the_newest_line_and_its_bound_is_inside() -> None:
    assert event_ids(filled(line(0, "a"), line(1, "b"), line(DAY_MS, "c"))) == "abc"
    assert event_ids(filled(line(0, "a"), line(1, "b"), line(DAY_MS + 1, "c"))) == "bc"


def test_a_late_line_older_than_the_age_is_not_taken() -> None:
    window = filled(line(DAY_MS + 1, "a"))
    assert window.push(line(0, "b"), 3, DAY_MS) is window


def test_a_bought_item_is_remembered_long_after_its_line_left() -> None:
    window = filled(line(1, "a", Kind.PURCHASE, "shoe"), *(line(n, str(n)) for n in range(2, 9)))
    assert window.owned == ((1, "shoe"),)


def test_a_late_purchase_is_remembered_though_its_line_cannot_stay() -> None:
    window = filled(line(10, "a"), line(20, "b"), line(30, "c")).push(line(5, "d", Kind.PURCHASE, "shoe"), 3, DAY_MS)
    assert (event_ids(window), window.owned, window.n_events) == ("abc", ((5, "shoe"),), 3)


@pytest.mark.parametrize("kind", Kind)
def test_what_was_bought_reviewed_returned_or_disliked_is_owned(kind: Kind) -> None:
    owning = kind in (Kind.PURCHASE, Kind.REVIEW, Kind.RETURN, Kind.DISLIKE)
    assert filled(line(1, "a", kind)).owned == (((1, "i"),) if owning else ())
    assert filled(line(1, "a", kind, item_id="")).owned == ()


def test_owned_keeps_each_item_once_at_its_latest_time() -> None:
    one, two = line(1, "a", Kind.PURCHASE, "shoe"), line(2, "b", Kind.PURCHASE, "sock")
    assert filled(one, two, line(3, "c", Kind.RETURN, "shoe")).owned == ((2, "sock"), (3, "shoe"))
    assert filled(line(3, "c", Kind.RETURN, "shoe"), two, one).owned == ((2, "sock"), (3, "shoe"))


def test_owned_forgets_the_oldest_beyond_its_bound() -> None:
    window = filled(*(line(n, f"e{n}", Kind.PURCHASE, f"i{n}") for n in range(OWNED + 1)))
    assert len(window.owned) == OWNED
    assert window.owned[0] == (1, "i1")


def test_a_purchase_older_than_all_that_is_remembered_changes_nothing() -> None:
    window = filled(*(line(n + 9, f"e{n}", Kind.PURCHASE, f"i{n}") for n in range(OWNED)))
    assert window.push(line(1, "late", Kind.PURCHASE, "other"), 3, DAY_MS) is window


def test_the_same_event_again_is_the_same_window() -> None:
    window = filled(line(1, "a"), line(2, "b"))
    assert window.push(line(1, "a"), 3, DAY_MS) is window


@pytest.mark.parametrize(
    "other", [line(1, "a", text="x"), line(9, "a"), line(1, "a", Kind.CART), line(1, "a", item_id="j")]
)
def test_an_event_id_of_other_content_is_refused(other: Line) -> None:
    with pytest.raises(EventError) as caught:
        filled(line(1, "a")).push(other, 3, DAY_MS)
    assert caught.value.reason is Reason.EVENT_ID_REUSED
    assert "'a'" in caught.value.detail


def shown(count: int, first_ms: int = 1) -> list[Line]:
    return [line(first_ms + n, f"shown-{n}", Kind.IMPRESSION, f"i{n}") for n in range(count)]


def remembered(*lines: Line, window: Window = EMPTY) -> Window:
    for one in lines:
        window = window.remember(one, 3, DAY_MS)
    return window


def test_a_page_of_impressions_takes_no_place_of_what_was_done() -> None:
    window = remembered(line(1, "a"), line(2, "b"), line(3, "c"))
    assert remembered(*shown(40, 4), window=window) is window


def test_of_impressions_alone_the_newest_is_held_and_all_count_as_one() -> None:
    window = remembered(*shown(40))
    assert (event_ids(window), window.n_events) == ("shown-39", 1)
    assert remembered(*shown(40), window=window) is window


def test_whatever_is_done_takes_the_place_of_impressions_though_it_was_long_before_them() -> None:
    window = remembered(*shown(40, 2 * DAY_MS), line(1, "a"))
    assert (event_ids(window), window.n_events) == ("a", 1)


def test_windows_of_before_lose_their_impressions_and_nothing_else() -> None:
    old = filled(line(1, "a", Kind.PURCHASE, "shoe"), line(2, "b"), line(3, "c", Kind.IMPRESSION))
    window = remembered(line(4, "d"), window=old)
    assert (event_ids(window), window.n_events, window.owned) == ("abd", 4, ((1, "shoe"),))
    full = filled(line(1, "a", Kind.PURCHASE, "shoe"), *shown(4, 2))
    window = remembered(line(9, "d"), window=full)
    assert (event_ids(window), window.n_events, window.owned) == ("d", 5, ((1, "shoe"),))
