"""Baselines: matrix factorisation by ALS (Hu, Koren & Volinsky 2008) and by BPR (Rendle et al. 2009).

Both by the package `implicit`. Every user is folded in from the window at hand, so that a cut history is a cut history:
ALS by solving for the user, BPR by the mean of the window's item factors.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from model.session import Floats
from model.training.baselines.protocol import Asked, Choice, Known, Matrix, window_matrix

BPR_FACTORS = 128
"""64 are worse, and a fit costs half a minute."""


class Factors(ABC):
    """Factors of the items; a user's are folded in, and a score is their product.

    `decay` is of the window's weights and needs no fit: the last one is kept while nothing else is asked for.
    """

    live = False
    relearns = True

    def __init__(self) -> None:
        self._fitted: tuple[Known, Choice] | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        self._decay = choice["decay"]
        learned = {name: value for name, value in choice.items() if name != "decay"}
        if self._fitted is not None and self._fitted[0] is known and self._fitted[1] == learned:
            return
        self._model = self._unfitted(known, learned)
        with threadpool_limits(1, "blas"):  # implicit shares out the users itself.
            self._model.fit(sparse.csr_matrix(known.matrix), show_progress=False)
        self._fitted = (known, learned)

    def scores(self, asked: Asked) -> Floats:
        items: Floats = self._model.item_factors
        windows = window_matrix(asked, len(items), self._decay)
        found: Floats = np.nan_to_num(self._folded_in(windows) @ items.T)
        return found

    @abstractmethod
    def _unfitted(self, known: Known, choice: Choice) -> Any:
        """The model of `implicit`."""

    @abstractmethod
    def _folded_in(self, windows: Matrix) -> Floats:
        """(B, F) users' factors of (B, M) windows."""


class Als(Factors):
    """Confidence 1 + alpha in what was touched, `l2` on the factors."""

    name = "ALS"
    grid: Mapping[str, Sequence[float]] = {
        "factors": (128, 64),
        "alpha": (40, 10, 100),
        "l2": (0.1, 10.0),
        "decay": (0.7, 1.0, 0.4),
    }

    def _unfitted(self, known: Known, choice: Choice) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=int(choice["factors"]),
            alpha=choice["alpha"],
            regularization=choice["l2"],
            iterations=15,
            random_state=known.seed,
            num_threads=known.threads,
        )

    def _folded_in(self, windows: Matrix) -> Floats:
        with threadpool_limits(1, "blas"):
            users: Floats = self._model.recalculate_user(np.arange(windows.shape[0]), sparse.csr_matrix(windows))
        return np.atleast_2d(users)


class Bpr(Factors):
    """Pairs of a touched and an untouched item."""

    name = "BPR"
    grid: Mapping[str, Sequence[float]] = {
        "iterations": (300, 100),
        "l2": (0.01, 0.03),
        "decay": (0.4, 0.7, 1.0),
    }

    def _unfitted(self, known: Known, choice: Choice) -> Any:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        return BayesianPersonalizedRanking(
            factors=BPR_FACTORS,
            iterations=int(choice["iterations"]),
            regularization=choice["l2"],
            learning_rate=0.05,
            random_state=known.seed,
            num_threads=1,  # Two threads write to each other's factors, and no run is like another.
        )

    def _folded_in(self, windows: Matrix) -> Floats:
        total = np.maximum(windows.sum(axis=1), 1e-9)[:, None]
        users: Floats = ((windows @ self._model.item_factors) / total).astype(np.float32, copy=False)
        users[:, -1] = 1  # The last of an item's factors is its bias.
        return users
