"""Step 7: who is scored at all. Checked against loops over users, lines and items."""

import numpy as np
import pytest

from model.candidates import (
    BACK,
    FEW,
    MORE,
    Candidates,
    Counts,
    Limits,
    Pairs,
    co_features,
    counted_pairs,
    pairs_of_ids,
    retrieve,
    touches,
)
from model.catalogue import Catalogue
from model.cooccurrence import cooccurrence
from model.item_tower import AsTheyAre
from model.lending import borrowers, counted_as
from model.live_pairs import Before
from model.session import Floats
from tests.shop import AT, shelved

B, N, D, ITEMS = 12, 6, 8, 60
LIMITS = Limits(nearest=5, neighbours=4, popular=3)


class World:
    """Random users, lines and counts over a random shelf; some items are hidden, some unavailable, some unknown."""

    def __init__(self, seed: int) -> None:
        dice = np.random.default_rng(seed)
        self.catalogue = Catalogue(AsTheyAre(D))
        vectors = dice.normal(size=(ITEMS, D))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.ids = [f"i{n:02d}" for n in range(ITEMS)]
        self.catalogue.apply(
            [
                (name, shelved(name, vector, available=n % 7 != 0, counts={"click": (float(n % 11), AT)}))
                for n, (name, vector) in enumerate(zip(self.ids, vectors, strict=True))
            ]
        )
        counted = [*self.ids[: ITEMS // 2], "gone"]
        dense = np.where(
            dice.uniform(size=(len(counted), len(counted))) < 0.2, dice.uniform(size=(len(counted),) * 2), 0
        )
        a, b = np.nonzero(dense)
        directed = dense[a, b].astype(np.float32)
        indptr = np.searchsorted(a, np.arange(len(counted) + 1))
        values = np.stack([directed, directed * 2, directed * 3])
        self.counted = cooccurrence(counted, indptr, b, values.astype(np.float32), np.zeros(len(counted)))
        self.dense = dense.astype(np.float32)
        self.numbers = dice.integers(-1, len(counted), (B, N))
        self.weights = dice.choice([1.0, 0.5, -0.5, 0.0, 0.001], (B, 3, N)).astype(np.float32)
        interests = dice.normal(size=(B, D))
        self.interests = (interests / np.linalg.norm(interests, axis=1, keepdims=True)).astype(np.float32)
        self.hidden = [set(dice.integers(1, ITEMS, 9).tolist()) for _ in range(B)]
        self.known = dice.uniform(size=B) < 0.7
        to = borrowers(self.catalogue.lent, counted_as((), self.counted), len(counted))
        nothing_live, rows = np.full_like(self.numbers, -1), self.catalogue.watch(counted)
        seen = touches(self.counted, rows, len(self.catalogue.vectors))
        self.pairs: Pairs = counted_pairs(
            self.numbers, nothing_live, Counts(self.counted, rows, to, self.catalogue.live, seen, False)
        )

    def candidates(self) -> Candidates:
        return retrieve(
            self.interests,
            self.weights[:, 0],
            self.pairs,
            self.known,
            pairs_of_ids(self.hidden),
            self.catalogue,
            LIMITS,
        )

    def share(self, user: int, variant: int, row: int) -> float:
        """Directed co-occurrence of a row's item with a user's lines, by loops."""
        name = self.catalogue.item_id(row)
        if name not in self.counted.numbers:
            return 0.0
        column = self.counted.numbers[name]
        return float(
            sum(
                self.weights[user, variant, n] * self.dense[number, column]
                for n, number in enumerate(self.numbers[user])
                if number >= 0
            )
        )


@pytest.fixture(params=range(5))
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_candidates_are_what_loops_would_choose(world: World) -> None:
    catalogue = world.catalogue
    for user, rows in enumerate(world.candidates().rows):
        found = [int(row) for row in rows if row >= 0]
        may = [row for row in range(1, ITEMS + 1) if catalogue.available[row] and row not in world.hidden[user]]
        expected: set[int] = set(sorted(may, key=lambda row: -(catalogue.vectors[row] @ world.interests[user]))[:5])
        if not world.known[user]:
            expected = set()
        expected |= {row for row in catalogue.popular(ITEMS).tolist() if row in may} & set(
            [row for row in catalogue.popular(ITEMS).tolist() if row in may][:3]
        )
        assert found == sorted(set(found))
        assert expected <= set(found)
        together = {row: world.share(user, 0, row) for row in may}
        # A line of weight .001 brings no candidate of its own, so what it adds to a sum is left out of the choice.
        best = sorted((row for row in may if together[row] > 0.01), key=lambda row: -together[row])[:4]
        rest = set(found) - expected
        assert len(rest) <= 4
        for row in best:
            assert row in found or together[row] <= min(together[other] for other in rest) + 0.01


def test_co_occurrence_is_what_loops_would_sum(world: World) -> None:
    candidates = world.candidates()
    directed, symmetric, kin = co_features(candidates, world.weights[:, :1])
    np.testing.assert_allclose(symmetric, 2 * directed, rtol=1e-5)
    np.testing.assert_allclose(kin, 3 * directed, rtol=1e-5)
    for user in range(B):
        for place, row in enumerate(candidates.rows[user]):
            if row >= 0:
                assert directed[user, 0, place] == pytest.approx(world.share(user, 0, int(row)), abs=1e-5)


def test_co_occurrence_of_the_chosen_is_the_same_in_every_variant(world: World) -> None:
    candidates = world.candidates()
    chosen = np.tile(np.array([3, 0, 7]), (B, 1))
    directed, _, _ = co_features(candidates, world.weights, chosen)
    assert directed.shape == (B, 3, 3)
    for user in range(B):
        for variant in range(3):
            for t, place in enumerate(chosen[user]):
                row = int(candidates.rows[user, place])
                if row >= 0:
                    assert directed[user, variant, t] == pytest.approx(world.share(user, variant, row), abs=1e-5)


def test_someone_who_has_hidden_all_that_sells_gets_what_sells_next(world: World) -> None:
    best = world.catalogue.popular(ITEMS).tolist()
    world.hidden = [set(best[:40]) for _ in range(B)]
    world.known[:] = False
    found = world.candidates().rows
    for user in range(B):
        assert set(best[40:43]) <= set(found[user].tolist())


def test_with_nothing_on_the_shelf_there_is_no_candidate() -> None:
    none = np.zeros(0, np.int64)
    found = retrieve(
        np.zeros((2, D), np.float32),
        np.zeros((2, N), np.float32),
        Pairs(none, none, none, np.zeros((3, 0), np.float32), (0,)),
        np.array([True, False]),
        (none, none),
        Catalogue(AsTheyAre(D)),
        LIMITS,
    )
    assert (found.rows == -1).all()
    assert found.rows.shape == (2, LIMITS.k)


def told_of_b_and_new(taught: bool, until_ms: int = 0) -> Floats:
    """(3, 2) VALUES of b and of a new item beside one line of a, with counted pairs of a and b, and live ones."""
    catalogue = Catalogue(AsTheyAre(2))
    catalogue.apply(
        [
            ("a", shelved("a", [1, 0], before=Before({"b": 4.0}, 10.0, AT))),
            ("b", shelved("b", [0, 1], before=Before({"a": 3.0}, 5.0, AT))),
            ("new", shelved("new", [0, 1], before=Before({"a": 2.0}, 2.0, AT))),
        ]
    )
    # Of 20 events of a 6 were followed by b, and 2 of b by a.
    values = np.array([[6 / 50], [8 / 50], [0.7]], np.float32)
    of_pairs = np.array([0, 1, 1]), np.array([1]), values
    counted = cooccurrence(["a", "b"], *of_pairs, np.array([20.0, 4.0]), 30.0, until_ms)
    to = borrowers(catalogue.lent, counted_as((), counted), 2)
    live_numbers = np.array([[catalogue.live.number("a"), -1]])
    rows = catalogue.watch(["a", "b"])
    counts = Counts(counted, rows, to, catalogue.live, touches(counted, rows, len(catalogue.vectors)), taught)
    pairs = counted_pairs(np.array([[0, -1]]), live_numbers, counts)
    slots = np.array([0 if row == catalogue.row("b") else 1 for row in pairs.rows])
    candidates = Candidates(np.array([[catalogue.row("b"), catalogue.row("new")]]), pairs, slots)
    weights = np.ones((1, 1, 2), np.float32)
    found = co_features(candidates, weights)[:, 0, 0]
    np.testing.assert_allclose(co_features(candidates, weights, np.array([[0, 1]]))[:, 0, 0], found, rtol=1e-5)
    return found


@pytest.mark.parametrize("taught", [False, True])
def test_live_pairs_and_counted_ones_are_parts_of_one_share(taught: bool) -> None:
    """(c + l) / (n + m + shrink): as if training had gone on; more of l where towers know little of the item."""
    few, new = (1 + MORE * FEW / (FEW + 4), 1 + MORE) if taught else (1, 1)
    back = BACK if taught else 0
    expected = [[(6 + (3 + back * 4) * few) / 60, 2 * new / 60], [(8 + 7 * few) / 60, 2 * new / 60], [0.7, 0]]
    np.testing.assert_allclose(told_of_b_and_new(taught, AT - 1), expected, rtol=1e-5)


def test_live_pairs_tell_towers_nothing_that_training_has_counted() -> None:
    """Until somebody comes to an item again; of an item that came later all is news."""
    expected = [[6 / 50, 2 * (1 + MORE) / 50], [8 / 50, 2 * (1 + MORE) / 50], [0.7, 0]]
    np.testing.assert_allclose(told_of_b_and_new(True, AT), expected, rtol=1e-5)
    np.testing.assert_allclose(told_of_b_and_new(False, AT), told_of_b_and_new(False), rtol=1e-5)
