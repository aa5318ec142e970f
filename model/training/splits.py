"""Before training: which events are learned from, and which are asked for.

Knows nothing of windows or models. A target is always a touch: an event that wants the item that it names.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.cooccurrence import SILENT
from model.interest import KINDS
from model.training.logs.columns import Log, Rows

Mask = npt.NDArray[np.bool_]

TRAIN, VALID, TEST = 0, 1, 2
LEAST = 3
"""Touches of a user who is asked for: one to learn from, one to choose by, one to judge by."""
_SILENT = np.array([kind in SILENT for kind in KINDS])


class Split(NamedTuple):
    """Rows of a log."""

    train: Mask
    """(X,) may be learned from."""
    valid: Rows
    """(V,) targets, ascending: by these everything is chosen."""
    test: Rows
    """(T,) targets, ascending: by these it is judged, once."""


def touches(log: Log) -> Mask:
    """(X,) events that name an item and do not refuse it or merely saw it."""
    found: Mask = (log.item >= 0) & ~_SILENT[log.kind]
    return found


def leave_one_out(log: Log) -> Split:
    """The file's own split where it has one; else each user's last touch is test and the one before it valid.

    A user with fewer than LEAST touches stays in train. What else a user did after the valid touch is in no part: it is
    the future of what is learned from, but a window may hold it.
    """
    if log.split is not None:
        return Split(log.split == TRAIN, np.flatnonzero(log.split == VALID), np.flatnonzero(log.split == TEST))
    rows = np.flatnonzero(touches(log))
    rows = rows[np.argsort(log.user[rows], kind="stable")]  # Still in time order within each user.
    ends = np.cumsum(np.bincount(log.user[rows], minlength=len(log.users)))
    ends = ends[np.diff(ends, prepend=0) >= LEAST]
    test, valid = rows[ends - 1], rows[ends - 2]
    until = np.full(len(log.users), len(log))
    until[log.user[valid]] = valid
    return Split(np.arange(len(log)) < until[log.user], np.sort(valid), np.sort(test))


def by_time(
    log: Log,
    valid_from_ms: int | None = None,
    test_from_ms: int | None = None,
    *,
    valid_share: float = 0.1,
    test_share: float = 0.1,
) -> Split:
    """Train, valid and test one after the other in absolute time: nobody's future is in anybody's past.

    Args:
        log: any.
        valid_from_ms, test_from_ms: where the parts begin; None: so that the last shares of the events are in them.
        valid_share, test_share: of all events.

    Raises:
        ValueError: test begins before valid.
    """
    if test_from_ms is None:
        test_from_ms = _at_share(log, 1 - test_share)
    if valid_from_ms is None:
        valid_from_ms = min(_at_share(log, 1 - test_share - valid_share), test_from_ms)
    if test_from_ms < valid_from_ms:
        raise ValueError(f"test begins at {test_from_ms}, before valid at {valid_from_ms}")
    asked, at_ms = touches(log), log.at_ms
    valid = np.flatnonzero(asked & (at_ms >= valid_from_ms) & (at_ms < test_from_ms))
    return Split(at_ms < valid_from_ms, valid, np.flatnonzero(asked & (at_ms >= test_from_ms)))


def _at_share(log: Log, share: float) -> int:
    return int(log.at_ms[min(int(len(log) * share), len(log) - 1)])
