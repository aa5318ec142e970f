"""Beside the line: joins what the shop page sends with what comes back of it, and wakes whoever looks on.

Knows nothing of HTTP. Three threads meet here (the server's, the follower's, the sender's), under one lock.
"""

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, cast

import orjson
from confluent_kafka import Message

from model.bundle import Bundle
from model.catalogue import Catalogue, Shelved
from model.envelope import Headers
from model.event import Item, parse_event, parse_item
from model.item_tower import item_tower
from model.text import render
from stream import topics
from stream.messages import read_catalogue_record, read_window_record, version_of
from stream.page import views
from stream.page.clock import Clock
from stream.page.following import Following, Read
from stream.page.looking import Looking
from stream.page.products import Products
from stream.page.sending import Sender
from stream.page.visitors import Act, Seen, Visitor, Visitors

VISITOR = "visitor-"
"""How the user ids of the page's visitors begin."""
NEW = "new-"
GROUP = "firstclick"
"""The workers' consumer group, unless told otherwise: the default of their setting `group`."""
ADDED = 20  # Then the oldest is shown no longer; it stays on the shelf.
PARTS = ("list", "standing", "added", "system")
"""What a browser is told, each as a whole whenever it has changed; what somebody waits for first."""


class UnknownProduct(LookupError):
    """The shelf has no such item."""


class NotYet(Exception):
    """The shelf is still being read."""


@dataclass
class Added:
    """A product that was added on this page."""

    item: Item
    sent_ms: float
    shelf_ms: float | None = None
    """From sending to standing in the catalogue with its vector."""
    trouble: str = ""
    lists: dict[str, int] = field(default_factory=dict)
    """User -> its rank in that user's newest list."""


