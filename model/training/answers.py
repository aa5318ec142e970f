"""Offline, beside the line: what a system answers to many requests, as ranks of the targets.

Knows nothing of slices or tables. Scores come from a baseline, lists from a bundle's serving code.
"""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from model.session import Floats
from model.training.baselines.protocol import Asked
from model.training.metrics import SHOWN, Ranks, hide, ranks, top


class Scoring(Protocol):
    """A fitted baseline, or a network that is still in training."""

    def scores(self, asked: Asked) -> Floats:
        """(B, M), a new array that the caller may write to."""


class Answers(NamedTuple):
    """What one system gave to Q requests."""

    ranks: Ranks
    """(Q,) of the targets, seen items masked."""
    unmasked: Ranks | None = None
    """(Q,) with seen items in the ranking; None where nobody asked."""
    shown: npt.NDArray[np.int32] | None = None
    """(Q, SHOWN) item numbers of the top of the lists, -1 for an empty place."""


def of_scores(baseline: Scoring, asked: Asked, counts: npt.NDArray[np.int64], whole: bool) -> Answers:
    """The baseline's answers. A window without an item gets what is most popular, as any shop would do.

    Args:
        baseline: fitted.
        asked: Q requests.
        counts: (M,) training events of each item.
        whole: whether to rank unmasked, too, and to keep what is shown.
    """
    masked, unmasked, shown = [], [], []
    for batch in asked.batches():
        scores = baseline.scores(batch)
        scores[batch.lengths == 0] = counts
        if whole:
            unmasked.append(ranks(scores, batch.targets))
        hide(scores, batch.starts, batch.seen)
        masked.append(ranks(scores, batch.targets))
        if whole:
            shown.append(top(scores, SHOWN))
    if not masked:
        return Answers(np.zeros(0, np.int32))
    if not whole:
        return Answers(np.concatenate(masked))
    return Answers(np.concatenate(masked), np.concatenate(unmasked), np.concatenate(shown))


def ndcg_at_10(baseline: Scoring, asked: Asked) -> float:
    """Mean NDCG@10, seen masked: by this number everything is chosen on validation."""
    total = 0.0
    for batch in asked.batches():
        scores = baseline.scores(batch)
        hide(scores, batch.starts, batch.seen)
        found = ranks(scores, batch.targets)
        total += float((1 / np.log2(found[found <= 10] + 1.0)).sum())
    return total / max(len(asked.targets), 1)
