"""The six rules of exactly once, on Apache Kafka: each holds, and a worker that leaves it out is caught.

The careless workers differ from the real ones in the one rule. Beside them stands what must not happen: events lost,
doubled, or seen too late.
"""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from stream.follower import read_to_end, reader
from stream.intake import Intake
from stream.outbox import Aborted, Fenced, Transactions
from tests.broker.careless import Attached, Careless, Credulous, Failing, Overlapping
from tests.broker.fleet import JOIN_S, PARTITIONS, Copier, Keeper, Shop, records_of
from tests.brokers import ApacheKafka
from tests.eventually import eventually

pytestmark = pytest.mark.kafka


@pytest.fixture
def shop(kafka_empty: ApacheKafka) -> Shop:
    return Shop(kafka_empty)


@pytest.fixture
def hire() -> Iterator[Callable[[Copier], Any]]:
    """Starts workers, and lets them go at the end."""
    hired: list[Copier] = []

    def start(worker: Copier) -> Any:
        hired.append(worker)
        return worker.start()

    yield start
    for worker in hired:
        worker.stop()


# 1. Commit only what starts at the done offset, in the same epoch; the group's metadata is older than this check.


def committed_before_and_after_a_rewind(worker: Copier) -> None:
    """Commits a batch that was taken before its partitions were rewound, and then what was read again."""
    worker.owns(PARTITIONS)
    worker.waits(2 * 3)
    stale = worker.take()
    worker.intake.rewind(worker.lane, {0, 1})
    worker.waits(2 * 3)
    again = worker.take()
    for batches in (stale, again):
        try:
            worker.copy(batches)
        except Aborted:
            worker.aborts += 1


def test_1_a_batch_of_an_earlier_epoch_is_refused(shop: Shop, hire: Any) -> None:
    shop.clicks(3)
    worker = hire(Copier(shop, "a"))
    committed_before_and_after_a_rewind(worker)
    assert worker.aborts == 1
    assert shop.copies() == shop.once(range(6))


def test_1_without_the_check_the_batch_is_doubled(shop: Shop, hire: Any) -> None:
    shop.clicks(3)
    committed_before_and_after_a_rewind(hire(Copier(shop, "a", lane=Careless)))
    assert set(shop.copies().values()) == {2}


def test_1_a_batch_that_skips_what_is_not_done_is_refused(shop: Shop, hire: Any) -> None:
    shop.clicks(3)
    worker = hire(Copier(shop, "a"))
    worker.owns(PARTITIONS)
    worker.waits(2 * 3)
    later = [batch._replace(start=1, messages=batch.messages[1:]) for batch in worker.take()]
    with pytest.raises(Aborted):
        worker.copy(later)
    worker.intake.rewind(worker.lane, {0, 1})
    worker.until_done()
    assert shop.copies() == shop.once(range(6))


def stale_commit(shop: Shop, hire: Any, fresh_metadata: bool) -> Callable[[], None]:
    """A worker's commit of a partition that another has taken over and copied meanwhile. Its check is left out, so that
    only the metadata stands between."""
    shop.clicks(3)
    old = hire(Copier(shop, "old", lane=Careless))
    old.owns(PARTITIONS)
    old.waits(2 * 3)
    before, batches = old.intake.metadata, old.take()
    new = hire(Copier(shop, "new"))
    (moved,) = new.owns(1)
    old.owns(1)
    new.until_done()
    stale = [batch for batch in batches if batch.partition == moved]
    # A poll later the group's metadata is of the new generation, in which `old` is a member like any other.
    polled = old.intake.metadata
    eventually(lambda: old.intake.metadata is not polled, JOIN_S)
    metadata = old.intake.metadata if fresh_metadata else before
    outbox = Transactions(shop.settings("stale"), cast(Intake, SimpleNamespace(metadata=metadata)), old.lane)
    outbox.open()
    return lambda: outbox.commit(stale, records_of(stale))


def test_1_metadata_from_before_the_rebalance_is_fenced(shop: Shop, hire: Any) -> None:
    commit = stale_commit(shop, hire, fresh_metadata=False)
    with pytest.raises((Aborted, Fenced)):
        commit()
    assert set(shop.copies().values()) == {1}


