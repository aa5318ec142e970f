"""What the shop page learns by asking: on Apache Kafka, where it is there, and on the embedded broker."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from stream import topics
from stream.page.looking import Looking
from tests.brokers import Broker, admin
from tests.eventually import eventually

SOON_S = 30.0  # A look takes place every 2 s.
TOPICS = ("looked-at", "looked-at-too")


class Seen:
    """A looker at a broker, and what it told."""

    def __init__(self, broker: Broker) -> None:
        self.turns = self.replaced = 0
        client = {"bootstrap.servers": broker.bootstrap}
        self.looking = Looking(client, TOPICS, "lookers", self._turned, self._replaced)

    def _turned(self) -> None:
        self.turns += 1

    def _replaced(self) -> None:
        self.replaced += 1


def make(broker: Broker, *names: str) -> None:
    topics.apply(admin(broker.bootstrap), [topics.TopicShape(name) for name in names])


@pytest.fixture(params=["broker", "embedded"])
def anyone(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.getfixturevalue(request.param)
    make(made, *TOPICS)
    return made


@pytest.fixture
def seen(anyone: Broker) -> Iterator[Seen]:
    made = Seen(anyone)
    made.looking.start()
    yield made
    made.looking.stop()


def test_a_group_without_a_member_is_told_and_with_one_again(seen: Seen, anyone: Broker) -> None:
    eventually(lambda: not seen.looking.worker, SOON_S, "nobody has come yet")
    consumer = Consumer({"bootstrap.servers": anyone.bootstrap, "group.id": "lookers", "log_level": 0})
    try:
        consumer.subscribe([TOPICS[0]])
        eventually(lambda: (consumer.poll(0.1), seen.looking.worker)[1], SOON_S, "a member is there")
    finally:
        consumer.close()
    eventually(lambda: not seen.looking.worker, SOON_S, "it has left")
    assert seen.turns == 3
    assert (seen.looking.kafka, seen.replaced) == (True, 0)


def test_a_topic_made_anew_under_its_name_is_told_once_and_one_that_is_away_is_not(seen: Seen, anyone: Broker) -> None:
    looks = eventually(lambda: dict(seen.looking._ids), SOON_S, "the first look")
    assert looks.keys() == set(TOPICS)
    kept = admin(anyone.bootstrap)
    for deleted in kept.delete_topics([TOPICS[1]]).values():
        deleted.result()
    eventually(lambda: TOPICS[1] not in kept.list_topics(timeout=5).topics, SOON_S, "it is gone")
    assert seen.replaced == 0
    make(anyone, TOPICS[1])
    eventually(lambda: seen.replaced, SOON_S, "it is another")
    assert seen.looking._ids[TOPICS[0]] == looks[TOPICS[0]]
    eventually(lambda: seen.looking._ids[TOPICS[1]] != looks[TOPICS[1]], SOON_S)
    assert seen.replaced == 1
