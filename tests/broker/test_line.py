"""The whole line on a broker, two workers that share it: bad input, and the shelf that both must agree on.

One broker and one pair of workers for the whole file; each test has users and items of its own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from model.envelope import MAX_EVENT_BYTES
from model.rejection import Reason
from stream import topics
from stream.murmur2 import partition_of
from tests.brokers import Broker, missing
from tests.eventually import eventually
from tests.fleet import Fleet, Worker, newest
from tests.shop import COLOURS, THEMES, make_bundle

PARTITIONS = 2
SHELF = [f"{colour} {word}" for theme in ("shoes", "food") for word in THEMES[theme] for colour in COLOURS]
CLICKS_BYTES = 8 << 20  # Above what the line takes, so that its own limit is met and not the broker's.
LIST_S = 30.0  # 50 ms on an idle machine.
RECOMMENDABLE_S = 2.0
DAY_MS = 86_400_000


class Line:
    """A broker, two workers on it, and somebody who sends and reads."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        client: dict[str, Any] = {"bootstrap.servers": fleet.bootstrap, "log_level": 0}
        self._producer = Producer(
            {**client, "partitioner": "murmur2_random", "message.max.bytes": CLICKS_BYTES, "linger.ms": 0}
        )
        self._consumer = Consumer({**client, "group.id": "reader", "isolation.level": "read_committed"})
        places = [TopicPartition(topics.RECOMMENDATIONS, each, OFFSET_BEGINNING) for each in range(PARTITIONS)]
        self._consumer.assign(places)
        self._numbers = iter(range(10**9))
        self._lists: dict[str, dict[str, Any]] = {}  # By the event that brought them about.

    def send(self, topic: str, value: bytes | None, key: bytes | None, **more: Any) -> tuple[str, int, int]:
        """Sends one record. Returns topic, partition and offset."""
        sent: list[Any] = []
        self._producer.produce(topic, value, key, on_delivery=lambda *heard: sent.append(heard), **more)
        assert self._producer.flush(20) == 0
        error, message = sent[0]
        assert error is None, error
        return topic, message.partition(), message.offset()

    def upsert(self, item_id: str, **fields: Any) -> None:
        self.send(topics.ITEMS, orjson.dumps({"title": item_id, **fields}), item_id.encode())

    def user(self, partition: int) -> str:
        """Somebody new whose events lie in this partition."""
        names = (f"user {next(self._numbers)}" for _ in range(1000))
        return next(name for name in names if partition_of(name.encode(), PARTITIONS) == partition)

    def event(self, user: str, kind: str = "click", **fields: Any) -> dict[str, Any]:
        at = int(time.time() * 1000)
        return {"event_id": f"e{next(self._numbers)}", "user_id": user, "kind": kind, "at": at} | fields

    def ask(self, user: str, kind: str = "click", **fields: Any) -> dict[str, Any]:
        """The list that an event brings about."""
        event = self.event(user, kind, **fields)
        self.send("clicks", orjson.dumps(event), user.encode())
        return self.answer(event["event_id"])

    def answer(self, event_id: str) -> dict[str, Any]:
        """The list of the micro-batch whose newest event of that user is this one."""
        deadline = time.monotonic() + LIST_S
        while event_id not in self._lists:
            assert time.monotonic() < deadline, f"no list for {event_id}"
            message = self._consumer.poll(1.0)
            if message is not None and message.error() is None:
                shown = orjson.loads(message.value() or b"")
                self._lists[shown["trigger"]["event_id"]] = shown
        return self._lists[event_id]

    def everywhere(self, item_id: str, there: bool) -> bool:
        """Whether a shopper of red boots is told of this item (or not) by every worker."""
        lists = [self.ask(self.user(each), item_id="red boots") for each in range(PARTITIONS)]
        return all((item_id in items_of(shown)) is there for shown in lists)

    def encoded(self) -> float:
        """Texts of items that the running workers have encoded."""
        running = [worker for worker in self.fleet.workers if worker.process.poll() is None]
        return sum(worker.counter("firstclick_items_encoded_total") for worker in running)

    def shelf(self) -> dict[str, Any]:
        """Item id -> its newest catalogue record."""
        return newest(self.fleet.dump(topics.catalogue_topic(self.fleet.bundle.space)))


def items_of(shown: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in shown["items"]]


def await_shares(*workers: Worker) -> None:
    """Until each worker has one partition."""
    for worker in workers:
        eventually(lambda worker=worker: len(worker.partitions()) == 1, LIST_S, worker.said)


@pytest.fixture(scope="module")
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    broker: Broker = request.getfixturevalue("_embedded" if missing() else "kafka")
    broker.clear()
    folder = tmp_path_factory.mktemp("line")
    make_bundle(folder)
    with closing(Fleet(broker.bootstrap, folder / "bundle", folder, PARTITIONS)) as fleet:
        if broker.isolates:  # The embedded one has no limit to set.
            resource = ConfigResource(ResourceType.TOPIC, "clicks")
            more = ConfigEntry("max.message.bytes", str(CLICKS_BYTES), incremental_operation=AlterConfigOpType.SET)
            resource.add_incremental_config(more)
            fleet.admin.incremental_alter_configs([resource])[resource].result()
        line = Line(fleet)
        for item_id in SHELF:
            line.upsert(item_id)
        workers = [fleet.start("one"), fleet.start("two")]
        for worker in workers:
            worker.await_ready(len(SHELF))
        await_shares(*workers)
        yield line


