"""Beside the line: an item is encoded once, by the worker that owns its partition, and told to all.

Knows nothing of users. Upserts, tombstones and the fleet's counts of a partition end here; what comes out is the item's
catalogue record, from which every worker fills its shelf. The record's partition is the item's source partition.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest

import numpy as np
import numpy.typing as npt

from model.catalogue import Shelved
from model.encoder import Encoder
from model.event import Item, Kind, parse_item
from model.freshness import earliest
from model.live_pairs import KEPT, add, step
from model.popularity import add_counts
from model.rejection import EventError, Reason
from model.text import Line, item_text, refuses
from model.window import Window
from stream.errors import CommandError
from stream.follower import Pair
from stream.lane import Batch, Fetched
from stream.messages import (
    Record,
    Shelf,
    Touched,
    catalogue_record,
    counts_record,
    read_catalogue_record,
    read_counts_record,
    rejected,
    text_hash,
)
from stream.registry import Opened, plain
from stream.topics import COUNTS

log = logging.getLogger(__name__)

NEAR = 4 * KEPT
"""Earlier items that one record tells of an item at most. A busy item's thousand visitors can have come from thousands,
and a record of them all would be larger than Kafka takes."""


def count_records(
    lines: Iterable[Line], seen_in: Iterable[Window], partition_of: Mapping[str, int]
) -> Iterator[Record]:
    """One record per item that these lines touch: what its owner will add to the item's counts and pairs.

    Items that are not on the shelf are not counted: nobody owns them. A bad review counts as a dislike.

    Args:
        lines: newly taken in.
        seen_in: of each the window that had just taken it in.
        partition_of: item id -> partition of its catalogue record.
    """
    counted: dict[tuple[int, str], dict[str, tuple[float, int]]] = {}
    nears: dict[tuple[int, str], list[dict[str, float]]] = {}
    for line, window in zip(lines, seen_in, strict=True):
        at_ms, item_id = line.at_ms, line.item_id
        kind = Kind.DISLIKE if refuses(line) else line.kind
        partition = partition_of.get(item_id)  # Asked once: another thread takes items off the shelf meanwhile.
        if partition is not None:
            counts = counted.setdefault((partition, item_id), {})
            count, newest_ms = counts.get(kind, (0.0, at_ms))
            counts[kind] = count + 1.0, max(newest_ms, at_ms)
            near = step(window.lines, line)
            if near is not None:
                nears.setdefault((partition, item_id), []).append(near)
    for (partition, item_id), counts in counted.items():
        steps = nears.get((partition, item_id), [])
        sums: Counter[str] = Counter()
        for near in steps:  # Of items that no shelf has nothing is ever asked, and made-up ids would be kept for ever.
            sums.update({earlier: weight for earlier, weight in near.items() if earlier in partition_of})
        if len(sums) > NEAR:
            sums = Counter(dict(nlargest(NEAR, sums.items(), key=lambda each: (each[1], each[0]))))
        yield Record(COUNTS, partition, item_id.encode(), counts_record(Touched(counts, sums, len(steps))))


def touched(item: Shelved, told: Touched, half_life_ms: int) -> Shelved:
    """The item with these counts and pairs added to its own."""
    times_ms = [at_ms for _, at_ms in told.counts.values()]
    return item._replace(
        counts=add_counts(item.counts, told.counts, half_life_ms),
        since_ms=earliest(item.since_ms, times_ms),
        before=add(item.before, told.near, told.steps, max(times_ms, default=0)),
    )


class Shelves:
    """The items whose partitions are ours.

    Args:
        read: gives every committed record of these catalogue partitions, to their end.
        encoder: for the texts of new and renamed items.
        catalogue: the catalogue topic's name.
        half_life_ms: in which a count halves.
        rejected_bytes: the largest record that the rejected topic takes.
        opened: takes the frame of a schema registry off a value.
    """

    def __init__(
        self,
        read: Callable[[Sequence[int]], Iterable[tuple[int, Pair]]],
        encoder: Encoder,
        catalogue: str,
        half_life_ms: int,
        rejected_bytes: int,
        opened: Opened = plain,
    ) -> None:
        self._opened = opened
        self._read, self._encoder, self._catalogue = read, encoder, catalogue
        self._half_life_ms, self._rejected_bytes = half_life_ms, rejected_bytes
        self._partitions: dict[int, dict[str, Shelf]] = {}
        self._epochs: dict[int, int] = {}
        self.encoded = 0
        """Texts encoded so far."""

    @property
    def partitions(self) -> set[int]:
        """Whose items are held."""
        return set(self._partitions)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forgets these partitions' items; the catalogue topic has them."""
        for partition in partitions:
            self._partitions.pop(partition, None)
            self._epochs.pop(partition, None)

    def load(self, batches: Iterable[Batch]) -> None:
        """Loads the partitions of these batches that are not held in the batches' epoch, completely."""
        epochs = {b.partition: b.epoch for b in batches if self._epochs.get(b.partition) != b.epoch}
        if not epochs:
            return
        loaded: dict[int, dict[str, Shelf]] = {partition: {} for partition in epochs}
        for number, (key, value) in self._read(sorted(epochs)):
            if value is None:
                loaded[number].pop(key.decode(), None)
            else:
                loaded[number][key.decode()] = read_catalogue_record(value)
        self._partitions |= loaded
        self._epochs |= epochs
        log.info("loaded %d items of partitions %s", sum(map(len, loaded.values())), sorted(loaded))

    def take_in(self, batches: Sequence[Batch]) -> list[Record]:
        """What these upserts, tombstones and counts change: catalogue records, and rejections."""
        upserts: list[tuple[Batch, int, str, Item | None]] = []
        records: list[Record] = []
        touched: dict[tuple[int, str], None] = {}  # In order.
        for batch in batches:
            if batch.topic == COUNTS:
                touched |= dict.fromkeys(self._add_counts(batch, records))
            else:
                upserts += self._parse(batch, records)
        touched |= dict.fromkeys(self._put(upserts))
        for partition, item_id in touched:
            shelf = self._partitions[partition].get(item_id)
            value = None if shelf is None else catalogue_record(shelf)
            records.append(Record(self._catalogue, partition, item_id.encode(), value))
        return records

    def _parse(self, batch: Batch, records: list[Record]) -> Iterator[tuple[Batch, int, str, Item | None]]:
        for message in batch.messages:
            key, offset = message.key(), message.offset()
            try:
                item = parse_item(self._opened(message.value()), key, message.headers())
                item_id = item.item_id if item is not None else (key or b"").decode()
            except EventError as fault:
                error = fault
            except CommandError:  # No registry: that is no record's fault.
                raise
            except Exception as bug:
                error = _bug(message, bug)
            else:
                yield batch, offset, item_id, item
                continue
            records.append(self._rejected(message, error))

    def _put(self, upserts: Sequence[tuple[Batch, int, str, Item | None]]) -> Iterator[tuple[int, str]]:
        vectors = self._encode(upserts)
        for batch, offset, item_id, item in upserts:
            items = self._partitions[batch.partition]
            held = items.get(item_id)
            if held is not None and offset <= held.offsets.get(batch.topic, -1):
                continue
            if item is None:
                if items.pop(item_id, None) is not None:
                    yield batch.partition, item_id
                continue
            digest = text_hash(item_text(item))
            told = item.title, item.category, item.brand, item.price, item.available
            shelved = Shelved(item_id, *told, vectors[digest], {})
            if held is not None:
                known = held.item
                shelved = shelved._replace(counts=known.counts, since_ms=known.since_ms, before=known.before)
            offsets = {**(held.offsets if held is not None else {}), batch.topic: offset}
            items[item_id] = Shelf(shelved, digest, offsets)
            yield batch.partition, item_id

    def _encode(self, upserts: Sequence[tuple[Batch, int, str, Item | None]]) -> dict[str, npt.NDArray[np.float16]]:
        """Text hash -> (D,) vector, for every upsert; only what its item does not say already is encoded."""
        vectors: dict[str, npt.NDArray[np.float16]] = {}
        texts: dict[str, str] = {}
        for batch, _, item_id, item in upserts:
            if item is not None:
                text = item_text(item)
                digest = text_hash(text)
                held = self._partitions[batch.partition].get(item_id)
                if held is not None and held.text_hash == digest:
                    vectors[digest] = held.item.vector
                else:
                    texts[digest] = text
        texts = {digest: text for digest, text in texts.items() if digest not in vectors}
        if texts:
            self.encoded += len(texts)
            encoded = self._encoder.vectors(list(texts.values())).astype(np.float16)
            vectors |= zip(texts, encoded, strict=True)
        return vectors

    def _add_counts(self, batch: Batch, records: list[Record]) -> Iterator[tuple[int, str]]:
        items = self._partitions[batch.partition]
        for message in batch.messages:
            offset = message.offset()
            try:
                item_id = (message.key() or b"").decode()
                held = items.get(item_id)
                if held is None or offset <= held.offsets.get(batch.topic, -1):
                    continue
                told = read_counts_record(message.value() or b"{}")
                counted = touched(held.item, told, self._half_life_ms)
            except Exception as bug:
                records.append(self._rejected(message, _bug(message, bug)))
                continue
            offsets = {**held.offsets, batch.topic: offset}
            items[item_id] = Shelf(counted, held.text_hash, offsets)
            yield batch.partition, item_id

    def _rejected(self, message: Fetched, error: EventError) -> Record:
        origin = message.topic(), message.partition(), message.offset()
        return rejected(message.key(), message.value(), origin, message.timestamp()[1], error, self._rejected_bytes)


def _bug(message: Fetched, bug: Exception) -> EventError:
    """Ours to mend, yet one record must not stop a partition."""
    log.error("a bug in firstclick on %s[%d]@%d", message.topic(), message.partition(), message.offset(), exc_info=bug)
    return EventError(Reason.BUG, f"{type(bug).__name__}: {bug}")
