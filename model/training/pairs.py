"""Counts which items follow which, from a log, for the bundle's co-occurrence.

Knows nothing of Kafka or of how the counts are used. Memory grows with distinct pairs, which `reach` bounds per event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model.cooccurrence import SHRINK, SILENT, VALUES, Cooccurrence, Ints, cooccurrence
from model.interest import KINDS
from model.session import Floats
from model.training.logs.columns import Ints32, Log

if TYPE_CHECKING:  # Whoever only counts has no scipy: it comes with [train].
    from scipy import sparse

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counting:
    """How pairs are counted."""

    reach: int = 20
    """How many of a user's earlier items an item is paired with. More: quadratic in the basket's size."""
    lag_power: float = 1.0
    """A pair at distance d counts 1 / d ** lag_power."""
    shrink: float = SHRINK
    """Events of an item that count as if they had nothing to do with any other."""
    fair: float = 0.0
    """A share is divided by how often the later item is touched to this power, in units of the mean: with what sells
    anyway everything goes."""
    neighbours: int = 100
    """Kept per item, of either direction. A popular item has thousands, and the rest are noise."""


COUNTINGS = (Counting(), *(Counting(lag_power=lag, fair=fair) for lag, fair in ((1.0, 0.25), (0.5, 0.0), (0.5, 0.25))))
"""Of which the best on validation is taken, for hardly two logs agree. NDCG@10 on validation, beside towers, with the
first and with the best: Beauty .088 and the same, Toys .118 and .120, MovieLens 100K .126 and .127, UCI .317 and .320,
Beauty by time .068 and .070."""


def count(log: Log, counting: Counting, among: Mask | None = None) -> Cooccurrence:
    """The counted neighbours of every item that was touched.

    Args:
        log: in time order, as every log is.
        counting: how pairs are counted.
        among: (X,) rows that may be counted; None: all.

    Returns:
        Items in the order in which they were touched first.
    """
    told = (log.item >= 0) & ~np.isin(log.kind, [KINDS.index(kind) for kind in SILENT])
    rows = np.flatnonzero(told if among is None else told & among)
    found, firsts, places = np.unique(log.item[rows], return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    numbers = np.argsort(order)[places]
    by_user = np.argsort(log.user[rows], kind="stable")  # Still in time order within each user.
    users, items = log.user[rows][by_user], numbers[by_user]
    # A click and then a purchase of the same item are one step, not a pair.
    step = np.ones(len(rows), np.bool_)
    step[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    users, items = users[step], items[step]
    keys, values = _pairs(users, items, counting)
    events = np.bincount(items, minlength=len(found)).astype(np.float64)
    counted = _shrunk([log.items.ids[number] for number in found[order]], events, keys, values, counting)
    return counted._replace(until_ms=int(log.at_ms[rows].max(initial=0)))


def _pairs(users: Ints32, items: Ints, counting: Counting) -> tuple[Ints, Doubles]:
    """(P,) a << 32 | b, distinct, and (P,) how much b came after a."""
    keys, values = [np.empty(0, np.int64)], [np.empty(0)]
    for distance in range(1, counting.reach + 1):
        earlier, later = items[:-distance], items[distance:]
        paired = (users[:-distance] == users[distance:]) & (earlier != later)
        distinct, times = np.unique(earlier[paired] << 32 | later[paired], return_counts=True)
        keys.append(distinct)
        values.append(times / distance**counting.lag_power)
    distinct, places = np.unique(np.concatenate(keys), return_inverse=True)
    sums: Doubles = np.bincount(places, np.concatenate(values), minlength=len(distinct)).astype(np.float64)
    return distinct, sums


def _shrunk(item_ids: list[str], events: Doubles, keys: Ints, values: Doubles, counting: Counting) -> Cooccurrence:
    """Counts as shares, the best `neighbours` of each item kept.

    directed: c(a, b) / (n(a) + shrink), what share of a's events b came after, and that by how `fair` is; symmetric:
    (c(a, b) + c(b, a)) over the same.
    """
    sources, targets = keys >> 32, keys & 0xFFFFFFFF
    # Every pair under both of its ends: an item that only ever came before another is its neighbour all the same.
    both = np.sort(np.concatenate([keys, targets << 32 | sources]))  # np.unique hashes: four times slower here.
    both = both[np.diff(both, prepend=-1) != 0]
    a, b = both >> 32, both & 0xFFFFFFFF
    there = _looked_up(keys, values, both)
    back = _looked_up(keys, values, b << 32 | a)
    fair = events**counting.fair
    weight = (events[a] + counting.shrink) * fair[b] * (len(fair) / fair.sum() if len(fair) else 1.0)
    directed, symmetric = there / weight, (there + back) / weight
    order = np.lexsort((b, -(directed + symmetric), a))
    starts = np.searchsorted(a[order], a[order])
    kept = np.sort(order[np.arange(len(order)) - starts < counting.neighbours])  # Back to ascending (a, b).
    indptr = np.searchsorted(a[kept], np.arange(len(item_ids) + 1))
    told: Floats = np.array([directed[kept], symmetric[kept], np.zeros(len(kept))], np.float32)
    return cooccurrence(item_ids, indptr, b[kept], told, events.astype(np.float32), counting.shrink)


def with_pairs(counted: Cooccurrence, item_ids: Sequence[str], value: str, pairs: "sparse.csr_array") -> Cooccurrence:
    """The counts with these pairs added to one of their values; new neighbours come beside those that were kept.

    Args:
        counted: any.
        item_ids: (I,) of a log.
        value: of VALUES.
        pairs: (I, I) by their numbers.
    """
    numbers = np.array([counted.numbers.get(item_id, -1) for item_id in item_ids], np.int64)
    found = pairs.tocoo()
    a, b = numbers[found.row], numbers[found.col]
    there = (a >= 0) & (b >= 0) & (found.data != 0)
    size = len(counted.item_ids)
    sources = np.repeat(np.arange(size), np.diff(counted.indptr))
    keys = np.concatenate([sources * size + counted.indices, a[there] * size + b[there]])
    added = np.zeros((len(VALUES), int(there.sum())), np.float32)
    added[VALUES.index(value)] = found.data[there]
    distinct, places = np.unique(keys, return_inverse=True)
    values = [np.bincount(places, each, len(distinct)) for each in np.concatenate([counted.values, added], axis=1)]
    indptr = np.searchsorted(distinct // size, np.arange(size + 1))
    merged: Floats = np.array(values, np.float32)
    return counted._replace(indptr=indptr, indices=distinct % size, values=merged)


def _looked_up(keys: Ints, values: Doubles, wanted: Ints) -> Doubles:
    """Value of each wanted key, 0 where it was never counted; `keys` ascend."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)
