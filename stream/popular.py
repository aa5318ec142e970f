"""Beside the line, for consumers: what sells now, for a user of whom nothing is known.

Knows nothing of users. Follows the catalogue topic, as every worker does, and keeps of each item only what its
popularity needs: an available item's place is that which a worker would give it.
"""

import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from confluent_kafka.admin import AdminClient

from model.popularity import HALF_LIFE_MS, level, popularity
from stream import topics
from stream.errors import Unreachable, WrongUsage
from stream.follower import Pair
from stream.messages import read_catalogue_record

log = logging.getLogger(__name__)


class Popular:
    """The items most in demand.

    Args:
        items: how many.
    """

    def __init__(self, items: int) -> None:
        self._most = items
        self._rows: dict[str, int] = {}
        self._ids: list[str] = []
        self._levels: npt.NDArray[Any] = np.zeros(1024)  # Of float64: in float32 a half life has 2,000 steps.
        self._ties = np.zeros(1024, np.uint32)
        self._newest_ms = 0
        self.body = b"[]"
        """The list's `items`, as JSON; exchanged as a whole by the follower's thread."""
        self.skipped: Counter[str] = Counter()
        """What is wrong -> how many records."""

    def apply(self, records: Sequence[tuple[int, Pair]]) -> None:
        """Takes in (partition, record) in the order of the topic."""
        for partition, (key, value) in records:
            try:
                item = None if value is None else read_catalogue_record(value).item
            except (ValueError, LookupError, TypeError) as error:  # A later version's: what is held of it still holds.
                if not self.skipped:
                    log.warning("catalogue[%d], key %r, is skipped: %s", partition, key, error)
                self.skipped["of another version"] += 1
                continue
            if item is None or not item.available:
                self._remove(key.decode())
                continue
            height, newest_ms = level(item.counts, HALF_LIFE_MS)
            self._put(item.item_id, height)
            self._newest_ms = max(self._newest_ms, newest_ms)
        self.body = orjson.dumps(self._best())

    def _best(self) -> list[dict[str, Any]]:
        levels = self._levels[: len(self._ids)]
        rows = np.arange(len(levels))
        if len(rows) > self._most:  # A sort of everything would cost 100 ms at a million items.
            rows = np.flatnonzero(levels >= np.partition(levels, -self._most)[-self._most])
        order = rows[np.lexsort((self._ties[rows], -levels[rows]))][: self._most]
        scores = popularity(levels[order], self._newest_ms, HALF_LIFE_MS)  # The highest of all is among them.
        return [
            {"item_id": self._ids[row], "rank": rank, "score": round(float(score), 6), "because": []}
            for rank, (row, score) in enumerate(zip(order, scores, strict=True), 1)
        ]

    def _put(self, item_id: str, height: float) -> None:
        row = self._rows.setdefault(item_id, len(self._ids))
        if row == len(self._ids):
            self._ids.append(item_id)
            if row == len(self._levels):
                self._levels = np.concatenate([self._levels, np.zeros(row)])
                self._ties = np.concatenate([self._ties, np.zeros(row, np.uint32)])
            self._ties[row] = zlib.crc32(item_id.encode())
        self._levels[row] = height

    def _remove(self, item_id: str) -> None:
        row = self._rows.pop(item_id, None)
        if row is None:
            return
        last = self._ids.pop()
        if last != item_id:  # The last one moves into the gap.
            self._ids[row], self._rows[last] = last, row
            self._levels[row], self._ties[row] = self._levels[len(self._ids)], self._ties[len(self._ids)]


def catalogue_of(admin: AdminClient, told: str | None) -> str:
    """The catalogue topic to follow: the one that `--catalogue` names, else the only one that there is.

    Raises:
        Unreachable: there is none.
        WrongUsage: there are several, and none is named: each model's space has its own.
    """
    prefix = topics.catalogue_topic("")
    found = sorted(name for name in admin.list_topics(timeout=topics.ASK_S).topics if name.startswith(prefix))
    if told is not None:
        return told
    if not found:
        remedy = "`firstclick topics --apply` creates it; --popular 0 serves without popularity lists"
        raise Unreachable(f"there is no topic {prefix}…, which tells what is popular", remedy)
    if len(found) > 1:
        raise WrongUsage(f"there are several catalogues: {', '.join(found)}", "name the workers' with --catalogue")
    return found[0]


def as_list(user_id: str, items: bytes) -> bytes:
    """The popularity list for a user without one of their own: `stage` and `n_events` 0 tell it apart."""
    return b'{"user_id":%b,"stage":"fallback","n_events":0,"items":%b}' % (orjson.dumps(user_id), items)


def etag_of(items: bytes) -> str:
    """Of the list's items: the same for everybody, and new when they change."""
    return f"popular-{zlib.crc32(items):08x}"
