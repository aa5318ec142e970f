"""Beside the line, for consumers: what comes on the output topics, as a live table or as lines; one list, in words.

Knows nothing of Kafka but which record came, and changes nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

import orjson
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream import topics
from stream.follower import ToEnd, ends, fetched, reader
from stream.outputs import Gone, Output, Unreadable, admin_of, read_output
from stream.topics import partitions

FOLLOWED = (topics.RECOMMENDATIONS, topics.INTERESTS)
USERS = 500  # Rows kept; more than any screen shows.
FRAMES = 4  # A second: as many as an eye follows, each costs some milliseconds of the one Python that also reads.
ITEMS = 10
FRAME_LINES = 6  # Of the screen, that are no user's: title, head, rules, foot.


class Row:
    """What is shown of a user."""

    def __init__(self) -> None:
        self.at_ms = self.n_events = self.version = 0
        self.stage = ""
        self.items: list[str] = []
        self.new: set[str] = set()
        """Items that the list before had not."""
        self.vector: list[float] = []
        self.moved: float | None = None
        """Cosine distance from the vector before; None: there is none, or it was another model's."""
        self.model = ""


class Board:
    """The users whose outputs came last."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        """User -> row; who came last stands last."""
        self.counts = dict.fromkeys(FOLLOWED, 0)
        self.skipped = 0

    def take(self, topic: str, output: Output | Gone, told_ms: int) -> None:
        """An output came.

        Args:
            topic: on which.
            output: itself.
            told_ms: the record's time.
        """
        self.counts[topic] += 1
        row = self.rows.pop(output.user_id, None) or Row()
        if isinstance(output, Gone):
            return
        self.rows[output.user_id] = row
        if len(self.rows) > USERS:
            del self.rows[next(iter(self.rows))]
        told = orjson.loads(output.body)
        row.at_ms, row.version, row.n_events = told_ms, output.version, told["n_events"]
        if topic == topics.RECOMMENDATIONS:
            items = [item["item_id"] for item in told["items"]]
            row.new, row.items, row.stage = (
                set(items).difference(row.items) if row.items else set(),
                items,
                told["stage"],
            )
            return
        known = row.model == output.model and len(row.vector) == len(told["vector"])
        row.moved = 1 - sum(map(float.__mul__, row.vector, map(float, told["vector"]))) if known else None
        row.vector, row.model = [float(number) for number in told["vector"]], output.model


def table(board: Board, rows: int) -> RenderableType:
    """The newest rows of the board, newest first."""
    lists, vectors = board.counts.values()
    skipped = f", {board.skipped} records skipped" if board.skipped else ""
    title = f"{lists} lists, {vectors} vectors of {len(board.rows)} users{skipped}; Ctrl-C ends"
    shown = Table(title=title, title_justify="left", expand=True)
    for name, justify in (("time", "left"), ("user", "left"), ("stage", "left"), ("events", "right")):
        shown.add_column(name, justify=cast(Any, justify), no_wrap=True)
    shown.add_column("list (bold: new in it)", ratio=1, no_wrap=True, overflow="ellipsis")
    shown.add_column("vector moved", justify="right", no_wrap=True)
    for user_id, row in islice(reversed(board.rows.items()), max(rows, 1)):
        items = Text(" ").join(Text(item, "bold" if item in row.new else "") for item in row.items[:ITEMS])
        moved = "" if row.moved is None else f"{row.moved:.3f}"
        shown.add_row(_clock(row.at_ms), Text(user_id), row.stage, str(row.n_events), items, moved)
    return shown


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000):%H:%M:%S}"


def line(message: Message) -> bytes:
    """A record as a JSON line: where it stands, its time, its key and its value."""
    value = message.value()
    told = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": (message.key() or b"").decode(),
        "value": None if value is None else orjson.Fragment(value),
    }
    return orjson.dumps(told)


def watch(
    client: Mapping[str, Any],
    user_id: str | None,
    newest: bool,
    say: Callable[[str], None],
    write: Callable[[bytes], None] | None = None,
    console: Console | None = None,
) -> None:
    """Follows the output topics until Ctrl-C.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        user_id: of this user alone.
        newest: begins with what stands on the topics, compacted: not with what comes from now on.
        say: is told what is no output.
        write: takes every output as a line; None: a live table on `console`.
        console: the terminal.

    Raises:
        Unreachable: no broker answers, or a topic is not there.
    """
    admin, board = admin_of(client), Board()
    places = [
        (topic, number)
        for topic in FOLLOWED
        for number in partitions(admin, topic, "topic", client["bootstrap.servers"])
    ]
    begin = dict.fromkeys(places, OFFSET_BEGINNING) if newest else ends(admin, places)
    consumer = reader(client, [TopicPartition(*place, offset) for place, offset in begin.items()])
    say(f"following {' and '.join(FOLLOWED)} at {client['bootstrap.servers']}")
    live = None if write is not None else Live(console=console, auto_refresh=False, screen=True)
    drawn_s = 0.0
    try:
        if live is not None:
            live.start()
        while True:
            for message in fetched(consumer, ToEnd({}, False)):
                if user_id is None or message.key() == user_id.encode():
                    _take(board, message, say, write)
            if live is not None and time.monotonic() - drawn_s >= 1 / FRAMES:
                drawn_s = time.monotonic()
                live.update(table(board, live.console.height - FRAME_LINES), refresh=True)
    finally:
        if live is not None:
            live.stop()  # The last frame is left standing above the prompt.
            live.console.print(table(board, live.console.height - FRAME_LINES))
        consumer.close()


def _take(board: Board, message: Message, say: Callable[[str], None], write: Callable[[bytes], None] | None) -> None:
    topic = cast(str, message.topic())
    try:
        output = read_output(topic, message.key(), message.value())
    except Unreadable as error:
        board.skipped += 1
        if write is not None:
            say(f"{topic}[{message.partition()}]:{message.offset()} is skipped: {error}")
        return
    if write is not None:
        write(line(message))
    else:
        board.take(topic, output, message.timestamp()[1])


def list_table(told: Mapping[str, Any]) -> RenderableType:
    """One list, for a terminal."""
    at = datetime.fromtimestamp(told["at"] / 1000, UTC)
    user_id, stage, n_events, model = (told[name] for name in ("user_id", "stage", "n_events", "model"))
    title = f"{user_id}: {stage}, {n_events} events, the newest of {at:%Y-%m-%d %H:%M:%S}Z, by {model}"
    shown = Table()
    shown.add_column("rank", justify="right")
    shown.add_column("item")
    shown.add_column("score", justify="right")
    shown.add_column("because of")
    for item in told["items"]:
        reasons: Sequence[Mapping[str, Any]] = item["because"]
        because = ", ".join(f"{reason['event_id']} ({reason['weight']:.2f})" for reason in reasons)
        shown.add_row(str(item["rank"]), Text(item["item_id"]), f"{item['score']:.3f}", Text(because))
    return Group(Text(title), shown)