Change = Callable[[dict[str, Any]], bytes]


def with_fields(**fields: Any) -> Change:
    return lambda event: orjson.dumps(event | fields)


def in_place_of(old: bytes, new: bytes) -> Change:
    """Bytes that no encoder of JSON would write."""
    return lambda event: orjson.dumps(event | {"price": 7.25}).replace(old, new)


NOW_MS = int(time.time() * 1000)
# Name -> what a good event becomes, and the reason of its rejection.
BAD: dict[str, tuple[Change, Reason]] = {
    "not JSON": (lambda _: b"hello", Reason.NOT_JSON),
    "a number": (lambda _: b"17", Reason.NOT_AN_OBJECT),
    "a list": (lambda _: b"[]", Reason.NOT_AN_OBJECT),
    "null in JSON": (lambda _: b"null", Reason.NOT_AN_OBJECT),
    "nothing": (lambda _: b"", Reason.NOT_JSON),
    "5 MB of text": (with_fields(kind="review", text="x" * 5_000_000), Reason.TOO_LARGE),
    "just too large": (with_fields(text="x" * MAX_EVENT_BYTES), Reason.TOO_LARGE),
    "just not too large, and no JSON": (lambda _: b"x" * MAX_EVENT_BYTES, Reason.NOT_JSON),
    "deep nesting": (lambda _: b"[" * 100_000, Reason.NOT_JSON),
    "deep nesting that is closed": (lambda _: b'{"a":' * 50_000 + b"1" + b"}" * 50_000, Reason.NOT_JSON),
    "NaN": (in_place_of(b"7.25", b"NaN"), Reason.NOT_JSON),
    "infinity": (in_place_of(b"7.25", b"-Infinity"), Reason.NOT_JSON),
    "a price of 1e999": (in_place_of(b"7.25", b"1e999"), Reason.NOT_JSON),
    "a boolean price": (with_fields(price=True), Reason.FIELD_INVALID),
    "2^63 for a price": (with_fields(price=2**63), Reason.FIELD_INVALID),
    "2^63 for a time": (with_fields(at=2**63), Reason.TIME_AHEAD),
    "2^80 for a dwell": (in_place_of(b"7.25", b'7,"dwell_ms":%d' % 2**80), Reason.FIELD_INVALID),
    "a lone surrogate": (in_place_of(b'"event_id":"', b'"event_id":"\\ud800'), Reason.NOT_JSON),
    "raw invalid UTF-8": (in_place_of(b'"event_id":"', b'"event_id":"\xff\xfe'), Reason.NOT_JSON),
    "NUL in an id": (with_fields(event_id="a\0b"), Reason.ID_INVALID),
    "an empty id": (with_fields(item_id=""), Reason.ID_INVALID),
    "an id of 10 kB": (with_fields(item_id="x" * 10_000), Reason.ID_INVALID),
    "1970": (with_fields(at=1000), Reason.TIME_PAST),
    "2200": (with_fields(at="2200-01-01T00:00:00Z"), Reason.TIME_AHEAD),
    "seconds": (with_fields(at=NOW_MS // 1000), Reason.TIME_PAST),
    "microseconds": (with_fields(at=NOW_MS * 1000), Reason.TIME_AHEAD),
    "a clock a day ahead": (with_fields(at=NOW_MS + DAY_MS), Reason.TIME_AHEAD),
    "an unknown kind": (with_fields(kind="dance"), Reason.KIND_UNKNOWN),
    "no item": (with_fields(item_id=None), Reason.FIELD_MISSING),
}


def test_each_bad_input_is_rejected_with_its_bytes_and_its_reason_and_the_partition_goes_on(line: Line) -> None:
    user = line.user(0)
    key, good = user.encode(), line.event(user, item_id="red boots")
    wanted: dict[tuple[str, int, int], tuple[bytes | None, bytes | None, Reason]] = {}

    def send(value: bytes | None, key: bytes | None, reason: Reason, topic: str = "clicks", **more: Any) -> None:
        wanted[line.send(topic, value, key, partition=0, **more)] = key, value, reason

    assert line.ask(user, item_id="red boots")["n_events"] == 1
    for change, reason in BAD.values():
        send(change(good), key, reason)
    value = orjson.dumps(good)
    send(None, key, Reason.TOMBSTONE)
    send(value, None, Reason.KEY_MISSING)
    send(value, b"somebody else", Reason.KEY_MISMATCH)
    send(value, b"\xed\xa0\x80", Reason.KEY_INVALID)  # A lone surrogate, as careless encoders write it.
    send(value, b"k" * 10_000, Reason.KEY_INVALID)
    send(value, b"k" * MAX_EVENT_BYTES, Reason.KEY_INVALID)
    send(value, key, Reason.CONTENT_TYPE, headers=[("content-type", b"application/avro")])
    send(value, key, Reason.CONTENT_TYPE, headers=[("content-type", b"application/json; charset=utf-16")])
    line.send("clicks", value, key, partition=0)
    send(orjson.dumps(good | {"item_id": "blue boots"}), key, Reason.EVENT_ID_REUSED)
    send(b"no item", b"an item", Reason.NOT_JSON, topic=topics.ITEMS)
    # As large as an event may be, and good: the window and the list stay small.
    most = line.event(user, "review", item_id="red jam", rating=5, text="")
    most["text"] = "x" * (MAX_EVENT_BYTES - len(orjson.dumps(most)))
    line.send("clicks", orjson.dumps(most), key, partition=0)
    last = line.ask(user, item_id="red honey")
    assert last["n_events"] == 4, "the honest rest: the first, the good one, the large one, the last"

    line.fleet.await_committed("clicks", topics.ITEMS)
    found = {}
    for record in line.fleet.dump(topics.REJECTED):
        headers = dict(record["headers"])
        found[headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])] = record, headers
    assert found.keys() == wanted.keys()
    for place, (key, value, reason) in wanted.items():
        record, headers = found[place]
        assert headers["reason"] == reason.encode(), (value or b"")[:80]
        assert_kept("key_bytes", key, record["key"], headers)
        assert_kept("value_bytes", value, record["value"], headers)
        assert len(record["value"] or b"") + len(record["key"] or b"") < topics.REJECTED_BYTES
    cut = [place for place, (_, headers) in found.items() if "value_bytes" in headers]
    assert len(cut) == 1, "only the 5 MB do not fit"


