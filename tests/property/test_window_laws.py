"""Laws of step 3, held against a window that keeps everything and is cut at the end."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.event import EventError, Kind, Reason
from model.text import Line
from model.window import EMPTY, OWNED, Window
from tests.property.strategies import lines

bounds = st.tuples(st.integers(1, 8), st.integers(0, 40))
"""Most lines, longest age."""


def pushed(all_lines: Sequence[Line], most: int, age_ms: int, window: Window = EMPTY) -> Window:
    for line in all_lines:
        window = window.push(line, most, age_ms)
    return window


def cut(all_lines: Sequence[Line], most: int, age_ms: int) -> tuple[Line, ...]:
    """The reference: sort, drop the old, keep the newest."""
    newest_ms = max((line.at_ms for line in all_lines), default=0)
    young = [line for line in all_lines if line.at_ms >= newest_ms - age_ms]
    return tuple(sorted(young, key=lambda line: (line.at_ms, line.event_id))[-most:])


def had(all_lines: Sequence[Line], most: int) -> tuple[tuple[int, str], ...]:
    """The reference of `owned`: each item's latest time, the newest `most` of them."""
    latest: dict[str, int] = {}
    for line in all_lines:
        if line.item_id and line.kind in (Kind.PURCHASE, Kind.REVIEW, Kind.RETURN, Kind.DISLIKE):
            latest[line.item_id] = max(line.at_ms, latest.get(line.item_id, line.at_ms))
    return tuple(sorted((at_ms, item_id) for item_id, at_ms in latest.items())[-most:])


@given(lines(), bounds)
def test_a_window_is_the_newest_lines_and_what_was_had(all_lines: list[Line], bound: tuple[int, int]) -> None:
    window = pushed(all_lines, *bound)
    assert window.lines == cut(all_lines, *bound)
    assert window.owned == had(all_lines, OWNED)
    assert len(window.lines) <= window.n_events <= len(all_lines)


def remembered(all_lines: Sequence[Line], most: int, age_ms: int) -> Window:
    window = EMPTY
    for line in all_lines:
        window = window.remember(line, most, age_ms)
    return window


def done(all_lines: Sequence[Line]) -> list[Line]:
    return [line for line in all_lines if line.kind is not Kind.IMPRESSION]


@given(lines(), bounds)
def test_what_was_only_shown_is_remembered_by_its_newest_while_nothing_else_is(
    all_lines: list[Line], bound: tuple[int, int]
) -> None:
    window = remembered(all_lines, *bound)
    told = done(all_lines)
    assert window.lines == (cut(told, *bound) if told else cut(all_lines, 1, 0))
    assert window.owned == had(all_lines, OWNED)
    assert window.n_events == (pushed(told, *bound).n_events if told else min(len(all_lines), 1))


@given(lines(), bounds, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter_with_impressions_among_them(
    all_lines: list[Line], bound: tuple[int, int], random: Random
) -> None:
    other = list(all_lines)
    random.shuffle(other)
    assert remembered(other, *bound)[:2] == remembered(all_lines, *bound)[:2]


@given(lines(), bounds, st.data())
def test_a_repeated_line_changes_nothing_with_impressions_among_them(
    all_lines: list[Line], bound: tuple[int, int], data: st.DataObject
) -> None:
    window = remembered(all_lines, *bound)
    for line in data.draw(st.permutations(all_lines)):
        assert window.remember(line, *bound) is window


@given(lines(), bounds)
def test_a_windows_count_never_goes_back(all_lines: list[Line], bound: tuple[int, int]) -> None:
    counts = [remembered(all_lines[:count], *bound).n_events for count in range(len(all_lines) + 1)]
    assert counts == sorted(counts)


@given(lines(), bounds, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(all_lines: list[Line], bound: tuple[int, int], random: Random) -> None:
    other = list(all_lines)
    random.shuffle(other)
    assert pushed(other, *bound)[:2] == pushed(all_lines, *bound)[:2]


@given(lines(), bounds, st.data())
def test_a_repeated_line_changes_nothing(all_lines: list[Line], bound: tuple[int, int], data: st.DataObject) -> None:
    window = pushed(all_lines, *bound)
    for line in data.draw(st.permutations(all_lines)):
        assert window.push(line, *bound) is window


@given(lines(), st.integers(0, 12))
def test_every_distinct_line_is_counted_once_while_all_fit(all_lines: list[Line], again: int) -> None:
    assert pushed([*all_lines, *all_lines[:again]], 100, 1000).n_events == len(all_lines)


@given(lines(), bounds)
def test_in_order_of_time_every_line_is_counted_even_after_it_left(
    all_lines: list[Line], bound: tuple[int, int]
) -> None:
    in_order = sorted(all_lines, key=lambda line: (line.at_ms, line.event_id))
    assert pushed(in_order, *bound).n_events == len(all_lines)


@given(lines(), bounds, st.data())
def test_a_used_event_id_is_refused_and_the_first_line_stays(
    all_lines: list[Line], bound: tuple[int, int], data: st.DataObject
) -> None:
    window = pushed(all_lines, *bound)
    for held in window.lines:
        other = held._replace(text="other", at_ms=data.draw(st.integers(0, 60)))
        with pytest.raises(EventError) as caught:
            window.push(other, *bound)
        assert caught.value.reason is Reason.EVENT_ID_REUSED


@given(st.randoms(use_true_random=False), st.integers(OWNED - 2, OWNED + 20))
def test_owned_is_bounded_and_free_of_order_at_its_bound(random: Random, count: int) -> None:
    bought = [
        Line(random.randrange(100), f"e{n}", Kind.PURCHASE, f"i{random.randrange(count)}", "", None, None, None, None)
        for n in range(count * 2)
    ]
    window = pushed(bought, 5, 100)
    assert window.owned == had(bought, OWNED)
    assert pushed(sorted(bought), 5, 100).owned == window.owned
