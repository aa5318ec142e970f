"""Baseline: EASE, a linear item-item model in closed form (Steck 2019, equation 8). All of its weights count."""

from collections.abc import Mapping, Sequence

import numpy as np

from model.session import Floats
from model.training.baselines.protocol import Asked, BaselineError, Choice, Known, window_matrix
from model.training.linear import most_touched, solved, together

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
        self._chosen = most_touched(known.matrix, MOST)
        try:
            self._weights = solved(together(known.matrix, self._chosen), choice["l2"])
        except np.linalg.LinAlgError as error:
            raise BaselineError(str(error)) from error
        self._solved = (known, choice["l2"])

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, self._size, self._decay)[:, self._chosen]
        found: Floats = np.zeros((len(asked.targets), self._size), np.float32)
        found[:, self._chosen] = weights @ self._weights
        return found
