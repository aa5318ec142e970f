"""Before training: what a log is worth, counted. What the counts mean is said in `quality_report.py`.

Knows nothing of models. Nothing is judged here, and nothing is mended.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from model.interest import KINDS
from model.text import fold
from model.training.logs.columns import Log, Rows
from model.training.splits import Split

DAY_MS = 86_400_000
SIZES = ("0", "1", "2", "3", "4-5", "6+")
"""How users and items are told apart by their number of events."""
_SIZE_FROM = np.array([0, 1, 2, 3, 4, 6])


@dataclass(frozen=True)
class Ties:
    """Steps from one item to another with nothing to say which came first.

    Attributes:
        steps: pairs of neighbouring events of a user that name two different items.
        same_stamp, same_day: of these, at the very same time; on the same UTC day.
        same_stamp_ascending, same_day_ascending: of those, with the lower item id first. By chance it is half; nearly
            all means that the source sorted them, and a model that learns the order learns the sorting.
    """

    steps: int
    same_stamp: int
    same_stamp_ascending: int
    same_day: int
    same_day_ascending: int


@dataclass(frozen=True)
class Titles:
    """What there is to read of the items.

    Attributes:
        items: all of them.
        missing: without a title.
        alike: with a title that another item has, too.
        scripts: of the titles by the script of most of their letters; `none` has no letters.
    """

    items: int
    missing: int
    alike: int
    scripts: dict[str, int]


@dataclass(frozen=True)
class Leaks:
    """What may make a test easier, or harder, than the stream is.

    Attributes:
        train, valid, test: events in each part.
        known: test targets that the user touched in train already.
        unseen: test targets of which train has no event: only their text can find them.
        not_after: test targets with an event of the same user in train that stands after them.
        tied: test targets on the UTC day of the user's event before.
        tied_ascending: of these, with the lower item id first.
        later_train: mean share of train that is later than a test target: counts learned from train know so much of
            the future.
    """

    train: int
    valid: int
    test: int
    known: int
    unseen: int
    not_after: int
    tied: int
    tied_ascending: int
    later_train: float


@dataclass(frozen=True)
class Quality:
    """A log in numbers.

    Attributes:
        first_ms, last_ms: times of the first and the last event.
        kinds: events by kind.
        with_text, with_rating, with_price: events that tell these.
        rejected: lines that were no event or item, by reason.
        faults: the first line of each reason.
        passed_over: what a format calls its records that hold no behaviour -> how many.
        duplicates: events beyond the first of the same user, item, time and kind.
        users_by_events, items_by_events: by SIZES.
    """

    events: int
    users: int
    items: int
    first_ms: int
    last_ms: int
    kinds: dict[str, int]
    with_text: int
    with_rating: int
    with_price: int
    rejected: dict[str, int]
    faults: dict[str, str]
    passed_over: dict[str, int]
    duplicates: int
    users_by_events: dict[str, int]
    items_by_events: dict[str, int]
    ties: Ties
    titles: Titles
    leaks: Leaks | None


def quality(log: Log, split: Split | None = None) -> Quality:
    """Counts what a log has and lacks; its leaks where it is told how it is split."""
    named = log.item >= 0
    kinds = np.bincount(log.kind, minlength=len(KINDS))
    return Quality(
        events=len(log),
        users=len(log.users),
        items=len(log.items),
        first_ms=int(log.at_ms[0]),
        last_ms=int(log.at_ms[-1]),
        kinds={kind.value: int(kinds[number]) for number, kind in enumerate(KINDS) if kinds[number]},
        with_text=int(pc.sum(pc.not_equal(log.texts, "")).as_py()),
        with_rating=int((~np.isnan(log.rating)).sum()),
        with_price=int((~np.isnan(log.price)).sum()),
        rejected=dict(log.rejected),
        faults=dict(log.faults),
        passed_over=dict(log.passed_over),
        duplicates=_duplicates(log),
        users_by_events=_by_size(np.bincount(log.user, minlength=len(log.users))),
        items_by_events=_by_size(np.bincount(log.item[named], minlength=len(log.items))),
        ties=_ties(log),
        titles=_titles(log.items.table["title"].to_pylist()),
        leaks=None if split is None else _leaks(log, split),
    )


def _by_size(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    found = np.bincount(np.searchsorted(_SIZE_FROM, counts, side="right") - 1, minlength=len(SIZES))
    return dict(zip(SIZES, found.tolist(), strict=True))


def _duplicates(log: Log) -> int:
    columns = (log.kind, log.at_ms, log.item, log.user)
    order = np.lexsort(columns)
    same = np.ones(max(len(log) - 1, 0), np.bool_)
    for column in columns:
        same &= np.diff(column[order]) == 0
    return int((same & (log.item[order][1:] >= 0)).sum())


def _ties(log: Log) -> Ties:
    before, after = _steps(log)
    stamp = log.at_ms[before] == log.at_ms[after]
    day = log.at_ms[before] // DAY_MS == log.at_ms[after] // DAY_MS
    ranks = _ranks(log)
    up = ranks[log.item[before]] < ranks[log.item[after]]
    counts = (stamp, stamp & up, day, day & up)
    return Ties(len(before), *(int(each.sum()) for each in counts))


def _steps(log: Log) -> tuple[Rows, Rows]:
    """Rows of neighbouring events of one user that name two different items, (S,) each."""
    rows = np.flatnonzero(log.item >= 0)
    rows = rows[np.argsort(log.user[rows], kind="stable")]
    before, after = rows[:-1], rows[1:]
    step = (log.user[before] == log.user[after]) & (log.item[before] != log.item[after])
    return before[step], after[step]


def _ranks(log: Log) -> npt.NDArray[np.int64]:
    """(I,) place of each item's id among all in ascending order."""
    ranks = np.empty(len(log.items), np.int64)
    ranks[sorted(range(len(log.items)), key=log.items.ids.__getitem__)] = np.arange(len(log.items))
    return ranks


