"""Baselines: what sells, ever, of late, or now; the same list for everyone."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model.session import Floats
from model.training.baselines.protocol import Asked, Choice, Known

DAY_MS = 86_400_000
FORGOTTEN = 20
"""Half lives after which an event is a millionth, and left out."""


class Popularity:
    """An item's score is how often it was touched."""

    name = "popularity"
    grid: Mapping[str, Sequence[float]] = {}
    live = False
    relearns = True

    def fit(self, known: Known, choice: Choice) -> None:
        self._counts = known.counts.astype(np.float32)

    def scores(self, asked: Asked) -> Floats:
        return np.tile(self._counts, (len(asked.targets), 1))


class RecentPopularity:
    """Touches that halve with time, as they stand at the end of what was learned from."""

    name = "recent popularity"
    grid: Mapping[str, Sequence[float]] = {"half_life_days": (30, 3, 7, 90, 365)}
    live = False
    relearns = True

    def fit(self, known: Known, choice: Choice) -> None:
        told = known.sequences
        end_ms = int(told.at_ms.max(initial=0))
        self._counts = decayed(told.items, told.at_ms, end_ms, choice["half_life_days"], known.size)

    def scores(self, asked: Asked) -> Floats:
        return np.tile(self._counts, (len(asked.targets), 1))


class PopularityNow:
    """Log of the touches that halve with time, by everyone, as they stood when the day of the request began.

    `gate` 1: only for who comes back on a later day; within a day the sequence says more than the trend.
    """

    name = "popularity now"
    grid: Mapping[str, Sequence[float]] = {"half_life_days": (14, 3, 7, 30, 90), "gate": (0, 1)}
    live = True
    relearns = True

    def fit(self, known: Known, choice: Choice) -> None:
        log = known.log
        rows = np.flatnonzero(known.live & (log.item >= 0))
        self._items, self._at_ms = log.item[rows], log.at_ms[rows]
        self._size, self._choice = known.size, choice

    def scores(self, asked: Asked) -> Floats:
        half_life_days = self._choice["half_life_days"]
        days, of_day = np.unique(asked.at_ms // DAY_MS, return_inverse=True)
        counts = np.empty((len(days), self._size), np.float32)
        for place, day in enumerate(days.tolist()):
            oldest_ms = day * DAY_MS - FORGOTTEN * half_life_days * DAY_MS
            first, end = np.searchsorted(self._at_ms, (oldest_ms, day * DAY_MS))
            before = slice(first, end)
            counts[place] = decayed(self._items[before], self._at_ms[before], day * DAY_MS, half_life_days, self._size)
        found: Floats = np.log1p(counts)[of_day]
        if self._choice["gate"]:
            found[asked.tied] = 0
        return found


def decayed(
    items: npt.NDArray[np.int32], at_ms: npt.NDArray[np.int64], now_ms: int, half_life_days: float, size: int
) -> Floats:
    """(M,) each item's touches, every one halved for each half life that it lies before `now_ms`."""
    weights = np.exp2((at_ms - now_ms) / (half_life_days * DAY_MS))
    return np.bincount(items, weights, size).astype(np.float32)
