"""After training: what a new item is worth that borrows all that it has, chosen on validation.

Knows nothing of torch. Where a tenth of the requests or more are for items that training has not seen, as in a young
shop, these are the new ones. Else a tenth of the items is taken for new: their lines leave the windows, and what was
learned and counted of them is forgotten.
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
from model.training.scoring import Learned, item_matrix, judged, neighbours, remembering, shrunk, tower_scores

HIDDEN = 0.1
"""Share of the items that are taken for new, and of the requests from which on the real ones are."""
BONUSES = (-2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0)
KINS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
COST = 0.03
"""Share of NDCG@10 of all requests together that may be given up for new items, unless `train --new-items` says
otherwise. The best for all is hardly to show them; the best for them puts them first in many lists, for nobody knows
whether they sell. Beauty's validation, a tenth of the items taken for new, Recall@10/NDCG@10 of requests for them and
for the others: .042/.023 and .141/.085 with 1 %, .067/.042 and .139/.083 with 3, .069/.049 and .138/.080 with 5."""
LOSS = 0.03
"""Share of the others' Recall@10 that new items may cost beyond what they cost by their borrowed vectors alone."""


class NewItems(NamedTuple):
    """What was chosen, and what it brings."""

    kin: float
    bonus: float
    told: dict[str, float]
    """Recall@10, and where it says so NDCG@10, of requests for new items (hidden), for others (warm), and of all."""


def new_items(
    learned: Learned,
    lessons: Lessons,
    asked: Asked,
    counts: npt.NDArray[np.int64],
    shrink: float,
    pairs: tuple[sparse.csr_array, float],
    beside: Floats,
    cost: float = COST,
) -> NewItems:
    """The weight of kin, and the bonus of new items: best for them at a bounded cost.

    Args:
        learned: by the towers, not shrunk.
        lessons: Q windows.
        asked: the same, as requests.
        counts: (I,) touches of the training events.
        shrink: of `shrunk`.
        pairs: (I, I) weighted co-occurrence, and their memory.
        beside: (Q, I) what else counts.
        cost: share of NDCG@10 of all requests, those for new items among them, that may be given up.
    """
    known = counts > 0
    hidden = ~known
    if hidden[asked.targets].mean() < HIDDEN:
        some = np.flatnonzero(known[asked.targets])
        asked, lessons, beside = asked.only(some), lessons.only(some), beside[some]
        hidden = known & (np.random.default_rng(0).random(len(known)) < HIDDEN)
    lenders, cold = known & ~hidden, hidden[asked.targets]
    if not lenders.any() or not cold.any() or cold.all():
        return NewItems(0.0, 0.0, {})
    gone = (lessons.items >= 0) & np.isin(lessons.items, np.flatnonzero(hidden & known))
    lessons = lessons._replace(items=np.where(gone, -1, lessons.items).astype(np.int32))
    left = np.where(hidden, 0, counts)
    learned = shrunk(learned, neighbours(learned.texts, left), shrink)
    lend = lending(learned.texts, lenders)
    learned = learned._replace(own=lend @ learned.own, context=lend @ learned.context)
    windows = item_matrix(remembering(learned, pairs[1]), lessons)
    counted = (windows @ pairs[0]).tocsc()
    plain = tower_scores(learned, lessons) + beside
    plain[:, lenders] += counted[:, lenders].toarray()
    without = plain.copy()
    without[:, hidden] = -np.inf
    told = {"warm, none shown": _means(without, asked, cold)["warm"]}
    told |= {f"{name}, no pairs lent": mean for name, mean in _means(plain, asked, cold).items()}
    borrowing = lend.T[:, hidden]
    lent, near = (counted @ borrowing).toarray(), (windows @ borrowing).toarray()
    tried = {}
    for kin in KINS:
        for bonus in BONUSES:
            scores = plain.copy()
            scores[:, hidden] += lent + np.float32(kin) * near + np.float32(bonus)
            tried[kin, bonus] = _means(scores, asked, cold)
    least = (1 - cost) * max(each["all, NDCG@10"] for each in tried.values())
    recall = (1 - LOSS) * told["warm, no pairs lent"]
    allowed = [choice for choice, each in tried.items() if each["all, NDCG@10"] >= least and each["warm"] >= recall]
    if not allowed:  # A handful of requests, one of which decides.
        allowed = [max(tried, key=lambda choice: tried[choice]["all, NDCG@10"])]
    kin, bonus = max(allowed, key=lambda choice: tried[choice]["hidden, NDCG@10"])
    return NewItems(kin, bonus, told | tried[kin, bonus])


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


def _means(scores: Floats, asked: Asked, cold: Mask) -> dict[str, float]:
    """Recall@10 and NDCG@10 of requests for new items, for others, and of all."""
    found = values(judged(scores, asked))
    parts = {"hidden": cold, "warm": ~cold, "all": np.ones_like(cold)}
    told = {name: float(found["recall@10"][mask].mean()) for name, mask in parts.items()}
    return told | {f"{name}, NDCG@10": float(found["ndcg@10"][mask].mean()) for name, mask in parts.items()}
