"""Baseline: what followed, and what went together with, the items of the window. Counting, no training.

The floor that beats many papers; see Ludewig & Jannach 2018 on how simple sequential rules compare with networks.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from model.session import Floats
from model.training.baselines.protocol import Asked, Choice, Known, Matrix, Sequences, window_matrix

REACH = 20
"""How many of a user's earlier items an item is paired with."""


class Cooccurrence:
    """Sum over the window's items a, decayed: (c(a, b) + symmetric (c(a, b) + c(b, a))) / (n(a) + shrink) / n(b)^fair.

    c(a, b) counts a before b, at distance d by 1 / d^lag_power; n is how often an item was touched.
    """

    name = "co-occurrence"
    grid: Mapping[str, Sequence[float]] = {
        "decay": (0.5, 0.3, 0.7, 0.85),
        "lag_power": (0.5, 0.0, 1.0, 2.0),
        "shrink": (30, 0, 10, 100),
        "symmetric": (0.3, 0.0, 1.0, 3.0),
        "fair": (0.0, 0.25, 0.5),
    }
    live = False
    relearns = True

    def __init__(self) -> None:
        self._counted: tuple[Known, float, Matrix] | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        if self._counted is None or self._counted[0] is not known or self._counted[1] != choice["lag_power"]:
            counts = followed(known.sequences, known.size, choice["lag_power"])
            self._counted = (known, choice["lag_power"], counts)
        directed = self._counted[2]
        both = directed + choice["symmetric"] * (directed + directed.T)
        events = np.maximum(known.counts, 1)
        left = 1 / (events + choice["shrink"])
        right = events ** -choice["fair"]
        self._shares = sparse.csr_array(sparse.diags_array(left) @ both @ sparse.diags_array(right), dtype=np.float32)
        self._decay = choice["decay"]

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, self._shares.shape[0], self._decay)
        found: Floats = (weights @ self._shares).toarray()
        return found


def followed(told: Sequences, size: int, lag_power: float) -> Matrix:
    """(M, M) how often the row's item came before the column's, each time by 1 / distance ** lag_power."""
    before, after, counts = [], [], []
    for distance in range(1, REACH + 1):
        pairs = (told.users[distance:] == told.users[:-distance]) & (told.items[distance:] != told.items[:-distance])
        before.append(told.items[:-distance][pairs])
        after.append(told.items[distance:][pairs])
        counts.append(np.full(int(pairs.sum()), distance**-lag_power, np.float32))
    where = (np.concatenate(before), np.concatenate(after))
    return sparse.csr_array((np.concatenate(counts), where), shape=(size, size))
