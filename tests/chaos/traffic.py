"""A small shop and its shoppers: a thread that sends events and knows each one that it has sent.

Knows nothing of workers. Each event is about another item than the user's one before, so that every accepted event
changes the user's vector and must be shown.
"""

import random
import threading
import time
from collections import Counter
from typing import Any, ClassVar

import orjson
from confluent_kafka import KafkaError, Message, Producer

from stream.topics import COUNTS, ITEMS
from tests.checker import Record
from tests.fleet import Fleet
from tests.shop import COLOURS, THEMES

SHELF = [f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS][:50]
WORDS = [word for words in THEMES.values() for word in words]
USERS = 400  # 20 s of traffic give each 20 events: fewer than a window's lines, so that n_events has one right value.
TICK_S = 0.02
TOPICS = ("clicks", "reviews")
KINDS = ("click", "click", "browse", "favourite", "cart", "purchase", "review")
BAD = (b"no JSON", b'{"kind":"click"}', b"[1]", b"\xff\xfe", b'{"event_id":"x","user_id":"u","kind":"dance","at":1}')


def producer(bootstrap: str) -> Producer:
    """Idempotent: what the client sends again is one record. Hashes like Java's."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
            "log_level": 0,
        }
    )


def stock(fleet: Fleet) -> None:
    """Puts the shop's items into their topic; their titles are their ids."""
    sender = producer(fleet.bootstrap)
    for item_id in SHELF:
        sender.produce(ITEMS, orjson.dumps({"item_id": item_id, "title": item_id}), item_id.encode())
    assert sender.flush(20) == 0


class Traffic:
    """Shoppers' events for as long as it is not stopped: of a hundred three are bad, and three come twice."""

    running: ClassVar[set["Traffic"]] = set()

    def __init__(self, bootstrap: str, per_s: int = 400, users: int = USERS, seed: int = 7) -> None:
        self.sent: list[Record] = []
        self._producer = producer(bootstrap)
        self._per_tick, self._users = round(per_s * TICK_S), users
        self._random = random.Random(seed)
        self._seen: dict[str, str] = {}
        self._recent: list[tuple[str, bytes, bytes]] = []
        self._failed: list[KafkaError] = []
        self._number = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> "Traffic":
        self.running.add(self)
        self._thread.start()
        return self

    @classmethod
    def hush(cls) -> None:
        """Ends what a failed test has left running: it would send its events into the next test's topics."""
        for traffic in list(cls.running):
            traffic._end()

    def _end(self) -> None:
        self.running.discard(self)
        self._stopping.set()
        self._thread.join()

    def stop(self) -> list[Record]:
        """Everything that was sent, delivered."""
        self._end()
        assert self._producer.flush(60) == 0, "events were not delivered"
        assert not self._failed, self._failed[:1]
        return self.sent

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(due - time.monotonic(), 0)):
            due += TICK_S
            for _ in range(self._per_tick):
                self._send()
            self._producer.poll(0)

    def _send(self) -> None:
        dice = self._random.random()
        if dice < 0.03:
            user = f"u{self._random.randrange(self._users)}".encode()
            self._produce(self._random.choice(TOPICS), user, self._random.choice(BAD), "rejected")
        elif dice < 0.06 and self._recent:
            self._produce(*self._random.choice(self._recent), "accepted")
        else:
            record = self._event()
            self._recent = [*self._recent[-200:], record]
            self._produce(*record, "accepted")

    def _event(self) -> tuple[str, bytes, bytes]:
        self._number += 1
        user, kind = f"u{self._random.randrange(self._users)}", self._random.choice(KINDS)
        item = self._random.choice([each for each in SHELF if each != self._seen.get(user)])
        self._seen[user] = item
        event: dict[str, Any] = {"event_id": f"e{self._number}", "user_id": user, "kind": kind, "item_id": item}
        event["at"] = int(time.time() * 1000)
        if kind == "review":
            event |= {"rating": self._random.choice([3, 4, 5]), "text": self._random.choice(WORDS)}
        return "reviews" if kind == "review" else "clicks", user.encode(), orjson.dumps(event)

    def _produce(self, topic: str, key: bytes, value: bytes, fate: str) -> None:
        def heard(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failed.append(error)
                return
            record: Record = {"topic": topic, "partition": message.partition(), "offset": message.offset()}
            self.sent.append(record | {"key": key, "value": value, "headers": [], "timestamp": 0, "fate": fate})

        self._producer.produce(topic, value, key, on_delivery=heard)


def miscounted(fleet: Fleet, sent: list[Record]) -> dict[tuple[str, str], int]:
    """(item, kind) -> by how much the fleet's committed counts are too high; empty when each event counted once.

    Steps and what came before them ride in the same records. How many there are depends on the order of arrival, so
    that they are only held against the events that may be steps.
    """
    found: Counter[tuple[str, str]] = Counter()
    for record in fleet.dump(COUNTS):
        told = orjson.loads(record["value"])
        near, steps = told.pop("near", {}), told.pop("steps", 0)
        assert 0 <= steps <= sum(count for count, _ in told.values())
        assert not near or steps > 0
        for kind, (count, _) in told.items():
            found[record["key"].decode(), kind] += int(count)
    accepted = {record["value"] for record in sent if record["fate"] == "accepted"}
    for event in map(orjson.loads, accepted):
        found[event["item_id"], event["kind"]] -= 1
    return {place: count for place, count in found.items() if count}
