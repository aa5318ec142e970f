"""Windows by replay: what a request holds, worked out again without the window's code."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from model.event import Kind
from model.interest import KINDS
from model.training.examples import DAY_MS, Requests, replay, shuffled_ties, truncated
from model.training.logs.columns import Log
from model.training.splits import leave_one_out, touches
from tests.logs import log_of

MIDNIGHT = 1_699_920_000_000
LINES, AGE_MS = 6, 5 * DAY_MS
OWNING = {Kind.PURCHASE, Kind.REVIEW, Kind.RETURN, Kind.DISLIKE}


def random_log(seed: int, events: int = 400, users: int = 12, step_ms: int = DAY_MS // 4) -> Log:
    """Events of few users at coarse times, so that ties and old lines are common."""
    dice = np.random.default_rng(seed)
    kinds = [kind for kind in Kind if kind is not Kind.SIGNUP]

    def event() -> dict[str, Any]:
        kind = kinds[dice.integers(len(kinds))]
        made = {"user_id": f"u{dice.integers(users)}", "kind": kind, "at": MIDNIGHT + int(dice.integers(80)) * step_ms}
        return made | ({"query": "q"} if kind is Kind.SEARCH else {"item_id": f"i{dice.integers(15)}"})

    return log_of(event() for _ in range(events))


def by_hand(log: Log, target: int, among: np.ndarray[Any, Any]) -> tuple[list[int], set[int], int, bool]:
    """Rows in the window, masked items, events, and whether tied: from the definition, over all of the past."""
    past = [row for row in range(target) if log.user[row] == log.user[target] and among[row]]
    done = [row for row in past if KINDS[log.kind[row]] is not Kind.IMPRESSION]
    past = done or past[-1:]  # Of what was only shown the newest, while there is nothing else.
    window: list[int] = []
    for row in past:  # Old lines leave as newer ones come, and do not come back.
        window = [each for each in [*window, row][-LINES:] if log.at_ms[each] >= log.at_ms[row] - AGE_MS]
    had = {int(log.item[row]) for row in past if KINDS[log.kind[row]] in OWNING}
    had |= {int(log.item[row]) for row in [each for each in window if each in done and log.item[each] >= 0][-1:]}
    tied = bool(past) and log.at_ms[past[-1]] // DAY_MS == log.at_ms[target] // DAY_MS
    return window, had, len(past), bool(tied)


def rows_of(requests: Requests, place: int) -> list[int]:
    return [int(row) for row in requests.rows[place] if row >= 0]


def had_of(requests: Requests, place: int) -> set[int]:
    first, end = requests.had.indptr[place : place + 2]
    return {int(item) for item in requests.had.indices[first:end]}


@pytest.mark.parametrize("seed", range(4))
def test_requests_are_what_the_definition_says(seed: int) -> None:
    log = random_log(seed)
    dice = np.random.default_rng(seed)
    among = dice.random(len(log)) < 0.8
    targets = dice.permutation(np.flatnonzero(touches(log) & (dice.random(len(log)) < 0.5)))
    requests = replay(log, targets, among, LINES, AGE_MS)
    assert requests.rows.shape == (len(targets), LINES)
    assert requests.target_row.tolist() == targets.tolist()
    for place, target in enumerate(targets):
        window, had, n_events, tied = by_hand(log, int(target), among)
        assert rows_of(requests, place) == window
        assert had_of(requests, place) == had
        assert (requests.n_events[place], requests.tied[place]) == (n_events, tied)
        assert requests.target[place] == log.item[target]
        assert requests.user[place] == log.user[target]
        assert requests.at_ms[place] == log.at_ms[target]


def test_no_window_holds_the_future_the_target_or_a_strangers_line() -> None:
    log = random_log(9)
    requests = replay(log, np.flatnonzero(touches(log)), np.ones(len(log), np.bool_), LINES, AGE_MS)
    for place in range(len(requests.target)):
        rows = rows_of(requests, place)
        assert all(row < requests.target_row[place] for row in rows)
        assert all(log.user[row] == requests.user[place] for row in rows)
        assert all(a < b for a, b in pairwise(rows))
        padding = requests.rows[place][len(rows) :]
        assert (padding == -1).all()


def test_a_first_event_is_asked_for_with_an_empty_window() -> None:
    log = log_of([{"user_id": "u", "kind": "click", "item_id": "a", "at": MIDNIGHT}])
    requests = replay(log, np.array([0]), np.ones(1, np.bool_), LINES, AGE_MS)
    assert (rows_of(requests, 0), had_of(requests, 0), requests.n_events[0], requests.tied[0]) == ([], set(), 0, False)
    nobody = replay(log, np.array([], np.int64), np.ones(1, np.bool_), LINES, AGE_MS)
    assert nobody.rows.shape == (0, LINES)


def test_what_was_looked_at_last_is_masked_as_a_list_hides_it_and_what_was_looked_at_before_is_not() -> None:
    """Or baselines would be right to show a visitor the page that is open, which no list does."""
    seen = [("click", "a"), ("click", "b"), ("search", ""), ("impression", "c")]
    told = [
        {"user_id": "u", "kind": kind, "at": MIDNIGHT + place} | ({"item_id": item} if item else {"query": "q"})
        for place, (kind, item) in enumerate(seen)
    ]
    log = log_of([*told, {"user_id": "u", "kind": "click", "item_id": "b", "at": MIDNIGHT + 9}])
    requests = replay(log, np.array([4]), np.ones(len(log), np.bool_), LINES, AGE_MS)
    assert {log.items.ids[item] for item in had_of(requests, 0)} == {"b"}


def test_a_target_without_an_item_is_refused() -> None:
    log = log_of([{"user_id": "u", "kind": "search", "query": "q", "at": MIDNIGHT}])
    with pytest.raises(ValueError, match="names no item"):
        replay(log, np.array([0]), np.ones(1, np.bool_), LINES, AGE_MS)


def test_cut_windows_keep_their_newest_lines_and_their_targets() -> None:
    log = random_log(3)
    requests = replay(log, np.flatnonzero(touches(log)), np.ones(len(log), np.bool_), LINES, AGE_MS)
    each = np.random.default_rng(0).integers(0, LINES + 2, len(requests.target))
    for n in (0, 1, 3, LINES, LINES + 4, each):
        cut = truncated(requests, n)
        for place in range(len(requests.target)):
            most = int(np.broadcast_to(n, len(requests.target))[place])
            rows = rows_of(requests, place)
            assert rows_of(cut, place) == rows[max(len(rows) - most, 0) :]
            assert cut.n_events[place] == min(requests.n_events[place], most)
            assert (cut.rows[place][len(rows_of(cut, place)) :] == -1).all()
        assert cut.target is requests.target
        assert cut.had is requests.had
    assert truncated(requests, 2).rows.shape[1] == 2


def test_some_requests_are_those_requests() -> None:
    log = random_log(5)
    requests = replay(log, np.flatnonzero(touches(log)), np.ones(len(log), np.bool_), LINES, AGE_MS)
    places = np.array([7, 0, 7, 3])
    for chosen in (requests.only(places), requests.only(np.isin(np.arange(len(requests.target)), places))):
        for place in range(len(chosen.target)):
            same = int(np.flatnonzero(requests.target_row == chosen.target_row[place])[0])
            assert rows_of(chosen, place) == rows_of(requests, same)
            assert had_of(chosen, place) == had_of(requests, same)


def told(log: Log, rows: list[int]) -> list[tuple[Any, ...]]:
    """What happened, without when."""
    return [log.line(row)[2:] for row in rows]


def test_shuffled_ties_change_the_order_within_days_and_nothing_else() -> None:
    log = random_log(1, events=600, users=5)
    shuffled = shuffled_ties(log, seed=7)
    np.testing.assert_array_equal(shuffled.at_ms, log.at_ms)
    np.testing.assert_array_equal(shuffled.user, log.user)
    groups: dict[tuple[int, int], list[int]] = {}
    for row in range(len(log)):
        groups.setdefault((int(log.user[row]), int(log.at_ms[row] // DAY_MS)), []).append(row)
    for rows in groups.values():
        assert sorted(map(str, told(shuffled, rows))) == sorted(map(str, told(log, rows)))
    assert sum(told(shuffled, rows) != told(log, rows) for rows in groups.values()) > len(groups) / 2
    again = shuffled_ties(log, seed=7)
    np.testing.assert_array_equal(again.item, shuffled.item)
    assert (shuffled_ties(log, seed=8).item != shuffled.item).any()


def test_targets_stay_the_same_events_and_the_last_of_their_day_when_ties_are_shuffled() -> None:
    log = random_log(2, events=600, users=30)
    before, shuffled = leave_one_out(log), shuffled_ties(log, seed=1)
    after = leave_one_out(shuffled)
    for name in ("valid", "test"):
        old, new = getattr(before, name), getattr(after, name)
        by_user = {int(log.user[row]): log.line(row)[2:] for row in old}
        assert {int(log.user[row]): shuffled.line(row)[2:] for row in new} == by_user
        assert len(new) == len(old)
    for row in after.test:
        day = shuffled.at_ms // DAY_MS == shuffled.at_ms[row] // DAY_MS
        assert row == np.flatnonzero(day & (shuffled.user == shuffled.user[row]))[-1]
    assert after.train.sum() == before.train.sum()


def test_a_valid_event_on_the_tests_day_has_no_place_of_its_own() -> None:
    """Else the order of the source would lead from it to the test event."""
    day = [{"user_id": "u", "kind": "review", "item_id": f"{n}", "at": MIDNIGHT} for n in range(6)]
    log = log_of(day)
    newest_before = {int(shuffled_ties(log, seed).item[4]) for seed in range(60)}
    assert newest_before == {0, 1, 2, 3, 4}
    assert {int(shuffled_ties(log, seed).item[5]) for seed in range(20)} == {5}
