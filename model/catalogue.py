"""Step 7 of 10: the shelf, one row per item, and which of its items lie nearest to an interest.

Knows nothing of users, Kafka or how a vector came about. Exact search: (B, D) x (D, M). `nearest` is all that step 7
asks for, so that an index can take its place once a shop has a million items. One follower thread applies changes while
the recommender reads: whoever reads rows holds `catalogue.lock` as long as the rows must mean the same items.
"""

import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.item_tower import LENDERS, ItemTower
from model.live_index import LiveIndex
from model.live_pairs import NOBODY, Before
from model.popularity import HALF_LIFE_MS, level, popularity
from model.prices import log_price
from model.session import Floats

Rows = npt.NDArray[np.int64]
NO_VECTOR = np.zeros(0, np.float16)  # The tower has made its vectors of it, and nobody reads it again.


class Lent(NamedTuple):
    """Who borrows from whom."""

    rows: Rows
    """(X,) of the items that training has not seen."""
    lenders: Rows
    """(X, LENDERS) places in the tower's `item_ids`, -1 where there are not so many."""


class Shelved(NamedTuple):
    """An item as every worker knows it: what the catalogue topic carries."""

    item_id: str
    title: str
    category: str
    brand: str
    price: float | None
    available: bool
    vector: npt.NDArray[np.float16]
    """(E,) unit length, of its text."""
    counts: dict[str, tuple[float, int]]
    """Kind -> (decayed count, at_ms of that value)."""
    since_ms: int = 0
    """Of the first event that was counted; 0: none was."""
    before: Before = NOBODY
    """What its shoppers had touched before it."""


