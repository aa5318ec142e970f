"""How far prices are apart: in doublings, from what is wanted, and nothing where nothing is told."""

import math

import numpy as np
import pytest

from model.prices import FARTHEST, apart, log_price

NAN = math.nan


def lines(*prices: float | None) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([[log_price(price) for price in prices]], np.float32)


def test_twice_the_price_is_as_far_at_five_as_at_five_hundred() -> None:
    weights = np.ones((1, 1, 1), np.float32)
    for price in (5.0, 500.0):
        found = apart(weights, lines(price), lines(price, 2 * price, price / 2, 8 * price))
        assert found[0, 0] == pytest.approx([0, 1, 1, 3], abs=1e-5)


def test_no_price_rules_a_list() -> None:
    assert apart(np.ones((1, 1, 1), np.float32), lines(1.0), lines(1e9))[0, 0, 0] == FARTHEST


def test_what_weighs_more_says_more_and_what_is_pushed_away_says_nothing() -> None:
    weights = np.array([[[3.0, 1.0, -5.0], [0.0, 1.0, -5.0]]], np.float32)
    found = apart(weights, lines(1.0, 16.0, 1024.0), lines(2.0))
    assert found[0, :, 0] == pytest.approx([0, 3])  # A mean of 1 doubling above 1, then of 4.


def test_what_is_not_told_is_not_far() -> None:
    ones = np.ones((1, 1, 2), np.float32)
    assert apart(ones, lines(None, 0.0), lines(5.0, None)).tolist() == [[[0, 0]]]
    assert apart(ones, lines(None, 4.0), lines(8.0, None)).tolist() == [[[1, 0]]]
    assert apart(np.zeros((1, 1, 2), np.float32), lines(1.0, 1.0), lines(8.0)).tolist() == [[[0]]]
