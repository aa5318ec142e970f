"""Step 10: what becomes of a micro-batch whatever Kafka answers, with a producer that fails on command."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream.errors import NotAllowed
from stream.intake import Intake
from stream.lane import Batch, Lane
from stream.messages import Record
from stream.outbox import Aborted, Deliveries, Fenced, Transactions
from stream.settings import Settings
from tests.records import plain

CLICKS = ("clicks", 0)
RECORDS = [Record("out", 2, b"k", b"v", [("h", b"1")]), Record("out", -1, b"k", None)]
ABORTABLE = KafkaError(KafkaError.ILLEGAL_GENERATION, "stale", txn_requires_abort=True)
FATAL = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
PASSING = KafkaError(KafkaError._TIMED_OUT, "not yet", retriable=True)


class FakeProducer:
    """Remembers its calls; each of `fails[call]` is raised once, in order."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.calls: list[str] = []
        self.fails: dict[str, list[Exception]] = {}
        self.sent: list[tuple[Any, ...]] = []
        self.offsets: list[tuple[str, int, int]] = []
        self.metadata: object = None
        self.watch: Callable[[str], None] = lambda call: None
        self.delivered: list[KafkaError | None] = []
        self._heard: list[Callable[..., None]] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.watch(name)
        if self.fails.get(name):
            raise self.fails[name].pop(0)

    def init_transactions(self, timeout: float) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(
        self, topic: str, value: Any, key: Any, partition: int, on_delivery: Any = None, headers: Any = None
    ) -> None:
        self._call("produce")
        self.sent.append((topic, partition, key, value, headers))
        if on_delivery is not None:
            self._heard.append(on_delivery)

    def poll(self, timeout: float) -> None:
        pass

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], metadata: object, timeout: float) -> None:
        self._call("offsets")
        self.offsets = [(tp.topic, tp.partition, tp.offset) for tp in offsets]
        self.metadata = metadata

    def commit_transaction(self, timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, timeout: float) -> None:
        self._call("abort")

    def flush(self, timeout: float = -1) -> int:
        self._call("flush")
        for heard, error in zip(self._heard, [*self.delivered, *[None] * len(self._heard)], strict=False):
            heard(error, None)
        self._heard.clear()
        return 0


