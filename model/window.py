"""Step 3 of 10: a user's window takes a line in, and forgets what is too old or too much.

Knows nothing of users, partitions or models. Windows change by value and obey laws: idempotent, free of the order of
arrival, bounded.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from model.event import EventError, Kind, Reason
from model.text import Line, refuses

OWNED = 200
"""Items that a window remembers as had. Ids of 20 characters make 6 kB of a record; a user with more gets the oldest
recommended again."""

OWNING = frozenset({Kind.PURCHASE, Kind.REVIEW, Kind.RETURN, Kind.DISLIKE})
"""Kinds after which an item need not come back: the user had it, or said no."""

REFUSING = frozenset({Kind.RETURN, Kind.DISLIKE})
"""Kinds after which an item does not come back, not even in a category of repeat purchases."""


class Window(NamedTuple):
    """The newest lines of one user, and the items that he or she had."""

    lines: tuple[Line, ...]
    """Oldest first, by (at_ms, event_id); event ids are distinct."""
    owned: tuple[tuple[int, str], ...]
    """(at_ms, item_id) of the newest OWNED items bought, reviewed, returned or disliked, each at its latest time."""
    n_events: int
    """Lines ever taken in; impressions are one together, until there is anything else. A line too old to stay is not
    counted: the window could not tell it from its replay."""

    def remember(self, line: Line, lines: int, age_ms: int) -> "Window":
        """The window with `line`, by the same laws as `push`; an impression only where there is nothing else.

        Impressions say nothing, and one page view has forty of them: pushed, they leave no line of what a user did, and
        make a regular of a newcomer. So the newest of them is held while it is all that is known, and any other line
        takes its place. Beside `push`, because no bundle reads its lines otherwise for this: fingerprints stay.

        Raises:
            EventError: as `push` does.
        """
        held = self.lines
        if line[2] is not Kind.IMPRESSION:
            if not held or held[-1][2] is not Kind.IMPRESSION:
                return self.push(line, lines, age_ms)
            done = tuple(each for each in held if each[2] is not Kind.IMPRESSION)
            return Window(done, self.owned, self.n_events - (not done)).push(line, lines, age_ms)
        if any(each[2] is not Kind.IMPRESSION for each in held):
            return self
        pushed = self.push(line, 1, age_ms)
        return pushed if pushed is self else Window(pushed.lines, self.owned, max(self.n_events, 1))

    def push(self, line: Line, lines: int, age_ms: int) -> "Window":
        """The newest `lines` lines with `line` among them, none older than `age_ms` before the newest.

        Idempotent: the same line again gives `self`. Free of order: distinct events give the same lines and owned items
        in whatever order they come.

        Raises:
            EventError: EVENT_ID_REUSED, another line stands under this event id.
        """
        event_id = line[1]
        held = self.lines
        if event_id in map(_ID, held):  # Half of what a push costs, were it a loop.
            if line in held:
                return self
            raise EventError(
                Reason.EVENT_ID_REUSED, f"event_id {event_id!r} stands for another event of this user already"
            )
        owned = _with_owned(self.owned, line) if line[2] in OWNING and line[3] else self.owned
        if not held or held[-1][:2] < line[:2]:  # The newest, as nearly every line is: no sorting.
            first = max(len(held) + 1 - lines, 0)
            oldest_ms = line[0] - age_ms
            while first < len(held) and held[first][0] < oldest_ms:
                first += 1
            return Window((*held[first:], line), owned, self.n_events + 1)
        if line[0] < held[-1][0] - age_ms or (len(held) >= lines and line[:2] < held[-lines][:2]):
            return self if owned is self.owned else Window(held, owned, self.n_events)
        merged = sorted((*held, line), key=_order)
        return Window(tuple(merged[-lines:]), owned, self.n_events + 1)


def unwanted(lines: Sequence[Line]) -> set[str]:
    """Ids of the items of a window's lines that no list shows, whoever buys again: refused, or looked at just now.

    Args:
        lines: oldest first.
    """
    refused = {line.item_id for line in lines if line.kind in REFUSING or refuses(line)}
    newest = next((line.item_id for line in reversed(lines) if line.item_id and line.kind is not Kind.IMPRESSION), "")
    return (refused | {newest}) - {""}


_ID = itemgetter(1)

EMPTY = Window((), (), 0)


def _order(line: Line) -> tuple[int, str]:
    return line[:2]


def _with_owned(owned: tuple[tuple[int, str], ...], line: Line) -> tuple[tuple[int, str], ...]:
    """`owned` with the line's item at its latest time; the very same tuple where nothing changes."""
    mine = (line[0], line[3])
    kept = owned
    for before in owned:
        if before[1] == mine[1]:
            if before >= mine:
                return owned
            place = owned.index(before)
            kept = owned[:place] + owned[place + 1 :]
            break
    if not kept or kept[-1] < mine:
        return (*kept, mine)[-OWNED:]
    if len(kept) >= OWNED and mine < kept[0]:
        return owned
    return tuple(sorted((*kept, mine))[-OWNED:])
