"""After training: what a new item is worth that borrows all that it has, chosen on validation.

Knows nothing of torch. A tenth of the items is taken for new: their lines leave the windows, and what was learned and
counted of them is forgotten.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.item_tower import LENDERS, nearest
from model.session import Floats
from model.training.baselines.protocol import Asked
from model.training.examples import Mask
from model.training.lessons import Lessons
from model.training.metrics import values
from model.training.scoring import Learned, item_matrix, judged, neighbours, shrunk, tower_scores

HIDDEN = 0.1
"""Share of the items that are taken for new."""
BONUSES = (-3.0, -2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Ascending."""
KINS = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0)
LOSSES = np.array([0.03, 0.12])
"""Shares of the others' Recall@10 and NDCG@10 that new items may cost beyond what they cost by their borrowed vectors
alone: places, and ranks, that are given to items of which nobody knows whether they sell. The rank is worth a bound of
its own, for kin often stands first. Beauty's validation, others and hidden: .129/.076 and .074/.042 by borrowed
vectors, .125/.068 and .096/.065 with both; with 7 % of NDCG .126/.071 and .089/.058, without it .125/.066 and
.091/.066."""


class NewItems(NamedTuple):
    """What was chosen, and what it brings."""

    kin: float
    bonus: float
    told: dict[str, float]
    """Recall@10, and where it says so NDCG@10, of requests for new items (hidden) and for others (warm)."""


def new_items(
    learned: Learned,
    lessons: Lessons,
    asked: Asked,
    counts: npt.NDArray[np.int64],
    shrink: float,
    pairs: sparse.csr_array,
    beside: Floats,
) -> NewItems:
    """The weight of kin, and the bonus of new items: best for them at a bounded cost to the others.

    Args:
        learned: by the towers, not shrunk.
        lessons: Q windows.
        asked: the same, as requests.
        counts: (I,) touches of the training events.
        shrink: of `shrunk`.
        pairs: (I, I) weighted co-occurrence.
        beside: (Q, I) what else counts.
    """
    known = counts > 0
    hidden = known & (np.random.default_rng(0).random(len(known)) < HIDDEN)
    lenders, cold = known & ~hidden, hidden[asked.targets]
    if not lenders.any() or not cold.any() or cold.all():
        return NewItems(0.0, 0.0, {})
    gone = (lessons.items >= 0) & np.isin(lessons.items, np.flatnonzero(hidden))
    lessons = lessons._replace(items=np.where(gone, -1, lessons.items).astype(np.int32))
    left = np.where(hidden, 0, counts)
    learned = shrunk(learned, neighbours(learned.texts, left), shrink)
    lend = lending(learned.texts, lenders)
    learned = learned._replace(own=lend @ learned.own, context=lend @ learned.context)
    windows = item_matrix(learned, lessons)
    counted = (windows @ pairs).tocsc()
    plain = tower_scores(learned, lessons) + beside
    plain[:, lenders] += counted[:, lenders].toarray()
    without = plain.copy()
    without[:, hidden] = -np.inf
    told = {"warm, none shown": _means(without, asked, ~cold)[0]}
    told["hidden, no pairs lent"], _ = _means(plain, asked, cold)
    told["warm, no pairs lent"], told["warm, NDCG@10, no pairs lent"] = _means(plain, asked, ~cold)
    least = (1 - LOSSES) * _means(plain, asked, ~cold)
    borrowing = lend.T[:, hidden]
    lent, near = (counted @ borrowing).toarray(), (windows @ borrowing).toarray()
    best = NewItems(0.0, BONUSES[0], told)
    found = -1.0
    for kin in KINS:
        scores = plain.copy()
        scores[:, hidden] += lent + np.float32(kin) * near
        bonus = _highest(scores, hidden, asked, ~cold, least)
        if bonus is None:
            continue
        scores[:, hidden] += np.float32(bonus)
        (recall, ndcg), (warm, warm_ndcg) = _means(scores, asked, cold), _means(scores, asked, ~cold)
        if ndcg > found:
            found = ndcg
            brings = {"hidden": recall, "hidden, NDCG@10": ndcg, "warm": warm, "warm, NDCG@10": warm_ndcg}
            best = NewItems(kin, bonus, told | brings)
    return best


def lending(texts: Floats, lenders: Mask) -> sparse.csr_array:
    """(I, I) from each item to those of whom it has all: itself if it lends, else the nearest lenders, by text."""
    size, others, of = len(lenders), np.flatnonzero(~lenders), np.flatnonzero(lenders)
    k = min(LENDERS, len(of))
    chosen = np.zeros((len(others), k), np.int64)
    for start in range(0, len(others), 1024):
        some = slice(start, start + 1024)
        chosen[some] = of[nearest(texts[others[some]] @ texts[of].T, k)]
    rows = np.concatenate([of, np.repeat(others, k)])
    shares = np.concatenate([np.ones(len(of)), np.full(chosen.size, 1 / k)]).astype(np.float32)
    return sparse.csr_array((shares, (rows, np.concatenate([of, chosen.reshape(-1)]))), shape=(size, size))


def _highest(scores: Floats, hidden: Mask, asked: Asked, warm: Mask, least: npt.NDArray[np.float64]) -> float | None:
    """The highest bonus that leaves the others these Recall@10 and NDCG@10; None: none does."""
    highest = None
    for bonus in BONUSES:
        raised = scores.copy()
        raised[:, hidden] += np.float32(bonus)
        if (_means(raised, asked, warm) < least).any():
            break
        highest = bonus
    return highest


def _means(scores: Floats, asked: Asked, chosen: Mask) -> tuple[float, float]:
    """Recall@10 and NDCG@10 of the chosen requests."""
    found = values(judged(scores, asked))
    return float(found["recall@10"][chosen].mean()), float(found["ndcg@10"][chosen].mean())
