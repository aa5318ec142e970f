"""Fixtures of the faults: the small bundle, and a fleet on whichever broker a test names."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.brokers import Broker
from tests.chaos.traffic import Traffic, stock
from tests.fleet import Fleet
from tests.shop import make_bundle


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder)
    return folder / "bundle"


@pytest.fixture
def hire(bundle_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Makes the fleet of a broker, its shelf's items sent; its workers end with the test."""
    with ExitStack() as stack:

        def on(broker: Broker, partitions: int = 2) -> Fleet:
            fleet = stack.enter_context(closing(Fleet(broker.bootstrap, bundle_folder, tmp_path, partitions)))
            stock(fleet)
            return fleet

        yield on
        Traffic.hush()


@pytest.fixture
def fleet(kafka_empty: Broker, hire: Callable[..., Fleet]) -> Fleet:
    """On Apache Kafka, one broker."""
    return hire(kafka_empty)
