"""(f) How long one worker and two workers, of one thread each, take to encode a catalogue of 12,000 titles."""

import time
from typing import Any

from stream import topics
from tests.bench import answers
from tests.bench.fleet import Fleet, Worker
from tests.bench.loads import Catalogue

LIMIT_S = 240.0
ENCODED = "firstclick_items_encoded_total"


def encoding(fleet: Fleet, shelf: Catalogue, workers: int) -> dict[str, Any]:
    """Seconds from the first encoded batch of `workers` workers to the last commit; the shelf stays afterwards."""
    fleet.fresh()
    fleet.send(topics.ITEMS, list(shelf.upserts())[:1])  # The group has settled once one item is through.
    started = [Worker(fleet.bootstrap, name=f"worker-{number}", threads=1) for number in range(workers)]
    try:
        for worker in started:
            worker.await_ready()
        fleet.await_done(topics.ITEMS, timeout_s=LIMIT_S, workers=started)
        began = time.perf_counter()
        fleet.send(topics.ITEMS, shelf.upserts())
        fleet.await_done(topics.ITEMS, timeout_s=LIMIT_S, workers=started)
        seconds = time.perf_counter() - began
        encoded = [int(worker.counter(ENCODED)) for worker in started]
    finally:
        for worker in started:
            worker.kill()
    on_shelf = fleet.newest(topics.catalogue_topic(fleet.bundle.space))
    if on_shelf.keys() != {str(item["item_id"]) for item in shelf.items}:
        raise answers.WrongAnswer(f"{len(shelf.items)} items sent, {len(on_shelf)} on the shelf")
    if not 0 < sum(encoded) <= len(shelf.items):
        raise answers.WrongAnswer(f"{encoded} texts encoded of {len(shelf.items)} items")
    return {
        "items": len(shelf.items),
        "seconds": round(seconds, 2),
        "items_per_s": round(len(shelf.items) / seconds),
        "encoded_by_worker": encoded,
    }
