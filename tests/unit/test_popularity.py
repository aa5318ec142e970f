"""Decayed counts: merging has laws, and two counts compare without a clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.event import Kind
from model.popularity import WEIGHTS, add_counts, level, popularity
from tests.shop import AT

DAY = 86_400_000
counts = st.dictionaries(
    st.sampled_from(["click", "purchase"]),
    st.tuples(st.floats(0, 1e6), st.integers(AT, AT + 90 * DAY)),
)


def test_a_count_halves_in_a_half_life() -> None:
    told = add_counts({"click": (8.0, AT)}, {"click": (1.0, AT + 2 * DAY)}, DAY)
    assert told == {"click": (3.0, AT + 2 * DAY)}


def test_a_late_event_counts_as_much_as_if_it_had_been_in_time() -> None:
    late = add_counts({"click": (3.0, AT + DAY)}, {"click": (4.0, AT)}, DAY)
    assert late == {"click": (5.0, AT + DAY)}


def test_what_is_merged_is_left_as_it_was() -> None:
    before = {"click": (8.0, AT)}
    add_counts(before, {"click": (1.0, AT), "cart": (1.0, AT)}, DAY)
    assert before == {"click": (8.0, AT)}


@given(counts, counts, counts)
def test_the_order_of_merging_does_not_matter(
    a: dict[str, tuple[float, int]], b: dict[str, tuple[float, int]], c: dict[str, tuple[float, int]]
) -> None:
    one = add_counts(add_counts(a, b, DAY), c, DAY)
    other = add_counts(add_counts(c, b, DAY), a, DAY)
    assert one.keys() == other.keys()
    for kind, (value, at_ms) in one.items():
        assert other[kind] == (pytest.approx(value, rel=1e-9), at_ms)


@given(counts)
def test_a_level_tells_the_weighted_count_at_any_time(told: dict[str, tuple[float, int]]) -> None:
    height, newest = level(told, DAY)
    now = AT + 100 * DAY
    expected = sum(WEIGHTS[kind] * value * 0.5 ** ((now - at_ms) / DAY) for kind, (value, at_ms) in told.items())
    assert 2 ** (height - now / DAY) == pytest.approx(expected, rel=1e-6)
    assert newest == max((at_ms for _, at_ms in told.values()), default=0)


def test_every_kind_has_a_weight() -> None:
    assert WEIGHTS.keys() == set(Kind)


def test_nothing_sold_is_no_popularity() -> None:
    assert popularity(np.full(3, -np.inf), AT, DAY).tolist() == [0, 0, 0]
    assert popularity(np.zeros(0), 0, DAY).tolist() == []


def test_one_purchase_of_a_shops_first_day_is_no_bestseller() -> None:
    heights = np.array([level({"purchase": (1.0, AT)}, DAY)[0], level({"purchase": (100.0, AT)}, DAY)[0]])
    assert popularity(heights[:1], AT, DAY)[0] == pytest.approx(np.log(5) / np.log(101), rel=1e-4)
    assert popularity(heights, AT, DAY)[1] == pytest.approx(1.0)
