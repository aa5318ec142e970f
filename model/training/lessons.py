"""Between windows and the network: what is learned from, as arrays.

Knows nothing of torch. A line's strength comes from the interest graph that serves, run on that line alone: what a
dislike or a short dwell weighs is written down once.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.interest import NUMBERS
from model.session import Array, Floats, Session
from model.training.examples import Mask, Requests, replay
from model.training.graphs import AGES, Weights, interest_graph
from model.training.logs.columns import Ints32, Ints64, Log
from model.training.splits import touches

LINES_AT_ONCE = 8192
"""Lines whose strengths are computed in one call."""


class Lessons(NamedTuple):
    """Q windows and what came after each."""

    items: Ints32
    """(Q, N) item numbers, newest first, -1 behind; lines that name no item or say nothing are left out."""
    strengths: Floats
    """(Q, N)"""
    targets: Ints32
    """(Q,)"""
    newest_ms: Ints64
    """(Q,) time of the window's newest line, -1 without one."""

    def only(self, places: npt.NDArray[np.integer] | Mask) -> "Lessons":
        """The lessons at these places."""
        return Lessons(self.items[places], self.strengths[places], self.targets[places], self.newest_ms[places])


def training_requests(log: Log, rows: Mask, lines: int, age_ms: int) -> Requests:
    """Every touch of these rows as a target, with the window before it.

    Args:
        log: any.
        rows: (X,) that may be learned from.
        lines, age_ms: the window's bounds.
    """
    return replay(log, np.flatnonzero(rows & touches(log)), rows, lines, age_ms)


def lessons(log: Log, requests: Requests, strengths: Floats) -> Lessons:
    """The requests as the network reads them.

    Args:
        log: the requests' own.
        requests: Q.
        strengths: (X,) of the log's lines.
    """
    rows = requests.rows
    there = rows >= 0
    held = np.where(there, rows, 0)
    counted = there & (log.item[held] >= 0) & (strengths[held] != 0)
    newest_first = np.argsort(~counted[:, ::-1], axis=1, kind="stable")
    rows = np.take_along_axis(rows[:, ::-1], newest_first, 1)
    counted = np.take_along_axis(counted[:, ::-1], newest_first, 1)
    held = np.where(counted, rows, 0)
    items = np.where(counted, log.item[held], -1).astype(np.int32)
    newest = requests.rows.max(axis=1, initial=-1)  # Rows ascend with time.
    newest_ms = np.where(newest >= 0, log.at_ms[newest], -1)
    return Lessons(items, np.where(counted, strengths[held], 0).astype(np.float32), requests.target, newest_ms)


def strengths_of(log: Log, weights: Weights) -> Floats:
    """(X,) with what strength each line enters its window's sum, before recency."""
    flat = Weights(recency=(1.0,) * AGES, kinds=weights.kinds, short_dwell_s=weights.short_dwell_s)
    session = Session(interest_graph(flat))
    size = len(log)
    numbers = np.full((size, len(NUMBERS)), -1.0, np.float32)
    told: dict[str, npt.NDArray[np.floating[Any]]] = {
        "dwell_s": log.dwell_ms / 1000,
        "rating": log.rating,
        "price": log.price,
        "quantity": log.quantity,
    }
    for name, column in told.items():
        numbers[:, NUMBERS.index(name)] = np.where(np.isnan(column), np.float32(-1), column)
    found: Floats = np.empty(size, np.float32)
    for start in range(0, size, LINES_AT_ONCE):
        part = slice(start, min(start + LINES_AT_ONCE, size))
        ones = np.ones((part.stop - part.start, 1, 1), np.float32)
        kinds, behaviour = log.kind[part].astype(np.int64)[:, None], numbers[part][:, None]
        feeds: dict[str, Array] = {"vectors": ones, "kinds": kinds, "numbers": behaviour, "keep": ones}
        (found[part],) = (weights[:, 0, 0] for weights in session.run(["weights"], feeds))
    return found


def known_items(log: Log, rows: Mask) -> Mask:
    """(I,) items that training sees. The others stay out of its softmax: as negatives they would be pushed away."""
    found = np.zeros(len(log.items), np.bool_)
    found[np.unique(log.item[rows & touches(log)])] = True
    return found
