"""Fixtures for all tests: which broker a test gets.

`broker`       an empty one, for what must hold on any: Apache Kafka where Java 17 and Maven are, else the embedded one.
`kafka`        Apache Kafka, one broker for the whole session: name topics of your own, or take `kafka_empty`.
`kafka_empty`  the same without topics and groups.
`kafka3`       Apache Kafka, three brokers for the whole session, replication 3, min.insync.replicas 2.
`fresh_kafka`  Apache Kafka, one broker for this test alone (3 s): for tests that kill, freeze or fill it.
`embedded`     the embedded broker, empty.
"""

import os
from collections.abc import Iterator

import pytest

from tests.brokers import ApacheKafka, Broker, Embedded, missing

# Before anything imports torch, whose threads otherwise wait for work at full speed: beside one other busy process the
# tests of `fit` alone took 166 s, and so they take 18.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m "not kafka"` leaves out what needs Apache Kafka, without a marker to forget."""
    for item in items:
        if {"kafka", "kafka_empty", "kafka3", "fresh_kafka"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


def _needs_kafka() -> None:
    if why := missing():
        pytest.skip(why)


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    _needs_kafka()
    cluster = ApacheKafka()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def kafka3() -> Iterator[ApacheKafka]:
    _needs_kafka()
    cluster = ApacheKafka(brokers=3)
    yield cluster
    cluster.close()


@pytest.fixture
def fresh_kafka() -> Iterator[ApacheKafka]:
    _needs_kafka()
    cluster = ApacheKafka()
    yield cluster
    cluster.close()


@pytest.fixture
def kafka_empty(kafka: ApacheKafka) -> ApacheKafka:
    kafka.clear()
    return kafka


@pytest.fixture(scope="session")
def _embedded() -> Iterator[Embedded]:
    with Embedded() as broker:
        yield broker


@pytest.fixture
def embedded(_embedded: Embedded) -> Embedded:
    _embedded.clear()
    return _embedded


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    chosen: Broker = request.getfixturevalue("embedded" if missing() else "kafka_empty")
    return chosen
