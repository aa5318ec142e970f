"""Before training: what stood in a user's window just before an event, by replay in time order.

Knows nothing of models. Windows come from `model.window` alone, fed with the lines that a worker would feed: there is
no second implementation that could remember other lines, or the future.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.training.logs.columns import Ints32, Ints64, Log, Rows
from model.training.splits import TEST, TRAIN, VALID, leave_one_out
from model.window import EMPTY, unwanted

Mask = npt.NDArray[np.bool_]

DAY_MS = 86_400_000


class Had(NamedTuple):
    """Item numbers that each request's list may not show; request q's are indices[indptr[q] : indptr[q + 1]]."""

    indptr: Ints64
    """(Q + 1,)"""
    indices: Ints32
    """Each once, ascending."""


class Requests(NamedTuple):
    """Q requests: what stood in the user's window just before the target event."""

    rows: Ints32
    """(Q, N) rows of the log, oldest first, padded with -1 at the end."""
    target: Ints32
    """(Q,) item number."""
    target_row: Rows
    """(Q,)"""
    user: Ints32
    """(Q,)"""
    at_ms: Ints64
    """(Q,) of the target."""
    n_events: Ints32
    """(Q,) of the window."""
    had: Had
    """What is masked ("seen") because the worker hides it: had, refused, or looked at last."""
    tied: Mask
    """(Q,) target on the same UTC day as the newest event before it."""

    def only(self, places: npt.NDArray[np.integer] | Mask) -> "Requests":
        """The requests at these places, in this order."""
        if places.dtype == np.bool_:
            places = np.flatnonzero(places)
        starts, sizes = self.had.indptr[places], np.diff(self.had.indptr)[places]
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        inside = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], sizes)
        had = Had(indptr, self.had.indices[inside])
        arrays = {name: column[places] for name, column in self._asdict().items() if name != "had"}
        return Requests(had=had, **arrays)


def replay(log: Log, targets: Rows, among: Mask, lines: int, age_ms: int) -> Requests:
    """The requests of these target events, in their order.

    Args:
        log: in time order, as every log is.
        targets: (Q,) rows that name an item, each once.
        among: (X,) rows that may be history. A target's own row may be among them: it is pushed after its request.
        lines, age_ms: the window's bounds.

    Raises:
        ValueError: a target names no item.
    """
    if len(targets) and log.item[targets].min() < 0:
        raise ValueError("a target names no item")
    asked = np.zeros(len(log), np.bool_)
    asked[targets] = True
    wanted = np.zeros(len(log.users), np.bool_)
    wanted[log.user[targets]] = True
    rows = np.flatnonzero((among | asked) & wanted[log.user])
    rows = rows[np.argsort(log.user[rows], kind="stable")]
    made = _replayed(log, rows, asked, among, lines, age_ms)
    places = np.empty(len(log), np.int64)
    places[made.target_row] = np.arange(len(made.target_row))
    return made.only(places[targets])


def _replayed(log: Log, rows: Rows, asked: Mask, among: Mask, lines: int, age_ms: int) -> Requests:
    """Requests in the order of `rows`, which go user by user."""
    numbers = log.items.numbers
    held: list[str] = []  # Of all requests, one after the other: the event ids of their windows,
    masked: list[int] = []  # and the numbers of the items that no list may show.
    sizes, masked_sizes, n_events, newest_ms = [], [], [], []
    window, current = EMPTY, -1
    told = zip(rows.tolist(), log.user[rows].tolist(), asked[rows].tolist(), among[rows].tolist(), strict=True)
    for row, user, is_target, is_history in told:
        if user != current:
            window, current = EMPTY, user
        if is_target:
            held += [line.event_id for line in window.lines]
            hidden = {item_id for _, item_id in window.owned} | unwanted(window.lines)
            masked += sorted(numbers[item_id] for item_id in hidden)
            sizes.append(len(window.lines))
            masked_sizes.append(len(hidden))
            n_events.append(window.n_events)
            newest_ms.append(window.lines[-1].at_ms if window.lines else -DAY_MS)
        if is_history:
            window = window.remember(log.line(row), lines, age_ms)
    target_rows = rows[asked[rows]]
    at_ms = log.at_ms[target_rows]
    grid = np.full((len(sizes), lines), -1, np.int32)
    grid[np.arange(lines) < np.array(sizes, np.int64)[:, None]] = np.fromiter(map(int, held), np.int32, len(held))
    return Requests(
        rows=grid,
        target=log.item[target_rows],
        target_row=target_rows,
        user=log.user[target_rows],
        at_ms=at_ms,
        n_events=np.array(n_events, np.int32),
        had=Had(np.cumsum([0, *masked_sizes]), np.array(masked, np.int32)),
        tied=at_ms // DAY_MS == np.array(newest_ms, np.int64) // DAY_MS,
    )


def truncated(requests: Requests, n: int | npt.NDArray[np.integer]) -> Requests:
    """The same requests with windows of their newest n lines, as of a user who came later; all else is unchanged.

    Args:
        requests: any.
        n: for all, or (Q,) for each.

    Returns:
        Requests as wide as the longest window, at least 1.
    """
    rows = requests.rows
    sizes = (rows >= 0).sum(1)
    kept = np.minimum(sizes, n)
    steps = np.arange(max(int(kept.max(initial=1)), 1))
    places = np.minimum((sizes - kept)[:, None] + steps, rows.shape[1] - 1)
    cut = np.where(steps < kept[:, None], np.take_along_axis(rows, places, 1), -1).astype(np.int32)
    return requests._replace(rows=cut, n_events=np.minimum(requests.n_events, n).astype(np.int32))


def shuffled_ties(log: Log, seed: int) -> Log:
    """The log with each user's events of one UTC day in random order, where the source's order may leak.

    What happened changes places; the times stay where they are. On each day the last target of the user (of the file's
    split, or else of `leave_one_out`) stays last. A valid event on the day of the test event is shuffled like any
    other: were it to stay the newest line before the test, the source's order would still lead from one to the other.
    So a valid request of such a day may find fewer lines before it.

    Returns:
        A log with a split, so that the targets stay the same events whatever their rows.
    """
    split = leave_one_out(log)
    parts = np.full(len(log), -1, np.int8)
    parts[split.train], parts[split.valid], parts[split.test] = TRAIN, VALID, TEST
    day = log.at_ms // DAY_MS
    slots = np.lexsort((day, log.user))  # Stable: rows of one user and day ascend.
    same = (np.diff(log.user[slots]) == 0) & (np.diff(day[slots]) == 0)
    group = np.cumsum(np.concatenate([[True], ~same])[: len(log)])
    last = np.zeros(len(log), np.int8)  # 0 free, 1 a target that stays, in the order of slots.
    targets = np.flatnonzero(parts[slots] >= VALID)
    last[targets[np.diff(group[targets], append=-1) != 0]] = 1
    chance = np.random.default_rng(seed).random(len(log))
    sources = np.empty(len(log), np.int64)
    sources[slots] = slots[np.lexsort((chance, last, group))]
    return replace(replace(log, split=parts).take(sources), at_ms=log.at_ms)
