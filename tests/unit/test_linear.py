"""Linear item-item weights: against least squares, one item at a time, and where they stand in a bundle."""

import numpy as np
import pytest
from scipy import sparse

from model.cooccurrence import VALUES
from model.session import Floats
from model.training import linear
from model.training.export import LIVE, told_pairs, weights_of
from model.training.line_weights import PRIOR
from model.training.linear import linear_pairs, most_touched, solved, together, user_items
from model.training.pairs import Counting, count
from model.training.scoring import Learned
from model.training.train import USUAL
from tests.logs import log_of

ITEMS = 7


@pytest.fixture(scope="module")
def touched() -> Floats:
    return (np.random.default_rng(2).random((60, ITEMS)) < 0.4).astype(np.float32)


def test_it_is_the_ridge_regression_of_each_item_on_all_others(touched: Floats) -> None:
    """Steck's closed form against one least-squares problem per item."""
    found = solved((touched.T @ touched).astype(np.float32), 3.0)
    for item in range(ITEMS):
        rest = [other for other in range(ITEMS) if other != item]
        gram = touched[:, rest].T @ touched[:, rest] + 3.0 * np.eye(ITEMS - 1)
        weights = np.linalg.solve(gram, touched[:, rest].T @ touched[:, item])
        np.testing.assert_allclose(found[rest, item], weights, rtol=1e-3, atol=1e-4)
    assert np.diag(found).tolist() == [0] * ITEMS


def test_the_greatest_weights_of_each_item_are_kept_whatever_their_sign(
    touched: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched = touched.copy()
    touched[:, 1] = 1 - touched[:, 0]  # Who has the one does not want the other.
    whole = solved((touched.T @ touched).astype(np.float32), 3.0)
    assert linear_pairs(sparse.csr_array(touched), 3.0).toarray() == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr(linear, "BLOCK", 3)
    assert linear_pairs(sparse.csr_array(touched), 3.0).toarray() == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr(linear, "KEPT", 2)
    few = linear_pairs(sparse.csr_array(touched), 3.0).toarray()
    for item in range(ITEMS):
        kept = np.argsort(-np.abs(whole[item]))[:2]
        assert np.flatnonzero(few[item]).tolist() == sorted(kept.tolist())
        assert few[item][kept] == pytest.approx(whole[item][kept], abs=1e-6)
    assert (few < 0).any()


def test_what_is_bought_by_everybody_explains_what_comes_with_it() -> None:
    # A goes with P and B with P, for everything does; only C goes with A.
    dice = np.random.default_rng(0)
    a, b, p = (dice.random(4000) < share for share in (0.3, 0.3, 0.6))
    a, b = a & p, b & p
    c = a & (dice.random(4000) < 0.5)
    baskets = np.stack([a, b, p, c], axis=1).astype(np.float32)
    weights = linear_pairs(sparse.csr_array(baskets), 10.0).toarray()
    both = together(sparse.csr_array(baskets), np.arange(4))
    assert both.tolist() == (baskets.T @ baskets).tolist()
    assert both[0, 1] > both[0, 0] / 5
    assert abs(weights[0, 1]) < 0.1 < 0.4 < weights[0, 3]


def test_items_of_most_users_alone_have_weights(touched: Floats) -> None:
    some = touched.copy()
    some[:, 3] = 0
    some[:, 5] = np.arange(60) < 2
    assert most_touched(sparse.csr_array(some)).tolist() == [0, 1, 2, 4, 5, 6]
    assert most_touched(sparse.csr_array(some), 5).tolist() == [0, 1, 2, 4, 6]
    found = linear_pairs(sparse.csr_array(some), 3.0).toarray()
    assert not found[3].any()
    assert not found[:, 3].any()
    nothing = sparse.csr_array((4, ITEMS), dtype=np.float32)
    assert linear_pairs(nothing, 3.0).shape == (ITEMS, ITEMS)
    assert linear_pairs(nothing, 3.0).nnz == 0


def test_who_touched_what_in_these_rows() -> None:
    rows = [
        ("a", "click", "x"),
        ("a", "purchase", "x"),
        ("a", "impression", "y"),
        ("b", "click", "y"),
        ("b", "cart", "x"),
    ]
    told = (
        {"user_id": user, "kind": kind, "item_id": item, "at": 1_700_000_000_000 + place}
        for place, (user, kind, item) in enumerate(rows)
    )
    log = log_of(told)
    found = user_items(log, np.array([True, True, True, True, False]))
    x, y = log.items.numbers["x"], log.items.numbers["y"]
    assert sorted(zip(*(each.tolist() for each in found.nonzero()), strict=True)) == sorted([(0, x), (1, y)])
    assert found.data.tolist() == [1, 1]


@pytest.mark.parametrize("directed", [0.0, 5.0, 160.0])
def test_in_a_bundle_they_are_parts_of_what_directed_pairs_say(directed: float) -> None:
    """Graph's weight times the table is what validation gave to counts, and to linear weights beside them."""
    rows = (
        {"user_id": f"u{user}", "kind": "click", "item_id": item, "at": 1_700_000_000_000 + place}
        for user in range(9)
        for place, item in enumerate("abc")
    )
    log = log_of(rows)
    counted = count(log, Counting(shrink=1.0))
    zero = np.zeros((len(log.items), 4), np.float32)
    halving = np.float32(0.5) ** np.arange(8)
    nobody = np.zeros((0, 4), np.float32), np.zeros((0, 1), np.int64)
    learned = Learned(zero, np.eye(4, dtype=np.float32), zero, zero, halving, 20.0, PRIOR.table(), *nobody)
    worth = USUAL._replace(directed=directed, linear=40.0, l2=100.0)
    a, c = log.items.numbers["a"], log.items.numbers["c"]
    weights = np.zeros((3, 3), np.float32)
    weights[a, c], weights[c, a] = 0.25, -0.125  # One pair that was counted, and one that was as what came before.
    told = told_pairs(counted, learned, worth, log.items.ids, sparse.csr_array(weights))
    graph = weights_of(learned, worth).directed
    assert graph >= LIVE * learned.scale
    found, before = ({} for _ in range(2))
    for pairs, named in ((told, found), (counted, before)):
        for source in range(3):
            for place in range(pairs.indptr[source], pairs.indptr[source + 1]):
                ends = pairs.item_ids[source] + pairs.item_ids[pairs.indices[place]]
                named[ends] = dict(zip(VALUES, pairs.values[:, place].tolist(), strict=True))
    for ends, values in found.items():
        counts, more = before[ends], {"ac": 0.25, "ca": -0.125}.get(ends, 0.0)
        assert graph * values["directed"] == pytest.approx(directed * counts["directed"] + 40 * more, abs=0.1)
        assert values["symmetric"] == counts["symmetric"]
    assert told_pairs(counted, learned, worth, log.items.ids, None).values[1:] == pytest.approx(counted.values[1:])
