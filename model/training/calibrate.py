"""After training: what co-occurrence, prices, what sells and kin are worth beside the towers, chosen on validation.

Knows nothing of torch or of how the towers learn. A handful of numbers against thousands of requests: each is tried on
a grid, one after the other, by NDCG@10.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.cooccurrence import VALUES, Cooccurrence
from model.session import Floats
from model.training.baselines.protocol import Asked
from model.training.lessons import Lessons
from model.training.logs.columns import Log
from model.training.metrics import values
from model.training.new_items import COST, new_items
from model.training.scoring import (
    Learned,
    Neighbours,
    away,
    freshness_at,
    item_matrix,
    judged,
    kin_matrix,
    ndcg,
    neighbours,
    pair_matrices,
    popularity_at,
    prices_apart,
    remembering,
    shrunk,
    tower_scores,
)

SCORES = 50_000_000
"""Validation scores that are held at a time: 200 MB. More requests: finer choices."""
MOST = 4000
"""Validation requests; NDCG@10 is then known to .004, and a difference between two choices to a fifth of that."""
GRID = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Of co-occurrence, against a cosine times about 20."""
TRENDS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0)
FRESHES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
MEMORIES = (0.0, 0.5, 0.7, 0.85, 0.95, 1.0)
"""What a newer line leaves of the weight of a line's pairs; 0: what it leaves in the interest. Logs differ: NDCG@10 on
validation with 0 and with the best, Amazon Office .162 and .167 (.95), MovieLens 100K .129 and .139 (.95), UCI .319 and
.321 (.95), Beauty's three seeds level (.85, .5, .5) and the demo's shop best with 0."""
SHRINKS = (0.0, 1.0, 2.0, 4.0, 8.0)
APARTS = (0.0, -0.1, -0.2, -0.4, -0.8)
"""Of each doubling between prices."""
NO_LINEAR: Mapping[float, sparse.csr_array] = {}
KNOWN_KINS = (4.0, 8.0, 16.0)
KIN_SHRINKS = (1.0, 2.0, 4.0)
FEW = 5
"""From so many events on an item can speak for itself."""


class Worth(NamedTuple):
    """What was chosen, and what it brought on validation."""

    counting: int
    """Which of the ways to count pairs."""
    memory: float
    """Of `remembering`, for pairs."""
    shrink: float
    directed: float
    symmetric: float
    linear: float
    """Of `linear_pairs`."""
    l2: float
    """With which they are made; 0: there are none."""
    kin: float
    """Of new items."""
    known_kin: float
    """Of the others, by `kin_matrix`."""
    kin_shrink: float
    trend: float
    borrowed: float
    apart: float
    fresh: float
    steps: dict[str, float]
    """What was added -> NDCG@10 on validation from there on."""
    new_items: dict[str, float]
    """Of `new_items`, on validation."""


