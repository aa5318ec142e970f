"""Offline: the parts of a bundle's score, for many windows and all items at once, by dense products.

What the graphs and the serving code compute for a few candidates; for choosing on validation. Knows nothing of torch or
of how the towers learn.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.cooccurrence import Cooccurrence
from model.event import Kind
from model.freshness import freshness
from model.interest import KINDS
from model.item_tower import LENDERS, nearest
from model.popularity import ENOUGH, HALF_LIFE_MS, WEIGHTS
from model.prices import apart
from model.session import Floats
from model.text import BAD_RATING
from model.training.baselines.protocol import Asked
from model.training.graphs import TREND_AFTER_H
from model.training.lessons import Lessons
from model.training.line_weights import strengths
from model.training.logs.columns import Items, Log
from model.training.metrics import Ranks, hide, ranks, values

LENDING = 50_000
"""Items that lend at most, the most touched: a million items are compared with them in a quarter of an hour."""
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


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


class Neighbours(NamedTuple):
    """Whose titles are nearest."""

    counts: npt.NDArray[np.int64]
    """(I,) events of each item."""
    lenders: npt.NDArray[np.int64]
    """(I, LENDERS) nearest others with events; of an item without an event, and of all where there are too few, -1."""


def neighbours(texts: Floats, counts: npt.NDArray[np.int64]) -> Neighbours:
    """The nearest items with events of each item with events."""
    found = np.full((len(counts), LENDERS), -1)
    known = np.flatnonzero(counts > 0)
    if len(known) <= LENDERS:
        return Neighbours(counts, found)
    lending = np.sort(known[np.argsort(-counts[known], kind="stable")[:LENDING]])
    place = np.full(len(counts), -1)
    place[lending] = np.arange(len(lending))
    of_lenders = texts[lending].T
    for start in range(0, len(known), 1024):
        some = known[start : start + 1024]
        alike = texts[some] @ of_lenders
        mine = np.flatnonzero(place[some] >= 0)
        alike[mine, place[some[mine]]] = -np.inf  # Nobody borrows from oneself.
        found[some] = lending[nearest(alike, LENDERS)]
    return Neighbours(counts, found)


def kin_matrix(beside: Neighbours, shrink: float) -> sparse.csr_array:
    """(I, I) from an item to those that it lends to: 1 / LENDERS of `shrink` events among n + `shrink`."""
    known = np.flatnonzero(beside.lenders[:, 0] >= 0)
    lenders = beside.lenders[known]
    shares = np.repeat(shrink / (beside.counts[known] + shrink) / LENDERS, LENDERS).astype(np.float32)
    size = len(beside.counts)
    return sparse.csr_array((shares, (lenders.reshape(-1), np.repeat(known, LENDERS))), shape=(size, size))


def shrunk(learned: Learned, beside: Neighbours, shrink: float) -> Learned:
    """What was learned of an item that n events touch, mixed with what its neighbours would lend it, as n : `shrink`.

    A handful of events is mostly chance, and what they teach is learned by heart: with 4 of the neighbours' events to
    one's own, validation's NDCG@10 on Beauty rises from .084 to .086, and Recall@10 of items with 1 to 4 events from
    .057 to .090. An empirical Bayes estimate (Efron & Morris 1973), the prior's mean being the nearest titles'.

    Args:
        learned: by the towers.
        beside: whose titles are nearest; an item without an event is left alone.
        shrink: events that the neighbours stand for.
    """
    known = np.flatnonzero(beside.lenders[:, 0] >= 0)
    counts, lenders = beside.counts[known].astype(np.float32)[:, None], beside.lenders[known]
    mixed = []
    for vectors in (learned.own, learned.context):
        lent, mine = vectors[lenders].mean(1), vectors.copy()
        mine[known] = (counts * mine[known] + np.float32(shrink) * lent) / (counts + np.float32(shrink))
        mixed.append(mine)
    return learned._replace(own=mixed[0], context=mixed[1])


def tower_scores(learned: Learned, lessons: Lessons) -> Floats:
    """(Q, I) scores of all items by the towers alone."""
    both = learned.texts @ learned.projection + learned.own
    interests = _unit(_window_matrix(learned, lessons) @ learned.contexts())
    scores: Floats = np.float32(learned.scale) * (interests @ _unit(both).T)
    return scores


def remembering(learned: Learned, memory: float) -> Learned:
    """The same with a recency of which each newer line leaves `memory`; 0: as it was learned."""
    if not memory:
        return learned
    return learned._replace(recency=np.float32(memory) ** np.arange(len(learned.recency), dtype=np.float32))


def pair_matrices(counted: Cooccurrence, items: Items) -> tuple[sparse.csr_array, sparse.csr_array]:
    """(I, I) directed and symmetric co-occurrence by item number."""
    numbers = np.array([items.numbers[item_id] for item_id in counted.item_ids], np.int64)
    sources = np.repeat(numbers, np.diff(counted.indptr))
    where = (sources, numbers[counted.indices])
    directed, symmetric, _ = (sparse.csr_array((each, where), shape=(len(items),) * 2) for each in counted.values)
    return directed, symmetric


def prices_apart(items: Items, learned: Learned, lessons: Lessons) -> Floats:
    """(Q, I) of `model.prices.apart`, all items being candidates."""
    told = items.table.column("price").to_numpy().astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_prices = np.where(told > 0, np.log2(told), np.nan).astype(np.float32)
    priced = (lessons.items >= 0) & (lessons.items < len(items))
    lines = np.where(priced, log_prices[np.where(priced, lessons.items, 0)], np.nan)
    weights = strengths(learned.lines, lessons.lines) * learned.recency[: lessons.items.shape[1]]
    return apart(weights[:, None], lines, log_prices[None])[:, 0]


def popularity_at(log: Log, at_ms: npt.NDArray[np.int64], size: int, half_life_ms: int = HALF_LIFE_MS) -> Floats:
    """(Q, I) the scorer's popularity feature as it stood when each day of a request began, from everybody's events.

    See `model.popularity`: counts by kind that halve with time, as a logarithm between 0 and 1. A bad review counts as
    a dislike, as it does on the shelf.
    """
    kinds = np.array([WEIGHTS.get(kind, 0.0) for kind in KINDS])
    days = at_ms // DAY_MS * DAY_MS
    found: Floats = np.zeros((len(at_ms), size), np.float32)
    counts, counted_ms, before = np.zeros(size), 0, 0
    for day in np.unique(days):
        end = int(np.searchsorted(log.at_ms, day))
        rows = np.arange(before, end)[log.item[before:end] >= 0]
        counts *= 0.5 ** ((int(day) - counted_ms) / half_life_ms)
        told = np.where(log.rating[rows] <= BAD_RATING, WEIGHTS[Kind.DISLIKE], kinds[log.kind[rows]])
        decayed = told * 0.5 ** ((int(day) - log.at_ms[rows]) / half_life_ms)
        counts += np.bincount(log.item[rows], decayed, size)
        before, counted_ms = end, int(day)
        logs = np.log1p(np.maximum(counts, 0))
        found[days == day] = logs / max(float(logs.max(initial=0.0)), float(np.log1p(ENOUGH)))
    return found


def freshness_at(log: Log, at_ms: npt.NDArray[np.int64], size: int) -> Floats:
    """(Q, I) the scorer's freshness as it stood when each day of a request began, from everybody's events."""
    rows = np.flatnonzero((log.item >= 0) & (log.at_ms > 0))
    items, firsts = np.unique(log.item[rows], return_index=True)  # A log is in time order.
    since_ms = np.zeros(size, np.int64)
    since_ms[items] = log.at_ms[rows[firsts]]
    days = (at_ms // DAY_MS * DAY_MS)[:, None]
    birth_ms = int(since_ms[items].min()) if len(items) else 0
    return freshness(np.where(since_ms < days, since_ms, 0), at_ms[:, None], birth_ms)


def away(asked: Asked, lessons: Lessons) -> Floats:
    """(Q,) 0 within a visit to 1 a night after it, as the scorer's graph computes it of gap_h."""
    newest = lessons.newest_ms
    gaps = np.where(newest >= 0, (asked.at_ms - newest) / HOUR_MS, 0.0)
    shares: Floats = np.clip(gaps / TREND_AFTER_H, 0, 1).astype(np.float32)
    return shares


def judged(scores: Floats, asked: Asked) -> Ranks:
    """(Q,) ranks of the targets, seen items masked."""
    found = scores.copy()
    hide(found, asked.starts, asked.seen)
    return ranks(found, asked.targets)


def ndcg(scores: Floats, asked: Asked) -> float:
    """Mean NDCG@10, by which everything is chosen."""
    return float(values(judged(scores, asked))["ndcg@10"].mean())


def item_matrix(learned: Learned, lessons: Lessons) -> sparse.csr_array:
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
