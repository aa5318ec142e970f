"""Counts which items follow which, from a log, for the bundle's co-occurrence.

Knows nothing of Kafka or of how the counts are used. Memory grows with distinct pairs, which `reach` bounds per event.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.cooccurrence import Cooccurrence, Ints, cooccurrence
from model.event import Kind
from model.training.log import Touch

Doubles = npt.NDArray[np.float64]

SILENT = frozenset({Kind.IMPRESSION, Kind.SEARCH, Kind.SIGNUP, Kind.RETURN, Kind.DISLIKE})
"""Kinds after which an item says nothing of what goes with it."""


@dataclass(frozen=True)
class Counting:
    """How pairs are counted."""

    reach: int = 20
    """How many of a user's earlier items an item is paired with. More: quadratic in the basket's size."""
    lag_power: float = 1.0
    """A pair at distance d counts 1 / d ** lag_power."""
    shrink: float = 30.0
    """Events of an item that count as if they had nothing to do with any other: one coincidence is no rule."""
    neighbours: int = 100
    """Kept per item, of either direction. A popular item has thousands, and the rest are noise."""


def count(touches: Iterable[Touch], counting: Counting) -> Cooccurrence:
    """The counted neighbours of every item of the log, which is in time order for each user."""
    numbers: dict[str, int] = {}
    before: dict[str, deque[int]] = {}
    events: list[float] = []
    pairs: defaultdict[int, float] = defaultdict(float)
    shares = [0.0] + [1.0 / distance**counting.lag_power for distance in range(1, counting.reach + 1)]
    for touch in touches:
        if touch.kind in SILENT:
            continue
        number = numbers.setdefault(touch.item_id, len(numbers))
        if number == len(events):
            events.append(0.0)
        earlier = before.setdefault(touch.user_id, deque(maxlen=counting.reach))
        if earlier and earlier[0] == number:
            continue  # A click and then a purchase of the same item are one step, not a pair.
        events[number] += 1.0
        for distance, other in enumerate(earlier, 1):
            if other != number:
                pairs[other << 32 | number] += shares[distance]
        earlier.appendleft(number)
    return _shrunk(list(numbers), np.array(events), pairs, counting)


def _shrunk(item_ids: list[str], events: Doubles, pairs: dict[int, float], counting: Counting) -> Cooccurrence:
    """Counts as shares, the best `neighbours` of each item kept.

    directed: c(a, b) / (n(a) + shrink), what share of a's events b came after; symmetric: (c(a, b) + c(b, a)) over the
    same.
    """
    keys = np.fromiter(pairs, np.int64, len(pairs))
    values = np.fromiter(pairs.values(), np.float64, len(pairs))
    sources, targets = keys >> 32, keys & 0xFFFFFFFF
    # Every pair under both of its ends: an item that only ever came before another is its neighbour all the same.
    both = np.unique(np.concatenate([keys, targets << 32 | sources]))
    a, b = both >> 32, both & 0xFFFFFFFF
    there = _looked_up(keys, values, both)
    back = _looked_up(keys, values, b << 32 | a)
    weight = events[a] + counting.shrink
    directed, symmetric = there / weight, (there + back) / weight
    order = np.lexsort((b, -(directed + symmetric), a))
    starts = np.searchsorted(a[order], a[order])
    kept = np.sort(order[np.arange(len(order)) - starts < counting.neighbours])  # Back to ascending (a, b).
    indptr = np.searchsorted(a[kept], np.arange(len(item_ids) + 1))
    return cooccurrence(
        item_ids, indptr, b[kept], directed[kept].astype(np.float32), symmetric[kept].astype(np.float32)
    )


def _looked_up(keys: Ints, values: Doubles, wanted: Ints) -> Doubles:
    """Value of each wanted key, 0 where it was never counted."""
    if not len(keys):
        return np.zeros(len(wanted))
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    found = order[place]
    return np.where(keys[found] == wanted, values[found], 0.0)
