"""The start of a worker: whatever stands on the topics, and in whatever order it came, the first lists are right."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream import topics
from stream.app import Feed
from stream.backlog import Backlog
from stream.follower import Follower
from tests.brokers import ApacheKafka, Broker
from tests.eventually import eventually
from tests.fleet import Fleet, newest
from tests.records import NOW_MS
from tests.shop import COLOURS, THEMES, make_bundle

SHOES = [f"{colour} {word}" for word in THEMES["shoes"] for colour in COLOURS]
MANY = 1_500  # More than the shelf takes in at once, several times.
USERS = [f"u{number}" for number in range(20)]


@pytest.fixture
def fleet(broker: Broker, tmp_path: Path) -> Iterator[Fleet]:
    make_bundle(tmp_path)
    with closing(Fleet(broker.bootstrap, tmp_path / "bundle", tmp_path)) as fleet:
        yield fleet


def send(fleet: Fleet, topic: str, records: dict[str, dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": fleet.bootstrap, "partitioner": "murmur2_random", "log_level": 0})
    for key, value in records.items():
        producer.produce(topic, orjson.dumps(value), key.encode())
    assert producer.flush(20) == 0


def clicks(event: str) -> dict[str, dict[str, Any]]:
    return {user: {"event_id": f"{event} {user}", "user_id": user, "kind": "search", "query": "boots", "at": NOW_MS}
            for user in USERS}  # fmt: skip


def lists(fleet: Fleet) -> dict[str, list[str]]:
    found = newest(fleet.dump(topics.RECOMMENDATIONS))
    return {user: [item["item_id"] for item in told["items"]] for user, told in found.items()}


def shelf() -> dict[str, dict[str, Any]]:
    """Much food, and shoes at its end."""
    return {name: {"title": name} for name in [*(f"jam {number}" for number in range(MANY)), *SHOES]}


def assert_of_the_whole_shelf(fleet: Fleet) -> None:
    found = lists(fleet)
    assert found.keys() == set(USERS)
    assert not {user: items for user, items in found.items() if len(items) != 10 or not set(items) <= set(SHOES)}


def test_events_wait_for_the_products_that_stand_there_at_the_start(fleet: Fleet) -> None:
    send(fleet, "events", clicks("first"))
    send(fleet, topics.ITEMS, shelf())
    fleet.start("one").await_ready(MANY + len(SHOES))
    fleet.await_committed("events")
    assert_of_the_whole_shelf(fleet)


def test_a_shop_without_products_takes_in_events_and_their_lists_come_with_the_products(fleet: Fleet) -> None:
    send(fleet, "events", clicks("first"))
    first = fleet.start("one")
    assert first.await_ready().ready()["items"] == 0
    fleet.await_committed("events")
    assert newest(fleet.dump(topics.WINDOWS)).keys() == set(USERS)
    assert lists(fleet) == {}
    assert first.terminate() == 0
    heir = fleet.start("two")
    heir.await_ready()
    send(fleet, topics.ITEMS, shelf())
    eventually(lambda: len(lists(fleet)) == len(USERS), 60.0, heir.said)
    assert_of_the_whole_shelf(fleet)
    records = fleet.dump(topics.RECOMMENDATIONS)
    assert len(records) == len(USERS), "each list once"


class Products:
    """A topic of products, a group that takes them in, and what brings them to a shelf; all turned by hand."""

    def __init__(self, kafka: ApacheKafka) -> None:
        self.client: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
        self.admin = AdminClient(self.client)
        for name in ("items", "catalogue"):
            self.admin.create_topics([NewTopic(name, 2, 1)])[name].result(20)
        self._group = Consumer({**self.client, "group.id": "g", "enable.auto.commit": False})
        self.follower = SimpleNamespace(reached={})

    def producer(self, **more: Any) -> Producer:
        return Producer({**self.client, **more})

    def put(self, producer: Producer, topic: str = "items", partition: int = 0) -> None:
        producer.produce(topic, b"{}", b"i", partition)
        assert producer.flush(20) == 0

    def taken_in(self, offset: int, partition: int = 0) -> None:
        self._group.commit(offsets=[TopicPartition("items", partition, offset)], asynchronous=False)

    def backlog(self) -> Backlog:
        follower = cast(Follower, self.follower)
        backlog = Backlog(self.client, self.admin, "g", "items", 2, ("catalogue", follower))
        eventually(lambda: self.admin.list_topics("items").topics["items"].error is None, 20.0, "the topic")
        backlog.look()
        return backlog


@pytest.fixture
def products(kafka_empty: ApacheKafka) -> Products:
    return Products(kafka_empty)


def test_a_backlog_is_over_once_the_group_has_it_and_it_is_on_this_workers_shelf(products: Products) -> None:
    producer = products.producer()
    products.put(producer)
    products.put(producer, partition=1)
    backlog = products.backlog()
    assert not backlog.over
    products.put(producer)  # Came later: nobody waits for it.
    products.put(producer, "catalogue")
    products.taken_in(1)
    assert not backlog.ask(), "the other partition's is still to come"
    products.taken_in(1, partition=1)
    assert not backlog.ask(), "it is written, and not read"
    products.follower.reached = {0: 1}
    assert backlog.ask()
    assert backlog.over


def test_what_is_taken_in_and_what_nobody_can_see_is_no_backlog(products: Products) -> None:
    assert products.backlog().over, "an empty topic"
    producer = products.producer(**{"transactional.id": "shop"})
    producer.init_transactions(20)
    producer.begin_transaction()
    products.put(producer)
    assert products.backlog().over, "a transaction is open, for who knows how long"
    producer.commit_transaction(20)
    eventually(lambda: not products.backlog().over, 20.0, "the marker")
    products.taken_in(1)
    assert products.backlog().over, "behind it there is only the transaction's marker"
    producer.begin_transaction()
    products.put(producer)
    producer.abort_transaction(20)
    assert products.backlog().over, "what was aborted is none"


def test_where_products_are_there_events_do_not_wait_for_the_last_of_the_new(products: Products) -> None:
    """A night's new titles take minutes; who restarts among them holds up nobody for longer than is told."""
    products.put(products.producer())
    backlog = products.backlog()
    worker = SimpleNamespace(should_stop=False, sleep=asyncio.sleep)
    asyncio.run(asyncio.wait_for(Feed._taken_in(cast(Feed, worker), backlog, 0.5), 10))
    assert not backlog.ask()
