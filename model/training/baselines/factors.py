"""Baselines: matrix factorisation by ALS (Hu, Koren & Volinsky 2008) and by BPR (Rendle et al. 2009).

Both by the package `implicit`. Every user is folded in from the window at hand, so that a cut history is a cut history:
ALS by solving for the user, BPR by the mean of the window's item factors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from model.session import Floats
from model.training.baselines.protocol import Asked, Choice, Known, window_matrix

BPR_FACTORS = 128
"""64 are worse, and a fit costs half a minute."""


class Als:
    """Confidence 1 + alpha in what was touched, `l2` on the factors."""

    name = "ALS"
    grid: Mapping[str, Sequence[float]] = {
        "factors": (128, 64),
        "alpha": (40, 10, 100),
        "l2": (0.1, 10.0),
        "decay": (0.7, 1.0, 0.4),
    }
    live = False
    relearns = True

    def __init__(self) -> None:
        self._fitted: tuple[Known, tuple[float, ...]] | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        self._decay = choice["decay"]
        learned = (choice["factors"], choice["alpha"], choice["l2"])
        if self._fitted is not None and self._fitted[0] is known and self._fitted[1] == learned:
            return
        self._model: Any = AlternatingLeastSquares(
            factors=int(choice["factors"]),
            alpha=choice["alpha"],
            regularization=choice["l2"],
            iterations=15,
            random_state=known.seed,
            num_threads=known.threads,
        )
        with threadpool_limits(1, "blas"):  # implicit shares out the users itself.
            self._model.fit(sparse.csr_matrix(known.matrix), show_progress=False)
        self._fitted = (known, learned)

    def scores(self, asked: Asked) -> Floats:
        items: Floats = self._model.item_factors
        windows = sparse.csr_matrix(window_matrix(asked, len(items), self._decay))
        with threadpool_limits(1, "blas"):
            users = np.atleast_2d(self._model.recalculate_user(np.arange(len(asked.targets)), windows))
        found: Floats = np.nan_to_num(users @ items.T)
        return found


class Bpr:
    """Pairs of a touched and an untouched item."""

    name = "BPR"
    grid: Mapping[str, Sequence[float]] = {
        "iterations": (300, 100),
        "l2": (0.01, 0.03),
        "decay": (0.4, 0.7, 1.0),
    }
    live = False
    relearns = True

    def __init__(self) -> None:
        self._fitted: tuple[Known, tuple[float, ...]] | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        self._decay = choice["decay"]
        learned = (choice["iterations"], choice["l2"])
        if self._fitted is not None and self._fitted[0] is known and self._fitted[1] == learned:
            return
        model: Any = BayesianPersonalizedRanking(
            factors=BPR_FACTORS,
            iterations=int(choice["iterations"]),
            regularization=choice["l2"],
            learning_rate=0.05,
            random_state=known.seed,
            num_threads=1,  # Two threads write to each other's factors, and no run is like another.
        )
        with threadpool_limits(1, "blas"):
            model.fit(sparse.csr_matrix(known.matrix), show_progress=False)
        factors = np.asarray(model.item_factors, np.float32)
        self._items, self._bias = factors[:, :-1], factors[:, -1]
        self._fitted = (known, learned)

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, len(self._items), self._decay)
        total = np.maximum(weights.sum(axis=1), 1e-9)[:, None]
        found: Floats = ((weights @ self._items) / total) @ self._items.T + self._bias
        return found.astype(np.float32, copy=False)
