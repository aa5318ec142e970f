"""After training: what co-occurrence, what sells and a new product are worth beside the towers, chosen on validation.

Knows nothing of torch or of how the towers learn. A handful of numbers against thousands of requests: each is tried on
a grid, one after the other, by NDCG@10.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.cooccurrence import Cooccurrence
from model.interest import KINDS
from model.item_tower import LENDERS, nearest
from model.popularity import ENOUGH, WEIGHTS
from model.prices import apart
from model.session import Floats
from model.training.baselines.protocol import Asked
from model.training.examples import Mask
from model.training.graphs import TREND_AFTER_H
from model.training.lessons import Lessons
from model.training.line_weights import strengths
from model.training.logs.columns import Items, Log
from model.training.metrics import hide, ranks, values

SCORES = 50_000_000
"""Validation scores that are held at a time: 200 MB. More requests: finer choices."""
MOST = 4000
"""Validation requests; NDCG@10 is then known to .004, and a difference between two choices to a fifth of that."""
GRID = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Of co-occurrence, against a cosine times about 20."""
TRENDS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0)
SHRINKS = (0.0, 1.0, 2.0, 4.0, 8.0)
LENDING = 50_000
"""Items that lend at most, the most touched: a million items are compared with them in a quarter of an hour."""
APARTS = (0.0, -0.1, -0.2, -0.4, -0.8)
"""Of each doubling between prices."""
BONUSES = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Of new items; ascending."""
HIDDEN = 0.1
"""Share of the items that are taken for new to choose their bonus."""
HOUR_MS = 3_600_000


class Learned(NamedTuple):
    """What the towers learned, as arrays."""

    texts: Floats
    """(I, E)"""
    projection: Floats
    """(E, D)"""
    own: Floats
    """(I, D)"""
    context: Floats
    """(I, D)"""
    recency: Floats
    """(N,) by age, 1 for the newest line."""
    scale: float
    lines: Floats
    """(T,) of `line_weights`."""
    queries: Floats
    """(S, E) of texts that are no item's: their numbers follow the items'."""
    lenders: npt.NDArray[np.int64]
    """(S, L) the items that each of them borrows from."""

    @property
    def numbers(self) -> int:
        """I + S."""
        return len(self.own) + len(self.queries)

    def contexts(self) -> Floats:
        """(I + S, D)"""
        items = self.texts @ self.projection + self.own + self.context
        lent = (self.own + self.context)[self.lenders].mean(1)
        return np.concatenate([items, self.queries @ self.projection + lent])


class Worth(NamedTuple):
    """What was chosen, and what it brought on validation."""

    shrink: float
    directed: float
    symmetric: float
    trend: float
    borrowed: float
    apart: float
    steps: dict[str, float]
    """What was added -> NDCG@10 on validation from there on."""
    new_items: dict[str, float]
    """Recall@10 on validation with a tenth of the items taken for new: of their targets (hidden), and others (warm)."""


def calibrate(
    log: Log,
    learned: Learned,
    counts: npt.NDArray[np.int64],
    counted: Cooccurrence,
    asked: Asked,
    lessons: Lessons,
    known: Mask,
) -> Worth:
    """Chooses each weight on the validation requests.

    Args:
        log: whose events tell what sold when.
        learned: by the towers.
        counts: (I,) touches of the training events.
        counted: pairs of the training events.
        asked: Q validation requests.
        lessons: the same, as windows.
        known: (I,) items that training saw.
    """
    chosen = np.arange(len(asked.targets))
    most = max(min(MOST, SCORES // max(len(known), 1)), 1)
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:most])
    asked, lessons = asked.only(chosen), lessons.only(chosen)
    told: dict[str, float] = {}
    beside = neighbours(learned, counts)
    tried = {each: _ndcg(tower_scores(shrunk(learned, beside, each), lessons), asked) for each in SHRINKS}
    shrink = max(tried, key=lambda each: tried[each])
    told["towers"], told["shrink"], learned = tried[0.0], tried[shrink], shrunk(learned, beside, shrink)
    scores = tower_scores(learned, lessons)
    weights: dict[str, float] = {}
    matrices = dict(zip(("directed", "symmetric"), pair_matrices(counted, log.items), strict=True))
    for name, matrix in matrices.items():
        extra = _item_matrix(learned, lessons) @ matrix
        weights[name], scores, told[name] = _best(scores, extra.toarray(), GRID, asked)
    weights["apart"], scores, told["apart"] = _best(scores, prices_apart(log.items, learned, lessons), APARTS, asked)
    pairs = sum(np.float32(weights[name]) * matrix for name, matrix in matrices.items())
    bonus, new = _bonus(learned, lessons, asked, known, pairs)
    selling = away(asked, lessons)[:, None] * popularity_at(log, asked.at_ms, len(known))
    trend, _, told["trend"] = _best(scores, selling, TRENDS, asked)
    return Worth(shrink, weights["directed"], weights["symmetric"], trend, bonus, weights["apart"], told, new)


class Neighbours(NamedTuple):
    """What each item's nearest others would lend it; zeros where an item has no event."""

    counts: npt.NDArray[np.int64]
    """(I,) events of each item."""
    own: Floats
    """(I, D)"""
    context: Floats
    """(I, D)"""


