"""`firstclick dump`: a topic between two times, on either broker, as a log that training reads."""

import threading
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from model.training.logs.columns import read_log
from stream.dump import records
from stream.errors import Unreachable
from tests.broker.test_broker_facts import a_topic, a_transaction
from tests.brokers import ApacheKafka, Broker

T = 1_700_000_000_000
MINUTE = 60_000


def old_topic(broker: Broker, partitions: int = 1) -> str:
    """A topic that keeps records of years ago: a broker looks for what is too old 30 s after its start."""
    return a_topic(broker, partitions, retention_ms="-1")


def produced(broker: Broker, topic: str, stamps: Sequence[int], partitions: int = 1) -> None:
    """One click a stamp, in this order; number n goes to partition n modulo partitions."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})
    for number, stamp in enumerate(stamps):
        event = {"event_id": f"e{number}", "user_id": f"u{number % 7}", "kind": "click", "item_id": "i", "at": stamp}
        key = f"u{number % 7}".encode()
        producer.produce(topic, orjson.dumps(event), key, partition=number % partitions, timestamp=stamp)
    assert producer.flush(20) == 0


def numbers(broker: Broker, topic: str, from_ms: int, to_ms: int) -> list[int]:
    found = records({"bootstrap.servers": broker.bootstrap}, topic, from_ms, to_ms)
    return sorted(int(orjson.loads(value)["event_id"][1:]) for value in found)


def test_a_topic_between_two_times(broker: Broker) -> None:
    topic = old_topic(broker, partitions=3)
    stamps = [T + number * MINUTE for number in range(60)]
    produced(broker, topic, stamps, partitions=3)
    assert numbers(broker, topic, 0, T * 2) == list(range(60))
    assert numbers(broker, topic, T + 10 * MINUTE, T + 20 * MINUTE) == list(range(10, 20))
    assert numbers(broker, topic, T + 50 * MINUTE + 1, T * 2) == list(range(51, 60))
    assert numbers(broker, topic, T * 2, T * 3) == []


def test_a_record_that_is_late_in_its_partition_is_found(broker: Broker) -> None:
    topic = old_topic(broker)
    produced(broker, topic, [T, T + 30 * MINUTE, T + 5 * MINUTE, T + 200 * MINUTE, T + 201 * MINUTE])
    assert numbers(broker, topic, T, T + 10 * MINUTE) == [0, 2]


def test_an_empty_topic_is_no_line(broker: Broker) -> None:
    assert numbers(broker, old_topic(broker), 0, T) == []


def test_a_topic_that_is_not_there_is_named(kafka: ApacheKafka) -> None:
    with pytest.raises(Unreachable, match="no-such-topic"):
        numbers(kafka, "no-such-topic", 0, T)


def test_a_topic_that_is_never_at_rest_is_read_to_where_it_ended_at_the_start(kafka: ApacheKafka) -> None:
    topic = old_topic(kafka)
    produced(kafka, topic, [T] * 10)
    stopping = threading.Event()

    def busy() -> None:
        number = 10
        while not stopping.is_set():
            produced(kafka, topic, [T + MINUTE + number])
            number += 1

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert numbers(kafka, topic, 0, T + 1) == list(range(10))
    finally:
        stopping.set()
        thread.join()


def test_what_was_aborted_is_in_no_log(kafka: ApacheKafka) -> None:
    topic = old_topic(kafka)
    for number, ends in enumerate(("commit_transaction", "abort_transaction", "commit_transaction")):
        with a_transaction(kafka) as producer:
            producer.produce(topic, b'{"event_id":"e%d"}' % number, b"u", 0, timestamp=T)
            assert producer.flush(10) == 0
            getattr(producer, ends)(10)
    assert numbers(kafka, topic, T, T + 1) == [0, 2]


def test_a_dump_is_a_log_that_training_reads(broker: Broker, tmp_path: Path) -> None:
    topic = old_topic(broker, partitions=2)
    produced(broker, topic, [T + number for number in range(40)], partitions=2)
    path = tmp_path / "log.jsonl"
    found = records({"bootstrap.servers": broker.bootstrap}, topic, T, T + 30)
    path.write_bytes(b"".join(value + b"\n" for value in found))
    log = read_log([path])
    assert (log.at_ms - T).tolist() == list(range(30))
    assert len(log.users) == 7
    assert log.rejected == {}
