"""What goes together, as it happens: held against loops, and against the counts of training."""

import numpy as np
import pytest

from model.catalogue import Catalogue
from model.event import Kind
from model.item_tower import AsTheyAre
from model.live_index import UNSORTED, LiveIndex
from model.live_pairs import HALF_LIFE_MS, KEPT, NOBODY, REACH, Before, add, step
from model.text import Line
from tests.shop import AT, shelved


def lines(*told: str) -> list[Line]:
    """Clicks on these items, one a second; "search" and "bought x" are other kinds."""
    made = []
    for n, item_id in enumerate(told):
        kind = Kind.SEARCH if item_id == "search" else Kind.PURCHASE if item_id.startswith("bought ") else Kind.CLICK
        item_id = "" if kind == Kind.SEARCH else item_id.removeprefix("bought ")
        made.append(Line(AT + 1000 * n, f"e{n}", kind, item_id, "", None, None, None, None))
    return made


@pytest.mark.parametrize(
    ("window", "near"),
    [
        (["a"], {}),
        (["a", "b"], {"a": 1.0}),
        (["a", "b", "search", "c"], {"b": 1.0, "a": 0.5}),
        (["a", "b", "bought b"], None),
        (["a", "b", "b", "c"], {"b": 1.0, "a": 0.5}),
        (["a", "b", "a"], {"b": 1.0}),
        (["a", "b", "a", "c"], {"a": 1.0 + 1 / 3, "b": 0.5}),
        (["a", "search"], None),
    ],
)
def test_a_step_is_near_to_what_came_before_it(window: list[str], near: dict[str, float] | None) -> None:
    told = lines(*window)
    assert step(told, told[-1]) == (None if near is None else pytest.approx(near))


def test_a_step_looks_no_further_back_than_its_reach() -> None:
    told = lines(*map(str, range(REACH + 3)))
    assert list(step(told, told[-1]) or {}) == [str(n) for n in range(REACH + 1, 1, -1)]


def test_a_line_that_the_window_has_let_go_of_is_no_step() -> None:
    told = lines("a", "b", "c")
    assert step(told[1:], told[0]) is None


def test_a_late_line_finds_what_lies_before_it() -> None:
    told = lines("a", "b", "c")
    assert step(told, told[1]) == {"a": 1.0}


def test_steps_add_up_and_halve_with_time() -> None:
    known = add(add(NOBODY, {"a": 1.0, "b": 0.5}, 2, AT), {"a": 1.0}, 1, AT + HALF_LIFE_MS)
    assert known == Before({"a": 1.5, "b": 0.25}, 2.0, AT + HALF_LIFE_MS)


def test_steps_that_come_late_count_as_much_as_they_would_have_then() -> None:
    in_order = add(add(NOBODY, {"a": 1.0}, 1, AT), {"b": 1.0}, 1, AT + HALF_LIFE_MS)
    assert add(add(NOBODY, {"b": 1.0}, 1, AT + HALF_LIFE_MS), {"a": 1.0}, 1, AT) == in_order


def test_the_heaviest_are_kept() -> None:
    known = add(NOBODY, {f"i{n:02d}": float(n + 1) for n in range(KEPT + 5)}, 5, AT)
    assert sorted(known.weights) == [f"i{n:02d}" for n in range(5, KEPT + 5)]


def test_nothing_added_changes_nothing() -> None:
    known = Before({"a": 1.0}, 1.0, AT)
    assert add(known, {}, 0, AT + HALF_LIFE_MS) is known


ITEMS = 400


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [ITEMS, 2 * UNSORTED])
def test_pairs_are_found_from_both_ends_whatever_was_sorted_when(seed: int, size: int) -> None:
    dice, index = np.random.default_rng(seed), LiveIndex(1)
    index.grow(size + 1)
    records: dict[int, dict[str, float]] = {}
    rows = {f"i{row}": row for row in range(1, size + 1)}
    for _ in range(3):  # Some records change again after they have been sorted in.
        for name, row in rows.items():
            if row in records and dice.random() < 0.7:
                continue
            others = dice.choice(size, 5, replace=False) + 1
            records[row] = {f"i{other}": float(dice.integers(1, 9)) for other in others if other != row}
            index.put(row, name, Before(records[row], float(row), AT))
        index.after(np.array([index.number("i1")]))
    for row in dice.choice(size, 20, replace=False) + 1:
        index.remove(int(row), f"i{row}")
        del records[int(row)], rows[f"i{row}"]
    numbers = np.array([index.number(name) for name in ("i3", "i7", "i3", "never", "i12")])
    assert numbers[3] == -1
    asked = ["i3", "i7", "i3", "never", "i12"]
    after, before = index.after(numbers), index.before(numbers)
    expected = {(n, row, told[name]) for n, name in enumerate(asked) for row, told in records.items() if name in told}
    assert set(zip(*(part.tolist() for part in after), strict=True)) == expected
    assert len(after.rows) == len(expected)
    expected = {
        (n, rows[other], weight)
        for n, name in enumerate(asked)
        for other, weight in records.get(rows.get(name, -1), {}).items()
        if other in rows
    }
    assert set(zip(*(part.tolist() for part in before), strict=True)) == expected
    since = np.full(len(numbers), AT - 1)
    assert index.steps(numbers, since).tolist() == [rows.get(name, 0) for name in asked]
    assert not index.steps(numbers, since + 1).any()


def test_an_item_that_comes_back_has_its_pairs_again() -> None:
    index = LiveIndex(4)
    index.put(1, "a", NOBODY)
    index.put(2, "b", Before({"a": 2.0}, 3.0, AT))
    index.remove(1, "a")
    assert len(index.before(np.array([index.number("b")])).rows) == 0
    index.put(3, "a", NOBODY)
    assert index.before(np.array([index.number("b")])).rows.tolist() == [3]
    assert index.after(np.array([index.number("a")])).rows.tolist() == [2]


def test_a_row_that_another_item_takes_keeps_nothing() -> None:
    catalogue = Catalogue(AsTheyAre(2))
    catalogue.apply([("a", shelved("a", [1, 0])), ("b", shelved("b", [0, 1], before=Before({"a": 1.0}, 1.0, AT)))])
    row = catalogue.row("b")
    catalogue.apply([("b", None)])
    catalogue.apply([("c", shelved("c", [0, 1]))])
    assert catalogue.row("c") == row
    assert len(catalogue.live.after(np.array([catalogue.live.number("a")])).rows) == 0
