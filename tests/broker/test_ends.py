"""Where a log ends is found although its leader has moved, on Apache Kafka with three brokers."""

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream.follower import ends
from tests.brokers import ApacheKafka

pytestmark = pytest.mark.kafka


def test_an_old_client_finds_the_ends_while_leaders_come_and_go(kafka3: ApacheKafka) -> None:
    kafka3.clear()
    client = {"bootstrap.servers": kafka3.bootstrap, "log_level": 0}
    admin = AdminClient(client)
    admin.create_topics([NewTopic("log", 6, 3)])["log"].result(20)
    producer = Producer(client)
    places = {("log", partition): partition + 1 for partition in range(6)}
    for (topic, partition), count in places.items():
        for _ in range(count):
            producer.produce(topic, b"x", partition=partition)
    assert producer.flush(20) == 0
    assert ends(admin, places) == places
    for broker in kafka3.ids:  # Each leads two partitions; the third to go has taken over from the others.
        kafka3.stop(broker)
        assert ends(admin, places) == places
        kafka3.start(broker)
        assert ends(admin, places) == places