class Catalogue:
    """All items of the shop, as a matrix."""

    USERS = 64
    """Of so many users the cosines with all items are in memory at once, per thread: 256 MB at a million items."""

    def __init__(
        self, tower: ItemTower, half_life_ms: int = HALF_LIFE_MS, capacity: int = 1024, threads: int = 2
    ) -> None:
        """An empty shelf.

        Args:
            tower: the bundle's; it makes an item's vectors of its text's.
            half_life_ms: of the popularity counts.
            capacity: rows to begin with; it doubles when full.
            threads: cores that share out the users of a large batch.
        """
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="nearest")  # It starts no thread before it has to.
        self.tower = tower
        self.dim = tower.dim
        self.half_life_ms = half_life_ms
        self.lock = threading.RLock()
        # fp32: numpy multiplies fp16 30 times slower.
        self._vectors: Floats = np.zeros((capacity, self.dim), np.float32)
        self._contexts: Floats = np.zeros((capacity, self.dim), np.float32)
        self._lenders = np.full((capacity, LENDERS), -1, np.int32)
        self._log_prices: Floats = np.full(capacity, np.nan, np.float32)
        self._made_of = np.zeros(capacity, np.int64)  # Hash of the text's vector that its vectors came from.
        self._available = np.zeros(capacity, np.bool_)
        self._levels = np.full(capacity, -np.inf)
        self._tie_breaks = np.zeros(capacity, np.uint32)  # Rows differ from worker to worker; this does not.
        self._shelved: list[Shelved | None] = [None]  # Row 0 holds nothing: no array is ever empty.
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._newest_ms = np.zeros(capacity, np.int64)
        self._since_ms = np.zeros(capacity, np.int64)
        self.live = LiveIndex(capacity)
        """Which items follow which, of late."""
        self._watched: list[tuple[dict[str, int], Rows]] = []
        self._birth_ms: int | None = None  # These are of the shelf as it is; the next change forgets them.
        self._popularity: Floats | None = None
        self._popular: dict[int, Rows] = {}
        self._lent: Lent | None = None

    def __len__(self) -> int:
        """How many items it holds, unavailable ones included."""
        return len(self._rows)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._rows

    def apply(self, changes: Sequence[tuple[str, Shelved | None]]) -> None:
        """Puts each (item id, item) on the shelf, None takes it off; the last word on an item counts.

        The tower runs for new and changed texts alone. Most changes are of counts, and an item that training has not
        seen costs the tower a quarter of a millisecond at 12,000 items, under which a busy shop's follower would lag.

        Raises:
            ValueError: a vector has another length than the encoder's.
        """
        last = dict(changes)
        ids = [item_id for item_id, shelved in last.items() if shelved is not None]
        texts = self._texts([shelved for shelved in last.values() if shelved is not None])
        made_of = np.array([hash(text.tobytes()) for text in texts], np.int64)
        there = np.array([self._rows.get(item_id, -1) for item_id in ids], np.int64)
        fresh = np.flatnonzero((there < 0) | (self._made_of[there] != made_of))
        vectors = self.tower([ids[place] for place in fresh], texts[fresh])  # Not under the lock: it takes long.
        with self.lock:
            for item_id, shelved in last.items():
                if shelved is None:
                    self._remove(item_id)
                else:
                    self._put(item_id, shelved)
            rows = np.array([self._rows[ids[place]] for place in fresh], np.int64)
            self._vectors[rows] = vectors.candidates
            self._contexts[rows] = vectors.contexts
            self._lenders[rows] = vectors.lenders
            self._made_of[rows] = made_of[fresh]
            if len(fresh) or None in last.values():
                self._lent = None
            self._popularity = self._birth_ms = None
            self._popular.clear()

    def row(self, item_id: str) -> int | None:
        """The item's row, None if it is not on the shelf."""
        return self._rows.get(item_id)

    def get(self, item_id: str) -> Shelved | None:
        """The item as it was applied last, but for its text's vector."""
        row = self._rows.get(item_id)
        return None if row is None else self.at(row)

    def at(self, row: int) -> Shelved:
        """The item in a row.

        Raises:
            LookupError: the row is empty.
        """
        shelved = self._shelved[row]
        if shelved is None:
            raise LookupError(f"row {row} holds no item")
        return shelved

    def item_id(self, row: int) -> str:
        """The id of the item in a row; "" where it is empty."""
        shelved = self._shelved[row]
        return "" if shelved is None else shelved.item_id

    @property
    def vectors(self) -> Floats:
        """(M, D) as candidates, unit length; an empty row is all zeros and not available."""
        return self._vectors[: len(self._shelved)]

    @property
    def contexts(self) -> Floats:
        """(M, D) what a line about the item adds to its user's interest."""
        return self._contexts[: len(self._shelved)]

    @property
    def lenders(self) -> npt.NDArray[np.int32]:
        """(M, LENDERS) as the tower told them; the first is -1 where the item borrows nothing."""
        return self._lenders[: len(self._shelved)]

    @property
    def lent(self) -> Lent:
        """Who borrows from whom: the same object until that changes."""
        if self._lent is None:
            rows = np.flatnonzero(self.lenders[:, 0] >= 0)
            self._lent = Lent(rows, self.lenders[rows].astype(np.int64))
        return self._lent

    @property
    def log_prices(self) -> Floats:
        """(M,) of `model.prices`, NaN where there is none."""
        return self._log_prices[: len(self._shelved)]

    @property
    def available(self) -> npt.NDArray[np.bool_]:
        """(M,) whether a row's item may be shown."""
        return self._available[: len(self._shelved)]

    @property
    def popularity(self) -> Floats:
        """(M,) 0 to 1: log of the decayed counts at the newest time that any item's counts tell, never at a clock's."""
        if self._popularity is None:
            newest_ms = int(self._newest_ms.max(initial=0))
            self._popularity = popularity(self._levels[: len(self._shelved)], newest_ms, self.half_life_ms)
        return self._popularity

    @property
    def since_ms(self) -> Rows:
        """(M,) time of each item's first event, 0 where there was none."""
        return self._since_ms[: len(self._shelved)]

    @property
    def birth_ms(self) -> int:
        """Time of the first event of all; 0 where there was none."""
        if self._birth_ms is None:
            told = self.since_ms[self.since_ms > 0]
            self._birth_ms = int(told.min()) if len(told) else 0
        return self._birth_ms

    def popular(self, k: int) -> Rows:
        """(<= k,) rows of the available items most in demand, best first; the same on every worker, ties included."""
        if k in self._popular:
            return self._popular[k]
        rows = np.flatnonzero(self.available)
        if len(rows) > k > 0:  # A sort of everything would cost 100 ms at a million items.
            levels = self._levels[rows]
            floor = np.partition(levels, len(levels) - k)[len(levels) - k]
            rows = rows[levels >= floor]
        order = np.lexsort((self._tie_breaks[rows], -self._levels[rows]))
        best: Rows = rows[order[:k]]
        self._popular[k] = best
        return best

    def nearest(self, interests: Floats, k: int, hidden: tuple[Rows, Rows] | None = None) -> Rows:
        """Rows of the k available items nearest to each interest, best first; ties to the lower row.

        Args:
            interests: (B, D), unit length.
            k: how many.
            hidden: (users, rows), each (X,): pairs that must not come.

        Returns:
            (B, k) rows, -1 where there are not so many.
        """
        if len(interests) <= self.USERS:
            return self._nearest(interests, k, hidden)
        parts = []
        for start in range(0, len(interests), self.USERS):
            theirs: tuple[Rows, Rows] | None = None
            if hidden is not None:
                inside = (hidden[0] >= start) & (hidden[0] < start + self.USERS)
                theirs = hidden[0][inside] - start, hidden[1][inside]
            parts.append((interests[start : start + self.USERS], k, theirs))
        return np.concatenate(list(self._pool.map(lambda part: self._nearest(*part), parts)))

    def _nearest(self, interests: Floats, k: int, hidden: tuple[Rows, Rows] | None) -> Rows:
        similarities = interests @ self.vectors.T
        similarities[:, np.flatnonzero(~self.available)] = -np.inf
        if hidden is not None:
            similarities[hidden] = -np.inf
        found: Rows = np.full((len(interests), k), -1, np.int64)
        width = min(k, similarities.shape[1])
        rows = np.argpartition(similarities, -width, axis=1)[:, -width:]
        values = np.take_along_axis(similarities, rows, axis=1)
        least = values.min(axis=1)
        reaching = (similarities >= least[:, None]).sum(axis=1)
        for user in np.flatnonzero((reaching > width) & ~np.isneginf(least)):  # A tie at the last place: twin items.
            tied = np.flatnonzero(similarities[user] >= least[user])
            rows[user] = tied[np.lexsort((tied, -similarities[user, tied]))[:width]]
            values[user] = similarities[user, rows[user]]
        order = np.lexsort((rows, -values), axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        found[:, :width] = np.where(np.isneginf(values), -1, rows)
        return found

    def watch(self, item_ids: Sequence[str]) -> Rows:
        """(I,) rows of these items, -1 where there is none; `apply` keeps this very array up to date."""
        with self.lock:
            rows = np.array([self._rows.get(item_id, -1) for item_id in item_ids], np.int64)
            self._watched.append(({item_id: number for number, item_id in enumerate(item_ids)}, rows))
            return rows

    def _texts(self, items: Sequence[Shelved]) -> Floats:
        """(T, E) the items' text vectors."""
        texts: Floats = np.zeros((len(items), self.tower.text_dim), np.float32)
        for place, item in enumerate(items):
            vector = np.asarray(item.vector, np.float32)
            if vector.shape != texts.shape[1:] or not np.isfinite(vector).all():
                raise ValueError(
                    f"item {item.item_id!r}: a vector of {texts.shape[1]} finite numbers is needed, not {vector.shape}"
                )
            texts[place] = vector
        return texts

    def _put(self, item_id: str, shelved: Shelved) -> None:
        row = self._rows.get(item_id)
        if row is None:
            row = self._new_row()
            self._rows[item_id] = row
            self._set_watched(item_id, row)
            self._tie_breaks[row] = zlib.crc32(item_id.encode())
        self._shelved[row] = shelved._replace(vector=NO_VECTOR, before=NOBODY)  # `live` has it.
        self._log_prices[row] = log_price(shelved.price)
        self._available[row] = shelved.available
        self._levels[row], self._newest_ms[row] = level(shelved.counts, self.half_life_ms)
        self._since_ms[row] = shelved.since_ms
        self.live.put(row, item_id, shelved.before)

    def _remove(self, item_id: str) -> None:
        row = self._rows.pop(item_id, None)
        if row is None:
            return
        self._set_watched(item_id, -1)
        self._shelved[row] = None
        self._vectors[row] = self._contexts[row] = 0.0
        self._lenders[row] = -1
        self._log_prices[row] = np.nan
        self._available[row] = False
        self._levels[row] = -np.inf
        self._newest_ms[row] = self._since_ms[row] = 0
        self.live.remove(row, item_id)
        self._free.append(row)

    def _set_watched(self, item_id: str, row: int) -> None:
        for numbers, rows in self._watched:
            number = numbers.get(item_id)
            if number is not None:
                rows[number] = row

    def _new_row(self) -> int:
        if self._free:
            return self._free.pop()
        row = len(self._shelved)
        if row == len(self._vectors):  # Doubling: a catalogue of a million grows ten times, not a million times.
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._contexts = np.concatenate([self._contexts, np.zeros_like(self._contexts)])
            self._lenders = np.concatenate([self._lenders, np.full_like(self._lenders, -1)])
            self._log_prices = np.concatenate([self._log_prices, np.full_like(self._log_prices, np.nan)])
            self._made_of = np.concatenate([self._made_of, np.zeros_like(self._made_of)])
            self._available = np.concatenate([self._available, np.zeros_like(self._available)])
            self._levels = np.concatenate([self._levels, np.full_like(self._levels, -np.inf)])
            self._newest_ms = np.concatenate([self._newest_ms, np.zeros_like(self._newest_ms)])
            self._since_ms = np.concatenate([self._since_ms, np.zeros_like(self._since_ms)])
            self._tie_breaks = np.concatenate([self._tie_breaks, np.zeros_like(self._tie_breaks)])
            self.live.grow(len(self._vectors))
        self._shelved.append(None)
        return row
