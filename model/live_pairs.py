"""Beside step 8: which items follow which, as it happens: what `model.cooccurrence` counted is counted on.

A bundle's counts end when it was trained, and of an item that came later they know nothing. So every item remembers
what its shoppers had touched before it, heaviest first and bounded, and how often anybody came to it; trained and live
counts add up in one share (`model.candidates.counted_pairs`). Measured on Beauty split by time, co-occurrence alone:
Recall@10 .075 by the counts of training, .129 with those up to each request; of items that training has not seen .35.

Knows nothing of users or Kafka, and reads no clock. Unlike windows, these numbers are statistics: an event that comes
late finds other lines before it.
"""

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import NamedTuple

from model.cooccurrence import SILENT
from model.text import Line

REACH = 5
"""How many earlier items an item is paired with. 10 and 20 find no more (Recall@10 .129), and cost their bytes."""
KEPT = 32
"""Remembered per item. Without a bound Recall@10 of new items is .346 instead of .354."""
HALF_LIFE_MS = 365 * 86_400_000
"""A year: what went together last season still does, mostly."""
DECIMALS = 4


class Before(NamedTuple):
    """What the shoppers of one item had touched before it."""

    weights: Mapping[str, float]
    """Item id -> sum of 1 / distance in steps, as of `at_ms`; at most KEPT."""
    steps: float
    """How often anybody came to the item, as of `at_ms`."""
    at_ms: int
    """Of the newest step."""


NOBODY = Before({}, 0.0, 0)


def step(lines: Sequence[Line], line: Line) -> dict[str, float] | None:
    """Each earlier item of a window -> 1 / its distance from a line, as `model.training.pairs` counts offline.

    None where the line is no step: it names no item, its kind says nothing of what goes with the item, it goes on with
    the item of the step before (a click and then a purchase are one), or the window has let go of it.

    Args:
        lines: of the window, oldest first, the line among them.
        line: one of them.
    """
    if not _touches(line) or line not in lines:
        return None
    near: dict[str, float] = {}
    distance, later = 0, line.item_id
    for earlier in reversed(lines[: lines.index(line)]):
        if not _touches(earlier):
            continue
        if earlier.item_id == later:
            if not distance:
                return None
            continue
        distance, later = distance + 1, earlier.item_id
        if later != line.item_id:
            near[later] = near.get(later, 0.0) + 1 / distance
        if distance == REACH:
            break
    return near


def add(known: Before, near: Mapping[str, float], steps: float, at_ms: int) -> Before:
    """`known` with more steps to the item in it, told as of the later of the two times.

    Args:
        known: of one item.
        near: earlier item -> weight, summed over the steps.
        steps: how many.
        at_ms: of the newest.
    """
    if not steps:
        return known
    now_ms = max(known.at_ms, at_ms)
    old, new = (0.5 ** ((now_ms - each) / HALF_LIFE_MS) for each in (known.at_ms, at_ms))
    sums = {item_id: weight * old for item_id, weight in known.weights.items()}
    for item_id, weight in near.items():
        sums[item_id] = sums.get(item_id, 0.0) + weight * new
    if len(sums) > KEPT:
        sums = dict(nlargest(KEPT, sums.items(), key=lambda each: (each[1], each[0])))
    weights = {item_id: round(weight, DECIMALS) for item_id, weight in sums.items()}
    return Before(weights, round(known.steps * old + steps * new, DECIMALS), now_ms)


def _touches(line: Line) -> bool:
    return bool(line.item_id) and line.kind not in SILENT
