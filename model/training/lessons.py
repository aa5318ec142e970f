"""Between windows and the network: what is learned from, as arrays.

Knows nothing of torch.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.interest import KINDS
from model.training.examples import Mask, Requests, replay
from model.training.line_weights import KIND_FACTORS, Codes, codes, with_again
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


class Read(NamedTuple):
    """What texts add, in the lines of a window whose texts are read: its newest, as `model.gather` counts them."""

    lines: int
    """How many of a window's newest lines."""
    queries: Ints32
    """(X,) number of the text of a line without an item, -1 for none."""
    codes: Codes
    """(X,) what lines tell then: an unrated review has the stars that its words amount to."""


def lessons(log: Log, requests: Requests, told: Codes, read: Read | None = None) -> Lessons:
    """The requests as the network reads them.

    Args:
        log: the requests' own.
        requests: Q.
        told: `codes_of` the log.
        read: what texts add; None: none is read.
    """
    rows = requests.rows
    there = rows >= 0
    held = np.where(there, rows, 0)
    items, lines = log.item[held], told[held]
    if read is not None:
        near = there.sum(1, keepdims=True) - 1 - np.arange(rows.shape[1]) < read.lines
        queries = read.queries[held]
        items = np.where(near & (items < 0) & (queries >= 0), len(log.items) + queries, items)
        lines = np.where(near, read.codes[held], lines)
    speaks = np.array([KIND_FACTORS[kind] != 0 for kind in KINDS])
    counted = there & (items >= 0) & speaks[log.kind[held]]
    newest_first = np.argsort(~counted[:, ::-1], axis=1, kind="stable")
    items, lines, counted = (np.take_along_axis(each[:, ::-1], newest_first, 1) for each in (items, lines, counted))
    items = np.where(counted, items, -1).astype(np.int32)
    newest = rows.max(axis=1, initial=-1)  # Rows ascend with time.
    newest_ms = np.where(newest >= 0, log.at_ms[newest], -1)
    return Lessons(items, repeated(np.where(counted, lines, 0), items, len(log.items)), requests.target, newest_ms)


def repeated(lines: Codes, items: Ints32, size: int) -> Codes:
    """(Q, N) codes of lines, with how often their items came before in these very windows.

    Args:
        lines: (Q, N) codes.
        items: (Q, N) numbers, newest first, -1 behind.
        size: I, the number from which on they are texts'.
    """
    return with_again(lines, again(np.where(items < size, items, -1)))


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
