"""Beside the line: the shop page from start to stop."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from model.bundle import Bundle
from stream.errors import NotAllowed
from stream.page.hub import Hub
from stream.page.server import application

HOST = "127.0.0.1"  # It knows no passwords: never listen to other machines.
CLOSE_S = 2.0


def serve(
    client: Mapping[str, Any],
    bundle: Path,
    port: int,
    *,
    events: str,
    group: str,
    at_ms: int | None,
    say: Callable[[str], None],
) -> None:
    """Serves the page until SIGTERM or Ctrl-C.

    Raises:
        NotAllowed: the port cannot be had.
        BundleError: the bundle is not one that a worker may run.
    """
    asyncio.run(_serve(Hub(client, Bundle.load(bundle), events=events, group=group, at_ms=at_ms), port, say))


async def _serve(hub: Hub, port: int, say: Callable[[str], None]) -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    with hub:
        runner = web.AppRunner(application(hub), access_log=None, shutdown_timeout=CLOSE_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            await runner.cleanup()
            why = f"port {port} of {HOST} cannot be had: {error.strerror or error}"
            raise NotAllowed(why, "choose another --port") from error
        say(f"shop page: http://{HOST}:{port_of(runner)}/")
        try:
            await over.wait()
        finally:
            await runner.cleanup()


def port_of(runner: web.AppRunner) -> int:
    """Where it listens."""
    return int(runner.addresses[0][1])
