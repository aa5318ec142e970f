"""Before training: records become rows of columns, through the stream's own steps 1 and 2.

Knows nothing of files and forms. What step 1 rejects is counted by its reason, with the first line of each.
"""

from array import array
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model.event import Event, EventError, Item, parse_item
from model.interest import KINDS
from model.reading import Reader, reader
from model.text import Line, render
from model.training.logs.files import Told

CHUNK = 1 << 16
"""Texts kept as Python's strings before they go into an Arrow array."""
REPEATED = "repeated"
"""The reason of an event whose id this user has sent before: producers and brokers send again."""

_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_UNTOLD = float("nan")
_reader: Callable[[str], Reader] = cache(reader)


class Texts:
    """A column of strings that grows."""

    def __init__(self) -> None:
        self._chunks: list[pa.Array] = []
        self._open: list[str] = []

    def append(self, text: str) -> None:
        """One more row."""
        self._open.append(text)
        if len(self._open) == CHUNK:
            self._close()

    def array(self) -> pa.Array:
        """All rows; large_string, which may hold more than 2 GB."""
        self._close()
        return pa.chunked_array(self._chunks, pa.large_string()).combine_chunks()

    def _close(self) -> None:
        self._chunks.append(pa.array(self._open, pa.large_string()))
        self._open = []


class Shelf:
    """The items that files and events tell of. Of two upserts of an item the later counts."""

    TEXTS = ("title", "category", "brand", "description")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._place = array("q")  # (I,) the row with what is told of each item; -1: nothing is.
        self._texts = {name: Texts() for name in self.TEXTS}
        self._price = array("d")

    def number(self, item_id: str) -> int:
        """The item's number; of a new item the next."""
        number = self.numbers.setdefault(item_id, len(self.numbers))
        if number == len(self._place):
            self._place.append(-1)
        return number

    def put(self, item: Item) -> None:
        """An upsert."""
        self._place[self.number(item.item_id)] = len(self._price)
        for name, texts in self._texts.items():
            texts.append(getattr(item, name))
        self._price.append(_UNTOLD if item.price is None else item.price)

    def knows(self, item_id: str) -> bool:
        """Whether anything is told of the item."""
        number = self.numbers.get(item_id)
        return number is not None and self._place[number] >= 0

    def table(self) -> pa.Table:
        """(I,) in the order of numbers. To be called once: it ends the growing."""
        for texts in self._texts.values():
            texts.append("")  # The row of items of which nothing is told.
        prices = pa.array(np.array([*self._price, _UNTOLD]), from_pandas=True)
        columns = {name: texts.array() for name, texts in self._texts.items()} | {"price": prices}
        places = np.array(self._place, np.int64)
        return pa.table(columns).take(pa.array(np.where(places < 0, len(self._price), places)))


class Growing:
    """Columns that grow by one record at a time."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.shelf = Shelf()
        self.texts = Texts()
        self.rejected: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.passed_over: Counter[str] = Counter()
        self._user, self._item = array("i"), array("i")
        self._at_ms, self._order, self._id = array("q"), array("q"), array("q")
        self._kind, self._split = array("b"), array("b")
        self._rating, self._price, self._quantity, self._dwell_ms = (array("f") for _ in range(4))

    def add(self, told: Told, name: str) -> None:
        """The events of a record, mostly one; and one more rejection for each part of it that is none.

        Args:
            name: of the file, for the fault.
        """
        events, faults, passed_over = _reader(told.form)(told.value, told.key, told.headers, told.arrived_ms)
        for event in events:
            self._event(event, told)
        for fault in faults:
            self._reject(fault.reason.value, f"{name}:{told.number}: {fault.detail}")
        if passed_over:
            self.passed_over[passed_over] += 1

    def _event(self, event: Event, told: Told) -> None:
        if event.item is not None and not self.shelf.knows(event.item_id):
            self.shelf.put(event.item)
        user = self.users.setdefault(event.user_id, len(self.users))
        self._id.append(hash((user, event.event_id)))
        self._add(user, render(event), told)

    def _add(self, user: int, line: Line, told: Told) -> None:
        self._user.append(user)
        self._item.append(self.shelf.number(line.item_id) if line.item_id else -1)
        self._at_ms.append(line.at_ms)
        self._kind.append(_KIND_NUMBERS[line.kind])
        self._rating.append(_UNTOLD if line.rating is None else line.rating)
        self._price.append(_UNTOLD if line.price is None else line.price)
        self._quantity.append(_UNTOLD if line.quantity is None else line.quantity)
        self._dwell_ms.append(_UNTOLD if line.dwell_ms is None else line.dwell_ms)
        self.texts.append(line.text)
        self._split.append(told.split)
        self._order.append(told.order)

    def add_item(self, told: Told, name: str) -> None:
        """One item, or one more rejection; a tombstone takes nothing away that events may still name."""
        try:
            item = parse_item(told.value, told.key, told.headers)
        except EventError as error:
            self._reject(f"item {error.reason.value}", f"{name}:{told.number}: {error.detail}")
            return
        if item is not None:
            self.shelf.put(item)

    def columns(self) -> dict[str, Any]:
        """The columns as they grew, by the names that a log gives them."""
        names = ("user", "item", "at_ms", "kind", "rating", "price", "quantity", "dwell_ms", "split")
        return {name: np.array(getattr(self, f"_{name}")) for name in names}

    def order(self) -> npt.NDArray[np.int64]:
        """Rows by (at_ms, place in the file), without repeated events.

        Events of one user at one time that the file orders otherwise (`seq`) change places among themselves.
        """
        _, first = np.unique(np.array(self._id), return_index=True)
        rows = np.sort(first)
        if len(rows) < len(self._id):
            self.rejected[REPEATED] = len(self._id) - len(rows)
        at_ms, user, order = (np.array(column)[rows] for column in (self._at_ms, self._user, self._order))
        places = np.arange(len(rows))
        if np.any(order >= 0):
            slots = np.lexsort((user, at_ms))
            places[np.lexsort((order, user, at_ms))] = slots
        return rows[np.lexsort((places, at_ms))]

    def _reject(self, reason: str, fault: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.faults.setdefault(reason, fault)
