"""Step 0: the consumer's thread, with a consumer that plays a script."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from stream.errors import NotAllowed, Unreachable
from stream.intake import HIGH_BYTES, LOW_BYTES, Intake
from stream.lane import Lane, Place
from stream.settings import Settings
from tests.eventually import eventually
from tests.records import FakeRecord, offsets, plain

CLICKS, BROWSES = ("clicks", 0), ("browses", 0)


class ScriptedConsumer:
    """A consumer each of whose polls is a step of a script: it may call back, and returns the records."""

    Step = Callable[["ScriptedConsumer"], Sequence[Any]]

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.committed_offsets: dict[Place, int] = {}
        self.calls: list[tuple[str, list[Place]]] = []
        self.sought: list[tuple[Place, int]] = []
        self.unseekable: set[Place] = set()
        self.closed = False
        self.watermarks = -1001, -1001
        self._steps: queue.SimpleQueue[tuple[ScriptedConsumer.Step, threading.Event]] = queue.SimpleQueue()
        self._under_way: threading.Event | None = None
        self._rest: list[Any] = []

    def play(self, step: "ScriptedConsumer.Step") -> None:
        """Plays a step in the consumer's thread; returns once the thread polls again."""
        over = self.begin(step)
        assert over.wait(5), "the consumer's thread does not come back"

    def begin(self, step: "ScriptedConsumer.Step") -> threading.Event:
        over = threading.Event()
        self._steps.put((step, over))
        return over

    def poll(self, timeout: float) -> Any:
        if self._under_way is not None:
            self._under_way.set()
            self._under_way = None
        try:
            step, self._under_way = self._steps.get(timeout=0.002)
        except queue.Empty:
            return None
        first, *self._rest = [*step(self), None]
        return first

    def consume(self, most: int, timeout: float) -> list[Any]:
        rest, self._rest = [record for record in self._rest if record is not None], []
        return rest

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.on_assign, self.on_revoke, self.on_lost = on_assign, on_revoke, on_lost

    def assigned(self, *places: Place) -> list[Any]:
        """A step without records."""
        self.on_assign(self, [TopicPartition(*place) for place in places])
        return []

    def revoked(self, *places: Place) -> list[Any]:
        """A step without records."""
        self.on_revoke(self, [TopicPartition(*place) for place in places])
        return []

    def lost(self, *places: Place) -> list[Any]:
        """A step without records."""
        self.on_lost(self, [TopicPartition(*place) for place in places])
        return []

    def get_watermark_offsets(self, partition: TopicPartition, cached: bool) -> tuple[int, int]:
        return self.watermarks

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        found = [(tp, self.committed_offsets.get((tp.topic, tp.partition), -1001)) for tp in partitions]
        return [TopicPartition(tp.topic, tp.partition, at) for tp, at in found]

    def seek(self, tp: TopicPartition) -> None:
        if (tp.topic, tp.partition) in self.unseekable:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.sought.append(((tp.topic, tp.partition), tp.offset))

    def _called(self, name: str, partitions: list[TopicPartition]) -> None:
        self.calls.append((name, sorted((tp.topic, tp.partition) for tp in partitions)))

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._called("pause", partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._called("resume", partitions)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self._called("assign", partitions)

    def consumer_group_metadata(self) -> object:
        return object()

    def close(self) -> None:
        self.closed = True


class World:
    """An intake of one lane whose consumer plays a script."""

    def __init__(self, *topics: str) -> None:
        self.lane = Lane("behaviour", topics)
        self.intake = Intake(Settings(), "consumer", [self.lane], consumer=ScriptedConsumer)  # type: ignore[arg-type]
        self.consumer: ScriptedConsumer = self.intake._consumer  # type: ignore[assignment]
        self.intake.start()

    def assigns(self, *places: Place, **committed: int) -> None:
        self.consumer.committed_offsets |= {(topic, 0): at for topic, at in committed.items()}
        self.consumer.play(lambda c: c.assigned(*places))

    def gives(self, place: Place, *numbers: int, size: int = 0) -> None:
        self.consumer.play(lambda _: plain(*place, *numbers, size=size))

    def taken(self, most: int = 1_000_000) -> list[tuple[str, int, list[int]]]:
        return offsets(self.lane.take(most, self.lane.topics))


@pytest.fixture
def world() -> Iterator[World]:
    made = World("clicks")
    yield made
    made.intake.stop()


def test_records_go_to_their_lane_from_the_committed_offset_on(world: World) -> None:
    world.assigns(CLICKS, clicks=4)
    world.gives(CLICKS, 4, 5)
    assert world.taken() == [("clicks", 0, [4, 5])]
    assert world.consumer.sought == []
    assert world.intake.joined.is_set()


def test_a_poll_that_overlapped_an_assignment_is_thrown_away_and_fetched_again(world: World) -> None:
    def overlapping(consumer: ScriptedConsumer) -> Sequence[Any]:
        consumer.assigned(CLICKS)
        return plain("clicks", 0, 7, 8)

    world.consumer.committed_offsets[CLICKS] = 4
    world.consumer.play(overlapping)
    assert world.taken() == []
    world.gives(CLICKS, 4, 5)
    assert world.consumer.sought == [(CLICKS, 4)]
    assert world.taken() == [("clicks", 0, [4, 5])]


def test_a_partition_that_left_and_came_back_within_a_poll_is_read_from_what_is_committed(world: World) -> None:
    world.assigns(CLICKS, clicks=4)
    world.gives(CLICKS, 4)

    def moving(consumer: ScriptedConsumer) -> Sequence[Any]:
        consumer.revoked(CLICKS)
        consumer.assigned(CLICKS)
        return plain("clicks", 0, 5)

    world.consumer.play(moving)
    world.gives(CLICKS, 4, 5)
    assert world.consumer.sought == [(CLICKS, 4)]
    assert world.taken() == [("clicks", 0, [4, 5])]


def test_records_of_a_partition_that_is_not_ours_any_more_are_dropped(world: World) -> None:
    world.assigns(CLICKS, clicks=4)
    world.consumer.play(lambda c: [*c.revoked(CLICKS), *plain("clicks", 0, 4)])
    world.gives(CLICKS, 5)
    assert world.taken() == []


def test_after_a_rewind_the_partition_is_read_again_from_what_is_done(world: World) -> None:
    world.assigns(CLICKS)
    world.gives(CLICKS, 0, 1)
    batches = world.lane.take(1, world.lane.topics)
    world.lane.committed(batches)
    world.intake.rewind(world.lane, [0])
    world.gives(CLICKS, 1, 2)
    assert world.consumer.sought == [(CLICKS, 1)]
    assert world.taken() == [("clicks", 0, [1, 2])]


def test_what_was_never_committed_is_read_again_from_the_beginning(world: World) -> None:
    world.assigns(CLICKS)
    world.gives(CLICKS, 0)
    world.intake.rewind(world.lane, [0])
    world.gives(CLICKS, 0)
    assert world.consumer.sought == [(CLICKS, OFFSET_BEGINNING)]


def test_a_seek_is_tried_until_the_client_takes_it_and_nothing_is_believed_before(world: World) -> None:
    world.assigns(CLICKS, clicks=0)
    world.gives(CLICKS, 0, 1)
    world.consumer.unseekable.add(CLICKS)
    world.intake.rewind(world.lane, [0])
    world.gives(CLICKS, 2, 3)  # Still on their way from where it stood: taking them would lose 0 and 1.
    assert world.taken() == []
    world.consumer.unseekable.clear()
    world.gives(CLICKS)
    world.gives(CLICKS, 0, 1, 2, 3)
    assert world.taken() == [("clicks", 0, [0, 1, 2, 3])]


def test_a_topic_that_comes_later_sends_its_sibling_back() -> None:
    world = World("clicks", "browses")
    world.assigns(CLICKS, clicks=3)
    world.gives(CLICKS, 3, 4)
    world.assigns(BROWSES)
    world.gives(CLICKS, 3, 4)
    assert world.consumer.sought == [(CLICKS, 3)]
    assert world.taken() == [("clicks", 0, [3, 4])]
    world.intake.stop()


def test_what_waits_is_bounded_by_pausing_and_resumed_when_it_has_been_taken(world: World) -> None:
    world.assigns(CLICKS, clicks=0)
    records = HIGH_BYTES // 1_000_000 + 1
    world.gives(CLICKS, *range(records), size=1_000_000)
    world.gives(CLICKS)
    assert world.consumer.calls[-1] == ("pause", [CLICKS])
    world.taken(records - LOW_BYTES // 1_000_000 - 1)
    world.gives(CLICKS)
    assert world.consumer.calls[-1] == ("pause", [CLICKS]), "more than the lower bound waits still"
    world.taken(3)
    world.gives(CLICKS)
    assert world.consumer.calls[-1] == ("resume", [CLICKS])


def test_a_partition_that_was_paused_when_it_was_revoked_is_resumed_when_it_comes_back(world: World) -> None:
    world.assigns(CLICKS, clicks=0)
    world.gives(CLICKS, *range(HIGH_BYTES // 1_000_000 + 1), size=1_000_000)
    world.gives(CLICKS)
    world.consumer.play(lambda c: c.revoked(CLICKS))
    world.assigns(CLICKS, clicks=0)
    world.gives(CLICKS)
    assert [name for name, _ in world.consumer.calls] == ["assign", "resume", "pause", "assign", "resume"]


def test_a_revocation_waits_for_the_commit_under_way(world: World) -> None:
    world.assigns(CLICKS, clicks=0)
    world.gives(CLICKS, 0)
    batches = world.lane.take(1, world.lane.topics)
    with world.lane.commit_lock:
        over = world.consumer.begin(lambda c: c.revoked(CLICKS))
        assert world.lane.current(batches), "nobody takes it away between the check and the commit"
        world.lane.committed(batches)
    assert over.wait(5)
    assert not world.lane.current(batches)


def test_group_metadata_is_that_of_the_last_poll(world: World) -> None:
    world.gives(CLICKS)
    before = world.intake.metadata
    world.gives(CLICKS)
    assert before is not None
    assert world.intake.metadata is not before


def failed(code: int, *, fatal: bool = False) -> Sequence[Any]:
    return [FakeRecord("clicks", 0, -1001, error=KafkaError(code, "no", fatal))]


@pytest.mark.parametrize(
    ("code", "fatal", "wanted"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False, NotAllowed),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, False, NotAllowed),
        (KafkaError._AUTHENTICATION, False, Unreachable),
        (KafkaError._FATAL, True, Unreachable),
    ],
)
def test_what_no_patience_mends_ends_the_intake(code: int, fatal: bool, wanted: type[Exception]) -> None:
    world = World("clicks")
    world.consumer.begin(lambda _: failed(code, fatal=fatal))
    with pytest.raises(wanted):
        world.intake.failure.result(5)


def test_an_intake_that_fails_leaves_the_group_too() -> None:
    world = World("clicks")
    world.consumer.begin(lambda _: failed(KafkaError._FATAL, fatal=True))
    eventually(lambda: world.consumer.closed, 5)


def test_passing_errors_are_survived_and_their_poll_is_not_lost(world: World) -> None:
    world.assigns(CLICKS, clicks=0)
    world.consumer.play(lambda _: [*failed(KafkaError._TRANSPORT), *plain("clicks", 0, 0)])
    assert world.taken() == [("clicks", 0, [0])]


def test_a_chore_left_to_an_ended_intake_is_refused_not_forgotten() -> None:
    world = World("clicks")
    world.consumer.begin(lambda _: failed(KafkaError._FATAL, fatal=True))
    with pytest.raises(Unreachable):
        world.intake.failure.result(5)
    with pytest.raises(Unreachable):
        world.intake.rewind(world.lane, [0])


def test_a_chore_that_nobody_waits_for_any_more_is_left_out(world: World) -> None:
    done: list[str] = []
    given_up: Future[None] = Future()
    assert given_up.cancel()
    world.intake._chores.put((lambda _: done.append("given up"), given_up))
    world.intake.chore(lambda _: done.append("next")).result(5)
    assert done == ["next"]


def test_a_chore_that_fails_tells_who_left_it(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        world.intake.chore(lambda _: 1 / 0).result(5)
    assert not world.intake.failure.done()


def test_a_stop_leaves_the_group() -> None:
    world = World("clicks")
    world.intake.stop()
    assert world.consumer.closed
    assert world.intake.failure.result(0) is None
    eventually(lambda: not world.intake._thread.is_alive(), 5)


def test_kip_848_groups_set_no_timeouts_and_classic_ones_do() -> None:
    # Rule 6: the broker owns KIP-848's timeouts, and the client refuses to start if they are set.
    modern = World("clicks")
    modern.intake.stop()
    assert modern.consumer.config["group.protocol"] == "consumer"
    assert modern.consumer.config["group.remote.assignor"] == "range"
    assert not modern.consumer.config.keys() & {
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "partition.assignment.strategy",
    }
    classic = Intake(Settings(), "classic", [Lane("behaviour", ["clicks"])], consumer=ScriptedConsumer)  # type: ignore[arg-type]
    config = classic._consumer.config  # type: ignore[attr-defined]
    assert config["partition.assignment.strategy"] == "range"
    assert config["heartbeat.interval.ms"] * 3 <= config["session.timeout.ms"]
