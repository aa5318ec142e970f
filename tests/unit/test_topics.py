"""Topics: what differs is told, what can be set is set, and nothing is torn apart."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream import topics
from stream.errors import NotAllowed
from stream.topics import apply, catalogue_topic, check, shapes

WANTED = shapes("zero-shot-1")


def done(value: Any = None) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def broken(code: int = KafkaError._UNSUPPORTED_FEATURE) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


@dataclass
class FakeTopic:
    partitions: int
    copies: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeAdmin:
    """A cluster as its admin client shows it; `changes` are the calls that change something, `hidden` topics that its
    brokers do not show yet."""

    brokers: int = 1
    tells_configs: bool = True
    topics: dict[str, FakeTopic] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)

    def poll(self, seconds: float) -> None:
        self.hidden.clear()

    def list_topics(self, timeout: float) -> Any:
        def shown(topic: FakeTopic) -> Any:
            part = SimpleNamespace(replicas=list(range(topic.copies)))
            return SimpleNamespace(error=None, partitions=dict.fromkeys(range(topic.partitions), part))

        brokers = dict.fromkeys(range(self.brokers))
        seen = {name: each for name, each in self.topics.items() if name not in self.hidden}
        return SimpleNamespace(topics={name: shown(each) for name, each in seen.items()}, brokers=brokers)

    def describe_configs(self, resources: Sequence[Any], request_timeout: float) -> Any:
        defaults = {"cleanup.policy": "delete", "min.insync.replicas": "1", "max.message.bytes": "1048588"}
        defaults["retention.ms"] = "604800000"

        def told(name: str) -> Any:
            config = {**defaults, **self.topics[name].config}
            return {key: SimpleNamespace(value=value) for key, value in config.items()}

        return {each: done(told(each.name)) if self.tells_configs else broken() for each in resources}

    def create_topics(self, made: Sequence[Any], operation_timeout: float) -> Any:
        for topic in made:
            if topic.topic in self.topics:
                continue
            self.topics[topic.topic] = FakeTopic(topic.num_partitions, topic.replication_factor, dict(topic.config))
            self.changes.append(f"create {topic.topic}")
        there = {name: broken(KafkaError.TOPIC_ALREADY_EXISTS) for name in self.hidden}
        return {each.topic: there.get(each.topic) or done() for each in made}

    def create_partitions(self, grown: Sequence[Any], operation_timeout: float) -> Any:
        for each in grown:
            self.topics[each.topic].partitions = each.new_total_count
            self.changes.append(f"grow {each.topic}")
        return {each.topic: done() for each in grown}

    def incremental_alter_configs(self, resources: Sequence[Any]) -> Any:
        for resource in resources:
            for entry in resource.incremental_configs:
                self.topics[resource.name].config[entry.name] = entry.value
                self.changes.append(f"set {resource.name} {entry.name}")
        return {resource: done() for resource in resources}


def prepared(**settings: Any) -> FakeAdmin:
    """A cluster on which everything is as it should be."""
    admin = FakeAdmin(**settings)
    apply(admin, WANTED)
    admin.changes.clear()
    return admin


def test_a_check_of_an_empty_broker_misses_every_topic_and_changes_nothing() -> None:
    admin = FakeAdmin()
    assert [difference.topic for difference in check(admin, WANTED)] == [shape.name for shape in WANTED]
    assert not admin.changes


def test_what_apply_has_made_is_as_it_should_be_and_doing_it_twice_changes_nothing() -> None:
    admin = prepared()
    assert check(admin, WANTED) == []
    assert apply(admin, WANTED) == []
    assert not admin.changes
    assert admin.topics["items"].config["cleanup.policy"] == "compact"
    assert {topic.partitions for topic in admin.topics.values()} == {4}


def test_three_brokers_get_three_copies_of_which_two_must_answer() -> None:
    topic = prepared(brokers=5).topics[topics.WINDOWS]
    assert (topic.copies, topic.config["min.insync.replicas"]) == (3, "2")
    assert "min.insync.replicas" not in prepared(brokers=2).topics[topics.WINDOWS].config


def test_new_topics_get_the_partition_count_of_those_that_are_there() -> None:
    admin = FakeAdmin(topics={name: FakeTopic(12, 1) for name in topics.EVENTS})
    apply(admin, WANTED)
    assert {topic.partitions for topic in admin.topics.values()} == {12}
    assert check(admin, WANTED) == []


@pytest.mark.parametrize("name", ["clicks", "items", topics.WINDOWS, topics.COUNTS, catalogue_topic("zero-shot-1")])
@pytest.mark.parametrize("count", [2, 8])
def test_a_keyed_topic_with_another_count_is_refused_before_anything_changes(name: str, count: int) -> None:
    admin = prepared()
    admin.topics[name].partitions = count
    del admin.topics[topics.REJECTED]
    (difference,) = [each for each in check(admin, WANTED) if each.what == "partitions"]
    assert (difference.topic, difference.found, difference.wanted, difference.fixable) == (name, str(count), "4", False)
    with pytest.raises(NotAllowed, match=name):
        apply(admin, WANTED)
    assert not admin.changes


def test_outputs_may_have_any_count() -> None:
    admin = prepared()
    admin.topics[topics.RECOMMENDATIONS].partitions = 1
    assert check(admin, WANTED) == []


def test_the_rejected_topic_alone_may_grow_and_none_may_shrink() -> None:
    admin = prepared()
    admin.topics[topics.REJECTED].partitions = 2
    grown = [shape for shape in shapes("zero-shot-1", partitions=4) if shape.name == topics.REJECTED]
    apply(admin, grown)
    assert admin.changes == [f"grow {topics.REJECTED}"]
    admin.topics[topics.REJECTED].partitions = 9
    with pytest.raises(NotAllowed, match="cannot take partitions away"):
        apply(admin, grown)


@pytest.mark.parametrize(
    ("name", "key", "wrong", "right"),
    [
        ("items", "cleanup.policy", "delete", "compact"),
        (topics.WINDOWS, "cleanup.policy", "compact,delete", "compact"),
        ("events", "cleanup.policy", "compact", "delete"),
        (topics.REJECTED, "max.message.bytes", "1048588", str(topics.REJECTED_BYTES)),
    ],
)
def test_a_wrong_configuration_is_told_and_set(name: str, key: str, wrong: str, right: str) -> None:
    admin = prepared()
    admin.topics[name].config[key] = wrong
    assert [(each.topic, each.what, each.found) for each in check(admin, WANTED)] == [(name, key, wrong)]
    apply(admin, WANTED)
    assert admin.changes == [f"set {name} {key}"]
    assert admin.topics[name].config[key] == right
    assert check(admin, WANTED) == []


def test_a_topic_that_another_made_a_moment_ago_is_put_right_once_it_is_seen() -> None:
    admin = prepared()
    admin.topics["items"].config["cleanup.policy"] = "delete"
    admin.hidden = {"items"}
    apply(admin, WANTED)
    assert admin.changes == ["set items cleanup.policy"]
    assert admin.topics["items"].config["cleanup.policy"] == "compact"


def test_more_than_enough_is_enough_and_retention_is_the_operators() -> None:
    admin = prepared()
    admin.topics[topics.REJECTED].config |= {"max.message.bytes": "10485760", "retention.ms": "1000"}
    assert check(admin, WANTED) == []


def test_too_few_copies_are_told_and_cannot_be_put_right() -> None:
    admin = prepared(brokers=3)
    admin.topics[topics.WINDOWS].copies = 1
    (difference,) = check(admin, WANTED)
    assert (difference.what, difference.found, difference.wanted) == ("replication", "1", "3")
    with pytest.raises(NotAllowed, match="kafka-reassign-partitions"):
        apply(admin, WANTED)


def test_a_broker_that_does_not_tell_is_not_believed_to_be_right() -> None:
    admin = prepared()
    admin.tells_configs = False
    assert {each.what for each in check(admin, WANTED)} == {"untold"}
    assert all("does not tell" in str(each) for each in check(admin, WANTED))
    assert apply(admin, WANTED) == []


def test_a_retention_that_is_asked_for_is_compared_and_set_for_the_events_alone() -> None:
    admin = prepared()
    wanted = topics.shapes("m-1", events=("clicks",), retention_ms=3 * topics.DAY_MS)
    apply(admin, wanted)
    kept = str(3 * topics.DAY_MS)
    assert admin.topics["clicks"].config["retention.ms"] == kept
    admin.topics["clicks"].config["retention.ms"] = str(
        9 * topics.DAY_MS
    )  # Longer is another answer than the one asked.
    (difference,) = check(admin, wanted)
    assert (difference.topic, difference.what, difference.wanted) == ("clicks", "retention.ms", kept)
    assert check(admin, topics.shapes("m-1", events=("clicks",))) == []
    assert admin.topics[topics.REJECTED].config["retention.ms"] != kept


def test_copies_are_as_many_as_asked_for_where_there_are_so_many_brokers() -> None:
    admin = FakeAdmin(brokers=5)
    apply(admin, WANTED, replication=5)
    assert {topic.copies for topic in admin.topics.values()} == {5}
    assert check(admin, WANTED, replication=5) == []
    few = FakeAdmin(brokers=2)
    apply(few, WANTED, replication=5)
    assert {topic.copies for topic in few.topics.values()} == {2}
