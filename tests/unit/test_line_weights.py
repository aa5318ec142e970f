"""Line weights: one rule in three places, numpy, torch and the graph that serves, at every edge and between."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.event import Kind
from model.interest import KINDS, NUMBERS, Features, Interest, twins, variants
from model.text import BAD_RATING
from model.training.graphs import AGES, Weights
from model.training.line_weights import (
    AGAIN,
    EDGES,
    FACTORS,
    PRIOR,
    SIZES,
    codes,
    examples,
    learnable,
    of_table,
    places,
    strengths,
    with_again,
)
from model.training.network import Towers
from tests.shop import make_bundle

N = 8


def random_lines(size: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:  # type: ignore[type-arg]
    """Every number on an edge, just below one, above the last, or not told."""
    dice = np.random.default_rng(0)
    told = {}
    for name in NUMBERS:
        values = np.array([-1.0, *EDGES[name], *(edge - 0.01 for edge in EDGES[name][1:]), EDGES[name][-1] * 2])
        told[name] = dice.choice(values.astype(np.float32), (size, N))
    return dice.integers(0, len(KINDS), (size, N)), told


@pytest.fixture
def table() -> np.ndarray:  # type: ignore[type-arg]
    """Learned at random, some against the prior's sign."""
    changed = PRIOR.table() + np.random.default_rng(1).normal(0, 0.6, sum(SIZES)) * learnable()
    found: np.ndarray = changed.astype(np.float32)  # type: ignore[type-arg]
    return found


def test_the_graph_that_serves_says_the_same(table: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    kinds, told = random_lines(64)
    items = np.random.default_rng(2).integers(-1, 3, kinds.shape)
    bundle = make_bundle(tmp_path, weights=Weights(recency=(1.0,) * AGES, lines=of_table(table)))
    numbers = np.stack([told[name] for name in NUMBERS], axis=-1)
    every = np.ones(kinds.shape, np.bool_)
    vectors = np.ones((*kinds.shape, bundle.dim), np.float32)
    served = Interest(bundle)(vectors, Features(kinds, numbers, twins(items)), variants(every)[:, :1]).weights[:, 0]
    speaks = np.array([PRIOR.kinds[kind] != 0 for kind in KINDS])[kinds]
    older = np.array(
        [
            [sum(speaks[row, m] and items[row, m] == item >= 0 for m in range(n)) for n, item in enumerate(each)]
            for row, each in enumerate(items.tolist())
        ]
    )
    assert older.max() > 2
    assert strengths(table, codes(kinds, {**told, AGAIN: older})) == pytest.approx(served, abs=1e-5)


def test_the_network_says_the_same(table: np.ndarray) -> None:  # type: ignore[type-arg]
    kinds, told = random_lines(64)
    found = codes(kinds, {**told, AGAIN: np.random.default_rng(3).integers(0, 4, kinds.shape)})
    net = Towers(torch.eye(3), 3, N, 0.5, 0.0)
    with torch.no_grad():
        net.line_changes.copy_(torch.tensor(table) - net.line_prior)
    mine = net.strengths(torch.tensor(found.astype(np.int64))).detach().numpy()
    assert mine == pytest.approx(strengths(table, found), abs=1e-5)


def test_examples_have_the_codes_that_they_stand_for() -> None:
    kinds, told = random_lines(64)
    found = codes(kinds, told)
    told_again = examples(found, np.full(kinds.shape, -1))
    numbers = {name: told_again.numbers[..., place] for place, name in enumerate(NUMBERS)}
    assert np.array_equal(codes(told_again.kinds, numbers), found)


def test_how_often_an_item_came_before_can_be_told_anew() -> None:
    kinds, told = random_lines(64)
    before, after = np.random.default_rng(4).integers(0, 4, (2, *kinds.shape))
    expected = codes(kinds, {**told, AGAIN: after})
    assert np.array_equal(with_again(codes(kinds, {**told, AGAIN: before}), after), expected)
    assert np.array_equal(with_again(codes(kinds, told), after), expected)


def test_a_refusal_keeps_its_weight_and_every_other_line_may_learn() -> None:
    mine = learnable()
    kept = {kind for kind, free in zip(KINDS, mine, strict=False) if not free}
    assert kept == {Kind.IMPRESSION, Kind.DISLIKE, Kind.RETURN}
    assert mine[len(KINDS) :].all()


def test_tables_are_as_long_as_their_edges_ask_and_bad_ratings_are_bad() -> None:
    assert all(len(FACTORS[name]) == len(edges) + 1 for name, edges in EDGES.items())
    ratings = np.arange(0, 5.5, 0.5)
    factors = PRIOR.table()[places(codes(np.zeros(len(ratings), np.int64), {"rating": ratings}))[:, 2]]
    assert np.array_equal(factors < 0, ratings <= BAD_RATING)


def test_a_table_survives_being_named(table: np.ndarray) -> None:  # type: ignore[type-arg]
    assert np.array_equal(of_table(table).table(), table)