def calibrate(
    log: Log,
    learned: Learned,
    counts: npt.NDArray[np.int64],
    counted: Sequence[Cooccurrence],
    asked: Asked,
    lessons: Lessons,
    new_cost: float = COST,
    linear: Mapping[float, sparse.csr_array] = NO_LINEAR,
) -> Worth:
    """Chooses each weight on the validation requests.

    Args:
        log: whose events tell what sold when.
        learned: by the towers.
        counts: (I,) touches of the training events.
        counted: pairs of the training events, counted in several ways of which the best is chosen.
        asked: Q validation requests. Those for items without an event choose what new items are worth, and no more.
        lessons: the same, as windows.
        new_cost: share of NDCG@10 that may be given up for new items.
        linear: l2 -> (I, I) `linear_pairs` of the training events, of which the best is chosen.
    """
    wide, wide_lessons = _drawn(asked, lessons, counts)
    known = np.flatnonzero(counts[wide.targets])
    asked, lessons = wide.only(known), wide_lessons.only(known)
    told: dict[str, float] = {}
    beside = neighbours(learned.texts, counts)
    tried = {each: ndcg(tower_scores(shrunk(learned, beside, each), lessons), asked) for each in SHRINKS}
    shrink = max(tried, key=lambda each: tried[each])
    bare, learned = learned, shrunk(learned, beside, shrink)
    told["towers"], told["shrink"] = tried[0.0], tried[shrink]
    scores = tower_scores(learned, lessons)
    pairs_of = [pair_matrices(each, log.items) for each in counted]
    wide_apart = prices_apart(log.items, learned, wide_lessons)
    apart_by = wide_apart[known]
    selling = away(asked, lessons)[:, None] * popularity_at(log, asked.at_ms, len(counts))
    fresh = freshness_at(log, asked.at_ms, len(counts))
    tuned = (
        _pairs(scores, memory, item_matrix(remembering(learned, memory), lessons), pairs_of, linear, apart_by, asked)
        for memory in MEMORIES
    )
    pairs = max(tuned, key=lambda each: _with_the_clock(each.scores, selling, fresh, asked)[1]["fresh"])
    scores, told = pairs.scores, told | pairs.steps
    beside_pairs = np.float32(pairs.weights["apart"]) * wide_apart
    new = new_items(bare, wide_lessons, wide, counts, shrink, (pairs.together, pairs.memory), beside_pairs, new_cost)
    known_kin, kin_shrink = 0.0, 0.0
    if new.kin:
        known_kin, kin_shrink, scores = _known_by_kin(scores, pairs.windows, beside, asked)
    told["kin"] = ndcg(scores, asked)
    clock, steps = _with_the_clock(scores, selling, fresh, asked)
    chosen = {
        "kin": new.kin,
        "known_kin": known_kin,
        "kin_shrink": kin_shrink,
        "borrowed": new.bonus,
        **pairs.weights,
        **clock,
    }
    return Worth(pairs.counting, pairs.memory, shrink, **chosen, steps=told | steps, new_items=new.told)


