"""The checker reads a topic to its true end, on either broker."""

from confluent_kafka import Producer

from tests.broker.test_broker_facts import a_topic, a_transaction, produce
from tests.brokers import ApacheKafka, Embedded
from tests.checker import dump


def test_a_dump_holds_every_committed_record_and_no_aborted_one(kafka: ApacheKafka) -> None:
    topic = a_topic(kafka, partitions=3)

    def in_a_transaction(value: bytes) -> Producer:
        with a_transaction(kafka) as producer:
            for partition in range(2):
                producer.produce(topic, value, b"key", partition, headers=[("h", b"1")])
            assert producer.flush(10) == 0
            return producer

    in_a_transaction(b"one").commit_transaction(10)
    in_a_transaction(b"never").abort_transaction(10)
    in_a_transaction(b"two").commit_transaction(10)
    in_a_transaction(b"never").abort_transaction(10)
    records = dump(kafka.bootstrap, topic)
    seen = sorted((record["partition"], record["offset"], record["value"]) for record in records)
    assert seen == [(0, 0, b"one"), (0, 4, b"two"), (1, 0, b"one"), (1, 4, b"two")]
    assert records[0]["key"] == b"key"
    assert records[0]["headers"] == [("h", b"1")]


def test_a_dump_of_the_embedded_broker_is_whole_though_its_latest_offset_is_too_low(embedded: Embedded) -> None:
    topic = a_topic(embedded)
    values = [b"%d" % each for each in range(50)]
    produce(embedded, topic, *values)
    assert [record["value"] for record in dump(embedded.bootstrap, topic)] == values
