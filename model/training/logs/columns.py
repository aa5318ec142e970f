"""Before training: behaviour as columns, and the catalogue beside it.

Knows nothing of windows, splits or models. Made only of what `model.event` takes and as `model.text` renders it, so
that training sees what the stream would have seen. A column costs four bytes an event, an object hundreds.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model.event import Item
from model.interest import KINDS
from model.text import Line, fold, item_text
from model.training.logs.files import File, LogError, Named
from model.training.logs.forms import form
from model.training.logs.growing import Growing

Ints8 = npt.NDArray[np.int8]
Ints32 = npt.NDArray[np.int32]
Ints64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
"""Places in a log."""

Mask = npt.NDArray[np.bool_]
WORD = re.compile(r"[^\W\d_]{3,}")
"""In an id; fewer letters in a row may be chance."""

Progress = Callable[[int, int | None], None]
"""Told how many bytes (of topics: offsets) of how many have been read; None: nobody knows of how many."""

STEP = 20_000
"""Events between two calls of a progress: five a second."""


@dataclass(frozen=True)
class Items:
    """The catalogue of a log: every item of the items files and every item of an event. An item's number is its place.

    Attributes:
        ids: (I,).
        table: (I,) title, category, brand, description: string, "" untold; price: float64, null where untold.
    """

    ids: list[str]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """An item's number by its id."""
        return {item_id: number for number, item_id in enumerate(self.ids)}

    def item(self, number: int) -> Item:
        """The item of this number, as an upsert would tell it."""
        return self._item(number, self.table.slice(int(number), 1).to_pylist()[0])

    def texts(self) -> list[str]:
        """(I,) what the encoder reads of each item."""
        return [item_text(self._item(number, row)) for number, row in enumerate(self._rows())]

    def telling(self, texts: Sequence[str]) -> Mask:
        """(I,) whether there are words in what is read of an item, its `texts()`. Of one without a text that is its id:
        numbers say nothing, but `red-leather-boots` is as good as a title.
        """
        both = zip(texts, self.ids, strict=True)
        return np.array([text != fold(item_id) or len(WORD.findall(text)) > 1 for text, item_id in both], np.bool_)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches(max_chunksize=10_000):
            yield from batch.to_pylist()

    def _item(self, number: int, row: dict[str, Any]) -> Item:
        told = row["title"], row["category"], row["brand"], row["price"], row["description"]
        return Item(self.ids[int(number)], *told, {}, True)


