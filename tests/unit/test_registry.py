"""Framed records, and a schema registry that answers over HTTP as the real ones do."""

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from typing import Any

import fastavro
import orjson
import pytest
from aiohttp import web

from model.event import Kind, Reason, parse_event
from model.rejection import EventError
from stream.errors import NotAllowed, Unreachable
from stream.registry import ASK_S, Registry
from tests.records import NOW_MS, FakeRecord, batch
from tests.unit.test_windows import World, reasons

ITEM = {"type": "record", "name": "Item", "namespace": "shop", "fields": [{"name": "title", "type": "string"}]}
EVENT = {
    "type": "record",
    "name": "Event",
    "namespace": "shop",
    "fields": [
        {"name": "event_id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "user_id", "type": "string"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["click", "purchase"]}},
        {"name": "item_id", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}]},
        {"name": "item", "type": ["null", "shop.Item"]},
    ],
}
TOLD = {
    "event_id": "018daf23-89b3-7cf8-a4f1-94064c96df90",
    "user_id": "u",
    "kind": "purchase",
    "item_id": "i",
    "at": NOW_MS,
    "price": None,
    "item": {"title": "Boots"},
}
SECRET = "Basic " + base64.b64encode(b"worker:secret").decode()


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4) + payload


def avro(told: dict[str, Any]) -> bytes:
    named: dict[str, Any] = {}
    fastavro.parse_schema(ITEM, named_schemas=named)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(EVENT, named_schemas=named), told)
    return out.getvalue()


class Answers:
    """A registry: 1 is Avro and refers to another schema, 2 JSON, 3 Protobuf, 4 nonsense; 5 fails `failing` times."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing = 0
        self.closed = False
        self.url = ""

    async def schema(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.closed and request.headers.get("Authorization") != SECRET:
            return web.json_response({"error_code": 401}, status=401)
        number = int(request.match_info["number"])
        if number == 5 and self.failing:
            self.failing -= 1
            return web.Response(status=503)
        references = [{"name": "shop.Item", "subject": "items/value", "version": 3}]
        told: dict[int, dict[str, Any]] = {
            1: {"schema": orjson.dumps(EVENT).decode(), "references": references},
            2: {"schemaType": "JSON", "schema": '{"type":"object"}'},
            3: {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3";'},
            4: {"schema": '"nothing known"'},
            5: {"schemaType": "JSON", "schema": "{}"},
        }
        if number not in told:
            return web.json_response({"error_code": 40403, "message": "Schema not found"}, status=404)
        return web.json_response(told[number])

    async def version(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        known = (request.match_info["subject"], request.match_info["version"]) == ("items/value", "3")
        return web.json_response({"schema": orjson.dumps(ITEM).decode()}, status=200 if known else 404)


@pytest.fixture
def answers() -> Iterator[Answers]:
    found, loop = Answers(), asyncio.new_event_loop()
    app = web.Application()
    app.router.add_get("/schemas/ids/{number}", found.schema)
    app.router.add_get("/subjects/{subject}/versions/{version}", found.version)
    runner = web.AppRunner(app)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield found
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Clock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def registry(self, url: str) -> Registry:
        return Registry(url, lambda: self.now_s, self.sleep)


def why(registry: Registry, value: bytes) -> str:
    with pytest.raises(EventError) as refused:
        registry.opened(value)
    assert refused.value.reason is Reason.SCHEMA
    return refused.value.detail


def test_avro_with_a_schema_that_it_refers_to_is_an_event(answers: Answers) -> None:
    registry = Registry(answers.url)
    value = registry.opened(framed(1, avro(TOLD)))
    event = parse_event(value, b"u", None, NOW_MS)
    assert (event.event_id, event.kind, event.at_ms) == (TOLD["event_id"], Kind.PURCHASE, NOW_MS)
    assert event.item is not None
    assert event.item.title == "Boots"
    assert registry.opened(framed(1, avro(TOLD | {"item": None}))) is not None
    assert answers.asked == ["/schemas/ids/1", "/subjects/items/value/versions/3"]  # Once for all records.


def test_json_schema_is_the_json_behind_the_head(answers: Answers) -> None:
    assert Registry(answers.url + "/").opened(framed(2, b'{"a":1}')) == b'{"a":1}'


def test_what_is_not_framed_stays_itself_and_asks_nobody(answers: Answers) -> None:
    registry = Registry(answers.url)
    assert [registry.opened(value) for value in (None, b"", b"{}")] == [None, b"", b"{}"]
    assert answers.asked == []


def test_without_a_registry_the_reason_says_so() -> None:
    assert "schema 7" in (told := why(Registry(""), framed(7, b"{}")))
    assert "--registry" in told


def test_what_a_record_is_to_blame_for_is_told(answers: Answers) -> None:
    registry = Registry(answers.url)
    assert "has no schema 9" in why(registry, framed(9, b"{}"))
    assert "PROTOBUF" in why(registry, framed(3, b"{}"))
    assert "schema 4 is no Avro schema" in why(registry, framed(4, b"{}"))
    assert "is not what schema 1 says" in why(registry, framed(1, avro(TOLD)[:-3]))
    assert "2 bytes are left over" in why(registry, framed(1, avro(TOLD) + b"no"))
    assert "begins with 0" in why(registry, b"\0\0\0")


def test_an_unknown_id_is_asked_for_again_only_after_a_while(answers: Answers) -> None:
    clock = Clock()
    registry = clock.registry(answers.url)
    for _ in range(3):
        why(registry, framed(9, b"{}"))
    assert len(answers.asked) == 1
    clock.sleep(60)
    why(registry, framed(9, b"{}"))
    assert len(answers.asked) == 2


def test_a_registry_that_stumbles_is_asked_again(answers: Answers) -> None:
    answers.failing = 3
    assert Clock().registry(answers.url).opened(framed(5, b"{}")) == b"{}"
    assert len(answers.asked) == 4


def test_a_registry_that_stays_away_ends_the_worker_and_rejects_nothing(answers: Answers) -> None:
    answers.failing, clock = 10**6, Clock()
    with pytest.raises(Unreachable, match=r"schema 5: it answers with 503.*--registry"):
        clock.registry(answers.url).opened(framed(5, b"{}"))
    assert clock.now_s >= ASK_S
    with pytest.raises(Unreachable, match="refused"):
        clock.registry("http://127.0.0.1:9").opened(framed(5, b"{}"))


def test_name_and_secret_are_sent_and_never_told(answers: Answers) -> None:
    answers.closed = True
    url = answers.url.replace("//", "//worker:secret@")
    assert Registry(url).opened(framed(2, b"{}")) == b"{}"
    with pytest.raises(NotAllowed) as refused:
        Registry(url.replace("secret", "guess")).opened(framed(2, b"{}"))
    assert "guess" not in str(refused.value)


def test_framed_events_end_in_windows_or_are_rejected(answers: Answers) -> None:
    world = World()
    world.windows._opened = Registry(answers.url).opened
    good = FakeRecord("clicks", 0, 1, b"u", framed(1, avro(TOLD)))
    taken = world.run(batch(good, FakeRecord("clicks", 0, 2, b"u", framed(9, b"{}"))))
    assert [line.item_id for line in taken.accepted] == ["i"]
    assert reasons(taken.rejected) == ["schema"]
    plain = World().run(batch(good))
    assert (plain.accepted, reasons(plain.rejected)) == ([], ["schema"])
    world.windows._opened = Clock().registry("http://127.0.0.1:9").opened
    with pytest.raises(Unreachable):
        world.take(batch(FakeRecord("clicks", 0, 3, b"u", framed(1, b"")), start=3))
