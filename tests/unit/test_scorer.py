"""Step 8: a score is its parts, and nothing else."""

import numpy as np
import pytest

from model.scorer import FEATURES, Scorer, biggest_losses
from model.training.graphs import Weights
from tests.shop import make_bundle


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    pairs = {"directed": 2.0, "symmetric": 0.5, "kin": 1.5}
    weights = Weights(scale=3.0, popularity=0.8, trend=0.7, borrowed=0.4, apart=-0.3, fresh=1.1, **pairs)
    return Scorer(make_bundle(tmp_path_factory.mktemp("bundle"), weights=weights))


def test_a_score_is_the_weighted_sum_of_its_parts(scorer: Scorer) -> None:
    dice = np.random.default_rng(0)
    users, variants, candidates, dim = 70, 3, 4, 6  # More users than the tower takes at once.
    interests = dice.normal(size=(users, variants, dim)).astype(np.float32)
    shelf = dice.normal(size=(9, dim)).astype(np.float32)
    rows = dice.integers(0, 9, (users, candidates))
    told = dice.uniform(0, 3, (users, variants, candidates, len(FEATURES))).astype(np.float32)
    told[..., 5] *= 8  # Hours away: below and above the night after which the trend counts fully.
    scores = scorer(interests, shelf, rows, told)
    assert scores.shape == (users, variants, candidates)
    for user in (0, 31, 32, 69):
        for variant in range(variants):
            for place in range(candidates):
                directed, symmetric, kin, popularity, events, gap_h, borrowed, far, fresh = told[user, variant, place]
                expected = 3.0 * (interests[user, variant] @ shelf[rows[user, place]])
                expected += 2.0 * directed + 0.5 * symmetric + 1.5 * kin + 0.8 * popularity / (1 + events)
                expected += 0.7 * min(gap_h / 12, 1.0) * popularity + 0.4 * borrowed - 0.3 * far + 1.1 * fresh
                assert scores[user, variant, place] == pytest.approx(expected, abs=1e-4)


def test_the_features_order_is_part_of_a_bundles_contract() -> None:
    assert FEATURES == ("directed", "symmetric", "kin", "popularity", "events", "gap_h", "borrowed", "apart", "fresh")


def test_the_biggest_losses_come_first_and_of_equals_the_newest() -> None:
    scores = np.array([[[1.0, 1.0], [0.75, 1.5], [0.25, 0.5], [0.75, 0.5], [1.0, 1.0]]], np.float32)
    all_drawn = np.ones((1, 4), np.float32)
    assert biggest_losses(scores, all_drawn, 3) == [[[(1, 0.75), (2, 0.25), (0, 0.25)], [(2, 0.5), (1, 0.5), (3, 0.0)]]]
    assert biggest_losses(scores, all_drawn, 9)[0][1] == [(2, 0.5), (1, 0.5), (3, 0.0), (0, -0.5)]


def test_a_line_that_pushes_away_loses_nothing() -> None:
    scores = np.array([[[1.0], [0.75], [0.25]]], np.float32)
    assert biggest_losses(scores, np.array([[1.0, -0.8]], np.float32), 2) == [[[(0, 0.25), (1, 0.0)]]]
