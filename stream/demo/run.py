"""Before the line: the demo from start to stop: broker, topics, shop, worker, shoppers, screen.

Knows nothing of how lists are made: it sends events to Kafka and reads what comes back, as any client would.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

import orjson
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from model.bundle import Bundle
from stream import topics
from stream.demo import shoppers
from stream.demo.board import Board
from stream.demo.broker import EmbeddedBroker
from stream.demo.bundle import in_words
from stream.demo.parts import Child, Reader, shop_page, worker
from stream.demo.screen import FRAMES, Screen
from stream.demo.shop import Shop, load_purchases, load_shop, source
from stream.errors import Exit, Unreachable
from stream.replay import PARTITIONER

SHELF_S = 120.0  # Encoding 2,400 titles takes 8 s on two idle cores.
TELL_EVERY_S = 3.0
QUIET_S = 1.0  # After the last event: lists take milliseconds, so a second of silence means that all have come.
DRAIN_S = 10.0
FLUSH_S = 10.0


class Sender:
    """Sends to the demo's topics; what the broker did not take is an error at the next call."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "partitioner": PARTITIONER, "linger.ms": 0, "log_level": 2}
        )
        self._failed: KafkaError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()  # The embedded broker waits 5 s for whoever is still connected when it stops.

    def send(self, topic: str, key: str, value: dict[str, Any], at_ms: int | None = None) -> None:
        """One record, with this record timestamp."""
        stamp = int(time.time() * 1000) if at_ms is None else at_ms
        while True:
            try:
                self._producer.produce(topic, orjson.dumps(value), key, on_delivery=self._delivered, timestamp=stamp)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Returns when the broker has everything."""
        if self._producer.flush(FLUSH_S):
            raise Unreachable("the embedded broker does not take records any more")
        self._check()

    def _delivered(self, error: KafkaError | None, message: object) -> None:
        self._failed = self._failed or error

    def _check(self) -> None:
        if self._failed is not None:
            raise Unreachable(f"the embedded broker took a record not: {self._failed.str()}")


def run(bundle: Path, *, seconds: float | None, plain: bool, rate: float, port: int) -> int:
    """The demo.

    Args:
        bundle: folder of the worker's model.
        seconds: ends by itself after so long; None: at Ctrl-C, or when the shoppers' year is over.
        plain: lines instead of a screen; the last one is a JSON object.
        rate: events a second.
        port: the embedded broker's; 0 picks a free one.
    """

    def say(text: str) -> None:
        print(text, flush=True)

    with _sigterm_is_ctrl_c():
        try:
            board, took_s = _show(bundle, seconds, plain, rate, port, say)
        except KeyboardInterrupt:  # While it was still starting.
            say("stopped")
            return Exit.INTERRUPTED if plain else Exit.DONE
    told = board.summary(took_s)
    if not plain:
        say(f"stopped after {took_s:.0f} s")
    say(orjson.dumps(told).decode())
    return Exit.DONE


def _show(
    bundle: Path, seconds: float | None, plain: bool, rate: float, port: int, say: Callable[[str], None]
) -> tuple[Board, float]:
    folder = source()
    loaded = Bundle.load(bundle)
    with EmbeddedBroker(port) as broker:
        say(f"embedded broker: {broker.bootstrap}   (firstclick watch --bootstrap {broker.bootstrap})")
        say(f"the model: {in_words(loaded)}")
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
        topics.apply(admin, topics.shapes(loaded.space))
        options = ("--guarantee", "at_least_once", "--bundle", str(bundle))
        with worker(broker.bootstrap, options) as working, Sender(broker.bootstrap) as sender:
            shop = load_shop(folder)  # While the worker starts.
            say(f"the shop: {len(shop.products)} items of a real grocery (dunnhumby, The Complete Journey)")
            for product in shop.products.values():
                sender.send(topics.ITEMS, product.item_id, dict(product.upsert()))
            sender.flush()
            say("the worker encodes the titles, each once for life")
            _fill_the_shelf(broker.bootstrap, topics.catalogue_topic(loaded.space), shop, working, say)
            working.wait_ready()
            purchases = load_purchases(folder, shop, {*shoppers.WATCHED, *shoppers.CROWD})
            titles = {item_id: product.title for item_id, product in shop.products.items()}
            labels = shoppers.labels(folder, shoppers.WATCHED) | {shoppers.NEW_USER: shoppers.NEW_USER_LABEL}
            board = Board(labels, titles)
            acts = shoppers.acts(purchases, titles)
            # The page's visitors come at the time of the log, as the others do.
            visited = ("--bundle", str(bundle), "--at", str(purchases[0].at_ms))
            read = (topics.RECOMMENDATIONS, topics.REJECTED)
            with shop_page(broker.bootstrap, visited) as page, Reader(broker.bootstrap, read) as reader:
                page.wait_ready()
                say(f"the shop page: {page.web}   (open it in a browser, and click)")
                screen = Screen(board, broker.bootstrap, page.web, plain=plain, say=say)
                began = time.monotonic()
                screen.start()
                try:
                    _shop_along(board, screen, sender, reader, (working, page), acts, seconds, rate)
                except KeyboardInterrupt:
                    pass
                finally:
                    screen.stop()
                return board, time.monotonic() - began


def _fill_the_shelf(bootstrap: str, topic: str, shop: Shop, worker: Child, say: Callable[[str], None]) -> None:
    """Returns when every item stands in the catalogue topic with its vector."""
    deadline = time.monotonic() + SHELF_S
    shelved: set[bytes | None] = set()
    told_s = time.monotonic()
    with Reader(bootstrap, [topic]) as reader:
        while len(shelved) < len(shop.products):
            worker.alive()
            if time.monotonic() - told_s >= TELL_EVERY_S:
                told_s = time.monotonic()
                say(f"{len(shelved)} of {len(shop.products)} are on the shelf")
            arrived = reader.next(0.2)
            if arrived is not None:
                shelved.add(arrived.key)
            elif time.monotonic() > deadline:
                said = f"{len(shelved)} of {len(shop.products)} items are on the shelf after {SHELF_S:.0f} s"
                raise Unreachable(said, f"the worker's log is {worker.log}")


def _shop_along(
    board: Board,
    screen: Screen,
    sender: Sender,
    reader: Reader,
    children: Sequence[Child],
    acts: Iterator[shoppers.Act],
    seconds: float | None,
    rate: float,
) -> None:
    """Sends at the rate, and takes in what comes back, until the time is over or all is bought and answered."""
    began = time.monotonic()
    for number in itertools.count():
        due = began + number / rate
        over = seconds is not None and due - began >= seconds
        act = None if over else next(acts, None)
        if act is None:
            break
        while (left := due - time.monotonic()) > 0:
            _take_in(board, screen, reader, min(left, 1 / FRAMES))
        now_ms = int(time.time() * 1000)
        board.sent(act, now_ms)
        sender.send("events", act.user_id, act.event, now_ms)
        for child in children:
            child.alive()
    sender.flush()
    quiet, deadline = time.monotonic(), time.monotonic() + DRAIN_S
    while time.monotonic() - quiet < QUIET_S and time.monotonic() < deadline:
        if _take_in(board, screen, reader, 1 / FRAMES):
            quiet = time.monotonic()


def _take_in(board: Board, screen: Screen, reader: Reader, wait_s: float) -> bool:
    arrived = reader.next(wait_s)
    now_s = time.monotonic()
    if arrived is not None and arrived.topic == topics.REJECTED:
        board.rejected += 1
    elif arrived is not None and arrived.value is not None:
        screen.listed(board.listed(orjson.loads(arrived.value), arrived.at_ms), now_s)
    screen.tick(now_s)
    return arrived is not None


@contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
