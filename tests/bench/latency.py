"""(d) From a record's timestamp to the committed list, on an idle worker with 12,000 items on the shelf.

One event at a time: the next is sent when a read_committed reader has seen this one's list. So it is the latency of a
quiet day, the reader's own included. A third each: a new user's first click, a known user's click on an item seen by
nobody before, a search for words that the encoder has not read yet.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from stream import topics
from tests.bench import answers
from tests.bench.fleet import Fleet, Sent, spread
from tests.bench.loads import Catalogue

MIXES = ("first click of a new user", "click of a known user", "search for new words")
LIST_S = 10.0  # Longest that one list may take before the benchmark gives up.
WARM = 30  # Events before any counts: graphs, caches and connections are warm on a worker that has run for a minute.


def latency(fleet: Fleet, shelf: Catalogue, count: int) -> dict[str, Any]:
    """`count` events, one after the other; the catalogue is on the shelf already."""
    fleet.fresh([topics.ITEMS, topics.catalogue_topic(fleet.bundle.space)])
    ids = {str(item["item_id"]) for item in shelf.items}
    taken: dict[str, list[float]] = {mix: [] for mix in MIXES}
    sent: list[Sent] = []
    with fleet.worker() as worker:
        reader = _reader(fleet)
        producer = fleet.producer()
        pause = random.Random(12)
        for number, (mix, event) in enumerate(_events(shelf, count + WARM)):
            value = orjson.dumps(event)
            stamped_ms = _send(producer, event["user_id"], value)
            listed = _await_list(reader, event["event_id"])
            arrived_ms = time.time() * 1000
            sent.append(Sent(event["user_id"], value))
            got = [item["item_id"] for item in listed["items"]]
            if len(set(got)) != 10 or not ids.issuperset(got) or event.get("item_id") in got:
                raise answers.WrongAnswer(f"{event} brought {got}")
            if number >= WARM:
                taken[mix].append((arrived_ms - stamped_ms) / 1000)
            time.sleep(pause.uniform(0, 0.05))  # No rhythm that some timer could fall in with.
        reader.close()
        samples = worker.samples()
        inside = {
            name.partition(".")[2]: spread(seconds for _, seconds in rows[-count:])
            for name, rows in samples["steps"].items()
            if name.startswith("behaviour.")
        }
    answers.check_windows(sent, fleet.newest(topics.WINDOWS), fleet.bundle.lines, fleet.bundle.age_ms)
    return {
        "items": len(shelf.items),
        "catalogue": shelf.source,
        **spread(seconds for rows in taken.values() for seconds in rows),
        "by_kind": {mix: spread(rows) for mix, rows in taken.items()},
        "steps": inside,
    }


def _events(shelf: Catalogue, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    draw = random.Random(11)
    items = [str(item["item_id"]) for item in shelf.items]
    words = [word for item in shelf.items for word in str(item.get("title", "")).split() if word.isalpha()]
    draw.shuffle(items)
    now_ms = int(time.time() * 1000)
    for number in range(count):
        mix = MIXES[number % 3]
        user = f"new-{number}" if mix == MIXES[0] else f"known-{draw.randrange(20)}"
        event = {"event_id": f"event-{number}", "user_id": user, "at": now_ms - 1_000_000 + number * 1000}
        if mix == MIXES[2]:
            query = " ".join(draw.choices(words, k=draw.randint(2, 6)))
            yield mix, {**event, "kind": "search", "query": f"{query} {number}"}
        else:
            yield mix, {**event, "kind": "click", "item_id": items[number % len(items)]}


def _send(producer: Producer, user_id: str, value: bytes) -> int:
    """The record's timestamp, once the broker has it."""
    stamps: list[int] = []
    producer.produce("events", value, user_id, on_delivery=lambda _, record: stamps.append(record.timestamp()[1]))
    producer.flush(LIST_S)
    return stamps[0]


def _reader(fleet: Fleet) -> Consumer:
    """Reads committed lists from now on."""
    consumer = Consumer(
        {
            "bootstrap.servers": fleet.bootstrap,
            "group.id": "bench-latency",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    ends = fleet.ends(topics.RECOMMENDATIONS)
    consumer.assign([TopicPartition(*place, end) for place, end in ends.items()])
    return consumer


def _await_list(reader: Consumer, event_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + LIST_S
    while time.monotonic() < deadline:
        message: Message | None = reader.poll(0.1)
        if message is None or message.error() is not None:
            continue
        told: dict[str, Any] = orjson.loads(message.value() or b"{}")
        if told["trigger"]["event_id"] == event_id:
            return told
    raise answers.WrongAnswer(f"{event_id} brought no list within {LIST_S:.0f} s")
