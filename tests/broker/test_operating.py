"""What an operator sees of one worker: metrics, health, logs; while it is well, stumbles, is stuck, and dies.

One worker on the embedded broker for the whole file, in the order of its life.
"""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from stream.errors import Exit
from tests.brokers import Embedded
from tests.eventually import eventually
from tests.fleet import PAGE_S, Fleet, Worker
from tests.shop import make_bundle
from tests.unit.test_stream_metrics import exported, told_in_the_readme

SHOPPER, STUMBLER, STUCK, DYING, CLUMSY = "ada@example.org", "bob 0815", "cleo-4711", "dora_99", "eve.private"
TYPED = "something only for my sister"
KEY = "of all workers, and no shopper's"
ITEMS = ("red boots", "blue sandals", "green jam")
LIMIT_MS = 5_000
SEE_S = 60.0
SERIES = (
    1_000  # A worker with four topics of two partitions has some 300; users, items or texts among them are no bound.
)


class Life:
    """The worker, and who sends to it."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.hold = fleet, folder / "hold"
        self.hold.touch()
        program = ("-m", "tests.broker.sick", str(folder))
        more: dict[str, object] = {"log": "json", "stuck_ms": LIMIT_MS, "transaction_timeout_ms": LIMIT_MS}
        more["log_key"] = KEY
        self.worker: Worker = fleet.start("only", program, **more)
        self._producer = Producer({"bootstrap.servers": fleet.bootstrap, "partitioner": "murmur2_random"})
        self._numbers = iter(range(10**6))

    def send(self, topic: str, key: str, value: bytes) -> None:
        self._producer.produce(topic, value, key.encode())
        assert self._producer.flush(20) == 0

    def event(self, user: str, kind: str, **fields: Any) -> None:
        told = {"event_id": f"e{next(self._numbers)}", "user_id": user, "kind": kind, "at": int(time.time() * 1000)}
        self.send("clicks", user, orjson.dumps(told | fields))

    def page(self, name: str) -> tuple[int, str]:
        """Status and body of a page, whatever the status."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.worker.port}/{name}", timeout=PAGE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log(self) -> list[dict[str, Any]]:
        """Every line that the worker has logged; the last of its life, the command's own, is none of the log's."""
        lines = self.worker.said(1 << 30).splitlines()
        return [orjson.loads(line) for line in lines if not line.startswith("firstclick: ")]


@pytest.fixture(scope="module")
def life(_embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    _embedded.clear()
    folder = tmp_path_factory.mktemp("operating")
    make_bundle(folder)
    with closing(Fleet(_embedded.bootstrap, folder / "bundle", folder)) as fleet:
        life = Life(fleet, folder)
        for item in ITEMS:
            life.send("items", item, orjson.dumps({"title": item}))
        life.worker.await_ready(len(ITEMS))
        yield life
        life.hold.unlink(missing_ok=True)


def test_ready_means_model_catalogue_group_windows_and_items(life: Life) -> None:
    status, body = life.page("readyz")
    told = orjson.loads(body)
    assert (status, told["ready"], told["waits_for"], told["wrong"]) == (200, True, [], [])
    assert life.page("healthz") == (200, "ok\n")


def test_the_readmes_table_is_what_a_running_worker_exports(life: Life) -> None:
    for _ in range(2):
        life.event(SHOPPER, "click", item_id=ITEMS[0])
    life.event(SHOPPER, "search", query=TYPED)
    life.send("clicks", CLUMSY, TYPED.encode())  # Not JSON.
    count = life.worker.counter
    eventually(
        lambda: count("firstclick_lists_total") and count("firstclick_rejections_total"), SEE_S, life.worker.said
    )
    eventually(lambda: "firstclick_lag_events{" in life.page("metrics")[1], SEE_S, "the lag")
    text = life.page("metrics")[1]
    assert exported(text) == told_in_the_readme()
    assert text.count("\n") < SERIES
    assert not re.search("|".join(map(re.escape, (SHOPPER, CLUMSY, TYPED, *ITEMS))), text)


def test_a_window_that_the_model_stumbles_over_is_told_of_and_quoted_nowhere(life: Life) -> None:
    life.event(STUMBLER, "search", query=f"stumble over {TYPED}")
    eventually(lambda: life.worker.counter("firstclick_lists_failed_total"), SEE_S, life.worker.said)
    (told,) = (line for line in life.log() if "no list for" in line["message"])
    assert blake2b(STUMBLER.encode(), key=KEY.encode(), digest_size=6).hexdigest() in told["message"]
    assert told["level"] == "error"
    assert "sick.py" in told["traceback"]
    assert told["traceback"].endswith("ValueError")


def test_a_stuck_loop_turns_the_pages_red_within_its_deadline_and_green_when_it_turns_again(life: Life) -> None:
    life.event(STUCK, "search", query="block")
    sent = time.monotonic()
    eventually(lambda: life.page("healthz")[0] == 503, SEE_S, life.worker.said)
    assert time.monotonic() - sent > LIMIT_MS / 1000, "red before its time"
    assert life.page("healthz")[1].startswith("behaviour has not turned for ")
    status, body = life.page("readyz")
    assert (status, orjson.loads(body)["ready"]) == (503, False)
    life.hold.unlink()
    eventually(lambda: life.page("healthz")[0] == life.page("readyz")[0] == 200, SEE_S, life.worker.said)


def test_a_dead_background_task_ends_the_worker_with_a_code(life: Life) -> None:
    life.event(DYING, "search", query="die")
    assert life.worker.process.wait(SEE_S) == Exit.BUG


def test_the_logs_of_all_this_quote_nobody(life: Life) -> None:
    said = life.worker.said(1 << 30)
    for private in (SHOPPER, STUMBLER, STUCK, DYING, CLUMSY, TYPED, KEY):
        assert private not in said
    assert {line["level"] for line in life.log()} >= {"info", "error"}
    assert {"at", "level", "logger", "message"} <= set.intersection(*(set(line) for line in life.log()))


def test_the_next_worker_is_ready_once_it_has_all_windows_before_any_event_comes(life: Life) -> None:
    heir = life.fleet.start("heir").await_ready(len(ITEMS))
    assert heir.counter("firstclick_windows_loaded_total") >= len({SHOPPER, STUMBLER, STUCK})
    assert heir.counter("firstclick_users") >= len({SHOPPER, STUMBLER, STUCK})
