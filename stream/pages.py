"""Beside the line: the worker's web pages, for Prometheus and for whoever starts and stops workers.

Knows nothing of how the parts work. The pages are the event loop's: where that is blocked nobody answers, and a probe
runs into its time-out, which counts as red.
"""

import json
from typing import Any

import faust
from prometheus_client import CONTENT_TYPE_LATEST

from stream.parts import Parts


def add_pages(app: faust.App, parts: Parts) -> None:
    """/healthz: the loops turn. /readyz: 200 once lists can be right. /metrics: Prometheus."""

    @app.page("/healthz")
    async def healthz(web: Any, request: Any) -> Any:
        wrong = parts.wrong
        return web.text("\n".join(wrong or ["ok"]) + "\n", status=503 if wrong else 200)

    @app.page("/readyz")
    async def readyz(web: Any, request: Any) -> Any:
        body = json.dumps(_told(parts)).encode() + b"\n"
        return web.bytes(body, content_type="application/json", status=200 if parts.ready else 503)

    @app.page("/metrics")
    async def metrics(web: Any, request: Any) -> Any:
        parts.metrics.ready.set(parts.ready)
        return web.bytes(parts.metrics.text(), content_type=CONTENT_TYPE_LATEST.partition("; charset")[0])


def _told(parts: Parts) -> dict[str, Any]:
    return {
        "ready": parts.ready,
        "waits_for": parts.waits_for,
        "wrong": parts.wrong,
        "model": parts.bundle.model,
        "guarantee": parts.guarantee,
        "items": len(parts.catalogue),
        "partitions": {turns.lane.name: turns.lane.partitions for turns in parts.turns},
    }
