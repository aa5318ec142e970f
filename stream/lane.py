"""Between step 0 and all others: what has been read of a set of topics, how far it is done, and who may commit.

Knows nothing of events, and makes no call to Kafka.

A lane is a set of topics that are handled together and committed in one transaction: behaviour is one, the shelf (items
and their counts) the other. Partition p of a lane is worked on only while this worker owns p of all its topics, because
all of them end in one state. Its epoch grows whenever that ownership, or the place to read from, changes.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from confluent_kafka import TopicPartition

from stream.pulse import Pulse

RECORD_BYTES = 500  # What a record takes beside its value: 64 MiB are 100,000 small records.

Place = tuple[str, int]
"""Topic and partition."""


class Fetched(Protocol):
    """A record as it came. The client's own type says that everything may be None; of a fetched record it may not."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...


class Batch(NamedTuple):
    """Records of one partition, in order. `start` is where the batch before ended, `end` the offset to commit."""

    topic: str
    partition: int
    start: int | None
    end: int
    epoch: int
    messages: list[Fetched]


class Lane:
    """One set of co-partitioned topics: what waits of them, how far they are done, and who may commit."""

    def __init__(self, name: str, topics: Sequence[str]) -> None:
        self.name = name
        self.topics = tuple(topics)
        self.commit_lock = threading.Lock()
        """Held by a commit from its check to its end, and by the callbacks: a revocation waits for the commit."""
        self.on_dropped: Callable[[int], None] = lambda partition: None
        """Called (from the consumer's thread; must not block) when a partition's state is no longer ours."""
        self.on_assigned: Callable[[], None] = lambda: None
        """Called (from the consumer's thread; must not block) when partitions have become ours."""
        self.pulse = Pulse(name)
        """Of what works on this lane."""
        self.on_waiting: Callable[[], None] = lambda: None
        """Called (from other threads; must not block) when something waits."""
        self._lock = threading.Lock()
        self._waiting: dict[Place, deque[Batch]] = {}
        self._bytes = 0
        self._events = 0
        self._epoch: dict[int, int] = {}
        self._assigned: set[Place] = set()
        self._position: dict[Place, int | None] = {}
        self._done: dict[Place, int | None] = {}

    @property
    def waiting(self) -> int:
        """Records read and not yet taken."""
        return self._events

    @property
    def bytes(self) -> int:
        """What they take in memory, about."""
        return self._bytes

    @property
    def partitions(self) -> list[int]:
        """The partitions that are wholly ours."""
        with self._lock:
            return sorted({p for _, p in self._assigned if self._whole(p)})

    @property
    def torn(self) -> list[int]:
        """The partitions of which only some topics are ours: nothing of them is worked on."""
        with self._lock:
            return sorted({p for _, p in self._assigned if not self._whole(p)})

    def owned(self) -> list[Batch]:
        """An empty batch for each partition that is wholly ours, in its present epoch: what has to be loaded."""
        owned = self.partitions
        with self._lock:
            return [Batch("", number, None, 0, self._epoch.get(number, 0), []) for number in owned]

    def standing(self, places: Iterable[Place], owned: Iterable[Batch]) -> list[Batch]:
        """An empty batch at where each place is done, to commit what no record brought about.

        Args:
            places: those of other partitions than the owned are left out.
            owned: of `owned`, before the state was loaded: a partition that has moved since then is not current.
        """
        epochs = {batch.partition: batch.epoch for batch in owned}
        with self._lock:
            found = [(topic, number, self._done.get((topic, number))) for topic, number in places if number in epochs]
        return [Batch(topic, number, done, done, epochs[number], []) for topic, number, done in found
                if done is not None]  # fmt: skip

    def _whole(self, partition: int) -> bool:
        return all((topic, partition) in self._assigned for topic in self.topics)

    def take(self, most: int, topics: Collection[str]) -> list[Batch]:
        """What waits of these topics' whole partitions, in order, `most` records at the most."""
        taken: list[Batch] = []
        with self._lock:
            for place in list(self._waiting):
                if most <= 0:
                    break
                if place[0] not in topics or not self._whole(place[1]):
                    continue
                batches = self._waiting.pop(place)
                self._waiting[place] = batches  # To the back: under load every partition has its turn.
                while batches and most > 0:
                    batch = batches.popleft()
                    if len(batch.messages) > most:
                        batch, rest = _split(batch, most)
                        batches.appendleft(rest)
                    most -= len(batch.messages)
                    self._count(batch, -1)
                    taken.append(batch)
        return taken

    def current(self, batches: Iterable[Batch]) -> bool:
        """Whether these batches may be committed: same epoch, and each starts where its partition is done."""
        with self._lock:
            done = dict(self._done)
            for topic, partition, start, end, epoch, _ in batches:
                place = topic, partition
                if epoch != self._epoch.get(partition) or place not in done or done[place] != start:
                    return False
                done[place] = end
        return True

    def committed(self, batches: Iterable[Batch]) -> None:
        """These batches are done."""
        with self._lock:
            for batch in batches:
                self._done[batch.topic, batch.partition] = batch.end

    def give_back(self, batches: Sequence[Batch]) -> None:
        """What was taken and not worked on comes first again; what is no longer ours to work on does not."""
        with self._lock:
            for batch in reversed(batches):
                if batch.epoch == self._epoch.get(batch.partition):
                    self._waiting.setdefault((batch.topic, batch.partition), deque()).appendleft(batch)
                    self._count(batch, 1)
        self.on_waiting()

    # What follows is the consumer thread's.

    def offer(self, place: Place, messages: list[Fetched]) -> None:
        """Records that follow those offered before; what lies before the position is known already and dropped."""
        with self._lock:
            position = self._position[place]
            if position is not None and messages[0].offset() < position:
                messages = [message for message in messages if message.offset() >= position]
                if not messages:
                    return
            end = messages[-1].offset() + 1
            batch = Batch(*place, position, end, self._epoch[place[1]], messages)
            self._position[place] = end
            self._waiting.setdefault(place, deque()).append(batch)
            self._count(batch, 1)
        self.on_waiting()

    def assign(self, done: dict[Place, int | None]) -> dict[Place, int | None]:
        """These partitions are ours from here on; `done` is their committed offset, None where nothing is committed.

        Returns where their other topics, ours already, are to be read from again.
        """
        with self._lock:
            self._assigned |= done.keys()
            self._done |= done
            back = self._turn_over({partition for _, partition in done})
        self.on_assigned()
        return {place: at for place, at in back.items() if place not in done}

    def revoke(self, places: Collection[Place]) -> dict[Place, int | None]:
        """These partitions are no longer ours; nor is their state. Returns as `assign` does."""
        with self._lock:
            for place in places:
                self._assigned.discard(place)
                self._done.pop(place, None)
                self._position.pop(place, None)
            return self._turn_over({partition for _, partition in places})

    def rewind(self, partition: int) -> dict[Place, int | None]:
        """Back to what is committed, under a new epoch. Returns where each topic is to be read from."""
        with self._lock:
            return self._turn_over({partition})

    def _turn_over(self, partitions: Collection[int]) -> dict[Place, int | None]:
        """A new epoch: what waits is dropped, and all topics of these partitions are read again from what is done."""
        for partition in partitions:
            self._drop(partition)
        back = {place: done for place, done in self._done.items() if place[1] in partitions}
        self._position |= back
        return back

    def _drop(self, partition: int) -> None:
        self._epoch[partition] = self._epoch.get(partition, 0) + 1
        for topic in self.topics:
            for batch in self._waiting.pop((topic, partition), ()):
                self._count(batch, -1)
        self.on_dropped(partition)

    def _count(self, batch: Batch, sign: int) -> None:
        records = len(batch.messages)
        self._events += sign * records
        self._bytes += sign * (sum(map(len, batch.messages)) + RECORD_BYTES * records)

    def place_done(self, place: Place) -> int | None:
        """The committed offset of a partition of ours; None where nothing is committed yet."""
        return self._done.get(place)


def portions(batch: Batch, most: int) -> Iterator[Batch]:
    """The batch in pieces of `most` records, in order; each can be committed after the one before."""
    while len(batch.messages) > most:
        first, batch = _split(batch, most)
        yield first
    yield batch


def _split(batch: Batch, most: int) -> tuple[Batch, Batch]:
    """The first `most` records of a batch, and the rest."""
    middle = batch.messages[most].offset()
    first = batch._replace(end=middle, messages=batch.messages[:most])
    return first, batch._replace(start=middle, messages=batch.messages[most:])


def offsets_of(batches: Iterable[Batch]) -> list[TopicPartition]:
    """The offsets to commit: the last end of each partition."""
    ends = {(batch.topic, batch.partition): batch.end for batch in batches}
    return [TopicPartition(*place, end) for place, end in ends.items()]
