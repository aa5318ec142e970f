"""Beside the line: the turns of the shelf, from items and their counts to catalogue records.

Knows nothing of what a product is; what becomes of what a turn raises stands in agents.py.
"""

from collections.abc import Iterable, Sequence

from stream.agents import Turns, Work
from stream.intake import Intake
from stream.lane import Batch, Lane
from stream.messages import Record
from stream.metrics import ITEM, Metrics
from stream.outbox import Outbox
from stream.shelf import Shelves
from stream.topics import COUNTS, REJECTED


class Shelving(Turns):
    """Items and their counts become catalogue records."""

    def __init__(self, lane: Lane, intake: Intake, outbox: Outbox, metrics: Metrics, shelves: Shelves) -> None:
        self._shelves = shelves
        super().__init__(lane, intake, outbox, metrics)

    def load(self, batches: Sequence[Batch]) -> None:
        self._shelves.load(batches)

    def held(self) -> set[int]:
        return self._shelves.partitions

    def drop(self, partitions: Iterable[int]) -> None:
        self._shelves.drop(partitions)

    def work(self, batches: Sequence[Batch]) -> Work:
        with self._metrics.timed("shelf", "load"):
            self.load(batches)
        with self._metrics.timed("shelf", "encode"):
            records = self._shelves.take_in(batches)

        def tell() -> None:
            rejected = [record for record in records if record.topic == REJECTED]
            self._metrics.reject(self.lane.name, ITEM, map(_reason, rejected))
            items = sum(len(batch.messages) for batch in batches if batch.topic != COUNTS)
            self._metrics.events.labels(ITEM, "accepted").inc(max(items - len(rejected), 0))

        return Work(batches, records, tell)


def _reason(record: Record) -> str:
    """Why it was rejected."""
    return (dict(record.headers)["reason"] or b"").decode()
