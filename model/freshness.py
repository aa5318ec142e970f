"""Beside step 8: how new an item is to shoppers, by the time of the first event that touched it.

An untouched item has no freshness: its bonus speaks for it. Knows nothing of users or Kafka, and reads no clock.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from model.session import Floats

Times = npt.NDArray[np.int64]

HALF_MS = 90 * 86_400_000
"""A season: after it half of the freshness is gone. On Beauty's validation 50, 100 and 200 days are alike."""


def freshness(since_ms: Times, at_ms: Times, birth_ms: int) -> Floats:
    """1 at the first touch, a half after HALF_MS, and so on as 1 / (1 + age); 0 before it. Of any shape.

    Who has begun to watch a shop sees its oldest items for the first time, too: what was first touched at `birth_ms`
    has no freshness, and what was a season later has half of it.

    Args:
        since_ms: of the item's first event; 0 for none.
        at_ms: of the request.
        birth_ms: of the first event of all.
    """
    age = (at_ms - since_ms) / HALF_MS
    watched = np.maximum(since_ms - birth_ms, 0) / HALF_MS
    told = (since_ms > 0) & (age >= 0)
    found: Floats = np.where(told, watched / (1 + watched) / (1 + np.maximum(age, 0)), 0).astype(np.float32)
    return found


def earliest(since_ms: int, times_ms: Iterable[int]) -> int:
    """`since_ms` with these events told, too; 0 is none."""
    return min((each for each in (since_ms, *times_ms) if each > 0), default=0)
