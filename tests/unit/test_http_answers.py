"""The pages of `firstclick serve` over real HTTP, told from a source that a test sets."""

import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator

from stream import topics
from stream.answers import openapi, web_app
from stream.outputs import Output, read_output
from stream.popular import Popular
from stream.states import Memory
from tests.outputs import a_list, an_interest
from tests.unit.test_popular import record, shelved


class FakeSource:
    """Has read one user's outputs."""

    def __init__(self) -> None:
        self.state = Memory()
        self.popular: Popular | None = Popular(3)
        self.caught_up = self.alive = True
        self.silent = 0.0
        for topic in (topics.RECOMMENDATIONS, topics.INTERESTS):
            self.state.begin(topic, "", 0)
        self.publish("u-17", 1050)

    def publish(self, user_id: str, version: int) -> None:
        for topic, value in zip(topics_of(), (a_list(user_id, version), an_interest(user_id, version)), strict=True):
            self.state.apply(topic, [read_output(topic, user_id.encode(), value)], {}, 0)

    @property
    def ready(self) -> bool:
        return self.caught_up and self.alive

    def silent_s(self) -> float:
        return self.silent

    def newest_ms(self) -> dict[str, int]:
        return {topics.RECOMMENDATIONS: int(time.time() * 1000) - 5_000, topics.INTERESTS: 0, "catalogue": 0}

    def read(self) -> dict[str, int]:
        return dict.fromkeys(topics_of(), 7)

    def skipped(self) -> dict[str, Mapping[str, int]]:
        return {topics.RECOMMENDATIONS: {"no key": 2, "no list": 1}, topics.INTERESTS: {}, "catalogue": {}}


def topics_of() -> tuple[str, str]:
    return topics.RECOMMENDATIONS, topics.INTERESTS


Client = TestClient[Any, Any]


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
async def client(source: FakeSource) -> AsyncIterator[Client]:
    async with TestClient(TestServer(web_app(source))) as made:
        yield made


def of(user_id: str, page: str = "recommendations") -> str:
    return f"/v1/users/{quote(user_id, safe='')}/{page}"


async def is_problem(answer: ClientResponse, status: int, *said: str) -> None:
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    told = orjson.loads(await answer.read())
    assert told["status"] == status
    for text in said:
        assert text in told["detail"]


@pytest.mark.parametrize(("page", "value"), [("recommendations", a_list()), ("interest", an_interest())])
async def test_an_answer_is_the_record_byte_for_byte(page: str, value: bytes, client: Client) -> None:
    answer = await client.get(of("u-17", page))
    assert (answer.status, answer.content_type, await answer.read()) == (200, "application/json", value)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Firstclick-Stale" not in answer.headers


@pytest.mark.parametrize("page", ["recommendations", "interest"])
async def test_who_has_the_newest_version_gets_304_until_there_is_a_newer_one(
    page: str, client: Client, source: FakeSource
) -> None:
    etag = (await client.get(of("u-17", page))).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get(of("u-17", page), headers={"If-None-Match": known})
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", etag)
    assert (await client.get(of("u-17", page), headers={"If-None-Match": '"other"'})).status == 200
    source.publish("u-17", 1051)
    answer = await client.get(of("u-17", page), headers={"If-None-Match": etag})
    assert answer.status == 200
    assert answer.headers["ETag"] != etag


@pytest.mark.parametrize("user_id", ["a/b", "ä 靴", "a?b#c", "%2F", "a+b", "'; --"])
async def test_any_user_id_can_be_asked_for(user_id: str, client: Client, source: FakeSource) -> None:
    source.publish(user_id, 3)
    answer = await client.get(of(user_id))
    assert orjson.loads(await answer.read())["user_id"] == user_id


async def test_an_unknown_user_is_404_and_nothing_stands_in_unasked(client: Client) -> None:
    await is_problem(await client.get(of("nobody")), 404, "'nobody'", "?fallback=popular")
    await is_problem(await client.get(of("nobody") + "?fallback=none"), 404, "'nobody'")
    await is_problem(await client.get(of("nobody", "interest")), 404, "'nobody'")


async def test_a_popularity_list_is_asked_for_and_told_apart(client: Client, source: FakeSource) -> None:
    assert source.popular is not None
    source.popular.apply([record(shelved(f"i{clicks}", clicks)) for clicks in (5, 9)])
    answer = await client.get(of("nobody") + "?fallback=popular")
    told = orjson.loads(await answer.read())
    assert (answer.status, told["user_id"], told["stage"], told["n_events"]) == (200, "nobody", "fallback", 0)
    assert [item["item_id"] for item in told["items"]] == ["i9", "i5"]
    known = {"If-None-Match": answer.headers["ETag"]}
    assert (await client.get(of("nobody") + "?fallback=popular", headers=known)).status == 304
    source.popular.apply([record(shelved("i7", 7))])
    assert (await client.get(of("nobody") + "?fallback=popular", headers=known)).status == 200
    assert await (await client.get(of("u-17") + "?fallback=popular")).read() == a_list()


async def test_where_there_is_no_popularity_list_it_says_why(client: Client, source: FakeSource) -> None:
    await is_problem(await client.get(of("nobody") + "?fallback=popular"), 404, "the catalogue is empty")
    source.popular = None
    await is_problem(await client.get(of("nobody") + "?fallback=popular"), 404, "--popular 0")