def _drawn(asked: Asked, lessons: Lessons, counts: npt.NDArray[np.int64]) -> tuple[Asked, Lessons]:
    """At most MOST requests for items with events, and of those for items without as large a share."""
    most = max(min(MOST, SCORES // max(len(counts), 1)), 1)
    known = counts[asked.targets] > 0
    share = min(most / max(known.sum(), 1), 1.0)
    some = [
        rows[np.random.default_rng(0).permutation(len(rows))[: round(share * len(rows))]]
        for rows in (np.flatnonzero(known), np.flatnonzero(~known))
    ]
    rows = np.sort(np.concatenate(some))
    return asked.only(rows), lessons.only(rows)


class _Pairs(NamedTuple):
    """What pairs and prices are worth where pairs have this memory."""

    counting: int
    memory: float
    windows: sparse.csr_array
    """Of the lines' weights with this memory."""
    together: sparse.csr_array
    """(I, I) all pairs, as they are weighed."""
    weights: dict[str, float]
    scores: Floats
    steps: dict[str, float]


def _pairs(
    scores: Floats,
    memory: float,
    windows: sparse.csr_array,
    pairs_of: Sequence[tuple[sparse.csr_array, ...]],
    linear: Mapping[float, sparse.csr_array],
    apart_by: Floats,
    asked: Asked,
) -> _Pairs:
    """The count whose directed pairs bring most with this memory, and what goes beside it.

    Memories are compared by all that is scored in the end: the one whose directed pairs alone bring most may leave
    the least to the rest (the demo's shop: .0696 and at last .0715, and with none .0686 and .0725).
    """
    brings = [_best(scores, (windows @ pairs[0]).toarray(), GRID, asked)[2] for pairs in pairs_of]
    counting = int(np.argmax(brings))
    matrices = dict(zip(VALUES, pairs_of[counting], strict=False))
    weights, steps = {"linear": 0.0, "l2": 0.0}, dict[str, float]()
    for name, matrix in matrices.items():
        weights[name], scores, steps[name] = _best(scores, (windows @ matrix).toarray(), GRID, asked)
    if linear:
        weights, scores, steps["linear"] = _linear(scores, windows, matrices, linear, weights, asked)
    if weights["linear"]:
        matrices["linear"] = linear[weights["l2"]]
    together = sum(np.float32(weights[name]) * matrix for name, matrix in matrices.items())
    weights["apart"], scores, steps["apart"] = _best(scores, apart_by, APARTS, asked)
    return _Pairs(counting, memory, windows, together, weights, scores, steps)


def _linear(
    scores: Floats,
    windows: sparse.csr_array,
    counted: Mapping[str, sparse.csr_array],
    linear: Mapping[float, sparse.csr_array],
    weights: Mapping[str, float],
    asked: Asked,
) -> tuple[dict[str, float], Floats, float]:
    """Weights with that of linear pairs, the scores, and their NDCG@10.

    What counts had to say before may be better said by linear pairs, or by both: each is weighed again. NDCG@10 on test
    without linear pairs, with them, and so: LastFM .046, .055, .058, MovieLens 100K .115, .109, .121, Yelp .025, .026,
    .027.
    """
    tried = {l2: _best(scores, (windows @ matrix).toarray(), GRID, asked) for l2, matrix in linear.items()}
    l2 = max(tried, key=lambda each: tried[each][2])
    weight, more, reached = tried[l2]
    if not weight:
        return dict(weights), scores, reached
    chosen = {**weights, "linear": weight, "l2": l2}
    for name, matrix in {**counted, "linear": linear[l2]}.items():
        part = (windows @ matrix).toarray()
        chosen[name], more, reached = _best(more - np.float32(chosen[name]) * part, part, GRID, asked)
    return chosen, more, reached


def _with_the_clock(
    scores: Floats, selling: Floats, fresh: Floats, asked: Asked
) -> tuple[dict[str, float], dict[str, float]]:
    """What is worth that sells at the moment, and that is new: weights, and NDCG@10 with each."""
    weights, steps = dict[str, float](), dict[str, float]()
    weights["trend"], scores, steps["trend"] = _best(scores, selling, TRENDS, asked)
    weights["fresh"], _, steps["fresh"] = _best(scores, fresh, FRESHES, asked)
    return weights, steps


def _known_by_kin(
    scores: Floats, windows: sparse.csr_array, beside: Neighbours, asked: Asked
) -> tuple[float, float, Floats]:
    """What kin is worth to items that have been touched, how many events it stands for, and the scores with it.

    Of the choices with which NDCG@10 stays within one standard error of the best (the rule of Breiman et al. 1984 for
    trees), the best for items with fewer than FEW events: they are wanted seldom, and hardly weigh in the mean. Beauty:
    NDCG@10 of their requests .053 -> .059, of all .0914 as before.
    """
    few = beside.counts[asked.targets] < FEW
    near = {shrink: (windows @ kin_matrix(beside, shrink)).toarray() for shrink in KIN_SHRINKS}
    gains = {(0.0, 0.0): _gains(scores, asked)}
    for kin in KNOWN_KINS if few.any() else ():
        for shrink in KIN_SHRINKS:
            gains[kin, shrink] = _gains(scores + np.float32(kin) * near[shrink], asked)
    best = max(gains.values(), key=np.mean)
    less = {choice: best - each for choice, each in gains.items()}
    as_good = [choice for choice, each in less.items() if each.mean() <= each.std() / np.sqrt(len(each))]
    kin, shrink = max(as_good, key=lambda choice: gains[choice][few].mean() if few.any() else 0.0)
    return kin, shrink, scores + np.float32(kin) * near[shrink] if kin else scores


def _gains(scores: Floats, asked: Asked) -> Floats:
    """(Q,) NDCG@10."""
    return values(judged(scores, asked))["ndcg@10"]


def _best(scores: Floats, extra: Floats, grid: Sequence[float], asked: Asked) -> tuple[float, Floats, float]:
    """The weight of `extra` that is best on the grid, the scores with it, and their NDCG@10."""
    tried = {weight: ndcg(scores + np.float32(weight) * extra, asked) for weight in grid}
    weight = max(tried, key=lambda weight: tried[weight])
    return weight, scores + np.float32(weight) * extra, tried[weight]
