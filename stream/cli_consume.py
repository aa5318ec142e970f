"""Beside the line: the commands `serve`, `watch` and `recommend`, for who consumes lists and vectors.

Knows nothing of how anything is done. What a command needs is imported when it runs, so that `--help` answers at once.
"""

import sys
from typing import Any

import click

from stream.errors import BadInput, Exit
from stream.options import kafka_options


def _say(text: str) -> None:
    click.echo(f"firstclick: {text}", err=True)


def _client(bootstrap: str, kafka: dict[str, Any]) -> dict[str, Any]:
    """librdkafka's properties; it says only what is critical: what matters here we say ourselves, and once."""
    return {"bootstrap.servers": bootstrap, "log_level": 2, **kafka}


def _write(line: bytes) -> None:
    """At once: who reads our pipe waits for it."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


@click.command(short_help="Answer for lists and vectors over HTTP.")
@kafka_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address. 0.0.0.0: every one; there is no login.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option(
    "--state",
    default="memory",
    show_default=True,
    metavar="memory|sqlite:PATH",
    help="Where outputs are held. sqlite: for more users than memory holds, and a start that goes on where it ended.",
)
@click.option(
    "--popular",
    default=10,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Items of the list that ?fallback=popular gives; 0: none, and no catalogue is read.",
)
@click.option("--catalogue", metavar="TOPIC", help="What tells what is popular.  [default: the only one there is]")
def serve(
    bootstrap: str, kafka: dict[str, Any], host: str, port: int, state: str, popular: int, catalogue: str | None
) -> int:
    """Answer GET /v1/users/{id}/recommendations and /interest from the compacted topics; /openapi.json describes it.

    Any number may run beside each other, each with the whole of the topics. SIGTERM and Ctrl-C end it in good order.
    """
    import logging.config

    from stream.logs import config
    from stream.serve import Followed, run
    from stream.states import state_of

    logging.config.dictConfig(config("text", "info"))
    held = state_of(state)
    return run(Followed(_client(bootstrap, kafka), held, popular, catalogue), host, port, click.echo)


@click.command(short_help="Watch lists and vectors as they come.")
@kafka_options
@click.option("--user", metavar="ID", help="Of this user alone.")
@click.option("--newest", is_flag=True, help="Begin with what stands on the topics: the newest of every user.")
@click.option("--json", "as_lines", is_flag=True, help="JSON lines; so it is too where stdout is no terminal.")
def watch(bootstrap: str, kafka: dict[str, Any], user: str | None, newest: bool, as_lines: bool) -> int:
    """Follow recommendations and interests as a live table, or as JSON lines, until Ctrl-C."""
    from stream.watch import watch as watching

    write = _write if as_lines or not sys.stdout.isatty() else None
    watching(_client(bootstrap, kafka), user, newest, _say, write)
    return Exit.DONE


@click.command(short_help="Print a user's newest list.")
@kafka_options
@click.option("--user", required=True, metavar="ID", help="Whose.")
@click.option("--json", "as_line", is_flag=True, help="The record as it is; so it is too where stdout is no terminal.")
def recommend(bootstrap: str, kafka: dict[str, Any], user: str, as_line: bool) -> int:
    """Print the newest list of one user from the compacted topic. Ends with 1 where there is none."""
    from stream import topics
    from stream.outputs import Gone, Unreadable, newest, read_output

    value = newest(_client(bootstrap, kafka), topics.RECOMMENDATIONS, user)
    if value is None:
        remedy = "has an event of theirs been taken in? `firstclick watch` shows what comes"
        raise BadInput(f"--user {user}: no list stands on {topics.RECOMMENDATIONS}", remedy)
    try:
        read = read_output(topics.RECOMMENDATIONS, user.encode(), value)
    except Unreadable as error:
        raise BadInput(f"--user {user}: the newest record on {topics.RECOMMENDATIONS} is no list: {error}") from error
    assert not isinstance(read, Gone)
    if as_line or not sys.stdout.isatty():
        _write(read.body)
        return Exit.DONE
    import orjson
    from rich.console import Console

    from stream.watch import list_table

    Console().print(list_table(orjson.loads(read.body)))
    return Exit.DONE