def neighbours(learned: Learned, counts: npt.NDArray[np.int64]) -> Neighbours:
    """What the nearest items with events would lend to each item with events."""
    known = np.flatnonzero(counts > 0)
    own, context = np.zeros_like(learned.own), np.zeros_like(learned.context)
    if len(known) <= LENDERS:
        return Neighbours(np.zeros_like(counts), own, context)
    lending = np.sort(known[np.argsort(-counts[known], kind="stable")[:LENDING]])
    place = np.full(len(counts), -1)
    place[lending] = np.arange(len(lending))
    of_lenders = learned.texts[lending].T
    for start in range(0, len(known), 1024):
        some = known[start : start + 1024]
        alike = learned.texts[some] @ of_lenders
        mine = np.flatnonzero(place[some] >= 0)
        alike[mine, place[some[mine]]] = -np.inf  # Nobody borrows from oneself.
        chosen = lending[nearest(alike, LENDERS)]
        own[some], context[some] = learned.own[chosen].mean(1), learned.context[chosen].mean(1)
    return Neighbours(counts, own, context)


def shrunk(learned: Learned, beside: Neighbours, shrink: float) -> Learned:
    """What was learned of an item that n events touch, mixed with what its neighbours would lend it, as n : `shrink`.

    A handful of events is mostly chance, and what they teach is learned by heart: with 4 of the neighbours' events to
    one's own, validation's NDCG@10 on Beauty rises from .084 to .086, and Recall@10 of items with 1 to 4 events from
    .057 to .090. An empirical Bayes estimate (Efron & Morris 1973), the prior's mean being the nearest titles'.

    Args:
        learned: by the towers.
        beside: the neighbours' vectors; an item without an event is left alone.
        shrink: events that the neighbours stand for.
    """
    known = beside.counts > 0
    counts = beside.counts[known].astype(np.float32)[:, None]
    own, context = learned.own.copy(), learned.context.copy()
    for mine, lent in ((own, beside.own), (context, beside.context)):
        mine[known] = (counts * mine[known] + np.float32(shrink) * lent[known]) / (counts + np.float32(shrink))
    return learned._replace(own=own, context=context)


def tower_scores(learned: Learned, lessons: Lessons) -> Floats:
    """(Q, I) scores of all items by the towers alone."""
    both = learned.texts @ learned.projection + learned.own
    interests = _unit(_window_matrix(learned, lessons) @ learned.contexts())
    scores: Floats = np.float32(learned.scale) * (interests @ _unit(both).T)
    return scores


def pair_matrices(counted: Cooccurrence, items: Items) -> tuple[sparse.csr_array, sparse.csr_array]:
    """(I, I) directed and symmetric co-occurrence by item number."""
    numbers = np.array([items.numbers[item_id] for item_id in counted.item_ids], np.int64)
    sources = np.repeat(numbers, np.diff(counted.indptr))
    where = (sources, numbers[counted.indices])
    shape = (len(items), len(items))
    return sparse.csr_array((counted.directed, where), shape=shape), sparse.csr_array(
        (counted.symmetric, where), shape=shape
    )


def prices_apart(items: Items, learned: Learned, lessons: Lessons) -> Floats:
    """(Q, I) of `model.prices.apart`, all items being candidates."""
    told = items.table.column("price").to_numpy().astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_prices = np.where(told > 0, np.log2(told), np.nan).astype(np.float32)
    priced = (lessons.items >= 0) & (lessons.items < len(items))
    lines = np.where(priced, log_prices[np.where(priced, lessons.items, 0)], np.nan)
    weights = strengths(learned.lines, lessons.lines) * learned.recency[: lessons.items.shape[1]]
    return apart(weights[:, None], lines, log_prices[None])[:, 0]


def borrowed(texts: Floats, lenders: Mask, vectors: Floats) -> Floats:
    """`vectors` (I, D), those that lend nothing replaced by the mean of their LENDERS nearest lenders', by text."""
    lending, others = np.flatnonzero(lenders), np.flatnonzero(~lenders)
    found = vectors.copy()
    for start in range(0, len(others), 1024):
        some = others[start : start + 1024]
        chosen = nearest(texts[some] @ texts[lending].T, min(LENDERS, len(lending)))
        found[some] = vectors[lending[chosen]].mean(1)
    return found