def _titles(titles: Iterable[str]) -> Titles:
    told = [fold(title) for title in titles]
    times = Counter(title.casefold() for title in told if title)
    scripts = Counter(script(title) for title in told if title)
    return Titles(
        items=len(told),
        missing=sum(not title for title in told),
        alike=sum(count for count in times.values() if count > 1),
        scripts=dict(scripts.most_common()),
    )


def script(text: str) -> str:
    """The script of most letters of a text, as Unicode names it: latin, cjk, cyrillic …; "none" has no letters."""
    found = Counter(_script(letter) for letter in text if letter.isalpha())
    return found.most_common(1)[0][0] if found else "none"


@cache
def _script(letter: str) -> str:
    return unicodedata.name(letter, "unknown").split()[0].partition("-")[0].lower()


def _leaks(log: Log, split: Split) -> Leaks:
    test, train = split.test, np.flatnonzero(split.train)
    users, items, rows = log.user[test], log.item[test], len(log.items)
    pairs = log.user[train].astype(np.int64) * rows + log.item[train]
    known = np.isin(users.astype(np.int64) * rows + items, pairs[log.item[train] >= 0])
    newest = np.full(len(log.users), -1)
    np.maximum.at(newest, log.user[train], train)
    before, after = _steps(log)
    previous = np.full(len(log), -1)
    previous[after] = before
    stepped = previous[test] >= 0
    tied = stepped & (log.at_ms[previous[test]] // DAY_MS == log.at_ms[test] // DAY_MS)
    ranks = _ranks(log)
    up = ranks[log.item[previous[test]]] < ranks[items]
    later = len(train) - np.searchsorted(log.at_ms[train], log.at_ms[test], side="right")
    return Leaks(
        train=len(train),
        valid=len(split.valid),
        test=len(test),
        known=int(known.sum()),
        unseen=int((~np.isin(items, log.item[train])).sum()),
        not_after=int((newest[users] > test).sum()),
        tied=int(tied.sum()),
        tied_ascending=int((tied & up).sum()),
        later_train=round(float(later.mean() / max(len(train), 1)) if len(test) else 0.0, 4),
    )
