"""The shop page's hub with records made by hand: what a worker would have written, without Kafka.

The hub's threads are not started: what it sends waits in its producer, and what it reads is handed to it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from confluent_kafka import Message

from model.event import Kind
from model.text import Line
from stream import topics
from stream.messages import (
    Shelf,
    Trigger,
    catalogue_record,
    interest,
    recommendation,
    text_hash,
    version_of,
    window_record,
)
from stream.page.hub import Hub
from stream.recommender import Advice, RankedItem
from tests.records import FakeRecord
from tests.shop import Shop, shelved, window

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}
YOU = "visitor-0123456789ab"
EVENT_ID = "00000000-0000-4000-8000-%012d"


class HandMadeHub:
    """A hub over the small shop ("red boots" …), and what a worker would tell it."""

    def __init__(self, folder: Path, **told: Any) -> None:
        self.shop = Shop(folder)
        self.hub = Hub(NOBODY, self.shop.bundle, **told)
        self.read(True)
        self.put(*self.shop.themes)

    def read(self, all_of_it: bool) -> None:
        """All topics have been read to their end, or are being read."""
        following = self.hub._following
        (following.caught_up.set if all_of_it else following.caught_up.clear)()
        self.hub._wake_all()

    def put(self, *item_ids: str, title: str | None = None) -> None:
        """The worker has put these on the shelf."""
        topic = topics.catalogue_topic(self.shop.bundle.space)
        for item_id, vector in zip(
            item_ids, self.shop.encoder.vectors([title or each for each in item_ids]), strict=True
        ):
            category = self.shop.themes.get(item_id, "")
            item = shelved(item_id, vector, title=title or item_id, category=category, price=2.5)
            self.came(topic, item_id, catalogue_record(Shelf(item, text_hash(item_id), {"items": 0})))

    def came(self, topic: str, key: str, value: bytes, **more: Any) -> None:
        """One record was read just now."""
        record = FakeRecord(topic, 0, 0, key.encode(), value, **more)
        self.hub.take([(cast(Message, record), time.time() * 1000)])

    def answer(
        self,
        items: Sequence[str],
        *lines: Line,
        user_id: str = YOU,
        offset: int = 0,
        because: str | None = None,
        stage: str = "cold",
        listed: bool = True,
    ) -> None:
        """The worker has taken the lines in, and made this list of them; each item for the newest line's sake."""
        held, offsets, model = window(*lines), {"events": offset}, self.shop.bundle.model
        newest = held.lines[-1].event_id
        reason = ((because or newest, 0.5),)
        advice = Advice(
            stage, tuple(RankedItem(each, rank, 1.0, reason) for rank, each in enumerate(items, 1)), self.vector()
        )
        told = (model, user_id, held, version_of(offsets))
        self.came(topics.WINDOWS, user_id, window_record(user_id, held, offsets, 0))
        if listed:
            self.came(
                topics.RECOMMENDATIONS, user_id, recommendation(*told, Trigger(newest, "events", 0, offset), advice)
            )
            self.came(topics.INTERESTS, user_id, interest(*told, advice))

    def vector(self, text: str = "boots") -> np.ndarray[Any, Any]:
        """The interest of somebody who wants this."""
        found: np.ndarray[Any, Any] = self.shop.encoder.vectors([text])[0]
        return found

    def part(self, name: str, user_id: str = YOU) -> Any:
        """What the browser is told."""
        return orjson.loads(self.hub.part(user_id, name))


def sent(number: int, kind: Kind | str = Kind.CLICK, **fields: Any) -> dict[str, Any]:
    """The page's own words for an event."""
    return {"event_id": EVENT_ID % number, "kind": str(kind), **fields}


def line_of(made: HandMadeHub, number: int, user_id: str = YOU) -> Line:
    """The line of an event that was sent."""
    found = made.hub.visitor(user_id).line(EVENT_ID % number)
    assert found is not None
    return found
