"""Step 8 of 10: interest, item and features become one number per candidate.

A thin wrapper of the bundle's scorer.onnx: what co-occurrence and popularity are worth is in the graph, not here. The
number is a raw score, not a share of the candidates at hand: it compares across lists, and what a score would lose
without a line (a reason's weight) adds up in it. A softmax over the candidates keeps its order.
"""

import numpy as np

from model.bundle import SCORER, Bundle
from model.catalogue import Rows
from model.session import Array, Floats, Tower

FEATURES = ("directed", "symmetric", "popularity", "events")
"""What the graph is told of a candidate beside its vector. popularity: 0 to 1; events: how many the user has had."""


class Scorer:
    """The bundle's scorer."""

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 2) -> None:
        """Opens the scorer on `device`; raises DeviceError where that is not there."""
        self._tower = Tower(bundle.path / SCORER, device, threads)

    @property
    def provider(self) -> str:
        """Where the graph runs, as onnxruntime says after loading."""
        return self._tower.provider

    def __call__(self, interests: Floats, shelf: Floats, rows: Rows, features: Floats) -> Floats:
        """(B, R, K) scores of the candidates for R variants of each window.

        Args:
            interests: (B, R, D).
            shelf: (M, D) the catalogue's vectors.
            rows: (B, K) the candidates' rows; a negative one is padding and its score means nothing.
            features: (B, R, K, F): FEATURES.
        """

        def feeds(users: slice) -> dict[str, Array]:
            return {"interests": interests[users], "items": shelf[rows[users]], "features": features[users]}

        return np.concatenate([scores for (scores,) in self._tower.run(("scores",), feeds, len(rows))])
