"""Between a log and its lessons: what was typed, where a line names no item: searches, interests told at sign-up.

A text's vector as context is that of an item which training has not seen: its projection, and what the nearest known
items lend it. So a window of words alone teaches, too. Knows nothing of torch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.item_tower import LENDERS, nearest
from model.session import Floats
from model.training.examples import Mask
from model.training.logs.columns import Ints32, Ints64, Log

MOST = 100_000
"""Texts, the most frequent ones: three minutes of one core with MiniLM, and 150 MB. A worker reads the others too; here
a line whose text is rarer is what a line without a vector is there: it neither weighs nor ages others."""


class Queries(NamedTuple):
    """What users typed."""

    texts: Sequence[str]
    """S, each once."""
    of: Ints32
    """(X,) number of a line's text; -1 for lines that name an item, say nothing, or say it too rarely."""
    left_out: int
    """Lines that say it too rarely."""


def queries(log: Log, rows: Mask, most: int = MOST) -> Queries:
    """The texts of lines without an item.

    Args:
        log: any.
        rows: (X,) that may be read.
        most: texts.
    """
    typed = np.flatnonzero(rows & (log.item < 0))
    texts = log.texts.take(pa.array(typed))
    counts = pc.value_counts(texts.filter(pc.greater(pc.utf8_length(texts), 0)))
    values, times = counts.field("values").to_pylist(), counts.field("counts").to_numpy()
    order = sorted(range(len(values)), key=lambda place: (-times[place], values[place]))
    numbers = {values[place]: number for number, place in enumerate(order[:most])}
    of = np.full(len(log), -1, np.int32)
    of[typed] = [numbers.get(text, -1) for text in texts.to_pylist()]
    return Queries(list(numbers), of, int(sum(times[place] for place in order[most:])))


def lenders(queries: Floats, texts: Floats, known: Mask) -> Ints64:
    """(S, L) numbers of the items that each text borrows from.

    Args:
        queries: (S, E) unit vectors.
        texts: (I, E) of the items.
        known: (I,) items that have learned vectors.
    """
    lending = np.flatnonzero(known)
    parts = [
        lending[nearest(queries[start : start + 1024] @ texts[lending].T, min(LENDERS, len(lending)))]
        for start in range(0, len(queries), 1024)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.int64)
