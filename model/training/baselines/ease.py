"""Baseline: EASE, a linear item-item model in closed form (Steck 2019, equation 8).

With P = (X'X + l2 I)^-1 the weights are B = I - P / diag(P), zero on the diagonal; a user's scores are x B.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import lapack

from model.session import Floats
from model.training.baselines.protocol import Asked, BaselineError, Choice, Known, window_matrix

MOST = 24_000
"""Items that it learns about, those touched most: the inverse holds their square, 2.3 GB."""


class Ease:
    """`decay` 1 reads the window as EASE does, as a set; below it, the newest items count most."""

    name = "EASE"
    grid: Mapping[str, Sequence[float]] = {"decay": (0.7, 1.0, 0.5, 0.3), "l2": (100, 20, 400)}
    live = False
    relearns = True

    def __init__(self) -> None:
        self._solved: tuple[Known, float] | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        self._decay = choice["decay"]
        if self._solved is not None and self._solved[0] is known and self._solved[1] == choice["l2"]:
            return
        self._size = known.size
        self._chosen = np.sort(np.argsort(-known.counts, kind="stable")[:MOST])
        touched = known.matrix[:, self._chosen]
        self._weights = solved((touched.T @ touched).toarray(), choice["l2"])
        self._solved = (known, choice["l2"])

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, self._size, self._decay)[:, self._chosen]
        found: Floats = np.zeros((len(asked.targets), self._size), np.float32)
        found[:, self._chosen] = weights @ self._weights
        return found


def solved(gram: Floats, l2: float) -> Floats:
    """(M, M) EASE's weights for the item-item counts X'X, which are used up."""
    gram[np.diag_indices_from(gram)] += l2
    # Fortran reads the transpose, which is the same matrix; only one triangle is computed and then mirrored.
    lower, fault = lapack.spotrf(gram.T, lower=1, overwrite_a=1)
    inverse, also = lapack.spotri(lower, lower=1, overwrite_c=1)
    if fault or also:
        raise BaselineError(f"EASE: the counts with l2 {l2:g} cannot be inverted")
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    inverse /= -np.diag(inverse)  # Column j by P(j, j).
    inverse[np.diag_indices_from(inverse)] = 0
    weights: Floats = np.ascontiguousarray(inverse, np.float32)
    return weights
