"""What the project leans on about brokers, asked of the brokers themselves: KAFKA.md as contract tests.

Where a test here fails after an upgrade, read what leans on it before anything else: the refusal of exactly-once
(stream/outbox.py), loading to the high watermark (stream/follower.py), co-partitioning (stream/intake.py).
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType

from tests.brokers import ApacheKafka, Broker, Embedded, admin
from tests.eventually import eventually

COMMITTED, UNCOMMITTED = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED


def a_topic(broker: Broker, partitions: int = 1, **config: str) -> str:
    name = f"facts-{uuid.uuid4().hex[:8]}"
    dotted = {key.replace("_", "."): value for key, value in config.items()}
    client = admin(broker.bootstrap)  # In a variable: a client that is collected takes its futures with it (_DESTROY).
    for future in client.create_topics([NewTopic(name, partitions, -1, config=dotted)]).values():
        future.result()
    # Created is not yet led everywhere.
    eventually(lambda: len(client.list_topics(name, timeout=5).topics[name].partitions) == partitions, 10)
    return name


def end(broker: Broker, topic: str, isolation: IsolationLevel) -> int:
    place = TopicPartition(topic, 0)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    client = admin(broker.bootstrap)
    return int(client.list_offsets({place: latest}, isolation_level=isolation)[place].result().offset)


@contextmanager
def a_transaction(broker: Broker) -> Iterator[Producer]:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": uuid.uuid4().hex, "linger.ms": 0})
    producer.init_transactions(20)
    producer.begin_transaction()
    yield producer


def produce(broker: Broker, topic: str, *values: bytes) -> list[KafkaError | None]:
    """Delivers them as one batch; the error of each, or None."""
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 20_000_000, "linger.ms": 100})
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(20) == 0
    return errors


def committed(broker: Broker, topic: str) -> tuple[list[bytes | None], int]:
    """What a read_committed reader sees of partition 0, and the offset of its end-of-partition event."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "facts",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        values: list[bytes | None] = []
        while True:
            message = consumer.poll(20)
            assert message is not None, "neither a record nor the end in 20 s"
            if (error := message.error()) is None:
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                return values, int(message.offset() or 0)
            else:
                raise KafkaException(error)
    finally:
        consumer.close()


def test_apache_kafka_hides_an_aborted_transaction(kafka: ApacheKafka) -> None:
    topic = a_topic(kafka)
    with a_transaction(kafka) as producer:
        producer.produce(topic, b"never", partition=0)
        assert producer.flush(10) == 0
        producer.abort_transaction(10)
    with a_transaction(kafka) as producer:
        producer.produce(topic, b"done", partition=0)
        producer.commit_transaction(10)
    # record, marker, record, marker: the second marker may lag behind commit_transaction().
    eventually(lambda: committed(kafka, topic) == ([b"done"], 4), 10, lambda: str(committed(kafka, topic)))


def test_the_high_watermark_counts_an_open_transaction_and_the_end_event_does_not(kafka: ApacheKafka) -> None:
    topic = a_topic(kafka)
    with a_transaction(kafka) as producer:
        producer.produce(topic, b"open", partition=0)
        assert producer.flush(10) == 0
        assert (end(kafka, topic, COMMITTED), end(kafka, topic, UNCOMMITTED)) == (0, 1)
        assert committed(kafka, topic) == ([], 0)  # Why loading to the end event is unsafe.
        producer.abort_transaction(10)


def test_a_commit_that_timed_out_goes_on_when_it_is_called_again_and_nothing_else_may_be(kafka: ApacheKafka) -> None:
    topic = a_topic(kafka)
    with a_transaction(kafka) as producer:
        producer.produce(topic, b"done", partition=0)
        with pytest.raises(KafkaException) as late:
            producer.commit_transaction(0.0001)
        assert late.value.args[0].retriable()
        with pytest.raises(KafkaException) as refused:
            producer.abort_transaction(10)
        # _STATE where the time ended while records were flushed (BeginCommit), _CONFLICT where it ended later.
        assert refused.value.args[0].code() in (KafkaError._STATE, KafkaError._CONFLICT)
        producer.commit_transaction(10)
    eventually(lambda: committed(kafka, topic)[0] == [b"done"], 10, lambda: str(committed(kafka, topic)))


def test_the_embedded_broker_shows_an_aborted_transaction(embedded: Embedded) -> None:
    topic = a_topic(embedded)
    with a_transaction(embedded) as producer:
        producer.produce(topic, b"never", partition=0)
        assert producer.flush(10) == 0
        # It keeps a last stable offset while the transaction is open. So that offset is no evidence of isolation:
        assert (end(embedded, topic, COMMITTED), end(embedded, topic, UNCOMMITTED)) == (0, 1)
        assert committed(embedded, topic) == ([], 0)
        # only what a reader sees after the abort is.
        producer.abort_transaction(10)
    assert committed(embedded, topic)[0] == [b"never"]


def test_the_embedded_brokers_latest_offset_is_wrong_and_its_end_event_is_right(embedded: Embedded) -> None:
    topic = a_topic(embedded)
    produce(embedded, topic, b"1", b"2", b"3", b"4", b"5")
    assert end(embedded, topic, UNCOMMITTED) == 1  # The last batch's base + 1.
    assert committed(embedded, topic) == ([b"1", b"2", b"3", b"4", b"5"], 5)


