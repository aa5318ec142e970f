"""Between steps 5 and 6, and beside the shelf: a text's vector becomes two vectors, as candidate and as context.

An item that training has seen adds what was learned of it; one that it has not, and any other text, borrows from the
items whose texts lie nearest. Without an item tower in the bundle a text's vector is both. Knows nothing of users.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from model.bundle import ITEMS, ITEMS_GRAPH, Bundle, BundleError
from model.packed_ids import pack, unpack
from model.session import Array, Floats, Session

ROWS = 64
"""Rows of one product, always: with other shapes a row's last bit would depend on its company."""
LENDERS = 3
"""How many of the nearest texts an item without learned vectors borrows from. Measured on Beauty's validation, hidden
items: Recall@10 .094 with 3, .092 with 5, .084 with 10, .063 with 1, at about the same cost to all others."""
ARRAYS = ("ids", "ends", "texts", "own", "context")


class ItemVectors(NamedTuple):
    """What T texts are to the model."""

    candidates: Floats
    """(T, D) unit length: what interests are compared with."""
    contexts: Floats
    """(T, D) what a window's line adds to its user's interest; its length is part of it."""
    lenders: npt.NDArray[np.int64]
    """(T, LENDERS) numbers of the items that it borrows from: their places in the tower's `item_ids`. -1: training has
    seen the item and it borrows nothing, or there are not so many."""


class Learned(NamedTuple):
    """What training learned of I items."""

    item_ids: tuple[str, ...]
    texts: npt.NDArray[np.float16]
    """(I, E) unit vectors of their texts: by these others borrow."""
    own: npt.NDArray[np.float16]
    """(I, D) added in both roles (word2vec's output table: Mikolov et al. 2013)."""
    context: npt.NDArray[np.float16]
    """(I, D) added to that as context (its input table)."""


class ItemTower(Protocol):
    """What makes items' vectors of their texts'."""

    dim: int
    """D."""
    text_dim: int
    """E."""
    item_ids: Sequence[str]
    """(I,) items that training has seen."""

    def __call__(self, item_ids: Sequence[str], texts: Floats) -> ItemVectors:
        """Vectors of these items.

        Args:
            item_ids: T ids; "" for a text that is no item's.
            texts: (T, E) unit vectors of their texts.
        """


def item_tower(bundle: Bundle, threads: int = 2) -> ItemTower:
    """The bundle's item tower; a bundle without one takes texts' vectors as they are.

    Raises:
        BundleError: items.npz is not what `save` writes.
    """
    graph, table = bundle.file(ITEMS_GRAPH), bundle.file(ITEMS)
    if graph is None or table is None:
        return AsTheyAre(bundle.dim)
    learned = load(table)
    if learned.own.shape[1] != bundle.dim or learned.texts.shape[1] != bundle.text_dim:
        raise BundleError(f"{table} has vectors of other lengths than the manifest tells")
    return Trained(Session(graph, "cpu", threads), learned)


class AsTheyAre:
    """A text's vector is both: nothing has been learned."""

    def __init__(self, dim: int) -> None:
        self.dim = self.text_dim = dim
        self.item_ids: Sequence[str] = ()

    def __call__(self, item_ids: Sequence[str], texts: Floats) -> ItemVectors:
        """See `ItemTower`."""
        return ItemVectors(texts, texts, np.full((len(texts), LENDERS), -1))


class Trained:
    """items.onnx over what was learned."""

    def __init__(self, session: Session, learned: Learned) -> None:
        self.dim, self.text_dim = learned.own.shape[1], learned.texts.shape[1]
        self.item_ids: Sequence[str] = learned.item_ids
        self._session = session
        self._numbers = {item_id: number for number, item_id in enumerate(learned.item_ids)}
        self._texts = learned.texts.astype(np.float32).T.copy()
        self._own, self._context = learned.own.astype(np.float32), learned.context.astype(np.float32)

    def __call__(self, item_ids: Sequence[str], texts: Floats) -> ItemVectors:
        """See `ItemTower`."""
        numbers = np.array([self._numbers.get(item_id, -1) for item_id in item_ids], np.int64)
        candidates, contexts = np.empty((2, len(texts), self.dim), np.float32)
        lenders = np.full((len(texts), LENDERS), -1)
        for start in range(0, len(texts), ROWS):
            rows = slice(start, min(start + ROWS, len(texts)))
            told = np.zeros((ROWS, self.text_dim), np.float32)
            told[: rows.stop - start] = texts[rows]
            own, context, lenders[rows] = self._of(numbers[rows], told)
            feeds: dict[str, Array] = {"texts": told, "own": own, "context": context}
            found = self._session.run(["candidates", "contexts"], feeds)
            candidates[rows], contexts[rows] = (part[: rows.stop - start] for part in found)
        return ItemVectors(candidates, contexts, lenders)

    def _of(self, numbers: npt.NDArray[np.int64], texts: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """(ROWS, D) learned or borrowed vectors in both roles, and (X, LENDERS) of whom those X numbers borrow.

        Args:
            numbers: (X,) items' numbers, -1 for one that training has not seen.
            texts: (ROWS, E), the first X of which are theirs.
        """
        told = np.full((len(numbers), LENDERS), -1)
        own, context = np.zeros((2, ROWS, self.dim), np.float32)
        seen = np.flatnonzero(numbers >= 0)
        own[seen], context[seen] = self._own[numbers[seen]], self._context[numbers[seen]]
        new = np.flatnonzero(numbers < 0)
        if len(new) and len(self._own):
            lenders = nearest(texts @ self._texts, min(LENDERS, len(self._own)))
            own[new] = self._own[lenders[new]].mean(1)
            context[new] = self._context[lenders[new]].mean(1)
            told[new, : lenders.shape[1]] = lenders[new]
        return own, context, told


def nearest(cosines: Floats, k: int) -> npt.NDArray[np.int64]:
    """(T, k) places of the k greatest of each row of (T, I), ascending."""
    found: npt.NDArray[np.int64] = np.sort(np.argpartition(cosines, -k, axis=1)[:, -k:], axis=1)
    return found


def save(path: Path, learned: Learned) -> None:
    """Writes items.npz; the same vectors are the same bytes."""
    ids, ends = pack(learned.item_ids)
    np.savez(
        path,
        ids=ids,
        ends=ends,
        texts=learned.texts,
        own=learned.own,
        context=learned.context,
    )


def load(path: Path) -> Learned:
    """What `save` wrote.

    Raises:
        BundleError: it is something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            ids, ends, texts, own, context = (arrays[name] for name in ARRAYS)
        item_ids = unpack(ids, ends)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    if not len(item_ids) == len(texts) == len(own) == len(context) or own.shape != context.shape:
        raise BundleError(f"{path} contradicts itself: its arrays do not fit each other")
    return Learned(item_ids, texts, own, context)