class FakeIntake:
    """Has group metadata, and commits offsets as told."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.lane = Lane("behaviour", ["clicks"])
        self.lane.assign({CLICKS: 0})
        self.answer: bool | Exception = True
        self.committed: list[Batch] = []
        self.before_metadata: Callable[[], object] = lambda: None

    @property
    def metadata(self) -> object:
        self.asked.append(self.lane.commit_lock.locked())
        self.before_metadata()
        return f"metadata {len(self.asked)}"

    def commit_offsets(self, lane: Lane, batches: list[Batch]) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.committed += batches if self.answer else []
        return self.answer


class World:
    """A lane with one batch of three records, and an outbox of the wanted kind."""

    def __init__(self, outbox: type[Transactions] | type[Deliveries] = Transactions) -> None:
        self.intake = FakeIntake()
        self.lane = self.intake.lane
        settings = Settings(replica="r-0", transaction_timeout_ms=1_000)
        made = outbox(settings, cast(Intake, self.intake), self.lane, producer=FakeProducer)  # type: ignore[arg-type]
        self.outbox = made
        self.producer = cast(FakeProducer, made._producer)
        self.lane.offer(CLICKS, plain("clicks", 0, 0, 1, 2))
        self.batches = self.lane.take(10, self.lane.topics)

    def fail(self, call: str, *errors: KafkaError) -> None:
        self.producer.fails[call] = [KafkaException(error) for error in errors]

    def commit(self) -> None:
        self.outbox.commit(self.batches, RECORDS)


def test_a_transaction_holds_the_records_and_the_offsets_and_then_the_batch_is_done() -> None:
    world = World()
    world.commit()
    assert world.producer.calls == ["begin", "produce", "produce", "offsets", "commit"]
    assert world.producer.sent == [("out", 2, b"k", b"v", [("h", b"1")]), ("out", -1, b"k", None, None)]
    assert world.producer.offsets == [("clicks", 0, 3)]
    assert world.producer.metadata == "metadata 1"
    assert world.lane.place_done(CLICKS) == 3
    assert not world.lane.commit_lock.locked()


def test_group_metadata_is_taken_before_the_lock_and_all_else_happens_under_it() -> None:
    # Rule 1: metadata taken later could be newer than the check, and the broker would not fence a stale worker.
    world, locked = World(), []
    world.producer.watch = lambda _: locked.append(world.lane.commit_lock.locked())
    world.commit()
    assert world.intake.asked == [False]
    assert locked == [True] * 5


def test_a_rebalance_between_the_metadata_and_the_check_stops_the_commit() -> None:
    world = World()
    world.intake.before_metadata = lambda: world.lane.revoke([CLICKS])
    with pytest.raises(Aborted, match="moved"):
        world.commit()
    assert world.producer.calls == []


def test_a_batch_that_does_not_start_where_its_partition_is_done_is_never_sent() -> None:
    world = World()
    world.lane.offer(CLICKS, plain("clicks", 0, 3))
    world.batches = world.lane.take(10, world.lane.topics)
    with pytest.raises(Aborted):
        world.commit()
    assert world.producer.calls == []


@pytest.mark.parametrize("call", ["begin", "produce", "offsets", "commit"])
def test_what_the_broker_aborts_is_aborted_and_the_batch_is_not_done(call: str) -> None:
    world = World()
    world.fail(call, ABORTABLE)
    with pytest.raises(Aborted, match="stale"):
        world.commit()
    assert world.producer.calls[-1] == "abort"
    assert world.lane.place_done(CLICKS) == 0
    assert not world.lane.commit_lock.locked()
    world.commit()
    assert world.lane.place_done(CLICKS) == 3, "the producer can go on after an abort"


@pytest.mark.parametrize("call", ["begin", "produce", "offsets", "commit"])
def test_a_fatal_error_fences_without_another_word_to_the_broker(call: str) -> None:
    world = World()
    world.fail(call, FATAL)
    with pytest.raises(Fenced, match="--replica"):
        world.commit()
    assert world.producer.calls[-1] == call
    assert world.lane.place_done(CLICKS) == 0


@pytest.mark.parametrize("call", ["offsets", "commit"])
def test_a_passing_error_is_tried_again(call: str) -> None:
    world = World()
    world.fail(call, PASSING, PASSING)
    world.commit()
    assert world.producer.calls.count(call) == 3
    assert world.lane.place_done(CLICKS) == 3


@pytest.mark.parametrize("call", ["offsets", "commit"])
def test_a_process_frozen_for_longer_than_a_transaction_finds_the_answer_that_waits(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    now = 0.0
    monkeypatch.setattr("stream.outbox.time", SimpleNamespace(monotonic=lambda: now, sleep=lambda _: None))
    world = World()
    world.fail(call, PASSING)

    def freeze(called: str) -> None:
        nonlocal now
        now += 60.0 * (called == call)

    world.producer.watch = freeze
    world.commit()
    assert world.producer.calls.count(call) == 2
    assert world.lane.place_done(CLICKS) == 3


def test_a_commit_without_an_answer_ends_the_worker_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def pause(_: float) -> None:
        nonlocal now
        now += 0.3

    monkeypatch.setattr("stream.outbox.time", SimpleNamespace(monotonic=lambda: now, sleep=pause))
    world = World()
    world.fail("commit", *[PASSING] * 10)
    world.fail("abort", KafkaError(KafkaError._CONFLICT, "a commit is under way"))
    with pytest.raises(Fenced, match="not yet; nor could it be aborted: a commit is under way"):
        world.commit()
    assert world.producer.calls.count("commit") == 5, "for the second that a transaction may take, and once more"
    assert world.lane.place_done(CLICKS) == 0


def test_a_passing_error_of_the_abort_is_tried_again_too() -> None:
    world = World()
    world.fail("commit", ABORTABLE)
    world.fail("abort", PASSING)
    with pytest.raises(Aborted):
        world.commit()
    assert world.producer.calls[-2:] == ["abort", "abort"]


def test_an_abort_that_fails_leaves_the_outcome_open_and_ends_the_worker() -> None:
    world = World()
    world.fail("commit", ABORTABLE)
    world.fail("abort", KafkaError(KafkaError._STATE, "conflict"))
    with pytest.raises(Fenced, match="conflict"):
        world.commit()
    assert world.lane.place_done(CLICKS) == 0


def test_a_full_queue_waits_and_loses_nothing() -> None:
    world = World()
    world.producer.fails["produce"] = [BufferError()]
    world.commit()
    assert len(world.producer.sent) == 2


def test_a_batch_without_records_still_moves_its_offsets() -> None:
    world = World()
    world.outbox.commit(world.batches, [])
    assert world.producer.offsets == [("clicks", 0, 3)]


def test_the_transactional_id_is_the_replicas_own_and_the_same_after_a_restart() -> None:
    # Rule 5: another id after a restart would leave the dead one's transaction open until it times out.
    ids = {World().producer.config["transactional.id"] for _ in range(2)}
    assert ids == {"firstclick-r-0-behaviour"}
    assert World().producer.config["transaction.timeout.ms"] == 1_000
    assert World().producer.config["partitioner"] == "murmur2_random"


def test_a_missing_permission_names_the_remedy() -> None:
    world = World()
    world.fail("init", KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "no"))
    with pytest.raises(NotAllowed, match="--guarantee"):
        world.outbox.open()


# At least once


def test_deliveries_come_before_offsets() -> None:
    world = World(Deliveries)
    world.commit()
    assert world.producer.calls == ["produce", "produce", "flush"]
    assert world.intake.committed == world.batches
    assert "transactional.id" not in world.producer.config


def test_a_failed_delivery_commits_no_offsets_and_the_next_try_starts_clean() -> None:
    world = World(Deliveries)
    world.producer.delivered = [None, KafkaError(KafkaError._MSG_TIMED_OUT, "late")]
    with pytest.raises(Aborted, match="late"):
        world.commit()
    assert world.intake.committed == []
    world.producer.delivered = []
    world.commit()
    assert world.intake.committed == world.batches


def test_a_fatal_delivery_fences_wherever_it_stands_among_the_failures() -> None:
    world = World(Deliveries)
    world.producer.delivered = [KafkaError(KafkaError._MSG_TIMED_OUT, "late"), FATAL]
    with pytest.raises(Fenced):
        world.commit()


def test_a_partition_that_moved_while_records_were_delivered_commits_no_offsets() -> None:
    world = World(Deliveries)
    world.intake.answer = False
    with pytest.raises(Aborted, match="moved"):
        world.commit()


def test_a_refused_offset_commit_is_read_again() -> None:
    world = World(Deliveries)
    world.intake.answer = KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, "stale"))
    with pytest.raises(Aborted, match="stale"):
        world.commit()


def test_stale_batches_are_not_even_delivered() -> None:
    world = World(Deliveries)
    world.lane.rewind(0)
    with pytest.raises(Aborted):
        world.commit()
    assert world.producer.calls == []
