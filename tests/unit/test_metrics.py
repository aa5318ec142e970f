"""What a ranking is worth: examples worked out by hand, and a naive reference."""

import math

import numpy as np
import pytest

from model.training.metrics import (
    MISSED,
    Difference,
    differences,
    hide,
    means,
    ranks,
    ranks_in_lists,
    shelf_use,
    top,
    values,
)

INF = float("inf")


def floats(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_the_best_score_is_rank_one() -> None:
    assert ranks(floats([0.1, 0.9, 0.5], [0.1, 0.9, 0.5]), np.array([1, 0])).tolist() == [1, 3]


def test_a_tie_counts_against_us() -> None:
    assert ranks(floats([0.5, 0.5, 0.5, 0.1]), np.array([0])).tolist() == [3]
    assert ranks(floats([0.0] * 7), np.array([3])).tolist() == [7]


def test_a_score_that_is_no_number_ranks_above_the_target_and_never_is_a_hit() -> None:
    assert ranks(floats([float("nan"), 0.5]), np.array([1])).tolist() == [2]
    assert ranks(floats([float("nan"), 0.5]), np.array([0])).tolist() == [MISSED]


def test_what_was_seen_leaves_the_ranking() -> None:
    scores = floats([0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    hide(scores, np.array([0, 2, 2]), np.array([0, 1]))
    assert ranks(scores, np.array([2, 2])).tolist() == [1, 3]


def test_a_target_that_is_hidden_is_missed() -> None:
    assert ranks(floats([-INF, 0.8]), np.array([0])).tolist() == [MISSED]


def test_ranks_equal_those_of_a_sort_that_puts_the_target_last_among_equals() -> None:
    dice = np.random.default_rng(1)
    scores = dice.integers(0, 9, (200, 30)).astype(np.float32)
    targets = dice.integers(0, 30, 200)
    naive = []
    for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
        order = sorted(range(30), key=lambda item: (-row[item], item == target))
        naive.append(order.index(target) + 1)
    assert ranks(scores, targets).tolist() == naive


def test_a_list_gives_the_rank_that_its_scores_give() -> None:
    told = [("a", 0.9), ("b", 0.5), ("c", 0.5), ("d", 0.1)]
    assert ranks_in_lists([told] * 4, ["a", "b", "c", "x"], places=10).tolist() == [1, 3, 3, MISSED]


def test_the_last_score_of_a_full_list_is_a_miss_because_more_may_have_it() -> None:
    told = [("a", 0.9), ("b", 0.5), ("c", 0.5)]
    assert ranks_in_lists([told] * 2, ["a", "b"], places=3).tolist() == [1, MISSED]
    assert ranks_in_lists([told], ["b"], places=4).tolist() == [3]


def test_metrics_of_ranks_one_three_and_eleven_by_hand() -> None:
    told = means(np.array([1, 3, 11, MISSED], np.int32))
    assert told["recall@1"] == 0.25
    assert told["recall@10"] == 0.5
    assert told["recall@20"] == 0.75
    assert told["ndcg@10"] == pytest.approx((1 + 1 / 2) / 4)  # 1 / log2(3 + 1)
    assert told["mrr@5"] == pytest.approx((1 + 1 / 3) / 4)
    assert told["ndcg@20"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(12)) / 4)
    assert told["mrr@20"] == pytest.approx((1 + 1 / 3 + 1 / 11) / 4)


def test_no_requests_have_no_metrics() -> None:
    assert means(np.array([], np.int32)) == {}


def test_top_lists_the_highest_first_and_of_equals_the_lower_number() -> None:
    assert top(floats([0.1, 0.7, 0.7, 0.9, -INF]), 3).tolist() == [[3, 1, 2]]


def test_top_leaves_places_empty_rather_than_show_what_is_hidden() -> None:
    assert top(floats([-INF, 0.2, -INF]), 2).tolist() == [[1, -1]]
    assert top(floats([0.1, 0.2]), 4).tolist() == [[1, 0, -1, -1]]


def test_what_is_shown_of_the_shelf_by_hand() -> None:
    """Items with 6, 1, 0 and 1 events; 8 events and 4 items make shares of 7, 2, 1 and 2 in 12."""
    told = shelf_use(np.array([[0, 2], [0, -1]], np.int32), np.array([1, 3]), np.array([6, 1, 0, 1]))
    assert told["coverage"] == 2 / 4
    assert told["new"] == pytest.approx(1 / 3)
    assert told["popularity_bias"] == pytest.approx(2 * math.log(7) / 3 - math.log(2))
    assert told["novelty"] == pytest.approx(-(2 * math.log2(7 / 12) + math.log2(1 / 12)) / 3)


def test_the_interval_is_the_one_that_normal_theory_gives() -> None:
    dice = np.random.default_rng(3)
    theirs = dice.normal(0, 1, 4000)
    ours = theirs + dice.normal(0.1, 0.5, 4000)
    found = differences(ours, {"them": theirs}, np.arange(4000))["them"]
    apart = ours - theirs
    spread = 1.96 * apart.std() / math.sqrt(4000)
    assert found.mean == pytest.approx(apart.mean())
    assert found.low == pytest.approx(apart.mean() - spread, abs=0.15 * spread)
    assert found.high == pytest.approx(apart.mean() + spread, abs=0.15 * spread)
    assert found.sure


def test_equal_systems_differ_by_nothing() -> None:
    told = np.random.default_rng(0).normal(0, 1, 50)
    assert differences(told, {"them": told}, np.arange(50))["them"] == Difference(0.0, 0.0, 0.0)
    assert not Difference(0.0, 0.0, 0.0).sure


def test_seeds_are_averaged_per_request_before_they_are_compared() -> None:
    ours = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    one, many = (differences(told, {"them": np.zeros(3)}, np.arange(3))["them"] for told in (ours.mean(axis=0), ours))
    assert one == many


def test_ten_requests_of_one_user_are_one_opinion() -> None:
    dice = np.random.default_rng(5)
    of_user = dice.normal(0.1, 1, 100)
    once = differences(of_user, {"them": np.zeros(100)}, np.arange(100))["them"]
    often = differences(np.repeat(of_user, 10), {"them": np.zeros(1000)}, np.repeat(np.arange(100), 10))["them"]
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.01)


def test_values_are_one_per_request() -> None:
    assert {each.shape for each in values(np.array([1, 2], np.int32)).values()} == {(2,)}
