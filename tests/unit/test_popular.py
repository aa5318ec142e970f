"""What sells, as a worker's own catalogue tells it."""

import random
from typing import Any

import numpy as np
import orjson

from model.catalogue import Catalogue, Shelved
from model.event import Kind
from model.item_tower import AsTheyAre
from stream.messages import Shelf, catalogue_record
from stream.popular import Popular, as_list, etag_of
from tests.shop import AT, MINUTE


def shelved(item_id: str, clicks: float, at_ms: int = AT, available: bool = True) -> Shelved:
    counts: dict[str, tuple[float, int]] = {str(Kind.CLICK): (clicks, at_ms)} if clicks else {}
    return Shelved(item_id, item_id, "", "", None, available, np.array([0.6, 0.8], np.float16), counts)


def record(item: Shelved) -> tuple[int, tuple[bytes, bytes | None]]:
    return 0, (item.item_id.encode(), catalogue_record(Shelf(item, "hash", {})))


def told(popular: Popular) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = orjson.loads(popular.body)
    return items


def test_it_is_the_list_of_the_workers_own_catalogue_whatever_came_and_went() -> None:
    draw = random.Random(5)
    catalogue, popular = Catalogue(AsTheyAre(2), capacity=4), Popular(10)
    for _ in range(30):
        changes: list[tuple[str, Shelved | None]] = []
        for _ in range(draw.randrange(1, 60)):
            item_id = f"i{draw.randrange(2000)}"
            item = shelved(item_id, draw.choice([0, 1, 3, 80]), AT + draw.randrange(9) * MINUTE, draw.random() > 0.2)
            changes.append((item_id, item if draw.random() > 0.2 else None))
        catalogue.apply(changes)
        popular.apply([record(item) if item else (0, (item_id.encode(), None)) for item_id, item in changes])
        assert [item["item_id"] for item in told(popular)] == list(map(catalogue.item_id, catalogue.popular(10)))


def test_ranks_begin_with_1_and_scores_fall() -> None:
    popular = Popular(3)
    popular.apply([record(shelved(f"i{clicks}", clicks)) for clicks in (1, 500, 20, 7)])
    assert [(item["item_id"], item["rank"]) for item in told(popular)] == [("i500", 1), ("i20", 2), ("i7", 3)]
    assert told(popular)[0]["score"] == 1.0
    assert 0 < told(popular)[2]["score"] < told(popular)[1]["score"] < 1.0


def test_nothing_on_the_shelf_is_an_empty_list() -> None:
    popular = Popular(3)
    popular.apply([record(shelved("i", 5)), (0, (b"i", None)), (0, (b"never there", None))])
    assert popular.body == b"[]"


def test_a_record_of_another_version_is_counted_and_the_rest_holds() -> None:
    popular = Popular(3)
    popular.apply([record(shelved("i", 5)), (0, (b"x", b'{"v":99}')), (0, (b"x", b"{")), (0, (b"x", b"{}"))])
    assert [item["item_id"] for item in told(popular)] == ["i"]
    assert popular.skipped.total() == 3


def test_the_list_is_everybodys_and_its_etag_follows_the_items() -> None:
    assert orjson.loads(as_list('a "b"', b"[]")) == {
        "user_id": 'a "b"',
        "stage": "fallback",
        "n_events": 0,
        "items": [],
    }
    assert etag_of(b"[1]") != etag_of(b"[2]")
