"""Before and beside the line: the command `firstclick shop`."""

from pathlib import Path
from typing import Any

import click

from stream.errors import Exit
from stream.options import Moment, kafka_options

PORT = 8090


@click.command(short_help="Serve the shop page.")
@kafka_options
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    envvar="FIRSTCLICK_BUNDLE",
    help="The worker's model.  [env: FIRSTCLICK_BUNDLE]  [default: zero-shot]",
)
@click.option("--events", default="events", show_default=True, help="The topic that visitors' events go to.")
@click.option("--group", default="firstclick", show_default=True, help="The workers'; the page says when it is empty.")
@click.option(
    "--at",
    "at_ms",
    type=Moment(),
    help="The time in the shop, where a log of long ago is replayed; it goes on with the newest event.  [default: now]",
)
def shop(
    bootstrap: str, kafka: dict[str, Any], port: int, bundle: Path | None, events: str, group: str, at_ms: int | None
) -> int:
    """A small shop in the browser, to see lists change with every click. It needs a worker, and listens on 127.0.0.1.

    It is a client like any other: it sends to the topics and reads what comes back. Ctrl-C ends it.
    """
    from model.bundle import DEFAULT_BUNDLE
    from stream.page.run import serve

    client = {"bootstrap.servers": bootstrap, **kafka}
    serve(client, bundle or DEFAULT_BUNDLE, port, events=events, group=group, at_ms=at_ms, say=click.echo)
    return Exit.DONE
