"""Step 8 of 10: interest, item and features become one number per candidate.

A thin wrapper of the bundle's scorer.onnx: what co-occurrence and popularity are worth is in the graph, not here. The
number is a raw score, not a share of the candidates at hand: it compares across lists, and what a score would lose
without a line (a reason's weight) adds up in it. A softmax over the candidates keeps its order.
"""

import numpy as np

from model.bundle import SCORER, Bundle
from model.catalogue import Rows
from model.cooccurrence import VALUES
from model.session import Array, Floats, Tower

FEATURES = (*VALUES, "popularity", "events", "gap_h", "borrowed", "apart", "fresh")
"""What the graph is told of a candidate beside its vector. VALUES: of `model.cooccurrence`; popularity: 0 to 1; events:
how many the user has had; gap_h: hours from the user's newest line to the request; borrowed: 1 where training has not
seen the item; apart: of `model.prices`; fresh: of `model.freshness`."""


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


def biggest_losses(scores: Floats, weights: Floats, k: int) -> list[list[list[tuple[int, float]]]]:
    """Of each user's T items the k lines without which the score would lose most, with the loss; of equals the newest.

    A line that pushes away brings nothing, even to what lies opposite to it: nobody wants a jar "because you disliked
    boots". A place without a line loses nothing: its variant has one event fewer, which can only help what sells.

    Args:
        scores: (B, 1 + N, T), row 0 with all lines, row 1 + n without line n.
        weights: (B, N) of the lines in the whole window.
        k: how many.
    """
    with np.errstate(invalid="ignore"):  # -inf - -inf of the padding, which nobody reads.
        lost = (scores[:, :1] - scores[:, 1:]).transpose(0, 2, 1)  # (B, T, N)
    lost = np.where(weights[:, None, :] > 0, lost, np.minimum(lost, 0))
    n = lost.shape[2]
    order = n - 1 - np.argsort(-lost[:, :, ::-1], axis=2, kind="stable")[:, :, :k]
    losses = np.take_along_axis(lost, order, axis=2)
    return [
        [list(zip(*item, strict=True)) for item in zip(*user, strict=True)]
        for user in zip(order.tolist(), losses.tolist(), strict=True)
    ]
