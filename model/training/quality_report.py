"""Before training: what the counts of `quality.py` mean, in sentences, and both as a table.

Knows nothing of how anything was counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import Group
from rich.table import Table
from rich.text import Text

from model.training.quality import Quality, Ties

ENOUGH_TIES = 50
"""Ties of which one can say how they are sorted: of so many, .7 in ascending order is chance once in 300 logs."""
SORTED = 0.7
"""Share of ties in ascending order from which on the source's order tells something."""
FEW = 0.05
"""Share that is worth a sentence."""


def meanings(told: Quality) -> list[str]:
    """What whoever trains on this log, or judges by it, has to know; the worst first."""
    return [*_of_ties(told.ties), *_of_leaks(told), *_of_lines(told), *_of_counts(told), *_of_titles(told)]


def as_json(told: Quality) -> str:
    """All counts and what they mean, as one JSON line."""
    return orjson.dumps(asdict(told) | {"meanings": meanings(told)}).decode()


def as_table(told: Quality) -> Group:
    """All counts and what they mean, for a terminal."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, figure in _rows(told):
        table.add_row(name, figure)
    return Group(table, Text(), *(Text(f"- {meaning}") for meaning in meanings(told)))


def _rows(told: Quality) -> Iterator[tuple[str, str]]:
    yield "events", f"{told.events:,}, {_day(told.first_ms)} to {_day(told.last_ms)}"
    yield "kinds", _counts(told.kinds)
    yield "with", f"text {told.with_text:,}, rating {told.with_rating:,}, price {told.with_price:,}"
    yield "users", f"{told.users:,}; by events: {_counts(told.users_by_events)}"
    yield "items", f"{told.items:,}; by events: {_counts(told.items_by_events)}"
    yield "rejected", _counts(told.rejected) or "nothing"
    if told.passed_over:
        yield "passed over", _counts(told.passed_over)
    yield "duplicates", f"{told.duplicates:,}"
    ties = told.ties
    for name, tied, up in (
        ("same time", ties.same_stamp, ties.same_stamp_ascending),
        ("same day", ties.same_day, ties.same_day_ascending),
    ):
        yield name, f"{tied:,} of {ties.steps:,} steps; items ascend in {_percent(up, tied)}"
    yield "titles", f"{told.titles.missing:,} missing, {told.titles.alike:,} alike; {_counts(told.titles.scripts)}"
    if (leaks := told.leaks) is not None:
        yield "split", f"train {leaks.train:,}, valid {leaks.valid:,}, test {leaks.test:,}"
        yield "test targets", f"{leaks.known:,} touched before, {leaks.unseen:,} unseen in train, {leaks.tied:,} tied"


def _of_ties(ties: Ties) -> Iterator[str]:
    if ties.same_day >= ENOUGH_TIES and ties.same_day_ascending >= SORTED * ties.same_day:
        yield (
            "Events of one user and day stand in the order of item ids in"
            f" {_percent(ties.same_day_ascending, ties.same_day)} of cases, where chance would be 50 %:"
            " the source sorted them, and what learns their order learns that."
            " Judge with ties shuffled, and users without ties beside all."
        )
    elif ties.same_stamp >= FEW * max(ties.steps, 1) and ties.same_stamp:
        yield (
            f"{_percent(ties.same_stamp, ties.steps)} of steps are between events of one time: their order is that of"
            " the file, and says little."
        )


def _of_leaks(told: Quality) -> Iterator[str]:
    leaks = told.leaks
    if leaks is None or not leaks.test:
        return
    if leaks.not_after:
        yield (
            f"{leaks.not_after:,} test targets have events of their user in train that came later:"
            " the future is learned."
        )
    if leaks.tied >= FEW * leaks.test:
        yield (
            f"{_percent(leaks.tied, leaks.test)} of test targets fall on the day of the event before; items ascend in"
            f" {_percent(leaks.tied_ascending, leaks.tied)} of these."
        )
    if leaks.known >= FEW * leaks.test:
        yield (
            f"{_percent(leaks.known, leaks.test)} of test targets were touched by their user before: where seen items"
            " are masked they cannot be found."
        )
    if leaks.later_train >= FEW:
        yield (
            f"On average {100 * leaks.later_train:.0f} % of train is later than a test target: counts made of all of"
            " train know that much of the future. With a split by time they do not."
        )
    if leaks.unseen:
        yield f"{leaks.unseen:,} test targets are items that train has no event of: only their text can find them."


def _of_lines(told: Quality) -> Iterator[str]:
    for reason, fault in told.faults.items():
        yield f"{told.rejected[reason]:,} lines were left out ({reason}); the first is {fault}."
    if again := told.rejected.get("repeated"):
        yield f"{again:,} events came again under the same id, and count once, as in the stream."
    if told.duplicates:
        yield (
            f"{told.duplicates:,} events are the same as another but for their id (user, item, time and kind):"
            " each is a line of its own."
        )


def _of_counts(told: Quality) -> Iterator[str]:
    few = sum(told.users_by_events[size] for size in ("1", "2", "3"))
    if few >= FEW * told.users:
        yield f"{_percent(few, told.users)} of users have one to three events: the log has cold users to judge by."
    else:
        yield "Hardly a user has fewer than four events: judge cold users by histories that are cut."
    cold = sum(told.items_by_events[size] for size in ("0", "1", "2", "3"))
    if cold >= FEW * told.items:
        yield (
            f"{_percent(cold, told.items)} of items have at most three events, {told.items_by_events['0']:,} none: what"
            " finds them is their text."
        )
    else:
        yield "Hardly an item has fewer than four events: judge cold items by hiding some from training."


def _of_titles(told: Quality) -> Iterator[str]:
    titles = told.titles
    if titles.missing:
        yield (
            f"{titles.missing:,} items have no title ({_percent(titles.missing, titles.items)}): they are read by their"
            " category, description or id."
        )
    if titles.alike >= FEW * max(titles.items, 1):
        yield f"{_percent(titles.alike, titles.items)} of items have the title of another: no encoder tells them apart."
    all_titles = max(titles.items - titles.missing, 1)
    foreign = {name: count for name, count in titles.scripts.items() if name not in ("latin", "none")}
    if sum(foreign.values()) >= FEW * all_titles:
        shares = ", ".join(f"{name} {_percent(count, all_titles)}" for name, count in foreign.items())
        yield f"Titles are not all in Latin letters ({shares}): choose an encoder that has learned them."


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