def assert_kept(header: str, sent: bytes | None, kept: bytes | None, headers: dict[str, bytes]) -> None:
    """The original bytes; if they do not fit, as many as do, and their true length."""
    if header in headers:
        assert sent is not None
        assert kept
        assert sent.startswith(kept)
        assert int(headers[header]) == len(sent) > len(kept)
    else:
        assert kept == sent


def test_an_item_is_encoded_once_and_a_changed_price_encodes_nothing(line: Line) -> None:
    assert line.encoded() == len(SHELF)
    line.upsert("red boots", price=59.5)
    line.upsert("blue boots", price=60, description="not read where there is a title")
    line.fleet.await_committed(topics.ITEMS)
    shelf = line.shelf()
    assert shelf.keys() == set(SHELF)
    assert (shelf["red boots"]["price"], shelf["blue boots"]["price"]) == (59.5, 60.0)
    assert line.encoded() == len(SHELF)


def test_a_new_item_is_recommendable_in_two_seconds_on_both_workers_and_off_at_once(line: Line) -> None:
    on, off = [], []
    for item_id in ("boots", "boots boots", "red boots boots"):  # Three tries: a busy machine may be late once.
        start = time.monotonic()
        line.upsert(item_id)
        eventually(lambda item_id=item_id: line.everywhere(item_id, there=True), LIST_S)
        on.append(time.monotonic() - start)
        start = time.monotonic()
        if item_id == "boots":
            line.send(topics.ITEMS, None, item_id.encode())
        else:
            line.upsert(item_id, available=False)
        eventually(lambda item_id=item_id: line.everywhere(item_id, there=False), LIST_S)
        off.append(time.monotonic() - start)
    print(f"seconds until on every list {on}, and off {off}")
    assert min(on) < RECOMMENDABLE_S
    assert min(off) < RECOMMENDABLE_S
    shelf = line.shelf()
    assert shelf["boots"] is None
    assert not shelf["boots boots"]["available"]
    line.upsert("boots boots")
    before = line.encoded()
    eventually(lambda: line.everywhere("boots boots", there=True), LIST_S)
    assert line.encoded() == before, "what comes back on the shelf is known already"


def test_interests_at_sign_up_are_enough_for_a_list(line: Line) -> None:
    user = line.user(1)
    shown = line.ask(user, "signup", interests=["sandals", "sneakers"])
    assert (shown["stage"], shown["n_events"]) == ("cold", 1)
    assert all(item.split()[-1] in THEMES["shoes"] for item in items_of(shown)[:5])
    assert shown["items"][0]["because"][0]["event_id"] == shown["trigger"]["event_id"]


def test_somebody_of_whom_nothing_is_known_gets_what_sells(line: Line) -> None:
    shown = line.ask(line.user(1), item_id="never heard of")
    assert (shown["stage"], len(shown["items"])) == ("fallback", 10)


def test_a_restart_encodes_nothing_and_the_windows_are_there(line: Line) -> None:
    first, second = line.fleet.workers[:2]
    users = [line.user(each) for each in range(PARTITIONS)]
    for user in users:
        line.ask(user, item_id="red boots")
    before = first.counter("firstclick_items_encoded_total")
    assert second.terminate() == 0
    again = line.fleet.start("two").await_ready(len(line.shelf()) - 1)
    await_shares(first, again)
    for user in users:
        assert line.ask(user, item_id="blue boots")["n_events"] == 2
    assert again.counter("firstclick_items_encoded_total") == 0
    assert first.counter("firstclick_items_encoded_total") == before
