"""Beside step 8: which items follow which in other shoppers' logs, as counted when the bundle was made.

Knows nothing of users, windows or how it was counted. One sparse matrix by item (CSR), bounded neighbours per item,
three values per pair: directed (what came after; a trained bundle's linear weights are part of it, and may be negative)
and symmetric (what came with), both shrunk to 0 ... 1; and kin: how far the neighbour, of which few events tell, is
known by this item, its title being one of the nearest.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from model.bundle import COOCCURRENCE, Bundle, BundleError
from model.event import Kind
from model.packed_ids import pack, unpack
from model.session import Floats

Ints = npt.NDArray[np.int64]
VALUES = ("directed", "symmetric", "kin")
ARRAYS = ("ids", "ends", "events", "shrink", "indptr", "indices", *VALUES)
UNTIL = "until_ms"
SILENT = frozenset({Kind.IMPRESSION, Kind.SEARCH, Kind.SIGNUP, Kind.RETURN, Kind.DISLIKE})
"""Kinds after which an item says nothing of what goes with it."""
SHRINK = 30.0
"""Events of an item that count as if they had nothing to do with any other: one coincidence is no rule."""


class Pairs(NamedTuple):
    """Flat neighbours of X items: pair p says that item `sources[p]` of those asked has `neighbours[p]`."""

    sources: Ints
    """(P,) place in what was asked."""
    neighbours: Ints
    """(P,) item numbers."""
    values: Floats
    """(3, P) VALUES."""


class Cooccurrence(NamedTuple):
    """The counted neighbours of every item of the log."""

    item_ids: tuple[str, ...]
    """An item's number is its place here."""
    numbers: Mapping[str, int]
    indptr: Ints
    """(I + 1,)"""
    indices: Ints
    """(P,) neighbours' numbers, ascending within an item."""
    values: Floats
    """(3, P) VALUES."""
    events: Floats
    """(I,) of each item, as they were counted."""
    shrink: float
    """Events that count as if they had nothing to do with any other item."""
    until_ms: int = 0
    """Time of the newest event that was counted."""

    def pairs(self, numbers: Ints) -> Pairs:
        """All neighbours of these items, (X,); a negative number has none."""
        known = np.flatnonzero(numbers >= 0)
        which, places = laid_end_to_end(self.indptr, numbers[known])
        return Pairs(known[which], self.indices[places], self.values[:, places])


def laid_end_to_end(indptr: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """(P,) which of `rows`, and (P,) places of all that they hold: one gather instead of a slice per row.

    Args:
        indptr: (I + 1,) of a sparse matrix.
        rows: (X,) of it.
    """
    starts = indptr[rows]
    lengths = indptr[rows + 1] - starts
    firsts = np.cumsum(lengths) - lengths
    return np.repeat(np.arange(len(rows)), lengths), np.arange(lengths.sum()) + np.repeat(starts - firsts, lengths)


def cooccurrence(
    item_ids: Sequence[str],
    indptr: Ints,
    indices: Ints,
    values: Floats,
    events: Floats,
    shrink: float = SHRINK,
    until_ms: int = 0,
) -> Cooccurrence:
    """A Cooccurrence of these arrays."""
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    return Cooccurrence(tuple(item_ids), numbers, indptr, indices, values, events, shrink, until_ms)


NONE = cooccurrence(
    (), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros((3, 0), np.float32), np.zeros(0, np.float32)
)
"""What a bundle without counts has."""


def save(path: Path, counted: Cooccurrence) -> None:
    """Writes the arrays; the same counts are the same bytes."""
    ids, ends = pack(counted.item_ids)
    np.savez(
        path,
        ids=ids,
        ends=ends,
        events=counted.events.astype(np.float32),
        shrink=np.float32(counted.shrink),
        until_ms=np.int64(counted.until_ms),
        indptr=counted.indptr,
        indices=counted.indices.astype(np.int32),
        **dict(zip(VALUES, counted.values, strict=True)),
    )


def load(bundle: Bundle) -> Cooccurrence:
    """The bundle's counts, or NONE.

    Raises:
        BundleError: the file is not what `save` writes.
    """
    path = bundle.file(COOCCURRENCE)
    if path is None:
        return NONE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            ids, ends, events, shrink, indptr, indices, *values = (arrays[name] for name in ARRAYS)
            until_ms = int(arrays[UNTIL]) if UNTIL in arrays else 0  # Towers in a repository may be older.
        item_ids = unpack(ids, ends)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    same_length = {len(each) for each in (indices, *values)} == {indptr[-1] if len(indptr) else -1}
    fit = len(indptr) == len(item_ids) + 1 == len(events) + 1
    if not fit or not same_length or (len(indices) and indices.max() >= len(item_ids)):
        raise BundleError(f"{path} contradicts itself: its arrays do not fit each other")
    return cooccurrence(item_ids, indptr, indices.astype(np.int64), np.stack(values), events, float(shrink), until_ms)
