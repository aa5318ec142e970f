"""Beside the line: what every answer of the shop page carries, and which requests get none.

Knows nothing of the shop. The page is for the people at this machine: a web site that they have open elsewhere must not
be able to act for them (Host and Origin are checked), and nothing that anybody typed may ever run (the policy).
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

log = logging.getLogger(__name__)

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
BODY_BYTES = 16 * 1024  # A review of 2,500 words.
HEADERS = {
    # No inline script or style, nothing from elsewhere, and no way to make markup of a string at all.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Puts HEADERS on an answer before it goes out."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets through what comes from this page; every refusal is a JSON object with one sentence."""
    try:
        _must_be_ours(request)
        return await handler(request)
    except web.HTTPException as refusal:
        said = refusal.text or refusal.reason
        if refusal.status == 413:
            said = f"the body is larger than {BODY_BYTES} bytes; send less text"
        return web.json_response({"error": said}, status=refusal.status)
    except Exception:
        log.exception("a bug in firstclick: %s %s", request.method, request.path)
        return web.json_response({"error": "a bug in firstclick; the terminal shows where"}, status=500)


def _must_be_ours(request: web.Request) -> None:
    if _host(f"//{request.host}") not in HOSTS:
        raise web.HTTPForbidden(text=f"Host is {request.host!r}; open the page as 127.0.0.1 or localhost")
    if request.method in ("GET", "HEAD"):
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text=f"Origin is {origin!r}; only this page may send")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text=f"Content-Type is {request.content_type!r}; send application/json")


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # Brackets that do not match.
        return None


async def sent_object(request: web.Request) -> dict[str, Any]:
    """The body, which must be a JSON object.

    Raises:
        HTTPBadRequest: it is none.
        HTTPRequestEntityTooLarge: it is larger than BODY_BYTES.
    """
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return found
