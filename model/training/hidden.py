"""Offline, beside the line: items that nobody has touched yet, made by hiding some of a log's.

Knows nothing of systems. The events of a hidden item are in nobody's training and nobody's window; only as a target it
stays: that is the cold row, and all other targets are the warm row. Where counts are live (`evaluate --clock`), its
events count as they happen: what came to the shelf after training is hidden from training alone.
"""

import numpy as np
import numpy.typing as npt

from model.training.logs.columns import Log
from model.training.splits import Split

Mask = npt.NDArray[np.bool_]


def hide_items(log: Log, split: Split, share: float, seed: int) -> tuple[Split, Mask]:
    """The split without the events of hidden items in training, and (I,) which items are hidden.

    Targets stay; whoever replays their windows leaves hidden rows out of the history (`not_hidden`).

    Args:
        log: any.
        split: of the log.
        share: of all items; 0 hides none.
        seed: which ones.
    """
    hidden = np.zeros(len(log.items.ids), np.bool_)
    chosen = np.random.default_rng(seed).permutation(len(hidden))[: round(share * len(hidden))]
    hidden[chosen] = True
    return split._replace(train=split.train & not_hidden(log, hidden)), hidden


def with_valid(log: Log, split: Split, hidden: Mask | None) -> Mask:
    """(X,) rows of train and of valid, without hidden items: what a refit learns from, before the test."""
    rows = split.train.copy()
    rows[split.valid] = True
    return rows if hidden is None else rows & not_hidden(log, hidden)


def not_hidden(log: Log, hidden: Mask) -> Mask:
    """(X,) rows that name no hidden item."""
    named = log.item >= 0
    rows: Mask = ~named
    rows[named] = ~hidden[log.item[named]]
    return rows
