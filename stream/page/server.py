"""Beside the line: the shop page over HTTP: its files, its shelf, what a visitor does, and a stream of what comes back.

Knows nothing of Kafka. For this machine only; what may come in, and what goes out with every answer, is in guard.py.
"""

import asyncio
import importlib.resources
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from model.event import EventError
from stream.page.guard import BODY_BYTES, guarded, harden, sent_object
from stream.page.hub import PARTS, VISITOR, Hub, NotYet, UnknownProduct
from stream.page.views import product

COOKIE = "firstclick_visitor"
COOKIE_S = 30 * 86_400
TICK_S = 1.0  # How often the stream looks whether the worker is late.
BEAT_S = 10.0  # So often a quiet stream says that it is there.
AGAIN_MS = 1_000  # A browser whose stream breaks off comes back after this.
PAGE_PRODUCTS = 24
QUERY_CHARS = 200
TITLE_CHARS = 120
EVENT_FIELDS = ("event_id", "kind", "item_id", "dwell_ms", "query", "rating", "text", "quantity", "recommendation_id")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_ID = re.compile(re.escape(VISITOR) + "[0-9a-f]{12}")
_EVENT_ID = re.compile("[0-9a-f-]{36}")

HUB = web.AppKey("hub", Hub)
FILES = web.AppKey("files", Mapping[str, tuple[bytes, str]])
CLOSING = web.AppKey("closing", asyncio.Event)

routes = web.RouteTableDef()


def application(hub: Hub) -> web.Application:
    """The page over a hub that somebody else starts and stops."""
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[guarded])
    app[HUB], app[FILES], app[CLOSING] = hub, _files(), asyncio.Event()
    app.on_response_prepare.append(harden)
    app.on_shutdown.append(_close)
    app.add_routes(routes)
    return app


async def _close(app: web.Application) -> None:
    app[CLOSING].set()


def _files() -> dict[str, tuple[bytes, str]]:
    """Name -> the file, and its content type."""
    folder = importlib.resources.files("stream.page") / "assets"
    kinds = {file.name: KINDS.get("." + file.name.rpartition(".")[2]) for file in folder.iterdir()}
    return {name: ((folder / name).read_bytes(), kind) for name, kind in kinds.items() if kind is not None}


def _visitor(request: web.Request) -> str:
    """Whose browser this is.

    Raises:
        HTTPUnauthorized: it has no cookie of ours.
    """
    user_id = request.cookies.get(COOKIE, "")
    if not _ID.fullmatch(user_id):
        raise web.HTTPUnauthorized(text="no visitor; load the page first, it sets a cookie")
    return user_id


def _welcome(response: web.Response) -> str:
    user_id = VISITOR + secrets.token_hex(6)
    response.set_cookie(COOKIE, user_id, max_age=COOKIE_S, httponly=True, samesite="Strict")
    return user_id


@routes.get("/")
async def page(request: web.Request) -> web.Response:
    """The page; a reload keeps the visitor."""
    body, kind = request.app[FILES]["index.html"]
    response = web.Response(body=body, content_type=kind, charset="utf-8")
    if not _ID.fullmatch(request.cookies.get(COOKIE, "")):
        _welcome(response)
    return response


@routes.get("/assets/{name}")
async def asset(request: web.Request) -> web.Response:
    """A file that the page loads."""
    found = request.app[FILES].get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound(text="no such file")
    headers = {"Cache-Control": "no-cache"}  # The next version of firstclick must not meet the files of this one.
    return web.Response(body=found[0], content_type=found[1], charset="utf-8", headers=headers)


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """200 once the topics have been read and there is something on the shelf."""
    hub = request.app[HUB]
    return _json({"ready": hub.ready, "items": len(hub.products)}, 200 if hub.ready else 503)


@routes.get("/api/products")
async def find(request: web.Request) -> web.Response:
    """A page of products, by words or category, or what sells."""
    asked = request.query
    first = asked.get("first", "0")
    if not (first.isascii() and first.isdecimal() and len(first) < 8):
        raise web.HTTPBadRequest(text=f"first is {first[:40]!r}; send a whole number")
    words, category = asked.get("query", "")[:QUERY_CHARS], asked.get("category", "")
    found = request.app[HUB].products.find(words, category, int(first), PAGE_PRODUCTS)
    return _json({"products": [product(item) for item in found.products], "total": found.total})