def test_1_metadata_taken_after_the_check_lets_a_stale_batch_pass(shop: Shop, hire: Any) -> None:
    stale_commit(shop, hire, fresh_metadata=True)()
    assert sorted(shop.copies().values()) == [2, 2, 2]


# 2. A poll that overlapped an assignment is thrown away and fetched again.


def polled_across_an_assignment(shop: Shop, hire: Any, intake: type[Intake]) -> Copier:
    shop.clicks(3)
    worker: Copier = hire(Copier(shop, "a", intake=intake, consumer=Overlapping))
    consumer = cast(Overlapping, worker.intake._consumer)
    worker.owns(PARTITIONS)
    worker.waits(2 * 3)
    consumer.hold.set()
    shop.clicks(2)
    eventually(lambda: len(consumer.held) == 2 * 2, JOIN_S)
    other = hire(Copier(shop, "b"))
    other.owns(1)
    other.stop()
    eventually(lambda: not consumer.hold.is_set(), JOIN_S, "the partition to come back")
    worker.owns(PARTITIONS)
    return worker


def test_2_a_poll_that_overlapped_an_assignment_is_fetched_again(shop: Shop, hire: Any) -> None:
    worker = polled_across_an_assignment(shop, hire, Intake)
    worker.until_done()
    assert shop.copies() == shop.once(range(10))


def test_2_a_worker_that_believes_it_loses_or_doubles_events(shop: Shop, hire: Any) -> None:
    worker = polled_across_an_assignment(shop, hire, Credulous)
    worker.until_done()
    assert shop.copies() != shop.once(range(10))


# 3. After an abort: drop the windows, rewind, load again. A fatal error ends the worker.


def kept_after_an_abort(shop: Shop, worker: Keeper) -> dict[str, list[int]]:
    """The committed windows after two clicks of each user, and one more whose transaction was aborted at first."""
    worker.owns(PARTITIONS)
    shop.clicks(2)
    worker.until_done()
    cast(Failing, worker.outbox._producer).fails = True
    shop.clicks(1)
    worker.until_done()
    assert worker.aborts == 1
    return shop.kept()


WHOLE = {"u0": [0, 2, 4], "u1": [1, 3, 5]}


def test_3_after_an_abort_the_windows_are_dropped_and_loaded_and_nothing_is_lost(shop: Shop, hire: Any) -> None:
    assert kept_after_an_abort(shop, hire(Keeper(shop, "a", producer=Failing))) == WHOLE


def test_3_a_worker_that_keeps_its_windows_takes_the_aborted_events_for_repeats(shop: Shop, hire: Any) -> None:
    # Their offsets are committed then, and their windows never.
    assert kept_after_an_abort(shop, hire(Keeper(shop, "a", producer=Failing, windows=Attached))) != WHOLE


def test_3_a_worker_whose_name_another_took_ends_and_does_not_go_on(shop: Shop, hire: Any) -> None:
    worker = hire(Copier(shop, "a"))
    worker.owns(PARTITIONS)
    Transactions(worker.settings, worker.intake, worker.lane).open()
    shop.clicks(1)
    worker.waits(2)
    with pytest.raises(Fenced):
        worker.copy(worker.take())
    assert shop.copies() == {}


# 4. Windows are loaded up to the high watermark, not to the end-of-partition event.


def writer(shop: Shop, name: str, **more: Any) -> Producer:
    """A producer with a transaction under way that has written `held`."""
    producer = Producer({**shop.client, "transactional.id": name, **more})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("out", b"held", b"k", 0)
    assert producer.flush(20) == 0
    return producer


def stopping_at_the_event(shop: Shop) -> list[bytes | None]:
    """Rule 4 left out: what a reader finds that believes the end-of-partition event."""
    consumer = reader(shop.client, [TopicPartition("out", 0, OFFSET_BEGINNING)])
    found: list[bytes | None] = []
    try:
        while True:
            message = consumer.poll(JOIN_S)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                return found
            found.append(message.value())
    finally:
        consumer.close()


def test_4_a_load_waits_for_the_transaction_that_is_open_when_it_begins(shop: Shop) -> None:
    producer = writer(shop, "slow")
    assert stopping_at_the_event(shop) == [], "the event fires before the open transaction"
    committing = threading.Timer(1.0, producer.commit_transaction)
    committing.start()
    found = [value for _, (_, value) in read_to_end(shop.client, shop.admin, "out", [0], True)]
    committing.join()
    assert found == [b"held"]


