"""Step 3 of 10: the windows of the users whose partitions are ours, in memory and in the changelog.

Knows nothing of models. A partition's windows are loaded when its first record comes, and dropped when it is revoked,
rewound or its transaction aborted: they are what the committed changelog says, plus the micro-batch under way, or they
are not held at all. The changelog's partition is always the source partition.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model.event import Event, Kind
from model.formats import CONTRACT
from model.reading import Reader, reader
from model.rejection import EventError, Reason
from model.text import Line, render
from model.window import EMPTY, Window
from stream.errors import CommandError, NotAllowed
from stream.follower import Pair, Place
from stream.lane import Batch, Fetched
from stream.messages import Record, Trigger, read_window_record, rejected, version_of, window_record
from stream.registry import FRAMED, Opened, plain
from stream.topics import WINDOWS

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
READ_CONTRACT = reader(CONTRACT)
SWEEP_MS = DAY_MS  # Forgetting is counted in days; looking at every user more often than daily finds nothing more.


class Held:
    """What a worker holds of one user.

    Attributes:
        window: the newest lines.
        offsets: source topic -> the newest offset that the window contains.
        touched_ms: when the newest of them arrived (record time).
        shown: the list that was last published, and its vector as (D,) float16; None when not known.
        owed: the newest event of a user who has had no list yet, because nothing was on the shelf; else None.
    """

    __slots__ = ("offsets", "owed", "shown", "touched_ms", "window")

    def __init__(self, window: Window = EMPTY, offsets: dict[str, int] | None = None, touched_ms: int = 0) -> None:
        self.window = window
        self.offsets: dict[str, int] = offsets or {}
        self.touched_ms = touched_ms
        self.shown: tuple[tuple[str, ...], npt.NDArray[np.float16]] | None = None
        self.owed: Trigger | None = None


Owed = tuple[int, str, Held, Trigger]
"""Partition, user, what is held, and the newest event, which brings the owed list about."""


class _Partition:
    __slots__ = ("epoch", "now_ms", "owed", "swept_ms", "users")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.users: dict[str, Held] = {}
        self.owed: dict[str, Held] = {}  # Those of them who are owed a list.
        self.now_ms = 0  # The newest record's time: this partition's clock.
        self.swept_ms = 0


class Taken:
    """What one micro-batch did to the windows.

    Attributes:
        changed: (partition, user id) -> what is held, and the newest event that changed it, as a `Trigger` has it. By
            partition, because producers that hash differently give one user two windows.
        rejected: records for the rejected topic.
        newcomers: those of them of whom nothing was held.
        accepted: the new lines, with the kind, item and time that the counts need; impressions among them that are in
            no window, because there is more to know of their user.
        seen_in: of each of these their user's window just then.
        texts: how many of these have a text of their own to be encoded.
        refused: reason -> how many events, or parts of records that are none, are rejected: of a record's several parts
            only the first is told in `rejected`.
        repeated: kinds of the events that their window had already.
        passed_over: records of other formats that hold no behaviour.
        forgotten: (partition, user id) whose windows are too old.
        owed: of how many of the changed the list is owed.
    """

    def __init__(self) -> None:
        self.changed: dict[tuple[int, str], tuple[Held, tuple[str, str, int, int]]] = {}
        self.newcomers: set[tuple[int, str]] = set()
        self.rejected: list[Record] = []
        self.refused: Counter[str] = Counter()
        self.accepted: list[Line] = []
        self.seen_in: list[Window] = []
        self.texts = 0
        self.repeated: list[Kind] = []
        self.passed_over = 0
        self.forgotten: list[tuple[int, str]] = []
        self.owed = 0

    def records(self) -> Iterator[Record]:
        """The changelog records: one per user whose window changed, a tombstone per user forgotten."""
        for (partition, user_id), (held, _) in self.changed.items():
            value = window_record(user_id, held.window, held.offsets, held.touched_ms, held.owed)
            yield Record(WINDOWS, partition, user_id.encode(), value)
        for partition, user_id in self.forgotten:
            yield Record(WINDOWS, partition, user_id.encode(), None)


class Windows:
    """The windows by partition.

    Args:
        read: gives every committed record of these changelog partitions, to their end.
        ends: where the source topics' logs of these partitions end.
        lines: lines of a window, at the most.
        age_ms: how much older than its newest line a line may be; 0 for any.
        forget_ms: how long after a user's last event the window is deleted.
        rejected_bytes: the largest record that the rejected topic takes.
        readers: source topic -> what reads its records; those of other topics are the contract's.
        opened: takes the frame of a schema registry off a value.
    """

    def __init__(
        self,
        read: Callable[[Sequence[int]], Iterable[tuple[int, Pair]]],
        ends: Callable[[Sequence[int]], Mapping[Place, int]],
        lines: int,
        age_ms: int,
        forget_ms: int,
        rejected_bytes: int,
        readers: Mapping[str, Reader] | None = None,
        opened: Opened = plain,
    ) -> None:
        self._read, self._ends = read, ends
        self._readers, self._opened = readers or {}, opened
        self._lines, self._age_ms, self._forget_ms = lines, age_ms, forget_ms
        self._rejected_bytes = rejected_bytes
        self._partitions: dict[int, _Partition] = {}
        self.loaded = 0
        """Windows loaded so far."""

    def __len__(self) -> int:
        return sum(len(partition.users) for partition in list(self._partitions.values()))

    @property
    def partitions(self) -> set[int]:
        """Whose windows are held."""
        return set(self._partitions)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forgets these partitions' windows; the changelog has them."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def load(self, batches: Iterable[Batch]) -> None:
        """Loads the partitions of these batches that are not held in the batches' epoch, completely."""
        missing = {
            batch.partition: _Partition(batch.epoch)
            for batch in batches
            if (held := self._partitions.get(batch.partition)) is None or held.epoch != batch.epoch
        }
        if not missing:
            return
        for number, (key, value) in self._read(sorted(missing)):
            users = missing[number].users
            if value is None:
                users.pop(key.decode(), None)
                continue
            user_id, window, offsets, touched_ms, owed = read_window_record(value)
            older = users.get(user_id)
            # Without transactions a worker that was thought dead may write an older window after its successor's.
            if older is None or version_of(older.offsets) <= version_of(offsets):
                users[user_id] = Held(window, offsets, touched_ms)
                users[user_id].owed = owed
        self._refuse_new_logs(missing)
        for partition in missing.values():
            partition.owed = {user_id: held for user_id, held in partition.users.items() if held.owed is not None}
        self._partitions |= missing
        loaded = sum(len(partition.users) for partition in missing.values())
        self.loaded += loaded
        log.info("loaded %d windows of partitions %s", loaded, sorted(missing))

    @property
    def owes(self) -> bool:
        """Whether anybody is owed a list; any thread may ask."""
        return any(partition.owed for partition in list(self._partitions.values()))

    def owe(self, partition: int, user_id: str, trigger: Trigger | None) -> None:
        """A user is owed a list, whose newest event is `trigger`; None: is owed none any more."""
        users = self._partitions[partition]
        held = users.users[user_id]
        held.owed = trigger
        if trigger is None:
            users.owed.pop(user_id, None)
        else:
            users.owed[user_id] = held

    def owed(self) -> Iterator[Owed]:
        """Who is owed a list."""
        for number, partition in self._partitions.items():
            for user_id, held in partition.owed.items():
                if held.owed is not None:
                    yield number, user_id, held, held.owed

    def take_in(self, batch: Batch, now_ms: int, taken: Taken) -> None:
        """Steps 1 to 3 for every record of a batch whose partition is loaded. Each has one of the fates in `taken`.

        Args:
            now_ms: this worker's clock. A record's timestamp is mostly its producer's own: one whose clock runs ahead
                says so in both, and must own neither the top of a window nor the clock of a partition.
        """
        read, opened = self._readers.get(batch.topic, READ_CONTRACT), self._opened
        for message in batch.messages:
            arrived_ms = min(message.timestamp()[1], now_ms)
            faults: Sequence[EventError]
            try:
                value = message.value()
                if value is not None and value[:1] == FRAMED:
                    value = opened(value)
                events, faults, passed_over = read(value, message.key(), message.headers(), arrived_ms)
                if events:
                    if reused := self._push(message, events, arrived_ms, taken):
                        faults = [*faults, *reused]
                elif passed_over:
                    taken.passed_over += 1
            except EventError as error:
                faults = (error,)
            except CommandError:  # No registry: that is no record's fault.
                raise
            except Exception as error:
                # Ours to mend, yet one record must not stop a partition: its bytes are kept with all the others.
                log.exception("a bug in firstclick on %s[%d]@%d", batch.topic, batch.partition, message.offset())
                faults = (EventError(Reason.BUG, f"{type(error).__name__}: {error}"),)
            if faults:
                taken.refused.update(fault.reason.value for fault in faults)
                taken.rejected.append(self._rejected(message, faults))

    def _push(self, message: Fetched, events: Sequence[Event], arrived_ms: int, taken: Taken) -> Sequence[EventError]:
        """A record's events go into their user's window, all at once or, where anything is raised, none of them.

        Their user is the record's key, so there is one. The window contains the record by its offset: it contains all
        of its events, or none. Returns why some are not taken.
        """
        topic, number, offset = message.topic(), message.partition(), message.offset()
        partition, user_id = self._partitions[number], events[0].user_id
        # The newest that changes the window, of several the last: a repeat of the record names the same.
        trigger = events[-1].event_id, topic, number, offset
        held = partition.users.get(user_id)
        if held is None:
            held = Held()
        elif offset <= held.offsets.get(topic, -1):
            taken.repeated += [event.kind for event in events]
            if held.shown is None and offset == held.offsets[topic]:
                # Without transactions a worker may die between the window and the list: then only this repeat tells
                # that the list is still owed. The newest one, which was the trigger then: the same bytes.
                taken.changed[number, user_id] = held, trigger
            return ()
        window = held.window
        news: list[Line] = []
        shown: list[Line] = []
        seen_in: list[Window] = []
        faults: list[EventError] = []
        texts = 0
        for event in events:
            line = render(event)
            try:
                pushed = window.remember(line, self._lines, self._age_ms)
            except EventError as error:
                faults.append(error)
                continue
            if pushed is window:
                if line.kind is Kind.IMPRESSION and line not in window.lines:
                    shown.append(line)
                else:
                    taken.repeated.append(event.kind)
            else:
                window = pushed
                news.append(line)
                seen_in.append(window)
                if line.text and line.kind is not Kind.IMPRESSION:  # One of these stays at the most.
                    texts += 1
        taken.accepted += shown
        taken.seen_in += [window] * len(shown)
        if not news:
            return faults
        if user_id not in partition.users:
            taken.newcomers.add((number, user_id))
            partition.users[user_id] = held
        held.window = window
        held.offsets[topic] = offset
        held.touched_ms = max(held.touched_ms, arrived_ms)
        partition.now_ms = max(partition.now_ms, arrived_ms)
        taken.changed[number, user_id] = held, trigger
        taken.accepted += news
        taken.seen_in += seen_in
        taken.texts += texts
        return faults

    def _refuse_new_logs(self, loaded: Mapping[int, _Partition]) -> None:
        """A topic that was deleted and created anew counts from 0 again: its events would all pass for repeats."""
        ends = self._ends(sorted(loaded))
        for number, partition in loaded.items():
            newest: dict[str, int] = {}
            for held in partition.users.values():
                for topic, offset in held.offsets.items():
                    newest[topic] = max(newest.get(topic, -1), offset)
            for topic, offset in newest.items():
                if offset >= ends.get((topic, number), offset + 1):
                    raise NotAllowed(
                        f"{topic}[{number}] ends at {ends[topic, number]}, but windows contain its event {offset}: "
                        "the topic was deleted and created anew",
                        f"delete {WINDOWS} and the offsets of --group too, or restore the topic",
                    )

    def sweep(self, partitions: Iterable[int], taken: Taken) -> None:
        """Once a day of a partition's own clock, forgets the users whose last event is too long ago."""
        for number in partitions:
            partition = self._partitions[number]
            if partition.now_ms - partition.swept_ms < SWEEP_MS:
                continue
            partition.swept_ms = partition.now_ms
            limit = partition.now_ms - self._forget_ms
            for user_id in [user_id for user_id, held in partition.users.items() if held.touched_ms < limit]:
                del partition.users[user_id]
                partition.owed.pop(user_id, None)
                taken.forgotten.append((number, user_id))

    def _rejected(self, message: Fetched, faults: Sequence[EventError]) -> Record:
        """One record, however many of its parts are rejected: its bytes may be a mebibyte, and its parts hundreds."""
        error = faults[0]
        if len(faults) > 1:
            error = EventError(
                error.reason, f"{error.detail}; {len(faults) - 1} more parts of this record are rejected"
            )
        origin = message.topic(), message.partition(), message.offset()
        return rejected(message.key(), message.value(), origin, message.timestamp()[1], error, self._rejected_bytes)