@routes.get("/api/products/{item_id}")
async def one(request: web.Request) -> web.Response:
    """One product."""
    item = request.app[HUB].products.get(request.match_info["item_id"])
    if item is None:
        raise web.HTTPNotFound(text="no such product on the shelf")
    return _json(product(item))


@routes.get("/api/categories")
async def categories(request: web.Request) -> web.Response:
    """All categories, that of what sells best first."""
    found = request.app[HUB].products.categories()
    return _json([{"name": name, "products": count} for name, count in found])


@routes.post("/api/visitor")
async def new_visitor(request: web.Request) -> web.Response:
    """From now on this browser is somebody whom nobody knows."""
    response = _json({}, 201)
    _welcome(response)
    return response


@routes.post("/api/events")
async def act(request: web.Request) -> web.Response:
    """What the visitor did. 202: it is on its way; the stream tells what came of it."""
    user_id, sent = _visitor(request), await sent_object(request)
    if not _EVENT_ID.fullmatch(str(sent.get("event_id", ""))):
        raise web.HTTPBadRequest(text="event_id is missing or no UUID; the same id again does nothing")
    fields = {name: sent[name] for name in EVENT_FIELDS if sent.get(name) is not None}
    try:
        request.app[HUB].act(user_id, fields)
    except EventError as error:
        raise web.HTTPBadRequest(text=f"{error.reason}: {error.detail}") from error
    except UnknownProduct as error:
        raise web.HTTPNotFound(text="no such product on the shelf") from error
    except NotYet as error:
        raise web.HTTPServiceUnavailable(text="the shelf is still being read; try again in a second") from error
    except BufferError as error:
        raise _full() from error
    return _json({}, 202)


@routes.post("/api/products")
async def add(request: web.Request) -> web.Response:
    """A product that nobody has touched. 202: it is on its way to the shelf."""
    _visitor(request)
    sent = await sent_object(request)
    fields = {name: sent[name] for name in ("title", "category", "price") if sent.get(name) is not None}
    title = fields.get("title")
    if not isinstance(title, str) or not 0 < len(title.strip()) <= TITLE_CHARS:
        raise web.HTTPBadRequest(text=f"title must be text of 1 to {TITLE_CHARS} characters")
    try:
        item_id = request.app[HUB].add(fields)
    except EventError as error:
        raise web.HTTPBadRequest(text=f"{error.reason}: {error.detail}") from error
    except BufferError as error:
        raise _full() from error
    return _json({"item_id": item_id}, 202)


@routes.get("/api/stream")
async def stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events: each part of the hub as a whole, whenever it has changed.

    A slow browser misses steps between, and never the newest state: nothing queues. Until all topics have been read it
    hears only how things stand: what it shows is newer than what would be sent.
    """
    user_id, hub, closing = _visitor(request), request.app[HUB], request.app[CLOSING]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"retry: %d\n\n" % AGAIN_MS)
    loop, wake = asyncio.get_running_loop(), asyncio.Event()
    sent: dict[str, bytes] = {}
    names: Sequence[str] = PARTS
    quiet_s = 0.0
    with suppress(ConnectionError), hub.listening(user_id, lambda: loop.call_soon_threadsafe(wake.set)):
        while not closing.is_set():
            quiet_s += TICK_S
            for name in (
                names if hub.caught_up else ("standing",)
            ):  # One after the other: nobody waits for the list until all the rest is made, too.
                made = hub.part(user_id, name)
                if sent.get(name) != made:
                    sent[name], quiet_s = made, 0.0
                    await response.write(b"event: %s\ndata: %s\n\n" % (name.encode(), made))
            if quiet_s >= BEAT_S:
                quiet_s = 0.0
                await response.write(b": still here\n\n")
            try:
                await asyncio.wait_for(wake.wait(), TICK_S)
            except TimeoutError:
                names = ("standing",)
            else:
                wake.clear()
                names = PARTS
    return response


def _full() -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text="Kafka is away, and too much waits for it already; try again later")


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json", status=status)