def test_4_a_load_right_after_a_commit_has_all_of_it_though_markers_lag(shop: Shop) -> None:
    producer = Producer({**shop.client, "transactional.id": "quick"})
    producer.init_transactions(20)
    for number in range(1, 31):
        producer.begin_transaction()
        producer.produce("out", str(number).encode(), b"k", 0)
        producer.commit_transaction(20)
        assert len(list(read_to_end(shop.client, shop.admin, "out", [0], True))) == number


def test_4_a_load_does_not_wait_for_what_begins_later_and_shows_nothing_that_was_aborted(shop: Shop) -> None:
    writer(shop, "aborting").abort_transaction(20)
    later = read_to_end(shop.client, shop.admin, "out", [0], True)
    assert list(later) == []


# 5. The same transactional id ends its dead predecessor's transaction at once; others wait for its timeout.


def seconds_until_readable(shop: Shop, name: str) -> float:
    """From a new worker's start until a reader gets past the transaction that `dead` left open."""
    start = time.monotonic()
    worker = Copier(shop, name)
    worker.outbox.open()
    list(read_to_end(shop.client, shop.admin, "out", [0], True))
    return time.monotonic() - start


def test_5_the_same_name_ends_its_predecessors_transaction_at_once_and_another_waits(shop: Shop) -> None:
    timeout_ms = 5_000
    for name, at_once in (("dead", True), ("another", False)):
        dead = writer(shop, Copier(shop, "dead").outbox._name, **{"transaction.timeout.ms": timeout_ms})
        waited_s = seconds_until_readable(shop, name)
        assert (waited_s < timeout_ms / 1000 - 1) is at_once, f"{name} waited {waited_s:.1f} s"
        del dead
    assert shop.copies() == {}, "what the dead left is never seen"


# 6. Groups are KIP-848's, whose timeouts live on the broker.


def test_6_kept_partitions_flow_on_while_others_move_and_a_stop_hands_over_without_loss(shop: Shop, hire: Any) -> None:
    shop.clicks(5)
    first, second = hire(Copier(shop, "a")), Copier(shop, "b")
    first.owns(PARTITIONS)
    hire(second)
    seen: set[tuple[int, ...]] = set()

    def both() -> bool:
        shop.clicks(1)
        first.turn()
        second.turn()
        seen.add(tuple(first.lane.partitions))
        return len(first.lane.partitions) == len(second.lane.partitions) == 1

    eventually(both, JOIN_S, "each to own one")
    assert () not in seen, "a partition that stays is never taken away"
    second.stop()
    first.owns(PARTITIONS)
    first.until_done()
    assert set(shop.copies().values()) == {1}
    assert len(shop.copies()) == sum(1 for _ in shop.read("clicks"))


def test_6_the_group_is_one_of_kip_848(shop: Shop, hire: Any) -> None:
    hire(Copier(shop, "a")).owns(PARTITIONS)
    (group,) = shop.admin.list_consumer_groups().result().valid
    assert group.type.name == "CONSUMER"


def test_6_the_client_refuses_the_classic_timeouts_there(shop: Shop) -> None:
    config = {**shop.client, "group.id": "x", "group.protocol": "consumer"}
    Consumer(config).close()
    with pytest.raises(KafkaException, match=r"session\.timeout\.ms"):
        Consumer({**config, "session.timeout.ms": 6_000})


# Not among the six, and as costly: found when partitions came back and stayed silent.


def test_a_partition_that_was_paused_when_it_was_revoked_reads_on_when_it_comes_back(shop: Shop, hire: Any) -> None:
    worker = hire(Copier(shop, "a"))
    worker.owns(PARTITIONS)
    shop.clicks(1)
    worker.until_done()
    worker.intake.chore(lambda c: c.pause([TopicPartition("clicks", p) for p in range(PARTITIONS)])).result(5)
    other = hire(Copier(shop, "b"))
    (moved,) = other.owns(1)
    other.stop()
    worker.owns(PARTITIONS)
    shop.clicks(1)
    eventually(lambda: worker.lane.waiting == 1, JOIN_S, "the record of the partition that came back")
    (batch,) = worker.take()
    assert batch.partition == moved
