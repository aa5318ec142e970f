"""Step 6 of 10: a window's line vectors and behaviour become an interest vector, with and without each line.

A thin wrapper of the bundle's interest.onnx: what a click or a short dwell weighs is in the graph, not here. Knows
nothing of items or of how a line's vector came about.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.bundle import INTEREST, Bundle
from model.event import Kind
from model.session import Array, Floats, Tower
from model.text import Line

KINDS: tuple[Kind, ...] = tuple(Kind)
"""A kind's place here is its number in the graph: part of a bundle's contract, new kinds go to the end."""

NUMBERS = ("dwell_s", "rating", "price", "quantity")
"""What the graph is told of a line beside its kind, in this order. Not told: -1."""

_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


class Features(NamedTuple):
    """Behaviour of the lines of B windows, oldest first, padded at the end."""

    kinds: npt.NDArray[np.int64]
    """(B, N)."""
    numbers: Floats
    """(B, N, F): NUMBERS."""
    twins: Floats
    """(B, N, N) 1 where the first line is older than the second and names the same item."""


class Interests(NamedTuple):
    """What R variants of each window amount to."""

    vectors: Floats
    """(B, R, D), unit length or all zeros."""
    weights: Floats
    """(B, R, N) with which each line entered; negative pushes away."""
    remembered: Floats
    """(B, R, N) with which its pairs count: what goes with an item may be wanted for longer than the like of it."""

    def whole(self) -> "Interests":
        """Those of the first variant alone."""
        return Interests(*(each[:, :1] for each in self))


def features(windows: Sequence[Sequence[Line]], items: npt.NDArray[np.int64]) -> Features:
    """Behaviour of the windows' lines.

    Args:
        windows: B windows' lines.
        items: (B, N) a number for each line's item, -1 for none and for padding.
    """
    n = items.shape[1]
    kinds = np.zeros((len(windows), n), np.int64)
    numbers = np.full((len(windows), n, len(NUMBERS)), -1.0, np.float32)
    for user, lines in enumerate(windows):
        if not lines:
            continue
        kinds[user, : len(lines)] = [_KIND_NUMBERS[line.kind] for line in lines]
        numbers[user, : len(lines)] = [
            (
                -1.0 if line.dwell_ms is None else line.dwell_ms / 1000,
                -1.0 if line.rating is None else line.rating,
                -1.0 if line.price is None else line.price,
                -1.0 if line.quantity is None else line.quantity,
            )
            for line in lines
        ]
    return Features(kinds, numbers, twins(items))


def twins(items: npt.NDArray[np.integer[Any]]) -> Floats:
    """(B, N, N) 1 where the first line is older than the second and names the same item.

    Args:
        items: (B, N) numbers, oldest first, -1 for none.
    """
    same = (items[:, :, None] == items[:, None, :]) & (items >= 0)[:, None, :]
    found: Floats = np.triu(same, 1).astype(np.float32)
    return found


def variants(present: npt.NDArray[np.bool_]) -> Floats:
    """(B, 1 + N, N) which lines each variant keeps: row 0 all that are present, row 1 + n all of them but line n.

    Args:
        present: (B, N) lines that are there and have a vector.
    """
    n = present.shape[1]
    without = np.concatenate([np.ones((1, n), np.float32), 1 - np.eye(n, dtype=np.float32)])
    kept: Floats = present[:, None, :].astype(np.float32) * without
    return kept


def anything_wanted(weights: Floats, vectors: Floats) -> npt.NDArray[np.bool_]:
    """(B,) whether any line is still wanted once what speaks for and against the like of it is summed.

    A click and then a dislike of the same item leave the opposite of that item: no direction to look for others in. The
    fourth power of the cosine says what is alike: in a shop of one trade any two items have a cosine of .3 or .4.

    Args:
        weights: (B, N) of the lines.
        vectors: (B, N, D) of the lines.
    """
    unit = vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-6)
    alike = np.maximum(unit @ unit.transpose(0, 2, 1), 0) ** 4
    sums = (alike @ weights[:, :, None])[:, :, 0]
    wanted: npt.NDArray[np.bool_] = ((weights > 0) & (sums > 0)).any(1)
    return wanted


class Interest:
    """The bundle's interest tower."""

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 2) -> None:
        """Opens the tower on `device`; raises DeviceError where that is not there."""
        self._tower = Tower(bundle.path / INTEREST, device, threads)

    @property
    def provider(self) -> str:
        """Where the graph runs, as onnxruntime says after loading."""
        return self._tower.provider

    def __call__(self, vectors: Floats, told: Features, keep: Floats) -> Interests:
        """Interests of R variants of each window.

        Args:
            vectors: (B, N, D) as context; zeros where there is no line.
            told: behaviour of the same lines.
            keep: (B, R, N) 1 where the variant keeps the line.
        """
        inputs: dict[str, Array] = {"vectors": vectors, "kinds": told.kinds, "numbers": told.numbers}
        inputs |= {"twins": told.twins, "keep": keep}

        def feeds(users: slice) -> dict[str, Array]:
            return {name: array[users] for name, array in inputs.items()}

        # A bundle whose pairs fade as its interests do says so once.
        outputs = ("interests", "weights", "remembered" if "remembered" in self._tower.outputs else "weights")
        parts = self._tower.run(outputs, feeds, len(vectors))
        return Interests(*(np.concatenate(each) for each in zip(*parts, strict=True)))
