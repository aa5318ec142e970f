"""The agents' turns, and those of behaviour: each body is the list of steps. The shelf's are in shelving.py.

Knows nothing of threads of Kafka. A turn is one micro-batch from records to a committed transaction, in the lane's own
thread, so that the event loop stays free for the web pages. What a turn raises, and what becomes of it:

| raised    | fate                                                                                        |
|-----------|---------------------------------------------------------------------------------------------|
| `Aborted` | nothing was committed: the partitions' state is dropped, they are read again from the last  |
|           | done offset; a hundred in a row end the worker                                              |
| a bug in  | that event goes to the rejected topic, or that window gets no list (counted); all others go |
| one event | on: a poison record never stops a partition                                                 |
| any other | the worker ends with a non-zero code; nothing was committed, another worker reads it again  |
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from model.window import EMPTY, Window
from stream.intake import Intake
from stream.lane import Batch, Lane, portions
from stream.logs import hashed
from stream.messages import Record, Trigger, interest, recommendation, version_of
from stream.metrics import PASSED_OVER, UNKNOWN, Metrics
from stream.murmur2 import partition_of
from stream.outbox import Aborted, Fenced, Outbox
from stream.recommender import Advice, Recommender
from stream.settings import Settings
from stream.shelf import count_records
from stream.topics import INTERESTS, RECOMMENDATIONS
from stream.windows import Held, Owed, Taken, Windows

log = logging.getLogger(__name__)

# Ten seconds of trying at 0.1 s each: a rebalance takes two or three; what aborts a hundred times will not stop.
MOST_ABORTS = 100
PORTION = 256  # Records after which a turn looks whether it has enough. Fewer cost more looks, more overshoot by more.
CALL_USERS = 256  # Users of one call of the model: they take about 300 MB while they are scored.
TIMED_USERS = 64  # Of a micro-batch, evenly: to observe each costs as much as to commit.
ABORT_PAUSE_S = 0.1


class Work(NamedTuple):
    """A micro-batch, worked on: what of it is done, what to send, and what to do once that is committed."""

    batches: Sequence[Batch]
    records: list[Record]
    committed: Callable[[], None]


class Turns:
    """Runs a lane's micro-batches in the lane's own thread."""

    abort_pause_s = ABORT_PAUSE_S

    def __init__(self, lane: Lane, intake: Intake, outbox: Outbox, metrics: Metrics) -> None:
        self.lane = lane
        self._intake, self.outbox, self._metrics = intake, outbox, metrics
        self.thread = ThreadPoolExecutor(1, f"lane-{lane.name}")
        self._aborts = 0
        self.failure: Future[None] = Future()
        """Ends with the error of what was done between two turns, if there is one."""
        lane.on_dropped = lambda partition: self._between(lambda: self.drop([partition]))
        lane.on_assigned = lambda: self._between(self.prepare)

    def _between(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The thread has ended, and its state with it.
            self.thread.submit(work).add_done_callback(self._heard)

    def _heard(self, done: "Future[None]") -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not self.failure.done():
            self.failure.set_exception(error)

    def prepare(self) -> None:
        """Loads the state of all partitions that are ours: a shopper should not wait for it."""
        with self.lane.pulse.turning(), self._metrics.timed(self.lane.name, "load"):
            self.load(self.lane.owned())

    @property
    def loaded(self) -> bool:
        """Whether the state of all partitions that are ours is held."""
        return set(self.lane.partitions) <= self.held()

    def turn(self, batches: Sequence[Batch]) -> None:
        """One micro-batch."""
        with self.lane.pulse.turning():
            self._turn(batches, lambda: self.work(batches))

    def _turn(self, batches: Sequence[Batch], make: Callable[[], Work]) -> None:
        try:
            work = make()
            if records := sum(len(batch.messages) for batch in work.batches):
                self._metrics.batch_events.labels(self.lane.name).observe(records)
            with self._metrics.timed(self.lane.name, "commit"):
                self.outbox.commit(work.batches, work.records)
        except Aborted as reason:
            self._again(batches, reason)
        else:
            self._aborts = 0
            self._metrics.commits.labels(self.lane.name).inc()
            with self._metrics.timed(self.lane.name, "tell"):
                work.committed()

    def _again(self, batches: Sequence[Batch], reason: Aborted) -> None:
        self._aborts += 1
        self._metrics.aborts.labels(self.lane.name).inc()
        log.warning("%s: a micro-batch is given up and read again: %s", self.lane.name, reason)
        if self._aborts > MOST_ABORTS:
            raise Fenced(f"{self._aborts} micro-batches in a row were aborted, the last because: {reason}") from reason
        if self._aborts > 1:
            # The broker is moving something; asking without pause only adds to its load.
            time.sleep(self.abort_pause_s)
        partitions = {batch.partition for batch in batches}
        self.drop(partitions)
        self._intake.rewind(self.lane, partitions)

    def work(self, batches: Sequence[Batch]) -> Work:
        """Everything but the commit."""
        raise NotImplementedError

    def load(self, batches: Sequence[Batch]) -> None:
        """Loads the state of these batches' partitions, where it is not held in their epoch."""
        raise NotImplementedError

    def held(self) -> set[int]:
        """The partitions whose state is held."""
        raise NotImplementedError

    def drop(self, partitions: Iterable[int]) -> None:
        """Forgets these partitions' state."""
        raise NotImplementedError


