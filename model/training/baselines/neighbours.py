"""Baseline: item k-nearest-neighbours by the cosine of who touched what, shrunk (Sarwar et al. 2001; Koren 2008)."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from model.session import Floats
from model.training.baselines.protocol import Asked, Choice, Known, Matrix, window_matrix


class ItemNeighbours:
    """Sum over the window's items of n(a, b) / (sqrt(n(a) n(b)) + shrink), the `neighbours` best of each item kept."""

    name = "item kNN"
    grid: Mapping[str, Sequence[float]] = {
        "decay": (0.5, 0.3, 0.7, 1.0),
        "shrink": (30, 0, 10, 100),
        "neighbours": (200, 50, 1000),
    }
    live = False
    relearns = True

    def fit(self, known: Known, choice: Choice) -> None:
        events = np.maximum(known.counts, 1)
        together = sparse.coo_array(known.matrix.T @ known.matrix)
        other = together.row != together.col
        rows, columns, counts = together.row[other], together.col[other], together.data[other]
        cosines = counts / (np.sqrt(events[rows] * events[columns]) + choice["shrink"])
        self._similar = nearest(rows, columns, cosines, known.size, int(choice["neighbours"]))
        self._decay = choice["decay"]

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, self._similar.shape[0], self._decay)
        found: Floats = (weights @ self._similar).toarray()
        return found


def nearest(rows: np.ndarray, columns: np.ndarray, values: Floats, size: int, k: int) -> Matrix:
    """(M, M) the k highest values of each row; of equals the lower columns."""
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < k
    where = (rows[kept], columns[kept])
    return sparse.csr_array((values[kept].astype(np.float32), where), shape=(size, size))
