"""Baseline: co-occurrence counted up to the day of each request, from everybody's events: no training, and no lag.

What `cooccurrence` is without a clock. A shop that counts every night is at most a day behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.cooccurrence import laid_end_to_end
from model.session import Floats
from model.training.baselines.cooccurrence import REACH
from model.training.baselines.protocol import Asked, Choice, Known, window_matrix

DAY_MS = 86_400_000


class LiveCooccurrence:
    """Sum over the window's items a, decayed: (c(a, b) + symmetric (c(a, b) + c(b, a))) / (n(a) + shrink), as of then.

    c(a, b) counts a before b, at distance d by 1 / d; n is how often an item was touched.
    """

    name = "co-occurrence, live"
    grid: Mapping[str, Sequence[float]] = {
        "decay": (0.5, 0.3, 0.7, 0.85),
        "shrink": (30, 0, 10, 100),
        "symmetric": (0.3, 0.0, 1.0),
    }
    live = True
    relearns = True

    def __init__(self) -> None:
        self._known: Known | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        if self._known is not known:
            self._known = known
            self._count(known)
        self._choice = choice

    def _count(self, known: Known) -> None:
        told = replace(known, rows=known.live).sequences
        days = told.at_ms // DAY_MS
        self._steps = np.sort(_key(told.items.astype(np.int64), days))
        sources, others, values, forward, when = [], [], [], [], []
        for distance in range(1, REACH + 1):
            first, later = told.items[:-distance], told.items[distance:]
            paired = np.flatnonzero((told.users[distance:] == told.users[:-distance]) & (first != later))
            sources += [first[paired], later[paired]]
            others += [later[paired], first[paired]]
            values.append(np.full(2 * len(paired), 1 / distance, np.float32))
            forward.append(np.repeat([1.0, 0.0], len(paired)))
            when += [days[distance:][paired]] * 2
        keys = _key(np.concatenate(sources).astype(np.int64), np.concatenate(when))
        order = np.argsort(keys, kind="stable")
        self._keys, self._others = keys[order], np.concatenate(others)[order]
        self._values, self._forward = np.concatenate(values)[order], np.concatenate(forward)[order]

    def scores(self, asked: Asked) -> Floats:
        assert self._known is not None, "fit comes first"
        choice, size = self._choice, self._known.size
        windows = window_matrix(asked, size, choice["decay"]).tocoo()
        items, days = windows.col.astype(np.int64), asked.at_ms[windows.row] // DAY_MS
        begin, now = _key(items, np.zeros_like(days)), _key(items, days)
        steps = np.searchsorted(self._steps, now) - np.searchsorted(self._steps, begin)
        starts, ends = np.searchsorted(self._keys, begin), np.searchsorted(self._keys, now)
        # Pairs of one item lie in order of time: those before the day are one stretch.
        which, places = laid_end_to_end(np.stack([starts, ends], 1).reshape(-1), 2 * np.arange(len(starts)))
        shares = (windows.data / (steps + choice["shrink"] + 1e-9))[which]
        values = shares * self._values[places] * (self._forward[places] + choice["symmetric"])
        where = (windows.row[which], self._others[places])
        found: Floats = sparse.csr_array((values, where), shape=(len(asked.targets), size)).toarray()
        return found.astype(np.float32)


def _key(items: npt.NDArray[np.int64], days: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sorts by item, then day; no day is negative or as far as the year 4800."""
    return items << 20 | days