@dataclass(frozen=True)
class Log:
    """X events, sorted by time; events of one time stand in the order of the file (or of its own `seq`).

    Attributes:
        users: (U,) ids.
        items: the catalogue.
        user: (X,) place in `users`.
        item: (X,) number in `items`, -1 where the event names none.
        at_ms: (X,) epoch milliseconds.
        kind: (X,) place in `model.interest.KINDS`.
        rating, price, quantity, dwell_ms: (X,) NaN where untold.
        texts: (X,) string, what `model.text` makes of the event's own words; "" none.
        split: (X,) 0 train, 1 valid, 2 test, as the file says it; None where it does not.
        rejected: reason -> how many lines were no event (or, as `item …`, no item).
        faults: reason -> the first such line and what is wrong with it.
        passed_over: what a format calls its records that hold no behaviour -> how many.
    """

    users: list[str]
    items: Items
    user: Ints32
    item: Ints32
    at_ms: Ints64
    kind: Ints8
    rating: Floats
    price: Floats
    quantity: Floats
    dwell_ms: Floats
    texts: pa.Array
    split: Ints8 | None = None
    rejected: dict[str, int] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at_ms)

    def line(self, row: int) -> Line:
        """The event as its user's window holds it. Event ids sort as the log does: at one time, by row."""
        item = self.item[row]
        dwell = self.dwell_ms[row]
        return Line(
            int(self.at_ms[row]),
            f"{int(row):012d}",
            KINDS[self.kind[row]],
            self.items.ids[item] if item >= 0 else "",
            self.texts[int(row)].as_py(),
            None if dwell != dwell else int(dwell),
            _told(self.rating[row]),
            _told(self.price[row]),
            _told(self.quantity[row]),
        )

    def take(self, rows: Rows | npt.NDArray[np.bool_]) -> "Log":
        """The events of these rows, in this order; users and items keep their numbers."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        names = ("user", "item", "at_ms", "kind", "rating", "price", "quantity", "dwell_ms")
        split = None if self.split is None else self.split[rows]
        columns = {name: getattr(self, name)[rows] for name in names}
        return replace(self, texts=self.texts.take(pa.array(rows)), split=split, **columns)


def _told(number: np.float32) -> float | None:
    return None if number != number else float(number)


def read_log(
    events: Sequence[Path], items: Sequence[Path] = (), log_format: str = "firstclick", progress: Progress | None = None
) -> Log:
    """Reads a log of any form, once and line by line.

    Args:
        events: files or folders; in a folder the form knows its files by their names, those of items too.
        items: files of items, where `events` brings none.
        log_format: see `model.training.logs.forms`.
        progress: told how far the reading is.

    Raises:
        LogError: a file cannot be read, there is none, or not one line is an event of the form.
    """
    shape = form(log_format)
    found = [shape.find(path) for path in events]
    of_events = [path for paths, _ in found for path in paths]
    of_items = list(items) or [path for _, paths in found for path in paths]
    if not of_events:
        raise LogError(f"{', '.join(map(str, events)) or 'nothing'} holds no file of the form {log_format}")
    files = [[File(path) for path in paths] for paths in (of_items, of_events)]
    if items:
        _check_filled(files[0])
    all_bytes = sum(file.bytes for part in files for file in part)
    growing, before = Growing(), 0
    steps = zip(files, (shape.items, shape.events), (growing.add_item, growing.add), strict=True)
    for part, records, add in steps:
        for file in part:
            place, refused = -1, sum(growing.rejected.values())
            for place, told in enumerate(records(file)):
                add(told, file.path.name)
                if progress is not None and place % STEP == 0:
                    progress(before + file.read_bytes, all_bytes)
            before += file.bytes
            if part is files[0]:
                _check_items(growing, file, place + 1, refused, log_format)
    if progress is not None:
        progress(before, all_bytes)
    log = _log(growing)
    if not len(log):
        fault = next((told for reason, told in log.faults.items() if not reason.startswith("item ")), "it is empty")
        raise LogError(f"{of_events[0]} holds no event of the form {log_format} (--format names another); {fault}")
    return log


def read_items(files: Sequence[Path], log_format: str = "firstclick") -> Items:
    """Reads a catalogue alone: a shop that opens has no events yet.

    Raises:
        LogError: a file cannot be read, or none of its lines is an item of the form.
    """
    shape, growing, read = form(log_format), Growing(), [File(path) for path in files]
    _check_filled(read)
    for file in read:
        lines, refused = 0, sum(growing.rejected.values())
        for lines, told in enumerate(shape.items(file), 1):  # noqa: B007 - asked for after the loop
            growing.add_item(told, file.path.name)
        _check_items(growing, file, lines, refused, log_format)
    return _log(growing).items


def _check_filled(files: Sequence[File]) -> None:
    """Raises LogError where files of items hold nothing at all: one that is empty may be a day without a change."""
    if files and not any(file.bytes for file in files):
        raise LogError(f"{files[0].path} holds no item: it is empty")


def _check_items(growing: Growing, file: File, lines: int, refused: int, log_format: str) -> None:
    """Raises LogError where every one of a file's lines was refused; `refused` were before it."""
    if 0 < lines <= sum(growing.rejected.values()) - refused:
        said = f"{file.path} holds no item of the form {log_format}: none of its {lines} lines is one"
        raise LogError(f"{said}; {_fault(growing, file)}")


def _fault(growing: Growing, file: File) -> str:
    """The first fault of a file, else the first of its kind elsewhere."""
    faults = list(growing.faults.values())
    return next((told for told in faults if told.startswith(f"{file.path.name}:")), faults[0])


def log_of(records: Iterable[Named], items: Iterable[Named] = ()) -> Log:
    """A log of records that come from elsewhere than files of one form; it may be empty."""
    growing = Growing()
    for name, told in items:
        growing.add_item(told, name)
    for name, told in records:
        growing.add(told, name)
    return _log(growing)


def _log(growing: Growing) -> Log:
    rows = growing.order()
    columns = {name: column[rows] for name, column in growing.columns().items()}
    split = columns.pop("split")
    return Log(
        users=list(growing.users),
        items=Items(list(growing.shelf.numbers), growing.shelf.table()),
        texts=growing.texts.array().take(pa.array(rows)),
        split=None if np.all(split < 0) else np.maximum(split, 0),
        rejected=growing.rejected,
        faults=growing.faults,
        passed_over=dict(growing.passed_over),
        **columns,
    )