class Hub:
    """The shop page without its HTTP.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        bundle: the worker's: it names the catalogue topic, and its item tower makes the vectors that facets come from.
        group: the workers': whether it has a member is told.
        at_ms: the shop's time at the start, where a log of long ago is replayed; None: today's.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        bundle: Bundle,
        *,
        events: str = "events",
        items: str = topics.ITEMS,
        group: str = GROUP,
        at_ms: int | None = None,
    ) -> None:
        self.model, self._events, self._items, self._group = bundle.model, events, items, group
        self._empty = partial(Catalogue, item_tower(bundle, 1), bundle.half_life_ms, threads=1)
        self.products = Products(self._empty())
        self._clock = Clock(at_ms)
        self._visitors = Visitors(events)
        self._added: OrderedDict[str, Added] = OrderedDict()
        self._listeners: dict[str, list[Callable[[], object]]] = {}
        self._lock = threading.RLock()
        self._catalogue = topics.catalogue_topic(bundle.space)
        followed = (self._catalogue, topics.WINDOWS, topics.RECOMMENDATIONS, topics.INTERESTS, topics.REJECTED)
        self._following = Following(client, followed, self.take, self._forget, self._wake_all)
        self._looking = Looking(client, (events, *followed), group, self._wake_all, self._following.anew)
        self._sender = Sender(client)

    def __enter__(self) -> Self:
        self._following.start()
        self._sender.start()
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._looking.stop()
        self._following.stop()
        self._sender.stop(self._looking.kafka)

    @property
    def caught_up(self) -> bool:
        """All topics have been read to where they ended: what is not here does not exist."""
        return self._following.caught_up.is_set()

    @property
    def ready(self) -> bool:
        """All topics have been read, and there is something on the shelf."""
        return self.caught_up and len(self.products) > 0

    def act(self, user_id: str, fields: Mapping[str, Any]) -> None:
        """Sends what a visitor did; the same event id again does nothing.

        Raises:
            EventError: it is no event of the contract.
            NotYet: the topics are still being read.
            UnknownProduct: it is about an item that is not on the shelf.
            BufferError: Kafka is away, and too much waits for it already.
        """
        now_ms = time.time() * 1000
        with self._lock:
            visitor = self._visitors.get(user_id)
            if str(fields.get("event_id")) in visitor.acts:
                return
            value = orjson.dumps({**fields, "user_id": user_id, "at": self._clock.next(now_ms)})
            event = parse_event(value, user_id.encode(), None, int(now_ms))
            if event.item_id and self.products.get(event.item_id) is None:
                raise UnknownProduct(event.item_id) if self.caught_up else NotYet
            self._sender.send(self._events, user_id, value, int(now_ms), partial(self._acted, user_id, event.event_id))
            visitor.did(Act(render(event), now_ms))

    def add(self, fields: Mapping[str, Any]) -> str:
        """Sends a product that nobody has touched; its id.

        Raises:
            EventError: it is no product of the contract.
            BufferError: Kafka is away, and too much waits for it already.
        """
        now_ms = time.time() * 1000
        item_id = NEW + uuid.uuid4().hex[:8]
        value = orjson.dumps({**fields, "item_id": item_id, "available": True})
        item = parse_item(value, item_id.encode(), None)
        assert item is not None
        with self._lock:
            self._sender.send(self._items, item_id, value, int(now_ms), partial(self._sent_product, item_id))
            self._added[item_id] = Added(item, now_ms)
            while len(self._added) > ADDED:
                self._added.popitem(last=False)
            self._wake_all()
        return item_id

    def visitor(self, user_id: str) -> Visitor:
        """Who this is."""
        with self._lock:
            return self._visitors.get(user_id)

    def part(self, user_id: str, name: str) -> bytes:
        """One of PARTS, as JSON."""
        with self._lock:
            visitor = self._visitors.get(user_id)
            made: dict[str, Callable[[], Any]] = {
                "list": lambda: views.listing(visitor, self.products),
                "system": lambda: views.system(visitor, self.products, self.model),
                "standing": lambda: views.standing(
                    visitor,
                    kafka=self._looking.kafka,
                    worker="" if self._looking.worker else self._group,
                    trouble=self._following.trouble,
                    read=self.caught_up,
                    filled=len(self.products) > 0,
                    now_ms=time.time() * 1000,
                ),
                "added": lambda: [self._told(added, user_id) for added in reversed(self._added.values())],
            }
            return orjson.dumps(made[name]())

    @contextmanager
    def listening(self, user_id: str, wake: Callable[[], object]) -> Iterator[None]:
        """`wake` is called, in any thread, whenever a part of this visitor may have changed."""
        with self._lock:
            self._listeners.setdefault(user_id, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._listeners[user_id].remove(wake)
                if not self._listeners[user_id]:
                    del self._listeners[user_id]

    def _told(self, added: Added, user_id: str) -> dict[str, Any]:
        item = added.item
        return {
            **{name: getattr(item, name) for name in ("item_id", "title", "category", "price")},
            "shelf_ms": added.shelf_ms,
            "trouble": added.trouble,
            "lists": views.audience(added.lists, user_id),
        }

    def _wake(self, user_id: str) -> None:
        for wake in self._listeners.get(user_id, ()):
            wake()

    def _wake_all(self) -> None:
        with self._lock:
            for user_id in self._listeners:
                self._wake(user_id)

    def _acted(self, user_id: str, event_id: str, offset: int | None, trouble: str) -> None:
        with self._lock:
            act = self._visitors.get(user_id).acts.get(event_id)
            if act is not None:
                act.offset, act.trouble = offset, trouble
            self._wake(user_id)

    def _sent_product(self, item_id: str, offset: int | None, trouble: str) -> None:
        with self._lock:
            if trouble and item_id in self._added:
                self._added[item_id].trouble = trouble
                self._wake_all()

    def _forget(self) -> None:
        """Kafka was emptied: nothing that came of it holds any more. Whoever is here stays, and goes on."""
        with self._lock:
            self.products = Products(self._empty())
            self._visitors.forget()
            self._added.clear()
            self._wake_all()

    def take(self, records: Read) -> None:
        """What came, in the order of each partition; repetitions change nothing."""
        shelf = [message for message, _ in records if message.topic() == self._catalogue]
        if shelf:
            self.products.apply([_change(message) for message in shelf])
        with self._lock:
            changed: set[str] = set()
            for message, arrived_ms in records:
                key, value = message.key(), message.value()
                if key is None or value is None:
                    continue
                if message.topic() == self._catalogue:
                    changed |= self._shelved(key.decode(), arrived_ms)
                else:
                    changed |= self._came(message, key.decode(errors="replace"), value, arrived_ms)
            for user_id in changed & self._listeners.keys():
                self._wake(user_id)

    def _shelved(self, item_id: str, arrived_ms: float) -> set[str]:
        added = self._added.get(item_id)
        if added is None or added.shelf_ms is not None:
            return set()
        added.shelf_ms = arrived_ms - added.sent_ms
        return set(self._listeners)

    def _came(self, message: Message, user_id: str, value: bytes, arrived_ms: float) -> set[str]:
        """What came of a user. Returns whose parts have changed."""
        ours, topic = user_id.startswith(VISITOR), message.topic()
        if topic == topics.RECOMMENDATIONS:
            told = orjson.loads(value)
            self._clock.heard(told["at"], arrived_ms)
            changed = self._spread(user_id, {item["item_id"]: item["rank"] for item in told["items"]})
            if ours and self._visitors.get(user_id).take_list(told, arrived_ms):
                changed.add(user_id)
            return changed
        if not ours:
            return set()
        visitor = self._visitors.get(user_id)
        if topic == topics.WINDOWS:
            _, window, offsets, *_ = read_window_record(value)
            return {user_id} if visitor.take_window(Seen(window, version_of(offsets), offsets)) else set()
        if topic == topics.INTERESTS:
            return {user_id} if visitor.take_interest(orjson.loads(value)) else set()
        return self._rejected(message, user_id)

    def _spread(self, user_id: str, ranks: Mapping[str, int]) -> set[str]:
        """A user's newest list has or has not the added products."""
        changed = False
        for item_id, added in self._added.items():
            rank = ranks.get(item_id)
            if added.lists.get(user_id) != rank:
                changed = True
                if rank is None:
                    del added.lists[user_id]
                else:
                    added.lists[user_id] = rank
        return set(self._listeners) if changed else set()

    def _rejected(self, message: Message, user_id: str) -> set[str]:
        told = cast("Headers", message.headers() or [])
        headers = {name: (text or b"").decode(errors="replace") for name, text in told}
        for act in self._visitors.get(user_id).acts.values():
            if headers.get("topic") == self._events and str(act.offset) == headers.get("offset"):
                act.trouble = f"{headers.get('reason')}: {headers.get('detail')}"
        return {user_id}


def _change(message: Message) -> tuple[str, Shelved | None]:
    value = message.value()
    return (message.key() or b"").decode(), None if value is None else read_catalogue_record(value).item