@contextmanager
def members(broker: Broker, topics: list[str], config: dict[str, Any]) -> Iterator[list[Consumer]]:
    common = {"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
    consumers = [Consumer({**common, **config}) for _ in range(2)]
    try:
        for consumer in consumers:
            consumer.subscribe(topics)
        yield consumers
    finally:
        for consumer in consumers:
            consumer.close()


def shares(consumers: list[Consumer]) -> list[dict[str, set[int]]]:
    """Each member's partitions by topic."""
    found: list[dict[str, set[int]]] = []
    for consumer in consumers:
        consumer.poll(0.05)
        mine: dict[str, set[int]] = {}
        for place in consumer.assignment():
            mine.setdefault(place.topic, set()).add(place.partition)
        found.append(mine)
    return found


def co_partitioned(consumers: list[Consumer], topics: list[str]) -> bool:
    """Whether each of two members has the same two partitions of every topic."""
    found = shares(consumers)
    halves = [share.get(topics[0], set()) for share in found]
    alike = all(share.get(topic) == half for share, half in zip(found, halves, strict=True) for topic in topics)
    return alike and [len(half) for half in halves] == [2, 2] and halves[0] | halves[1] == {0, 1, 2, 3}


CLASSIC = {"partition.assignment.strategy": "range", "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
KIP_848 = {"group.protocol": "consumer", "group.remote.assignor": "range"}


@pytest.mark.parametrize("config", [KIP_848, CLASSIC], ids=["KIP-848", "classic"])
def test_range_gives_a_member_the_same_partitions_of_every_topic(kafka: ApacheKafka, config: dict[str, Any]) -> None:
    topics = [a_topic(kafka, partitions=4) for _ in range(3)]
    with members(kafka, topics, config) as consumers:
        eventually(lambda: co_partitioned(consumers, topics), 30, lambda: str(shares(consumers)))


def test_classic_range_works_on_the_embedded_broker(embedded: Embedded) -> None:
    topics = [a_topic(embedded, partitions=4) for _ in range(3)]
    with members(embedded, topics, CLASSIC) as consumers:
        eventually(lambda: co_partitioned(consumers, topics), 30, lambda: str(shares(consumers)))


def config_of(broker: Broker, kind: ResourceType, name: str) -> dict[str, str]:
    client = admin(broker.bootstrap)
    (future,) = client.describe_configs([ConfigResource(kind, name)]).values()
    return {entry.name: str(entry.value) for entry in future.result().values()}


def protocols(broker: Broker) -> str | None:
    one = str(next(iter(admin(broker.bootstrap).list_topics(timeout=10).brokers)))
    return config_of(broker, ResourceType.BROKER, one).get("group.coordinator.rebalance.protocols")


def test_apache_kafka_says_that_it_has_kip_848(kafka: ApacheKafka) -> None:
    assert "consumer" in (protocols(kafka) or "").split(",")


def test_the_embedded_broker_does_not_say_that_it_has_kip_848(embedded: Embedded) -> None:
    # A KIP-848 member there gets neither partitions nor an error, for ever: this answer is all there is to go by.
    assert protocols(embedded) is None


def test_a_topics_own_limit_holds_on_apache_kafka(kafka: ApacheKafka) -> None:
    small, large = a_topic(kafka), a_topic(kafka, max_message_bytes="4194304")
    too_large = [KafkaError.MSG_SIZE_TOO_LARGE]
    assert [error and error.code() for error in produce(kafka, small, b"x" * 2_000_000)] == too_large
    assert produce(kafka, large, b"x" * 2_000_000) == [None]
    assert [error and error.code() for error in produce(kafka, large, b"x" * 6_000_000)] == too_large


def test_the_embedded_broker_keeps_a_topics_limit_and_ignores_it(embedded: Embedded) -> None:
    topic = a_topic(embedded, max_message_bytes="1000", cleanup_policy="compact")
    assert produce(embedded, topic, b"x" * 6_000_000) == [None]
    kept = config_of(embedded, ResourceType.TOPIC, topic)
    assert kept == {"max.message.bytes": "1000", "cleanup.policy": "compact"}  # Only what was set.


def test_the_embedded_broker_creates_a_topic_when_asked_about_it_and_never_grows_one(embedded: Embedded) -> None:
    client = admin(embedded.bootstrap)
    assert "unheard-of" not in client.list_topics(timeout=10).topics
    assert client.list_topics("unheard-of", timeout=10).topics["unheard-of"].error is None
    assert "unheard-of" in client.list_topics(timeout=10).topics
    (future,) = client.create_partitions([NewPartitions("unheard-of", 8)]).values()
    with pytest.raises(KafkaException) as caught:
        future.result()
    assert caught.value.args[0].code() == KafkaError._UNSUPPORTED_FEATURE


def test_three_brokers_take_records_while_one_is_killed(kafka3: ApacheKafka) -> None:
    topic = a_topic(kafka3)
    assert config_of(kafka3, ResourceType.TOPIC, topic)["min.insync.replicas"] == "2"
    leader = admin(kafka3.bootstrap).list_topics(topic, timeout=10).topics[topic].partitions[0].leader
    kafka3.kill(leader)
    try:
        assert produce(kafka3, topic, b"still") == [None]
        assert committed(kafka3, topic)[0] == [b"still"]
    finally:
        kafka3.start(leader)
