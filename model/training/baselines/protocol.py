"""What every baseline is asked, may learn from, and answers. Read this file first; each of the others is one method.

Knows nothing of bundles. A baseline sees item numbers, times and texts as columns; it never sees a target before it is
judged. All of them answer for all items of the log: full ranking, never sampled.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.cooccurrence import SILENT
from model.interest import KINDS
from model.session import Floats
from model.training.examples import Requests
from model.training.linear import user_items
from model.training.logs.columns import Log

Choice = Mapping[str, float]
"""One value for each name of a baseline's grid."""
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Matrix: TypeAlias = sparse.csr_array
"""(rows, columns) float32."""

BATCH = 256
"""Requests scored at a time: 256 x 12,101 scores are 12 MB."""
_SILENT = np.isin(np.arange(len(KINDS)), [KINDS.index(kind) for kind in SILENT])


class BaselineError(Exception):
    """This baseline cannot be fitted here; the text says what it lacks."""


class Asked(NamedTuple):
    """Q requests, as far as a baseline reads them."""

    items: Ints
    """(Q, N) items of the window, oldest first, padded with -1 at the end. Lines that name none, or that say nothing
    of what goes with it, are left out; the same item twice in a row is one."""
    starts: npt.NDArray[np.int64]
    """(Q + 1,) where each request's seen items begin in `seen`."""
    seen: Ints
    """Item numbers that are masked."""
    targets: Ints
    """(Q,) item numbers."""
    users: Ints
    """(Q,)"""
    at_ms: npt.NDArray[np.int64]
    """(Q,) of the request."""
    tied: Mask
    """(Q,) whether it falls on the UTC day of the newest event before it."""
    n_events: Ints
    """(Q,) of the window."""

    @property
    def lengths(self) -> Ints:
        """(Q,) items of each window."""
        found: Ints = (self.items >= 0).sum(axis=1).astype(np.int32)
        return found

    def only(self, places: npt.NDArray[np.integer]) -> "Asked":
        """The requests at these places, in this order."""
        sizes = np.diff(self.starts)[places]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes) + np.repeat(self.starts[places], sizes)
        return Asked(
            self.items[places],
            starts,
            self.seen[inside],
            self.targets[places],
            self.users[places],
            self.at_ms[places],
            self.tied[places],
            self.n_events[places],
        )

    def batches(self, size: int = BATCH) -> Iterator["Asked"]:
        """The requests in order, `size` at a time."""
        for start in range(0, len(self.targets), size):
            yield self.only(np.arange(start, min(start + size, len(self.targets))))


class Sequences(NamedTuple):
    """Users' items in time order, one after the other."""

    users: Ints
    """(X,)"""
    items: Ints
    """(X,)"""
    at_ms: npt.NDArray[np.int64]
    """(X,)"""


@dataclass(frozen=True)
class Known:
    """What a baseline may learn from."""

    log: Log
    rows: Mask
    """(X,) rows of the log to learn from."""
    valid: Asked
    """What it is tuned on, and where a network stops."""
    live: Mask
    """(X,) rows that a live count may use once their day is over. Only baselines that say `live` read it."""
    vectors: Floats | None = None
    """(M, D) unit vectors of the items' texts, of the frozen encoder."""
    encode: Callable[[Sequence[str]], Floats] | None = None
    """Texts -> (T, D) unit vectors of the same encoder, for longer texts than titles."""
    seconds: float = 330.0
    """Longest that one network trains."""
    steps: int = 1_000_000
    """Most steps that one network takes."""
    device: str = "cpu"
    """Of the networks: `cpu`, `cuda` or `cuda:N`."""
    threads: int = 2
    seed: int = 0

    @property
    def size(self) -> int:
        """M: items of the log."""
        return len(self.log.items.ids)

    @cached_property
    def sequences(self) -> Sequences:
        """What each user touched, in time order; the same item twice in a row is one."""
        rows = np.flatnonzero(self.rows & (self.log.item >= 0) & ~_SILENT[self.log.kind])
        rows = rows[np.argsort(self.log.user[rows], kind="stable")]  # The log is in time order: so is each user.
        users, items = self.log.user[rows], self.log.item[rows]
        fresh = np.ones(len(rows), np.bool_)
        fresh[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        return Sequences(users[fresh], items[fresh], self.log.at_ms[rows][fresh])

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """(M,) how often each item was touched."""
        return np.bincount(self.sequences.items, minlength=self.size)

    @cached_property
    def matrix(self) -> Matrix:
        """(U, M) 1 where a user touched an item."""
        return user_items(self.log, self.rows)


class Baseline(Protocol):
    """One method, with the values among which validation chooses."""

    name: str
    live: bool
    """Whether it reads events between the end of training and the request: only fair in the clock's rows."""
    relearns: bool
    """Whether it is fitted again on training and validation rows before the test: cheap counting is, networks not."""

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        """Name -> values, the default first."""

    def fit(self, known: Known, choice: Choice) -> None:
        """Learns; a second call with another choice may keep what the choice does not touch.

        Raises:
            BaselineError: what is known lacks something that this method needs.
        """

    def scores(self, asked: Asked) -> Floats:
        """(B, M) scores, finite, a new array that the caller may write to."""


def asked(log: Log, requests: Requests) -> Asked:
    """The requests as baselines read them."""
    rows = requests.rows
    there = rows >= 0
    items = np.where(there, log.item[np.where(there, rows, 0)], -1)
    items[there & _SILENT[log.kind[np.where(there, rows, 0)]]] = -1
    items = _packed(items)
    again = np.zeros(items.shape, np.bool_)
    again[:, 1:] = items[:, 1:] == items[:, :-1]
    return Asked(
        _packed(np.where(again, -1, items)),
        np.asarray(requests.had.indptr, np.int64),
        np.asarray(requests.had.indices, np.int32),
        requests.target,
        requests.user,
        requests.at_ms,
        requests.tied,
        requests.n_events,
    )


def window_matrix(asked: Asked, size: int, decay: float) -> Matrix:
    """(B, M) weights of the windows' items: decay to the power of how many newer items there are. 0: the last alone."""
    there = asked.items >= 0
    ages = asked.lengths[:, None] - 1 - np.arange(asked.items.shape[1])
    weights = np.power(np.float32(decay), np.maximum(ages, 0), dtype=np.float32)[there]
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    made = sparse.csr_array((weights, asked.items[there], starts), shape=(len(asked.items), size))
    made.sum_duplicates()
    return made


def _packed(items: Ints) -> Ints:
    """Each row's items at its front, in order, -1 behind."""
    order = np.argsort(items < 0, axis=1, kind="stable")
    packed: Ints = np.take_along_axis(items, order, axis=1).astype(np.int32)
    return packed
