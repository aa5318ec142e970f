"""A worker as `firstclick worker` runs it, that also keeps the exact seconds of every step.

`python -m tests.bench.worker [--no-model]`, its settings from FIRSTCLICK_…; `--no-model` leaves out steps 4 to 9. The
page /samples tells what was kept. The worker's own histograms go on as ever.
"""

import contextlib
import resource
import sys
import time
from typing import Any

import faust
import orjson

from stream.app import faust_app
from stream.collector import calm
from stream.parts import Parts, build
from stream.settings import Settings


class Samples:
    """Stands in front of one of the worker's histograms and keeps (clock, seconds or count) by label."""

    def __init__(self, histogram: Any, kept: dict[str, list[tuple[float, float]]], name: str = "") -> None:
        self._histogram, self._kept, self._name = histogram, kept, name

    def labels(self, *labels: str) -> "Samples":
        return Samples(self._histogram.labels(*labels), self._kept, ".".join(labels))

    def observe(self, value: float) -> None:
        self._kept.setdefault(self._name, []).append((time.time(), value))
        self._histogram.observe(value)


def keep(parts: Parts) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Keeps every sample of steps and batches from now on."""
    steps: dict[str, list[tuple[float, float]]] = {}
    batches: dict[str, list[tuple[float, float]]] = {}
    users: dict[str, list[tuple[float, float]]] = {}
    parts.metrics.step = Samples(parts.metrics.step, steps)  # type: ignore[assignment]
    parts.metrics.batch_events = Samples(parts.metrics.batch_events, batches)  # type: ignore[assignment]
    parts.metrics.batch_users = Samples(parts.metrics.batch_users, users, "behaviour")  # type: ignore[assignment]
    return {"steps": steps, "batch_events": batches, "batch_users": users}


def main() -> None:
    parts = build(Settings.load(None), model="--no-model" not in sys.argv)
    kept = keep(parts)
    calm()
    app = faust_app(parts)

    @app.page("/samples")
    async def samples(web: Any, request: Any) -> Any:
        used = resource.getrusage(resource.RUSAGE_SELF)
        told = {**kept, "cpu_s": used.ru_utime + used.ru_stime, "memory_mib": used.ru_maxrss / 1024}
        return web.bytes(orjson.dumps(told), content_type="application/json")

    worker = faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, daemon=True, quiet=True)
    with contextlib.suppress(SystemExit):
        worker.execute_from_commandline()
    if parts.failure is not None:
        raise parts.failure


if __name__ == "__main__":
    main()
