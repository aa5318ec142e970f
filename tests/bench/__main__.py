"""`python -m tests.bench`: right answers first, then one JSON line for each benchmark, with machine and commit.

Apache Kafka is needed (Java 17 and Maven), but for the towers and the server. Compare figures of one run: the machine
is part of each.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from stream.collector import calm
from stream.settings import Settings
from tests.bench import encoding, latency, loads, replaying, serving, steps, throughput, towers
from tests.bench.fleet import Fleet
from tests.bench.machine import machine
from tests.brokers import ApacheKafka, missing

EVENTS_A, USERS_A, TURNS_A = 200_000, 20_000, 3
BATCH = Settings.model_fields["batch_events"].default
EVENTS_CPU = 50_000
STOCK_OF = 8  # Stock Faust gets every eighth user's events: whole histories, so that its lists grow as long as ours.
EVENTS_B, USERS_B = 10_000, 2_000
TEXTS_C, USERS_C = 2_000, 500
EVENTS_D = 300

Told = dict[str, Any]


def without_model(fleet: Fleet, data: Path | None) -> Iterator[Told]:
    """(a) several times, for the machine may have company, and stock Faust before it."""
    sent = loads.clicks(EVENTS_A, USERS_A)
    stock = throughput.stock_faust(fleet, [each for each in sent if int(each.key[-8:]) % STOCK_OF == 0])
    ours = [throughput.without_model(fleet, sent, batch_events=BATCH) for _ in range(TURNS_A)]
    cpu_us = steps.cpu_us(sent[:EVENTS_CPU], fleet.bundle.lines, fleet.bundle.age_ms)
    best = max(ours, key=lambda told: told["events_per_s"])
    rates = sorted(told["events_per_s"] for told in ours)
    yield {
        "bench": "a: steps 0 to 3 and 10",
        "batch_events": BATCH,
        **best,
        "events_per_s_of_all_runs": rates,
        "cpu_us": cpu_us,
    }
    ratio = round(rates[len(rates) // 2] / stock["events_per_s"], 1)
    yield {"bench": "a: stock Faust, agent with a table", **stock, "ours_median_to_stock": ratio}


def on_the_shelf(fleet: Fleet, data: Path | None) -> Iterator[Told]:
    """(f), and on its shelf (d), (b) and (c)."""
    shelf = loads.catalogue(data)
    two = encoding.encoding(fleet, shelf, 2)
    yield {"bench": "f: two workers encode the catalogue", **two}
    one = encoding.encoding(fleet, shelf, 1)
    share = round(two["seconds"] / one["seconds"], 3)
    yield {"bench": "f: one worker encodes the catalogue", **one, "two_to_one": share}
    yield {"bench": "d: from an event to its committed list", **latency.latency(fleet, shelf, EVENTS_D)}
    events = loads.known(shelf, EVENTS_B, USERS_B)
    yield {"bench": "b: the whole line, known items", **throughput.whole_line(fleet, events, shelf, "clicks")}
    source, texts = loads.review_texts(data, shelf, TEXTS_C)
    reviews = loads.reviews(shelf, texts, USERS_C)
    line = throughput.whole_line(fleet, reviews, shelf, "reviews")
    bare = throughput.bare_encoder(fleet, texts, len(os.sched_getaffinity(0)))
    ratio = round(line["events_per_s"] / bare["texts_per_s"], 3)
    yield {"bench": "c: the whole line, a review text on every event", "texts": source, **line}
    yield {"bench": "c: the bare encoder on the same texts", **bare, "line_to_bare": ratio}


def real_logs(fleet: Fleet, data: Path | None) -> Iterator[Told]:
    """(e), for each folder that is there."""
    found = [data / name for name in replaying.FOLDERS if data is not None and (data / name).is_dir()]
    if not found:
        print("e is skipped: no folder of real logs (--data or FIRSTCLICK_DATA)", file=sys.stderr)
    for folder in found:
        yield {"bench": "e: a whole log of a real shop", **replaying.replaying(fleet, folder, model=True)}


def trained_towers() -> Iterator[Told]:
    """(g), without a broker."""
    yield {"bench": "g: a trained bundle's towers", **towers.of_random_numbers()}


def over_http() -> Iterator[Told]:
    """(h), on the embedded broker."""
    for told in serving.serving():
        yield {"bench": "h: lists and vectors over HTTP", **told}


BENCHES: dict[str, Callable[[Fleet, Path | None], Iterator[Told]]] = {
    "line": without_model,
    "shelf": on_the_shelf,
    "replay": real_logs,
}
ALONE: dict[str, Callable[[], Iterator[Told]]] = {"towers": trained_towers, "serve": over_http}


def _rows(name: str, data: Path | None) -> Iterator[Told]:
    """What a benchmark tells; each has a broker of its own."""
    if name in ALONE:
        yield from ALONE[name]()
        return
    broker = ApacheKafka()
    try:
        yield from BENCHES[name](Fleet(broker), data)
    finally:
        broker.close()


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    told = os.environ.get("FIRSTCLICK_DATA", "../shared/data")
    asked.add_argument("--data", type=Path, default=Path(told), help="folder of real shops' logs (FIRSTCLICK_DATA)")
    names = ", ".join(f"{name}: {bench.__doc__}" for name, bench in {**ALONE, **BENCHES}.items())
    asked.add_argument("--only", choices=[*ALONE, *BENCHES], action="append", help=names)
    given = asked.parse_args()
    wanted = given.only or [*ALONE, *BENCHES]
    if not ALONE.keys() >= set(wanted) and (why := missing()):
        print(why, file=sys.stderr)
        return 3
    data = given.data if given.data.is_dir() else None
    measured_on = machine()
    calm()
    for name in wanted:
        began = time.perf_counter()
        for row in _rows(name, data):
            took = round(time.perf_counter() - began, 1)
            load = round(os.getloadavg()[0], 2)
            print(orjson.dumps({**row, "took_s": took, "load": load, "machine": measured_on}).decode(), flush=True)
            began = time.perf_counter()
    return 0


if __name__ == "__main__":
    sys.exit(main())
