"""The README's page for producers and consumers, as it stands there: only the broker's address is another."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import pytest

from model.bundle import DEFAULT_BUNDLE
from stream import topics
from stream.murmur2 import partition_of
from tests.brokers import Broker
from tests.eventually import eventually
from tests.fleet import Fleet
from tests.outputs import publish

README = Path(__file__).parents[2] / "README.md"
PARTITIONS = 5
LIST_S = 60.0


@pytest.fixture
def page(broker: Broker) -> list[tuple[str, str]]:
    """(language, text) of the page's blocks."""
    section = README.read_text().partition("\n## Produce and consume\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "sh", "python"]
    return [(language, text.replace("HOST:9092", broker.bootstrap)) for language, text in blocks]


@pytest.fixture
def fleet(broker: Broker, tmp_path: Path) -> Iterator[Fleet]:
    """One worker, and nothing on the shelf."""
    if not (DEFAULT_BUNDLE / "manifest.json").is_file():
        pytest.skip(f"no bundle in {DEFAULT_BUNDLE}: make install leaves it there")
    with closing(Fleet(broker.bootstrap, DEFAULT_BUNDLE, tmp_path, PARTITIONS)) as made:
        made.start("one").await_ready()
        yield made


@contextmanager
def running(command: Sequence[str], out: Path) -> Iterator[Callable[[str], list[str]]]:
    """An example that goes on for ever. Gives who waits for lines that begin so, and returns them."""
    with out.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, start_new_session=True)

    def lines(begin: str) -> list[str]:
        assert process.poll() is None, f"it ended with {process.returncode}: {out.read_text()}"
        whole = out.read_text().rpartition("\n")[0].splitlines()
        return [line for line in whole if line.startswith(begin)]

    try:
        yield lambda begin: eventually(lambda: lines(begin), LIST_S, lambda: f"{begin!r}: {out.read_text()}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def products(block: str) -> dict[str, str]:
    """Item id -> value, as kcat would send them."""
    return dict(line.split(":", 1) for line in block.splitlines() if line.startswith("p-"))


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is missing: apt-get install kcat")
def test_kcat_sends_products_and_a_click_and_reads_the_list(
    page: list[tuple[str, str]], fleet: Fleet, tmp_path: Path
) -> None:
    (_, shelf), (_, click), _ = page
    subprocess.run(["sh", "-ec", shelf], check=True, timeout=LIST_S)
    fleet.workers[0].await_ready(len(products(shelf)))
    with running(["sh", "-ec", click], tmp_path / "out") as first:
        key, _, value = first("u-7 ")[0].partition(" ")
    told = orjson.loads(value)
    assert (key, told["user_id"], told["stage"]) == ("u-7", "u-7", "cold")
    assert [item["item_id"] for item in told["items"]] == ["p-43", "p-44"]
    sent = [record for name in ("items", "clicks") for record in fleet.dump(name)]
    assert sent
    assert all(record["partition"] == partition_of(record["key"], PARTITIONS) for record in sent)


def test_python_sends_a_click_reads_all_lists_and_follows(
    page: list[tuple[str, str]], fleet: Fleet, tmp_path: Path
) -> None:
    (_, shelf), _, (_, program) = page
    publish(fleet.bootstrap, *((topics.ITEMS, key, value.encode()) for key, value in products(shelf).items()))
    worker = fleet.workers[0].await_ready(len(products(shelf)))

    def clicks(user_id: str) -> None:
        click = {"event_id": "e", "user_id": user_id, "kind": "click", "item_id": "p-44", "at": 1_700_000_000_000}
        publish(fleet.bootstrap, ("clicks", user_id, orjson.dumps(click)))

    clicks("before")
    fleet.await_committed("clicks")
    with running([sys.executable, "-c", program], tmp_path / "out") as first:
        assert first("u-8 ") == ["u-8 cold ['p-43', 'p-44']"]
        assert len(first("before cold ")) == 1
        clicks("after")
        assert len(first("after cold ")) == 1
    assert worker.counter("firstclick_foreign_partition_users_total") == 0
