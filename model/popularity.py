"""Beside step 8: how often an item was touched of late, as counts that halve with event time.

Knows nothing of users, windows or Kafka, and reads no clock: a count is a value and the event time at which it was
that value. Counts of one item merge in any order to the same numbers (but for the last bit).
"""

from collections.abc import Mapping

import numpy as np

from model.event import Kind
from model.session import Floats

Counts = Mapping[str, tuple[float, int]]
"""Kind -> (decayed count, at_ms at which it had this value)."""

HALF_LIFE_MS = 7 * 86_400_000
"""A week: a trend of today outweighs last month's sixteenfold."""

WEIGHTS: dict[str, float] = {
    Kind.IMPRESSION: 0.0,  # We showed it: counting that would feed the list to itself.
    Kind.CLICK: 1.0,
    Kind.BROWSE: 1.0,
    Kind.SEARCH: 0.0,
    Kind.FAVOURITE: 2.0,
    Kind.CART: 3.0,
    Kind.PURCHASE: 4.0,
    Kind.RETURN: -4.0,
    Kind.REVIEW: 2.0,
    Kind.SIGNUP: 0.0,
    Kind.DISLIKE: -2.0,
}
"""What one event of a kind says about how much its item is wanted. A return takes its purchase back."""


ENOUGH = 100.0
"""Weighted counts (25 purchases) from which on the most wanted item says what sells; fewer are mostly chance."""


def add_counts(counts: Counts, more: Counts, half_life_ms: int = HALF_LIFE_MS) -> dict[str, tuple[float, int]]:
    """`counts` with `more` in it; of each kind the value is told at the later of the two times.

    Args:
        counts: kind -> (value, at_ms).
        more: the same, for instance {"click": (3.0, 1_700_000_000_000)} for three clicks at that time.
        half_life_ms: time in which a count halves.
    """
    merged = dict(counts)
    for kind, (value, at_ms) in more.items():
        if kind not in merged:
            merged[kind] = (value, at_ms)
            continue
        known, known_at_ms = merged[kind]
        now_ms = max(at_ms, known_at_ms)
        merged[kind] = (
            known * 0.5 ** ((now_ms - known_at_ms) / half_life_ms) + value * 0.5 ** ((now_ms - at_ms) / half_life_ms),
            now_ms,
        )
    return merged


def level(counts: Counts, half_life_ms: int) -> tuple[float, int]:
    """(log2 of the weighted count, in half lives since 1970; newest at_ms). -inf where nothing speaks for the item.

    Two items compare by this number alone, whatever the time is; its value at a time `t` is 2 ** (level - t / half
    life). So the catalogue stores one number per item and decays a million of them with one subtraction.
    """
    newest = max((at_ms for _, at_ms in counts.values()), default=0)
    total = sum(
        WEIGHTS.get(kind, 0.0) * value * 0.5 ** ((newest - at_ms) / half_life_ms)
        for kind, (value, at_ms) in counts.items()
    )
    return (float(np.log2(total)) if total > 0 else -np.inf) + newest / half_life_ms, newest


def popularity(levels: Floats, at_ms: int, half_life_ms: int) -> Floats:
    """Log of the weighted counts at `at_ms`, 0 (nothing) to 1 (the most wanted of these), by item; float32.

    Where nothing is wanted more than ENOUGH, that is 1: one purchase of a shop's first day is no bestseller.
    """
    logs = np.log1p(np.exp2(levels - at_ms / half_life_ms))
    highest = max(float(logs.max(initial=0.0)), float(np.log1p(ENOUGH)))
    shares: Floats = (logs / highest).astype(np.float32)
    return shares
