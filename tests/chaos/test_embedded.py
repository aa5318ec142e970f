"""Faults on the embedded broker, at least once: nothing is lost, what repeats is the same, and no list stays behind."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tests.brokers import Embedded
from tests.chaos.test_faults import Hold, verdict_of, works
from tests.chaos.traffic import SHELF, Traffic, producer
from tests.checker import Record
from tests.fleet import Fleet

BROWSERS = [f"browser {number}" for number in range(8)]  # Some in each partition.


def browse(fleet: Fleet) -> list[Record]:
    """Three events of each browser. This broker says that a partition ends after its last batch's first record, so that
    whoever believes it takes the topic for one that was deleted and created anew."""
    sender, sent = producer(fleet.bootstrap), list[Record]()
    for number, user in enumerate([user for user in BROWSERS for _ in range(3)]):
        event = {"event_id": f"b{number}", "user_id": user, "kind": "browse", "item_id": SHELF[number]}
        record: Record = {"topic": "browses", "key": user.encode(), "headers": [], "timestamp": 0, "fate": "accepted"}
        record["value"] = orjson.dumps(event | {"at": int(time.time() * 1000)})
        sent.append(record)

        def heard(_: Any, message: Any, record: Record = record) -> None:
            record.update(partition=message.partition(), offset=message.offset())

        sender.produce("browses", record["value"], record["key"], on_delivery=heard)
    assert sender.flush(20) == 0
    return sent


def test_killed_between_a_window_and_its_list(
    embedded: Embedded, hire: Callable[[Embedded], Fleet], tmp_path: Path
) -> None:
    fleet, hold = hire(embedded), Hold(tmp_path, "list")
    worker = fleet.start("one", hold.program).await_ready(len(SHELF))
    browsed = browse(fleet)
    fleet.await_committed("browses")
    traffic = Traffic(fleet.bootstrap).start()
    works(worker)
    hold.catch()
    traffic.stop()  # No later event of these users helps: the lists that are owed must come by themselves.
    worker.kill()
    hold.let_go()
    fleet.start("one").await_ready(len(SHELF))
    traffic.sent += browsed
    verdict = verdict_of(fleet, traffic, repeats_allowed=True)
    assert verdict.clean, verdict
    assert verdict.accepted + verdict.rejected == verdict.produced
