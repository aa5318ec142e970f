"""What a line of a window weighs before recency: a factor by its kind, and one by each number that it tells.

A number falls between two EDGES, and that place has its factor: a learned table can say that one star is bad, or that
whoever gives one star still comes for more of the kind, which no slope could. Knows nothing of torch or ONNX.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.event import Kind
from model.interest import KINDS, NUMBERS, Features, twins
from model.session import Floats

Codes = npt.NDArray[np.int32]
"""A line's places in all tables as one number: the kind's is the lowest digit."""

KIND_FACTORS: dict[Kind, float] = {
    Kind.IMPRESSION: 0.0,
    Kind.CLICK: 1.0,
    Kind.BROWSE: 1.0,
    Kind.SEARCH: 1.0,
    Kind.FAVOURITE: 1.5,
    Kind.CART: 1.5,
    Kind.PURCHASE: 1.5,
    Kind.RETURN: -1.0,
    Kind.REVIEW: 1.5,
    Kind.SIGNUP: 1.0,
    Kind.DISLIKE: -1.0,
}
"""What a line of a kind says about its vector; negative pushes away. An impression says nothing, and ages nothing.

A refusal must outweigh the wish for the same item just before it (1.5, decayed to .75), and not by much: what is left
points away from the item, and from all that is anything like it.
"""

LEAST = 0.1
"""What a kind that speaks for its item weighs after training, at least. A log in which nobody clicks the same twice
teaches that a click speaks against its item, and then whoever has clicked alone has no list of their own."""

AGAIN = "again"
"""How many older lines name the same item."""

EDGES: dict[str, tuple[float, ...]] = {
    "dwell_s": (0.0, 3.0, 5.5, 10.5, 15.5, 20.5),
    "rating": (0.0, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75),
    "price": (0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0),
    "quantity": (0.0, 1.5, 3.5, 10.5),
    AGAIN: (0.5, 1.5),
}
"""Of `model.interest.NUMBERS` and AGAIN: a number's place is how many edges it has reached. What is not told is below
them all."""

FACTORS: dict[str, tuple[float, ...]] = {
    # A look shorter than 3 s was a mistake, and counts more than the click before it (decayed to 0.5) that led there.
    "dwell_s": (1.0, -0.8, 0.5, 0.75, 1.0, 1.25, 1.5),
    # Two stars speak against the item: `model.text.BAD_RATING`.
    "rating": (1.0, -0.8, -0.675, -0.55, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0),
    "price": (1.0,) * 8,
    "quantity": (1.0,) * 5,
    AGAIN: (1.0,) * 3,
}
"""Before training: by place."""

NAMES = tuple(EDGES)
SIZES = (len(KINDS), *(len(FACTORS[name]) for name in NAMES))
"""Places of each table, the kinds' first; T is their sum."""
STARTS = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
"""Where each table begins among all T places."""
STEPS = np.concatenate([[1], np.cumprod(SIZES)[:-1]])
"""What one place of each table adds to a code."""


class LineWeights(NamedTuple):
    """All factors."""

    kinds: Mapping[Kind, float]
    numbers: Mapping[str, tuple[float, ...]]
    """Name -> by place."""

    def table(self) -> Floats:
        """(T,) of all tables, one after the other."""
        told = [np.array([self.kinds[kind] for kind in KINDS]), *(np.array(self.numbers[name]) for name in NAMES)]
        return np.concatenate(told).astype(np.float32)


PRIOR = LineWeights(KIND_FACTORS, FACTORS)


def of_table(table: Floats) -> LineWeights:
    """The factors of (T,) what `LineWeights.table` gives."""
    parts = [tuple(float(value) for value in part) for part in np.split(table, STARTS[1:])]
    return LineWeights(dict(zip(KINDS, parts[0], strict=True)), dict(zip(NAMES, parts[1:], strict=True)))


def learnable() -> npt.NDArray[np.bool_]:
    """(T,) factors that training may change: not those of kinds that say nothing, and not those of a plain no.

    Who dislikes or returns something has asked for less of it; that those who do so also buy more is no reason to
    send them more of it.
    """
    mine = np.ones(sum(SIZES), np.bool_)
    mine[: len(KINDS)] = [KIND_FACTORS[kind] > 0 for kind in KINDS]
    return mine


def codes(kinds: npt.NDArray[np.integer[Any]], numbers: Mapping[str, npt.NDArray[Any]]) -> Codes:
    """Codes of lines of any shape.

    Args:
        kinds: places in KINDS.
        numbers: name -> value, -1 where it is not told; a name that is left out is told nowhere.
    """
    found = kinds.astype(np.int32)
    for name, step in zip(NAMES, STEPS[1:].tolist(), strict=True):
        if name in numbers:
            found = found + np.searchsorted(EDGES[name], numbers[name], side="right").astype(np.int32) * step
    return found


def with_again(told: Codes, times: npt.NDArray[np.integer[Any]]) -> Codes:
    """The codes with another AGAIN: so many older lines name the same item. Both of one shape."""
    place = 1 + NAMES.index(AGAIN)
    now, step = told // STEPS[place] % SIZES[place], STEPS[place]
    found: Codes = (told + (np.searchsorted(EDGES[AGAIN], times, side="right") - now) * step).astype(np.int32)
    return found


def places(told: Codes) -> npt.NDArray[np.int64]:
    """(..., 1 + len(NAMES)) places among all T that these codes stand for."""
    found: npt.NDArray[np.int64] = told[..., None] // STEPS % np.array(SIZES) + STARTS
    return found


def strengths(table: Floats, told: Codes) -> Floats:
    """What lines weigh: the least sign of their factors, times their sizes.

    Two reasons to push away do not make one to draw near.

    Args:
        table: (T,)
        told: codes of any shape.
    """
    factors = table[places(told)]
    found: Floats = np.sign(factors).min(-1) * np.abs(factors).prod(-1)
    return found


def examples(told: Codes, items: npt.NDArray[np.integer[Any]]) -> Features:
    """Behaviour of lines that have these codes: of every place its lowest number, -1 where it is not told.

    Args:
        told: (B, N), oldest first.
        items: (B, N) of the same lines, -1 for none.
    """
    found = places(told) - STARTS
    lowest = [np.array([-1.0, *EDGES[name]], np.float32)[found[..., NAMES.index(name) + 1]] for name in NUMBERS]
    return Features(found[..., 0], np.stack(lowest, axis=-1), twins(items))
