"""Beside step 8: finds the live pairs of a window's items among all items of the shelf.

An item remembers who came before it (`model.live_pairs`), but a window asks who comes after: so the records are kept
sorted by the earlier item, too. A busy shop changes hundreds of records a second, and sorting all of them anew each
time would cost more than the scores: what has changed since the last sort is searched as it lies, until it is a
sixteenth. The same records give the same pairs, whenever they were sorted.

Knows nothing of users, of titles or of what a pair is worth. Its catalogue's lock guards it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.cooccurrence import laid_end_to_end
from model.live_pairs import KEPT, Before
from model.session import Floats

Rows = npt.NDArray[np.int64]

UNSORTED = 1024
"""Changed records that are searched as they lie at least: a third of a millisecond."""


class Found(NamedTuple):
    """Flat pairs of X items that were asked for; no item has the same row twice."""

    sources: Rows
    """(P,) place in what was asked."""
    rows: Rows
    """(P,) of the other item."""
    weights: Floats
    """(P,) of `Before`."""


class LiveIndex:
    """The live pairs of all items on the shelf."""

    def __init__(self, capacity: int) -> None:
        """Nothing is known of any of `capacity` rows."""
        # Ids keep their numbers, also those that are off the shelf: others' records name them.
        self._numbers: dict[str, int] = {}
        self._row_of: Rows = np.full(capacity, -1, np.int64)
        self._before: npt.NDArray[np.int32] = np.full((capacity, KEPT), -1, np.int32)
        self._weights: Floats = np.zeros((capacity, KEPT), np.float32)
        self._steps: Floats = np.zeros(capacity, np.float32)
        self.newest_ms: Rows = np.zeros(capacity, np.int64)
        """(capacity,) when anybody came to each row's item last."""
        self._unsorted: dict[int, None] = {}
        self._is_unsorted = np.zeros(capacity, np.bool_)
        self._starts: Rows = np.zeros(1, np.int64)  # By the earlier item's number: where its pairs begin among
        self._places: Rows = np.zeros(0, np.int64)  # these: row * KEPT + place in the row's record.

    def grow(self, capacity: int) -> None:
        """Makes room for so many rows."""
        more = capacity - len(self._steps)
        self._before = np.concatenate([self._before, np.full((more, KEPT), -1, np.int32)])
        self._weights = np.concatenate([self._weights, np.zeros((more, KEPT), np.float32)])
        self._steps = np.concatenate([self._steps, np.zeros(more, np.float32)])
        self.newest_ms = np.concatenate([self.newest_ms, np.zeros(more, np.int64)])
        self._is_unsorted = np.concatenate([self._is_unsorted, np.zeros(more, np.bool_)])

    def put(self, row: int, item_id: str, before: Before) -> None:
        """The record of the item in a row, instead of the one that it had."""
        number = self._number(item_id)  # This may make another array of rows.
        self._row_of[number] = row
        if before.steps or self._steps[row]:
            self._fill(row, before)

    def remove(self, row: int, item_id: str) -> None:
        """The row is empty from now on."""
        number = self._number(item_id)
        self._row_of[number] = -1
        if self._steps[row]:
            self._fill(row, Before({}, 0.0, 0))

    def number(self, item_id: str) -> int:
        """By which an item is asked for; -1 where nothing is known of it."""
        return self._numbers.get(item_id, -1)

    def steps(self, numbers: Rows, since_ms: Rows) -> Floats:
        """(X,) steps to each of these items; 0 for number -1, for who is off the shelf, and where none is newer."""
        rows = self._rows_of(numbers)
        return np.where((rows >= 0) & (self.newest_ms[rows] > since_ms), self._steps[rows], np.float32(0))

    def after(self, numbers: Rows) -> Found:
        """The items to which shoppers of each of these came later."""
        self._sort()
        sorted_ones = np.flatnonzero((numbers >= 0) & (numbers < len(self._starts) - 1))
        which, where = laid_end_to_end(self._starts, numbers[sorted_ones])
        sources, places = sorted_ones[which], self._places[where]
        kept = ~self._is_unsorted[places // KEPT]
        more_sources, more_places = self._among_unsorted(numbers)
        sources = np.concatenate([sources[kept], more_sources])
        places = np.concatenate([places[kept], more_places])
        return Found(sources, places // KEPT, self._weights.reshape(-1)[places])

    def before(self, numbers: Rows) -> Found:
        """The items from which shoppers of each of these came."""
        rows = self._rows_of(numbers)
        here = np.flatnonzero(rows >= 0)
        others = self._rows_of(self._before[rows[here]])
        which, place = np.nonzero(others >= 0)
        return Found(here[which], others[which, place], self._weights[rows[here[which]], place])

    def _rows_of(self, numbers: npt.NDArray[np.integer]) -> Rows:
        return np.where(numbers >= 0, self._row_of[numbers], -1)

    def _number(self, item_id: str) -> int:
        number = self._numbers.setdefault(item_id, len(self._numbers))
        if number >= len(self._row_of):
            self._row_of = np.concatenate([self._row_of, np.full_like(self._row_of, -1)])
        return number

    def _fill(self, row: int, before: Before) -> None:
        count = len(before.weights)
        self._before[row, :count] = [self._number(item_id) for item_id in before.weights]
        self._weights[row, :count] = list(before.weights.values())
        self._before[row, count:] = -1
        self._steps[row] = before.steps
        self.newest_ms[row] = before.at_ms
        self._unsorted[row] = None
        self._is_unsorted[row] = True

    def _sort(self) -> None:
        if len(self._unsorted) <= max(UNSORTED, len(self._steps) // 16):
            return
        places = np.flatnonzero(self._before.reshape(-1) >= 0)
        numbers = self._before.reshape(-1)[places]
        self._places = places[np.argsort(numbers, kind="stable")]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(self._numbers)))])
        self._is_unsorted[list(self._unsorted)] = False
        self._unsorted.clear()

    def _among_unsorted(self, numbers: Rows) -> tuple[Rows, Rows]:
        """(P,) places in `numbers`, and (P,) places of their pairs in records that are not sorted yet."""
        rows = np.fromiter(self._unsorted, np.int64, len(self._unsorted))
        asked = np.zeros(len(self._numbers) + 1, np.bool_)
        asked[numbers[numbers >= 0]] = True  # The last one answers for -1.
        which, place = np.nonzero(asked[self._before[rows]])
        places = rows[which] * KEPT + place
        # Several lines may ask for one item: each of them gets all of its pairs.
        order = np.argsort(numbers, kind="stable")
        wanted = self._before.reshape(-1)[places]
        firsts = np.searchsorted(numbers[order], wanted)
        times = np.searchsorted(numbers[order], wanted, "right") - firsts
        pair = np.repeat(np.arange(len(places)), times)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(times) - times, times)
        return order[np.repeat(firsts, times) + within], places[pair]