def popularity_at(log: Log, at_ms: npt.NDArray[np.int64], size: int, half_life_ms: int = 7 * 86_400_000) -> Floats:
    """(Q, I) the scorer's popularity feature as it stood when each day of a request began, from everybody's events.

    See `model.popularity`: counts by kind that halve with time, as a logarithm between 0 and 1.
    """
    kinds = np.array([WEIGHTS.get(kind, 0.0) for kind in KINDS])
    days = at_ms // 86_400_000 * 86_400_000
    found: Floats = np.zeros((len(at_ms), size), np.float32)
    counts, counted_ms, before = np.zeros(size), 0, 0
    for day in np.unique(days):
        end = int(np.searchsorted(log.at_ms, day))
        rows = np.arange(before, end)[log.item[before:end] >= 0]
        counts *= 0.5 ** ((int(day) - counted_ms) / half_life_ms)
        decayed = kinds[log.kind[rows]] * 0.5 ** ((int(day) - log.at_ms[rows]) / half_life_ms)
        counts += np.bincount(log.item[rows], decayed, size)
        before, counted_ms = end, int(day)
        logs = np.log1p(np.maximum(counts, 0))
        found[days == day] = logs / max(float(logs.max(initial=0.0)), float(np.log1p(ENOUGH)))
    return found


def away(asked: Asked, lessons: Lessons) -> Floats:
    """(Q,) 0 within a visit to 1 a night after it, as the scorer's graph computes it of gap_h."""
    newest = lessons.newest_ms
    gaps = np.where(newest >= 0, (asked.at_ms - newest) / HOUR_MS, 0.0)
    shares: Floats = np.clip(gaps / TREND_AFTER_H, 0, 1).astype(np.float32)
    return shares


def _bonus(
    learned: Learned, lessons: Lessons, asked: Asked, known: Mask, pairs: sparse.csr_array
) -> tuple[float, dict[str, float]]:
    """The bonus of new items, and what it brings and costs.

    A tenth of the items is taken for new: their lines leave the windows, and what was learned of them is forgotten. The
    bonus is the highest with which they cost the others no more Recall@10 than if their titles alone spoke for them.
    """
    dice = np.random.default_rng(0)
    hidden = known & (dice.random(len(known)) < HIDDEN)
    lenders, cold = known & ~hidden, hidden[asked.targets]
    if not lenders.any() or not cold.any() or cold.all():
        return 0.0, {}
    seen = lessons.items >= 0
    gone = seen & np.isin(lessons.items, np.flatnonzero(hidden))
    lessons = lessons._replace(items=np.where(gone, -1, lessons.items).astype(np.int32))
    counted = (_item_matrix(learned, lessons) @ pairs).toarray()
    counted[:, hidden] = 0
    bare, lent = learned.own.copy(), learned.context.copy()
    bare[hidden] = lent[hidden] = 0
    title_alone = tower_scores(learned._replace(own=bare, context=lent), lessons) + counted
    least = _recall(title_alone, asked, ~cold)
    told = {"hidden, title alone": _recall(title_alone, asked, cold), "warm, title alone": least}
    own, context = (borrowed(learned.texts, lenders, each) for each in (learned.own, learned.context))
    scores = tower_scores(learned._replace(own=own, context=context), lessons) + counted
    without = scores.copy()
    without[:, hidden] = -np.inf
    told["warm, none shown"] = _recall(without, asked, ~cold)
    best = BONUSES[0]
    for bonus in BONUSES:
        raised = scores.copy()
        raised[:, hidden] += np.float32(bonus)
        warm = _recall(raised, asked, ~cold)
        if bonus == BONUSES[0] or warm >= least:
            best = bonus
            told |= {"hidden": _recall(raised, asked, cold), "warm": warm}
    return best, told


def _best(scores: Floats, extra: Floats, grid: Sequence[float], asked: Asked) -> tuple[float, Floats, float]:
    """The weight of `extra` that is best on the grid, the scores with it, and their NDCG@10."""
    tried = {weight: _ndcg(scores + np.float32(weight) * extra, asked) for weight in grid}
    weight = max(tried, key=lambda weight: tried[weight])
    return weight, scores + np.float32(weight) * extra, tried[weight]


def _judged(scores: Floats, asked: Asked) -> npt.NDArray[np.int32]:
    found = scores.copy()
    hide(found, asked.starts, asked.seen)
    return ranks(found, asked.targets)


def _ndcg(scores: Floats, asked: Asked) -> float:
    return float(values(_judged(scores, asked))["ndcg@10"].mean())


def _recall(scores: Floats, asked: Asked, chosen: Mask) -> float:
    return float(values(_judged(scores, asked))["recall@10"][chosen].mean())


def _item_matrix(learned: Learned, lessons: Lessons) -> sparse.csr_array:
    """(Q, I) weight of each item in each window."""
    return _window_matrix(learned, lessons)[:, : len(learned.own)]


def _window_matrix(learned: Learned, lessons: Lessons) -> sparse.csr_array:
    """(Q, I + S) weight of each item and text in each window."""
    there = lessons.items >= 0
    weights = (strengths(learned.lines, lessons.lines) * learned.recency[: lessons.items.shape[1]])[there]
    places = np.concatenate([[0], np.cumsum(there.sum(1))])
    made = sparse.csr_array((weights, lessons.items[there], places), shape=(len(there), learned.numbers))
    made.sum_duplicates()
    return made


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit
