"""What new items are worth: found where it can be worked out, and bounded in what it costs the others."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from model.event import Kind
from model.interest import KINDS
from model.item_tower import LENDERS, nearest
from model.session import Floats
from model.training.baselines.protocol import Asked
from model.training.examples import Mask
from model.training.lessons import Lessons
from model.training.line_weights import PRIOR, codes
from model.training.new_items import COST, HIDDEN, LOSS, NewItems, lending, new_items
from model.training.scoring import Learned

ITEMS, DIM, REQUESTS = 200, 16, 1000


@pytest.fixture(scope="module")
def texts() -> Floats:
    """Ten kinds of things, twenty of each."""
    dice = np.random.default_rng(0)
    made = np.repeat(dice.normal(size=(ITEMS // 20, DIM)), 20, axis=0) + dice.normal(0, 0.1, (ITEMS, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def wanted_after(texts: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What everybody has, and wants: one of the items whose titles are nearest to it."""
    dice = np.random.default_rng(1)
    lines = dice.integers(0, ITEMS, REQUESTS)
    alike = texts @ texts.T
    np.fill_diagonal(alike, -1)
    return lines, nearest(alike, 5)[lines, dice.integers(0, 5, REQUESTS)]


def chosen(
    texts: Floats, *, blind: bool, pairs: Floats | None = None, cost: float = COST, unseen: Mask | None = None
) -> NewItems:
    """What is chosen where everybody has one line, and wants what is like it.

    Args:
        texts: of the items.
        blind: whether the towers have learned nothing from the texts.
        pairs: weighted co-occurrence.
        cost: share of NDCG@10.
        unseen: (I,) items without an event; None: each has nine.
    """
    dice = np.random.default_rng(2)
    lines, targets = wanted_after(texts)
    counts = np.full(ITEMS, 9) if unseen is None else np.where(unseen, 0, 9)
    items, wanted, number = lines[:, None].astype(np.int32), targets.astype(np.int32), np.arange(REQUESTS)
    times, one = np.zeros(REQUESTS, np.int64), np.ones(REQUESTS, np.int32)
    starts = np.arange(REQUESTS + 1)
    asked = Asked(items, starts, items[:, 0], wanted, number.astype(np.int32), times, times > 0, one)
    clicks = codes(np.full(items.shape, KINDS.index(Kind.CLICK)), {"again": np.zeros(items.shape)})
    lessons = Lessons(items, clicks, wanted, times)
    projection = np.zeros((DIM, DIM)) if blind else np.eye(DIM)
    own, context = dice.normal(0, 0.1, (2, ITEMS, DIM)).astype(np.float32)
    nobody = np.zeros((0, DIM), np.float32), np.zeros((0, 1), np.int64)
    learned = Learned(
        texts, projection.astype(np.float32), own, context, np.ones(1, np.float32), 10.0, PRIOR.table(), *nobody
    )
    matrix = sparse.csr_array(np.zeros((ITEMS, ITEMS), np.float32) if pairs is None else pairs)
    nothing = np.zeros((REQUESTS, 1), np.float32)
    return new_items(learned, lessons, asked, counts, 1.0, (matrix, 0.0), nothing, cost)


def test_where_the_towers_are_blind_kin_finds_new_items(texts: Floats) -> None:
    found = chosen(texts, blind=True)
    assert found.kin > 0
    assert found.told["hidden"] > found.told["hidden, no pairs lent"] + 0.1


def test_new_items_cost_no_more_than_allowed(texts: Floats) -> None:
    for blind in (False, True):
        most, found, free = (chosen(texts, blind=blind, cost=cost).told for cost in (0.0, COST, 1.0))
        assert found["all, NDCG@10"] >= (1 - COST) * most["all, NDCG@10"]
        assert found["warm"] >= (1 - LOSS) * found["warm, no pairs lent"]
        assert found["warm"] <= found["warm, none shown"]
        assert most["hidden, NDCG@10"] <= found["hidden, NDCG@10"] <= free["hidden, NDCG@10"]
        assert free["hidden"] >= free["hidden, no pairs lent"]


def test_in_a_young_shop_the_new_items_are_those_that_nobody_has_touched(texts: Floats) -> None:
    unseen = np.arange(ITEMS) % 2 == 0
    found = chosen(texts, blind=True, unseen=unseen)
    told, new = found.told, unseen[wanted_after(texts)[1]].mean()
    assert told["all"] == pytest.approx(new * told["hidden"] + (1 - new) * told["warm"], abs=1e-5)
    assert told["hidden"] > told["hidden, no pairs lent"] + 0.1
    # A few of them choose nothing, and are asked for by nobody.
    few = np.arange(ITEMS) < 5
    assert unseen[wanted_after(texts)[1]].mean() > HIDDEN > few[wanted_after(texts)[1]].mean() > 0
    assert chosen(texts, blind=True, unseen=few).told["all"] > 0


def test_where_no_choice_is_cheap_enough_the_best_for_all_is_taken(texts: Floats) -> None:
    found = chosen(texts, blind=True, cost=-1.0)
    assert found.kin > 0
    assert found.told["all, NDCG@10"] > found.told["all, NDCG@10, no pairs lent"]


def test_what_goes_with_the_lenders_goes_with_the_new(texts: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted pairs that tell where to look: with them new items are found that without them are not."""
    for grid in ("KINS", "BONUSES"):
        monkeypatch.setattr(f"model.training.new_items.{grid}", (0.0,))
    pairs = np.where(texts @ texts.T > 0.9, np.float32(1), np.float32(0))
    found, without = chosen(texts, blind=True, pairs=pairs).told, chosen(texts, blind=True).told
    assert found["hidden"] > found["hidden, no pairs lent"] + 0.04
    assert without["hidden"] == without["hidden, no pairs lent"]


def test_who_lends_nothing_borrows_from_the_nearest_lenders(texts: Floats) -> None:
    lenders = np.arange(ITEMS) % 5 != 0
    found = lending(texts, lenders).toarray()
    assert np.array_equal(found[lenders], np.eye(ITEMS)[lenders])
    for item in np.flatnonzero(~lenders):
        near = np.flatnonzero(lenders)[np.argsort(-(texts @ texts[item])[lenders])[:LENDERS]]
        assert found[item] == pytest.approx(np.isin(np.arange(ITEMS), near) / LENDERS, abs=1e-6)
