"""Between windows and the network: what is learned from, as arrays.

Knows nothing of torch.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.interest import KINDS
from model.training.examples import Mask, Requests, replay
from model.training.line_weights import KIND_FACTORS, Codes, codes
from model.training.logs.columns import Ints32, Ints64, Log
from model.training.splits import touches


class Lessons(NamedTuple):
    """Q windows and what came after each."""

    items: Ints32
    """(Q, N) item numbers, newest first, -1 behind; lines that say nothing are left out. A text without an item stands
    behind the I items: I + its number."""
    lines: Codes
    """(Q, N) what else the lines tell: their places in the tables of `line_weights`."""
    targets: Ints32
    """(Q,)"""
    newest_ms: Ints64
    """(Q,) time of the window's newest line, -1 without one."""

    def only(self, places: npt.NDArray[np.integer] | Mask) -> "Lessons":
        """The lessons at these places."""
        return Lessons(self.items[places], self.lines[places], self.targets[places], self.newest_ms[places])


def training_requests(log: Log, rows: Mask, lines: int, age_ms: int) -> Requests:
    """Every touch of these rows as a target, with the window before it.

    Args:
        log: any.
        rows: (X,) that may be learned from.
        lines, age_ms: the window's bounds.
    """
    return replay(log, np.flatnonzero(rows & touches(log)), rows, lines, age_ms)


def lessons(log: Log, requests: Requests, told: Codes, queries: Ints32 | None = None, text_lines: int = 0) -> Lessons:
    """The requests as the network reads them.

    Args:
        log: the requests' own.
        requests: Q.
        told: `codes_of` the log.
        queries: (X,) number of the text of a line without an item, -1 for none.
        text_lines: how many of a window's newest lines have their texts read.
    """
    rows, items_of = requests.rows, log.item
    there = rows >= 0
    held = np.where(there, rows, 0)
    speaks = np.array([KIND_FACTORS[kind] != 0 for kind in KINDS])
    if queries is not None:
        items_of = np.where((items_of < 0) & (queries >= 0), len(log.items) + queries, items_of)
        newer = there.sum(1, keepdims=True) - 1 - np.arange(rows.shape[1])
        there = there & ((log.item[held] >= 0) | (newer < text_lines))
    counted = there & (items_of[held] >= 0) & speaks[log.kind[held]]
    newest_first = np.argsort(~counted[:, ::-1], axis=1, kind="stable")
    rows = np.take_along_axis(rows[:, ::-1], newest_first, 1)
    counted = np.take_along_axis(counted[:, ::-1], newest_first, 1)
    held = np.where(counted, rows, 0)
    items = np.where(counted, items_of[held], -1).astype(np.int32)
    newest = requests.rows.max(axis=1, initial=-1)  # Rows ascend with time.
    newest_ms = np.where(newest >= 0, log.at_ms[newest], -1)
    times = again(np.where(items < len(log.items), items, -1))
    lines = np.where(counted, told[held], 0) + codes(np.zeros(items.shape, np.int32), {"again": times})
    return Lessons(items, lines.astype(np.int32), requests.target, newest_ms)


def codes_of(log: Log) -> Codes:
    """(X,) what each line tells of itself; how often its item came before depends on the window."""
    told: dict[str, npt.NDArray[Any]] = {
        "dwell_s": log.dwell_ms / 1000,
        "rating": log.rating,
        "price": log.price,
        "quantity": log.quantity,
    }
    return codes(log.kind, {name: np.where(np.isnan(column), -1, column) for name, column in told.items()})


def again(items: Ints32) -> Ints32:
    """(Q, N) how many older lines name the same item.

    Args:
        items: (Q, N) numbers, newest first, -1 behind.
    """
    found = np.zeros(items.shape, np.int32)
    for place in range(items.shape[1] - 1):
        mine = items[:, place : place + 1]
        found[:, place] = ((items[:, place + 1 :] == mine) & (mine >= 0)).sum(1)
    return found


def touched(log: Log, rows: Mask) -> Ints64:
    """(I,) how many of these rows touch each item."""
    return np.bincount(log.item[rows & touches(log)], minlength=len(log.items))


def known_items(log: Log, rows: Mask) -> Mask:
    """(I,) items that training sees. The others stay out of its softmax: as negatives they would be pushed away."""
    return touched(log, rows) > 0
