"""The shop page's HTTP, over a real aiohttp server: cookies, the stream, and bad input of every kind."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from stream.page.guard import BODY_BYTES
from stream.page.server import COOKIE, application
from tests.page import EVENT_ID, YOU, HandMadeHub, line_of, sent
from tests.shop import line

MARKUP = "<img src=x onerror=alert(1)>"

Client = TestClient[Any, Any]


@pytest.fixture
def page(tmp_path: Path) -> HandMadeHub:
    return HandMadeHub(tmp_path)


@pytest.fixture
async def client(page: HandMadeHub) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(page.hub))) as made:
        yield made


@pytest.fixture
def visitor(client: Client) -> Client:
    client.session.cookie_jar.update_cookies({COOKIE: YOU}, client.make_url("/"))
    return client


async def told(answer: ClientResponse) -> str:
    error: str = (await answer.json())["error"]
    return error


async def part(answer: ClientResponse, name: str) -> Any:
    """The next such part of a stream."""
    while (await answer.content.readline()).strip() != b"event: " + name.encode():
        assert not answer.content.at_eof()
    return orjson.loads((await answer.content.readline()).removeprefix(b"data: "))


async def named(answer: ClientResponse) -> tuple[str, Any]:
    """The next part of a stream, whatever it is."""
    while not (name := (await answer.content.readline()).strip()).startswith(b"event: "):
        assert not answer.content.at_eof()
    return name.removeprefix(b"event: ").decode(), orjson.loads((await answer.content.readline())[len("data: ") :])


async def test_the_page_loads_nothing_from_outside_and_says_so(client: Client) -> None:
    answer = await client.get("/")
    body = await answer.text()
    assert answer.status == 200
    assert "http://" not in body
    assert "https://" not in body
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    for link in [piece.split('"')[0] for piece in body.split("/assets/")[1:]]:
        asset = await client.get(f"/assets/{link}")
        assert asset.status == 200
        assert asset.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_reload_keeps_the_visitor_and_a_button_makes_a_new_one(client: Client) -> None:
    first = (await client.get("/")).cookies[COOKIE]
    assert first["httponly"]
    assert first["samesite"] == "Strict"
    assert COOKIE not in (await client.get("/")).cookies
    fresh = await client.post("/api/visitor", json={})
    assert fresh.status == 201
    assert fresh.cookies[COOKIE].value != first.value


async def test_a_cookie_that_is_not_ours_is_replaced(client: Client) -> None:
    client.session.cookie_jar.update_cookies({COOKIE: "household-900"}, client.make_url("/"))
    assert (await client.post("/api/events", json=sent(1))).status == 401
    assert (await client.get("/api/stream")).status == 401
    assert COOKIE in (await client.get("/")).cookies


async def test_the_stream_tells_all_at_first_and_then_what_changed(visitor: Client, page: HandMadeHub) -> None:
    async with visitor.get("/api/stream") as answer:
        assert answer.content_type == "text/event-stream"
        assert (await part(answer, "list"))["stage"] == ""
        assert (await visitor.post("/api/events", json=sent(1, item_id="red boots"))).status == 202
        page.answer(["blue boots"], line_of(page, 1))
        listed = await part(answer, "list")
        assert listed["stage"] == "cold"
        assert listed["covers"] == [EVENT_ID % 1]


async def test_what_anybody_typed_goes_out_as_it_is_and_as_json(visitor: Client, page: HandMadeHub) -> None:
    made = await visitor.post("/api/products", json={"title": MARKUP, "category": MARKUP, "price": 1})
    assert made.status == 202
    item_id = (await made.json())["item_id"]
    page.put(item_id, title=MARKUP)
    answer = await visitor.get(f"/api/products/{item_id}")
    assert answer.content_type == "application/json"
    assert (await answer.json())["title"] == MARKUP


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"kind": "click", "item_id": "red boots"}, "event_id"),
        (sent(1, "conquer", item_id="red boots"), "kind_unknown"),
        (sent(1, item_id=7), "item_id"),
        (sent(1), "item_id is missing"),
        (sent(1, "review", item_id="red boots", rating=MARKUP), "rating"),
        (sent(1, "browse", item_id="red boots", dwell_ms=-5), "dwell_ms"),
        (sent(1, "search", query="  "), "query"),
    ],
)
async def test_a_bad_event_is_refused_with_its_reason(visitor: Client, body: dict[str, Any], says: str) -> None:
    answer = await visitor.post("/api/events", json=body)
    assert answer.status == 400
    assert says in await told(answer)


async def test_nobody_acts_for_others_or_at_another_time(visitor: Client, page: HandMadeHub) -> None:
    body = sent(1, item_id="red boots", user_id="household-900", at=5)
    assert (await visitor.post("/api/events", json=body)).status == 202
    assert line_of(page, 1).at_ms > 1_700_000_000_000
    assert not page.hub.visitor("household-900").acts


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b'{"event_id": NaN}'])
async def test_a_body_that_is_no_object_is_refused(visitor: Client, body: bytes) -> None:
    answer = await visitor.post("/api/events", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert "the body" in await told(answer)


async def test_a_huge_body_is_refused_before_it_is_read(visitor: Client) -> None:
    answer = await visitor.post("/api/events", json=sent(1, "review", item_id="red boots", text="x" * BODY_BYTES))
    assert answer.status == 413
    assert str(BODY_BYTES) in await told(answer)


async def test_unknown_ids_are_not_found(visitor: Client) -> None:
    for answer in (
        await visitor.get("/api/products/no-such-thing"),
        await visitor.get("/api/products/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
        await visitor.get("/assets/server.py"),
        await visitor.get("/no/such/page"),
        await visitor.post("/api/events", json=sent(1, item_id="no-such-thing")),
    ):
        assert answer.status == 404
        assert await told(answer)


@pytest.mark.parametrize(
    "product",
    [{}, {"title": " "}, {"title": 7}, {"title": "x" * 121}, {"title": "a", "price": -1}, {"title": "a", "price": "9"}],
)
async def test_a_bad_product_is_refused(visitor: Client, page: HandMadeHub, product: dict[str, Any]) -> None:
    assert (await visitor.post("/api/products", json=product)).status == 400
    assert page.part("added") == []


@pytest.mark.parametrize("first", ["-1", "x", "1e3", "99999999999", "²"])
async def test_a_page_that_is_no_number_is_refused(client: Client, first: str) -> None:
    assert (await client.get("/api/products", params={"first": first})).status == 400


async def test_another_site_can_neither_read_nor_act(visitor: Client) -> None:
    elsewhere = {"Host": "evil.example"}
    assert (await visitor.get("/api/products", headers=elsewhere)).status == 403
    foreign = {"Origin": "http://evil.example"}
    assert (await visitor.post("/api/events", json=sent(1, item_id="red boots"), headers=foreign)).status == 403
    form = await visitor.post("/api/events", data={"event_id": EVENT_ID % 1})
    assert form.status == 415


async def test_ready_once_all_is_read_and_there_is_something_to_show(client: Client, page: HandMadeHub) -> None:
    answer = await client.get("/readyz")
    assert (answer.status, (await answer.json())["items"]) == (200, 120)
    page.read(False)
    assert (await client.get("/readyz")).status == 503


async def test_until_all_is_read_a_browser_hears_how_things_stand_and_keeps_its_list(
    visitor: Client, page: HandMadeHub
) -> None:
    page.read(False)
    page.answer(["blue boots"], line(item_id="red boots"))
    async with visitor.get("/api/stream") as answer:
        first = await named(answer)
        assert first[0] == "standing"
        assert (first[1]["read"], first[1]["ready"]) == (False, False)
        assert (await visitor.post("/api/events", json=sent(1, item_id="not read yet"))).status == 503
        page.read(True)
        assert (await named(answer))[1]["stage"] == "cold", "no list before it stood in place of what the browser has"
        assert (await named(answer))[1]["ready"]