@pytest.mark.parametrize("query", ["fallback=best", "fallback=", "fallback=popular&fallback=none"])
async def test_a_wrong_parameter_is_named(query: str, client: Client) -> None:
    await is_problem(await client.get(f"{of('u-17')}?{query}"), 400, "fallback must be none or popular")


async def test_before_all_is_read_nobody_passes_for_unknown(client: Client, source: FakeSource) -> None:
    source.caught_up = False
    for path in (of("u-17"), of("nobody") + "?fallback=popular", of("u-17", "interest")):
        answer = await client.get(path)
        await is_problem(answer, 503, "/readyz")
        assert answer.headers["Retry-After"] == "1"
    assert (await client.get("/readyz")).status == 503
    assert (await client.get("/healthz")).status == 200
    source.caught_up = True
    assert (await client.get("/readyz")).status == 200


async def test_while_no_broker_answers_it_serves_on_and_says_so(client: Client, source: FakeSource) -> None:
    source.silent = 12.34
    answer = await client.get(of("u-17"))
    assert (answer.status, answer.headers["Firstclick-Stale"]) == (200, "12")
    ready = await client.get("/readyz")
    told = orjson.loads(await ready.read())
    assert (ready.status, told["ready"], told["broker"], told["silent_s"]) == (200, True, "silent", 12.3)


async def test_a_reader_that_has_ended_turns_both_red(client: Client, source: FakeSource) -> None:
    source.alive = False
    assert (await client.get("/readyz")).status == 503
    await is_problem(await client.get("/healthz"), 503, "see the log")


@pytest.mark.parametrize(("method", "path", "status"), [("POST", of("u-17"), 405), ("GET", "/v1/users/", 404)])
async def test_what_there_is_not_is_a_problem_too(method: str, path: str, status: int, client: Client) -> None:
    answer = await client.request(method, path)
    await is_problem(answer, status, method, path, "/openapi.json")
    assert ("GET" in answer.headers.get("Allow", "")) == (status == 405)


async def test_every_answer_is_counted_by_page_and_status_and_nobody_is_named(
    client: Client, source: FakeSource
) -> None:
    etag = (await client.get(of("u-17"))).headers["ETag"]
    await client.get(of("u-17"), headers={"If-None-Match": etag})
    for path in (of("nobody"), of("u-17") + "?fallback=best", of("u-17", "interest"), "/readyz", "/u-17", "/a/b"):
        await client.get(path)
    await client.post(of("u-17"))
    source.silent = 12.5
    answer = await client.get("/metrics")
    text = await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    counted = {}
    for route, status, count in re.findall(r'_requests_total\{route="(\w+)",status="(\d+)"\} ([\d.]+)', text):
        counted[route, int(status)] = float(count)
    assert {key: count for key, count in counted.items() if count} == {
        ("recommendations", 200): 1, ("recommendations", 304): 1, ("recommendations", 404): 1,
        ("recommendations", 400): 1, ("interest", 200): 1, ("readyz", 200): 1, ("other", 404): 2, ("other", 405): 1,
    }  # fmt: skip
    assert counted["interest", 503] == 0, "what has not happened yet stands at nought"
    assert "u-17" not in text
    assert "nobody" not in text


async def test_what_is_held_and_read_is_told_as_it_is_when_asked(client: Client, source: FakeSource) -> None:
    source.publish("u-18", 3)
    source.silent, source.alive = 12.5, False
    told = {}
    for sample in (await (await client.get("/metrics")).text()).splitlines():
        if sample.startswith("firstclick_serve_"):
            name, value = sample.rsplit(" ", 1)
            told[name.removeprefix("firstclick_serve_")] = float(value)
    assert told["silent_seconds"] == 12.5
    assert told["ready"] == 0
    assert told['users{topic="recommendations"}'] == told['users{topic="interests"}'] == 2
    assert told['records_total{topic="interests"}'] == 7
    assert told['skipped_total{topic="recommendations"}'] == 3
    assert told['age_seconds{topic="recommendations"}'] == pytest.approx(5, abs=4)
    assert math.isnan(told['age_seconds{topic="interests"}']), "nothing has been read yet"


async def test_a_bug_is_told_as_one_without_the_users_name_and_the_next_answer_comes(
    client: Client, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Memory):
        def get(self, topic: str, user_id: str) -> Output | None:
            raise RuntimeError("broken")

    whole, source.state = source.state, Broken()
    await is_problem(await client.get(of("u-17")), 500, "a bug in firstclick")
    told = [record.message for record in caplog.records if record.name.startswith("stream.")]
    assert told == ["a bug in firstclick on recommendations"]
    source.state = whole
    assert (await client.get(of("u-17"))).status == 200


async def test_the_document_is_served_and_its_schemas_hold_what_is_answered(client: Client, source: FakeSource) -> None:
    document = orjson.loads(await (await client.get("/openapi.json")).read())
    assert document == openapi()
    assert source.popular is not None
    source.popular.apply([record(shelved("i9", 9))])
    shown = {
        "Recommendation": of("u-17"),
        "Interest": of("u-17", "interest"),
        "Popular": of("nobody") + "?fallback=popular",
        "Problem": of("nobody"),
        "Readiness": "/readyz",
    }
    assert shown.keys() == document["components"]["schemas"].keys()
    for name, path in shown.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(orjson.loads(await (await client.get(path)).read()))
