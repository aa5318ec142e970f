"""Between steps 7 and 8: how far a candidate's price is from the prices of what its user wants.

In doublings: twice the price is as far at 5 as at 500, in whatever currency. Knows nothing of users or Kafka.
"""

import math

import numpy as np

from model.session import Floats

FARTHEST = 4.0
"""Doublings beyond which dearer is not farther: a price wrong by a factor of 100 must not rule a list."""


def log_price(price: float | None) -> float:
    """Base 2; NaN for none and for what is free."""
    return math.log2(price) if price is not None and price > 0 else math.nan


def apart(weights: Floats, lines: Floats, candidates: Floats) -> Floats:
    """(B, R, K) doublings between a candidate's price and the weighted mean of the wanted lines'; 0 where untold.

    Args:
        weights: (B, R, N) of the lines in R variants; what is pushed away has no say.
        lines: (B, N) log prices, NaN for none.
        candidates: (B, K) the same.
    """
    told = np.isfinite(lines)
    wanted = np.maximum(weights, 0) * told[:, None]
    sums = wanted.sum(-1)
    with np.errstate(invalid="ignore"):
        means = np.where(sums > 0, (wanted @ np.where(told, lines, 0)[..., None])[..., 0] / sums, np.nan)
    found: Floats = np.minimum(np.abs(candidates[:, None] - means[..., None]), FARTHEST)
    return np.nan_to_num(found, copy=False, nan=0.0)
