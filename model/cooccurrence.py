"""Beside step 8: which items follow which in other shoppers' logs, as counted when the bundle was made.

Knows nothing of users, windows or how it was counted. One sparse matrix by item (CSR), bounded neighbours per item, two
values per pair: directed (what came after) and symmetric (what came with), both shrunk to 0 ... 1.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from model.bundle import COOCCURRENCE, Bundle, BundleError
from model.packed_ids import pack, unpack
from model.session import Floats

Ints = npt.NDArray[np.int64]
ARRAYS = ("ids", "ends", "indptr", "indices", "directed", "symmetric")


class Pairs(NamedTuple):
    """Flat neighbours of X items: pair p says that item `sources[p]` of those asked has `neighbours[p]`."""

    sources: Ints
    """(P,) place in what was asked."""
    neighbours: Ints
    """(P,) item numbers."""
    directed: Floats
    """(P,)"""
    symmetric: Floats
    """(P,)"""


class Cooccurrence(NamedTuple):
    """The counted neighbours of every item of the log."""

    item_ids: tuple[str, ...]
    """An item's number is its place here."""
    numbers: Mapping[str, int]
    indptr: Ints
    """(I + 1,)"""
    indices: Ints
    """(P,) neighbours' numbers, ascending within an item."""
    directed: Floats
    """(P,)"""
    symmetric: Floats
    """(P,)"""

    def pairs(self, numbers: Ints) -> Pairs:
        """All neighbours of these items, (X,); a negative number has none."""
        known = np.flatnonzero(numbers >= 0)
        starts, ends = self.indptr[numbers[known]], self.indptr[numbers[known] + 1]
        lengths = ends - starts
        # 0..length of every item, laid end to end: one gather instead of a slice per line of every window.
        firsts = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - firsts, lengths)
        sources = np.repeat(known, lengths)
        return Pairs(sources, self.indices[places], self.directed[places], self.symmetric[places])


def cooccurrence(
    item_ids: Sequence[str], indptr: Ints, indices: Ints, directed: Floats, symmetric: Floats
) -> Cooccurrence:
    """A Cooccurrence of these arrays."""
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    return Cooccurrence(tuple(item_ids), numbers, indptr, indices, directed, symmetric)


NONE = cooccurrence((), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
"""What a bundle without counts has."""


def save(path: Path, counted: Cooccurrence) -> None:
    """Writes the arrays; the same counts are the same bytes."""
    ids, ends = pack(counted.item_ids)
    np.savez(
        path,
        ids=ids,
        ends=ends,
        indptr=counted.indptr,
        indices=counted.indices.astype(np.int32),
        directed=counted.directed,
        symmetric=counted.symmetric,
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
            ids, ends, indptr, indices, directed, symmetric = (arrays[name] for name in ARRAYS)
        item_ids = unpack(ids, ends)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    same_length = len(indices) == len(directed) == len(symmetric) == (indptr[-1] if len(indptr) else -1)
    if len(indptr) != len(item_ids) + 1 or not same_length or (len(indices) and indices.max() >= len(item_ids)):
        raise BundleError(f"{path} contradicts itself: its arrays do not fit each other")
    return cooccurrence(item_ids, indptr, indices.astype(np.int64), directed, symmetric)
