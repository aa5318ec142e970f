"""What goes with a new item: checked against loops over its lenders."""

import numpy as np
import pytest

from model.candidates import Counts, counted_pairs, touches
from model.catalogue import Catalogue
from model.cooccurrence import cooccurrence
from model.item_tower import LENDERS, ItemVectors
from model.lending import borrowers, counted_as
from model.session import Floats
from tests.shop import shelved

KNOWN, NEW, D = 12, 5, 4
USERS, LINES = 6, 3
IDS = [f"known {number}" for number in range(KNOWN)]


class Lending:
    """A tower that has seen the known items and draws the others' lenders by chance; the last of them has only two."""

    dim = text_dim = D
    item_ids = tuple(reversed(IDS))  # The tower's numbers are not the counts'.

    def __init__(self, seed: int) -> None:
        dice = np.random.default_rng(seed)
        self.of = {f"new {number}": dice.choice(KNOWN, LENDERS, replace=False) for number in range(NEW)}
        self.of[f"new {NEW - 1}"][-1] = -1

    def __call__(self, item_ids: list[str], texts: Floats) -> ItemVectors:
        nobody = np.full(LENDERS, -1)
        return ItemVectors(
            texts, texts, np.array([self.of.get(item_id, nobody) for item_id in item_ids]).reshape(-1, LENDERS)
        )


@pytest.mark.parametrize("seed", range(10))
def test_a_new_item_has_the_mean_of_its_lenders_pairs_and_is_their_kin(seed: int) -> None:
    dice, tower = np.random.default_rng(seed), Lending(seed)
    dense = np.where(dice.random((3, KNOWN, KNOWN)) < 0.3, dice.random((3, KNOWN, KNOWN)), 0)
    dense *= (dense[0] > 0) & ~np.eye(KNOWN, dtype=bool)
    a, b = np.nonzero(dense[0])
    counted = cooccurrence(
        IDS, np.searchsorted(a, np.arange(KNOWN + 1)), b, dense[:, a, b].astype(np.float32), np.zeros(KNOWN)
    )
    catalogue = Catalogue(tower)
    names = [*IDS[2:], *tower.of]  # Two that are counted are not sold: they lend all the same.
    catalogue.apply([(name, shelved(name, dice.normal(size=D))) for name in names])
    numbers = dice.integers(-1, KNOWN, (USERS, LINES))
    to = borrowers(catalogue.lent, counted_as(tower.item_ids, counted), KNOWN)
    nothing_live = np.full_like(numbers, -1)
    rows = catalogue.watch(IDS)
    seen = touches(counted, rows, len(catalogue.vectors))
    pairs = counted_pairs(numbers, nothing_live, Counts(counted, rows, to, catalogue.live, seen, True))
    found = np.zeros((3, USERS, LINES, len(names) + 1))
    np.add.at(found, (slice(None), pairs.users, pairs.lines, pairs.rows), pairs.values)
    # Each pair once: the list's scores are assigned by place, not added.
    assert len(set(zip(pairs.users, pairs.lines, pairs.rows, strict=True))) == len(pairs.rows)
    for user, line in np.ndindex(numbers.shape):
        number = numbers[user, line]
        for name in names:
            expected = np.zeros(3)
            for place in tower.of.get(name, ()):
                lender = KNOWN - 1 - place
                if number >= 0 and place >= 0:
                    expected += np.array([*dense[:2, number, lender], float(number == lender)]) / LENDERS
            if name in IDS and number >= 0:
                expected = dense[:, number, IDS.index(name)]
            assert found[:, user, line, catalogue.row(name)] == pytest.approx(expected, abs=1e-6)


def test_who_borrows_follows_the_shelf() -> None:
    tower = Lending(0)
    catalogue, counted = (
        Catalogue(tower),
        cooccurrence(IDS, np.zeros(KNOWN + 1, int), np.zeros(0, int), np.zeros((3, 0)), np.zeros(KNOWN)),
    )
    assert len(catalogue.lent.rows) == 0
    catalogue.apply([("new 0", shelved("new 0", [1.0, 0, 0, 0])), (IDS[0], shelved(IDS[0], [0, 1.0, 0, 0]))])
    lent = catalogue.lent
    assert lent.rows.tolist() == [catalogue.row("new 0")]
    assert len(borrowers(lent, counted_as(tower.item_ids, counted), KNOWN).rows) == LENDERS
    catalogue.apply([(IDS[0], shelved(IDS[0], [0, 1.0, 0, 0], counts={"click": (3.0, 1)}))])
    assert catalogue.lent is lent  # Counts change by the second; who lends does not.
    catalogue.apply([("new 0", None)])
    assert len(catalogue.lent.rows) == 0
