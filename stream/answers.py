"""Beside the line, for consumers: the HTTP pages of `firstclick serve`; `openapi.json` beside this file describes them.

Knows nothing of Kafka: it asks what is held, and changes nothing. A body is the record as it stands on the topic, byte
for byte, so an answer costs a look-up.

| asked for                                   | answer                                                                 |
|---------------------------------------------|------------------------------------------------------------------------|
| a user who has a list                       | 200, the list; 304 where If-None-Match has its version                 |
| a user who has none                         | 404: nothing stands in for it, so that a mistyped id is not a success  |
| the same with ?fallback=popular             | 200, what sells now: `stage` is `fallback` and `n_events` 0            |
| anything before all has been read           | 503: who is not held yet would pass for unknown                        |
| anything while no broker answers            | as ever, with Firstclick-Stale: the seconds since one did              |
"""

import json
import logging
from importlib.resources import files
from time import perf_counter
from typing import Any, Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from stream import topics
from stream.popular import Popular, as_list, etag_of
from stream.serve_metrics import OTHER, Held, ServeMetrics

log = logging.getLogger(__name__)

CACHE = "private, no-cache"  # May be kept, must be asked for again: with the ETag that costs a 304.
PROBLEM = "application/problem+json"  # RFC 9457
STALE = "Firstclick-Stale"


class Source(Held, Protocol):
    """What the pages are told from."""

    @property
    def popular(self) -> Popular | None:
        """What sells; None: this server was told not to follow it."""

    @property
    def caught_up(self) -> bool:
        """All that stood on the topics at the start has been read."""

    @property
    def alive(self) -> bool:
        """Nothing that reads has ended."""


def web_app(source: Source) -> web.Application:
    """The pages."""
    document = orjson.dumps(openapi())
    metrics = ServeMetrics(source)
    pages = Pages(source, metrics)
    app = web.Application(middlewares=[_measured(metrics), _problems])

    async def described(request: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    for name, path, page in (
        ("recommendations", "/v1/users/{user_id}/recommendations", pages.recommendations),
        ("interest", "/v1/users/{user_id}/interest", pages.interest),
        ("openapi", "/openapi.json", described),
        ("healthz", "/healthz", pages.healthz),
        ("readyz", "/readyz", pages.readyz),
        ("metrics", "/metrics", pages.metrics),
    ):
        app.router.add_get(path, page, name=name)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document, with the contract's own schemas in it."""
    document: dict[str, Any] = json.loads((files("stream") / "openapi.json").read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if schema.get("$ref", "").endswith(".json"):
            told = json.loads((files("model") / "contract" / schema["$ref"]).read_text(encoding="utf-8"))
            schemas[name] = {key: value for key, value in told.items() if key != "$schema"}
    return document


class Pages:
    """What each page answers."""

    def __init__(self, source: Source, metrics: ServeMetrics) -> None:
        self._source, self._metrics = source, metrics

    async def recommendations(self, request: web.Request) -> web.Response:
        """A user's list, or on demand what is popular."""
        fallback = request.query.getall("fallback", ["none"])
        if fallback not in (["none"], ["popular"]):
            return problem(400, f"fallback must be none or popular, it is {', '.join(fallback)}")
        answer = self._held(request, topics.RECOMMENDATIONS)
        if answer is not None:
            return answer
        user_id = request.match_info["user_id"]
        unknown = f"no list of user {user_id!r} has been published"
        if fallback == ["none"]:
            return problem(404, f"{unknown}; ?fallback=popular asks for what is popular instead")
        popular = self._source.popular
        items = b"[]" if popular is None else popular.body
        if items == b"[]":
            why = "this server follows no catalogue (--popular 0)" if popular is None else "the catalogue is empty"
            return problem(404, f"{unknown}, and {why}")
        return self._answer(request, etag_of(items), as_list(user_id, items))

    async def interest(self, request: web.Request) -> web.Response:
        """A user's interest vector."""
        answer = self._held(request, topics.INTERESTS)
        return answer or problem(404, f"no interest of user {request.match_info['user_id']!r} has been published")

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while all that reads is alive."""
        return web.Response(text="ok\n") if self._source.alive else problem(503, "a reader has ended: see the log")

    async def readyz(self, request: web.Request) -> web.Response:
        """200 once all has been read, and while no broker answers: old lists everywhere are better than none."""
        source = self._source
        ready, silent_s = source.ready, source.silent_s()
        told = {"ready": ready, "broker": "silent" if silent_s else "answers", "silent_s": round(silent_s, 1)}
        body = orjson.dumps({**told, "read": source.read(), "skipped": source.skipped()})
        return web.Response(body=body, content_type="application/json", status=200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """For Prometheus."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _held(self, request: web.Request, topic: str) -> web.Response | None:
        """What is held of the request's user; None: nothing is."""
        if not self._source.caught_up:
            return problem(503, f"{topic} is still being read from Kafka; see /readyz", {"Retry-After": "1"})
        output = self._source.state.get(topic, request.match_info["user_id"])
        return None if output is None else self._answer(request, output.etag, output.body)

    def _answer(self, request: web.Request, etag: str, body: bytes) -> web.Response:
        headers = {"ETag": f'"{etag}"', "Cache-Control": CACHE}
        if silent_s := self._source.silent_s():
            headers[STALE] = str(round(silent_s))
        known = request.if_none_match
        if known is not None and any(tag.value in (etag, "*") for tag in known):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers, content_type="application/json")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error, for programs (`status`) and people (`detail`)."""
    told = {"status": status, "detail": detail}
    return web.Response(status=status, body=orjson.dumps(told), content_type=PROBLEM, headers=headers)


def _measured(metrics: ServeMetrics) -> Middleware:
    """Counts every request, whatever becomes of it."""

    @web.middleware
    async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = perf_counter()
        response = await handler(request)
        route = request.match_info.route.name or OTHER
        metrics.answered(route, response.status, perf_counter() - began)
        return response

    return measured


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What aiohttp refuses, and what nobody foresaw, in the form of all errors."""
    try:
        return await handler(request)
    except web.HTTPException as refused:
        allow = {"Allow": refused.headers["Allow"]} if "Allow" in refused.headers else None
        return problem(refused.status, f"{request.method} {request.path}: {refused.reason}; see /openapi.json", allow)
    except Exception:
        # The page, not the path: that names a user.
        log.exception("a bug in firstclick on %s", request.match_info.route.name or OTHER)
        return problem(500, "a bug in firstclick: see the log")