class Behaviour(Turns):
    """Steps 1 to 10 for behaviour events.

    Args:
        recommender: steps 5 to 8; None leaves out steps 4 to 9, to measure what the rest costs.
        partition_of_item: item id -> the partition of its catalogue record.
        partitions: of the event topics.
        settings: what is worth publishing, and when a micro-batch is full.
    """

    portion = PORTION
    call_users = CALL_USERS

    def __init__(
        self,
        lane: Lane,
        intake: Intake,
        outbox: Outbox,
        metrics: Metrics,
        windows: Windows,
        recommender: Recommender | None,
        model: str,
        partition_of_item: Mapping[str, int],
        partitions: int,
        settings: Settings,
    ) -> None:
        self._windows, self._recommender, self._model = windows, recommender, model
        self._partition_of_item, self._partitions, self._settings = partition_of_item, partitions, settings
        self._paid = 0  # Users who were owed a list.
        super().__init__(lane, intake, outbox, metrics)

    def load(self, batches: Sequence[Batch]) -> None:
        self._windows.load(batches)

    def held(self) -> set[int]:
        return self._windows.partitions

    def drop(self, partitions: Iterable[int]) -> None:
        self._windows.drop(partitions)

    def work(self, batches: Sequence[Batch]) -> Work:
        timed = self._metrics.timed
        taken, now_ms = Taken(), int(time.time() * 1000)
        with timed("behaviour", "load"):
            self.load(batches)
        with timed("behaviour", "remember"):  # 1 parse, 2 render, 3 remember, 4 gather
            done = self._take_in(batches, now_ms, taken)
            self._windows.sweep({batch.partition for batch in done}, taken)
        outputs: list[Record] = []
        published: list[Advice] = []
        if self._recommender is not None and (taken.changed or taken.forgotten or taken.accepted):
            with timed("behaviour", "recommend"):  # 5 encode, 6 understand, 7 retrieve, 8 score
                windows = [held.window for held, _ in taken.changed.values()]
                lists = self._recommend(self._recommender, windows, [user_id for _, user_id in taken.changed])
            with timed("behaviour", "write"):  # 9 write
                published = self._write(taken, lists, outputs)
                outputs += count_records(taken.accepted, taken.seen_in, self._partition_of_item)
        with timed("behaviour", "keep"):  # the windows' changelog, with what is owed
            records = [*taken.records(), *taken.rejected, *outputs]
        return Work(done, records, lambda: self._tell(taken, published))

    def _take_in(self, batches: Sequence[Batch], now_ms: int, taken: Taken) -> list[Batch]:
        """Takes in what the model can work on in a turn; the rest goes back to the lane. Returns what is taken in."""
        pieces = [piece for batch in batches for piece in portions(batch, self.portion)]
        limits, done = self._settings, 0
        for piece in pieces:
            full = len(taken.changed) >= limits.batch_users or taken.texts >= limits.batch_texts
            if full and self._recommender is not None:
                self.lane.give_back(pieces[done:])
                break
            self._windows.take_in(piece, now_ms, taken)
            done += 1
        return pieces[:done]

    def _recommend(
        self, recommender: Recommender, windows: Sequence[Window], user_ids: Sequence[str]
    ) -> list[Advice | None]:
        """Advice per window. One that the model stumbles over gets None and takes nobody with it."""
        lists: list[Advice | None] = []
        for first in range(0, len(windows), self.call_users):
            users = windows[first : first + self.call_users]
            try:
                lists += recommender.recommend(users)
            except Exception:
                recommender.recommend([EMPTY])  # Raises if it is the model, and not one of these windows: then end.
                lists += [self._alone(recommender, window, user_ids[first + n]) for n, window in enumerate(users)]
        return lists

    def _alone(self, recommender: Recommender, window: Window, user_id: str) -> Advice | None:
        try:
            return recommender.recommend([window])[0]
        except Exception:
            newest = window.lines[-1].event_id if window.lines else ""
            log.exception("a bug in firstclick: no list for %s, whose newest event is %s", hashed(user_id), newest)
            log.debug("the window was %r", window)
            self._metrics.failed.inc()
            return None

    def _write(self, taken: Taken, lists: Sequence[Advice | None], records: list[Record]) -> list[Advice]:
        published = []
        for ((partition, user_id), (held, told)), advice in zip(taken.changed.items(), lists, strict=True):
            if advice is None:
                continue
            trigger = Trigger(*told)
            # Not for who has had a list: an empty one must take its place, its items are off the shelf.
            owed = advice.bare and (held.owed is not None or (partition, user_id) in taken.newcomers)
            if owed or held.owed is not None:
                self._windows.owe(partition, user_id, trigger if owed else None)
            taken.owed += owed
            if not self._news(held, advice):
                continue
            version = version_of(held.offsets)
            if not owed:
                records.append(self._list(user_id, held, trigger, advice))
                published.append(advice)
            value = interest(self._model, user_id, held.window, version, advice)
            records.append(Record(INTERESTS, -1, user_id.encode(), value))
        for _, user_id in taken.forgotten:
            records += [Record(topic, -1, user_id.encode(), None) for topic in (RECOMMENDATIONS, INTERESTS)]
        return published

    def _list(self, user_id: str, held: Held, trigger: Trigger, advice: Advice) -> Record:
        value = recommendation(self._model, user_id, held.window, version_of(held.offsets), trigger, advice)
        return Record(RECOMMENDATIONS, -1, user_id.encode(), value)

    @property
    def owes(self) -> bool:
        """Whether users wait for their first list, because nothing was on the shelf when they came."""
        return self._recommender is not None and self._windows.owes

    def pay(self) -> None:
        """Publishes these lists, once and under the versions of their windows; in as many turns as it takes."""
        recommender, before = self._recommender, -1
        while recommender is not None and before < self._paid:
            before = self._paid
            with self.lane.pulse.turning():
                self.load(owned := self.lane.owned())
                owed = list(islice(self._windows.owed(), self._settings.batch_users))
                batches = self.lane.standing({(trigger.topic, number) for number, _, _, trigger in owed}, owned)
                ours = {batch.partition for batch in batches}
                if owed := [each for each in owed if each[0] in ours]:
                    self._turn(batches, partial(self._payment, recommender, batches, owed))

    def _payment(self, recommender: Recommender, batches: Sequence[Batch], owed: Sequence[Owed]) -> Work:
        """The lists of these users, as far as there is something to show by now, and that no more is owed to them."""
        taken, lists, published = Taken(), list[Record](), list[Advice]()
        found = self._recommend(recommender, [held.window for _, _, held, _ in owed], [each[1] for each in owed])
        for (number, user_id, held, trigger), advice in zip(owed, found, strict=True):
            if advice is not None and advice.bare:
                continue
            self._windows.owe(number, user_id, None)
            taken.changed[number, user_id] = held, trigger
            held.shown = None  # The vector that came with the list is not published: one of this version is already.
            if advice is not None:
                lists.append(self._list(user_id, held, trigger, advice))
                published.append(advice)

        def committed() -> None:
            self._paid += len(taken.changed)
            self._count(published)

        return Work(batches, [*taken.records(), *lists], committed)

    def _news(self, held: Held, advice: Advice) -> bool:
        """Whether the list is another than the one shown last, or the vector has moved."""
        items, vector = tuple(item.item_id for item in advice.items), advice.vector.astype(np.float16)
        if held.shown is not None and held.shown[0] == items:
            before = held.shown[1]
            if np.array_equal(before, vector):
                return False
            if self._settings.moved and 1.0 - float(before.astype(np.float32) @ advice.vector) <= self._settings.moved:
                return False
        held.shown = items, vector
        return True

    def _tell(self, taken: Taken, lists: Sequence[Advice]) -> None:
        metrics, now_ms = self._metrics, time.time() * 1000
        for kind, count in Counter(line.kind for line in taken.accepted).items():
            metrics.events.labels(kind.value, "accepted").inc(count)
        metrics.reject(self.lane.name, UNKNOWN, taken.refused)
        metrics.events.labels(UNKNOWN, PASSED_OVER).inc(taken.passed_over)
        for kind, count in Counter(taken.repeated).items():
            metrics.events.labels(kind.value, "repeated").inc(count)
        self._count(lists)
        if self._recommender is not None:
            metrics.unchanged.inc(len(taken.changed) - len(lists) - taken.owed)
        metrics.batch_users.observe(len(taken.changed))
        step = len(taken.changed) // TIMED_USERS + 1
        for held, _ in islice(taken.changed.values(), 0, None, step):
            metrics.end_to_end.observe(max(now_ms - held.touched_ms, 0.0) / 1000)
        for partition, user_id in taken.newcomers:
            if partition_of(user_id.encode(), self._partitions) != partition:
                metrics.foreign.inc()

    def _count(self, lists: Sequence[Advice]) -> None:
        for stage, count in Counter(advice.stage for advice in lists).items():
            self._metrics.lists.labels(stage).inc(count)
