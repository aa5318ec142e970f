"""Offline, beside the line: how requests are put to the systems, and which of them a row counts.

Knows nothing of systems. A *condition* is how the requests are put: whole windows, cut to their last n events, same-day
ties shuffled, or in time order with live counts. A *part* is which of them are counted.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.training import examples
from model.training.baselines.protocol import Asked, asked
from model.training.examples import Requests
from model.training.hidden import Mask, not_hidden
from model.training.logs.columns import Log
from model.training.splits import Split, leave_one_out
from model.window import EMPTY, Window

CUTS = (1, 2, 3)
"""Newest events to which windows are cut."""
WHOLE, SHUFFLED, CLOCK = "whole windows", "ties shuffled", "clock and live counts"


class Condition(NamedTuple):
    """Q requests, put in one way."""

    name: str
    log: Log
    """That the requests' rows are of."""
    requests: Requests
    asked: Asked


def requests(
    log: Log, split: Split, on: str, hidden: Mask | None, lines: int, age_ms: int, users: int = 0, seed: int = 0
) -> Requests:
    """The requests of `valid` or `test`; windows hold all that the user did before, but for hidden items.

    Args:
        log: any.
        split: of the log.
        on: `valid` or `test`.
        hidden: (I,) items of which nothing may be known.
        lines, age_ms: the window's bounds.
        users: a random sample of so many; 0: all.
        seed: of the sample.
    """
    targets = split.test if on == "test" else split.valid
    if users:
        everyone = np.unique(log.user[targets])
        chosen = np.random.default_rng(seed).permutation(everyone)[:users]
        targets = targets[np.isin(log.user[targets], chosen)]
    among = np.ones(len(log), np.bool_) if hidden is None else not_hidden(log, hidden)
    return examples.replay(log, targets, among, lines, age_ms)


def shuffled(log: Log, whole: Requests, on: str, hidden: Mask | None, lines: int, age_ms: int) -> tuple[Log, Requests]:
    """The log with same-day events in random order, and the requests of `whole` in it: one target per user.

    Raises:
        ValueError: a user has two targets; the split is not leave one out.
    """
    mixed = examples.shuffled_ties(log, 0)
    found = requests(mixed, leave_one_out(mixed), on, hidden, lines, age_ms)
    place_of = np.full(len(log.users), -1, np.int64)
    place_of[found.user] = np.arange(len(found.user))
    same = found.only(place_of[whole.user])
    if len(np.unique(whole.user)) < len(whole.user) or not np.array_equal(same.target, whole.target):
        raise ValueError("ties can only be shuffled where each user has one target, as leave one out has")
    return mixed, same


def conditions(
    log: Log, whole: Requests, mixed: tuple[Log, Requests] | None = None, clock: bool = False
) -> Iterator[Condition]:
    """The requests in every way.

    Args:
        log: that they are of.
        whole: the requests.
        mixed: what `shuffled` gave.
        clock: whether the live condition is among them.
    """
    yield Condition(WHOLE, log, whole, asked(log, whole))
    for last in CUTS:
        cut = examples.truncated(whole, last)
        yield Condition(cut_to(last), log, cut, asked(log, cut))
    if mixed is not None:
        yield Condition(SHUFFLED, *mixed, asked(*mixed))
    if clock:
        yield Condition(CLOCK, log, whole, asked(log, whole))


def cut_to(last: int) -> str:
    """The condition's name."""
    return f"last {last} event{'s' if last > 1 else ''}"


def parts(whole: Requests, counts: npt.NDArray[np.int64], hidden: Mask | None) -> dict[str, Mask]:
    """Name -> (Q,) which requests it counts. Empty parts are left out.

    Args:
        whole: the requests with whole windows: a user with many events stays one when the window is cut.
        counts: (M,) training events of each item.
        hidden: (M,) items hidden from training.
    """
    events, trained = whole.n_events, counts[whole.target]
    told = {
        "all": np.ones(len(events), np.bool_),
        "untied": ~whole.tied,
        "tied": whole.tied,
        "0 events": events == 0,
        "1 event": events == 1,
        "2 events": events == 2,
        "3 events": events == 3,
        "4-5 events": (events >= 4) & (events <= 5),
        "6+ events": events >= 6,
        "item trained 0 times": trained == 0,
        "item trained 1-4 times": (trained >= 1) & (trained <= 4),
        "item trained 5+ times": trained >= 5,
    }
    if hidden is not None:
        told["hidden items"] = hidden[whole.target]
        told["warm items"] = ~hidden[whole.target]
    return {name: mask for name, mask in told.items() if mask.any()}


def windows(log: Log, requests: Requests, places: npt.NDArray[np.integer]) -> list[Window]:
    """The requests' windows as the stream's state would hold them.

    What no list may show stands as had and outlives the window's lines; its time is not told, and its id alone is read.
    """
    made = []
    ids = log.items.ids
    for place in places.tolist():
        rows = requests.rows[place]
        lines = tuple(log.line(row) for row in rows[rows >= 0].tolist())
        had = requests.had.indices[requests.had.indptr[place] : requests.had.indptr[place + 1]]
        owned = tuple((0, item_id) for item_id in sorted(ids[item] for item in had.tolist()))
        made.append(Window(lines, owned, int(requests.n_events[place])) if lines or owned else EMPTY)
    return made
