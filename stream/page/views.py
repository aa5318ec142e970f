"""Beside the line: what the browser gets to see, as JSON objects: the list, what the system knows, how things stand.

Knows nothing of Kafka or HTTP, and changes nothing. Whatever a user or a shop typed goes out as it is: the page shows
it as text and never as markup.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model.catalogue import Shelved
from stream.page.products import Products
from stream.page.visitors import Visitor
from stream.page.words import detail, told

POPULAR = 10
LATE_MS = 2_000  # A list takes tens of milliseconds; a busy worker's, a few hundred.

View = dict[str, Any]


def product(item: Shelved) -> View:
    """A product, as a card shows it."""
    return {
        "item_id": item.item_id,
        "title": item.title or item.category or item.item_id,
        "category": item.category,
        "brand": item.brand,
        "price": item.price,
        "available": item.available,
    }


def bare(item_id: str) -> View:
    """A product of which the shelf knows no more than the id."""
    unknown = {"category": "", "brand": "", "price": None, "available": False}
    return {"item_id": item_id, "title": item_id, **unknown}


def listing(visitor: Visitor, products: Products) -> View:
    """The list for you. Before the first event: what sells, of which no model knows; its `stage` is empty."""
    value = visitor.listed
    if value is None:
        best = [
            product(item) | {"rank": rank, "score": 0.0, "because": []}
            for rank, item in enumerate(products.popular(POPULAR), 1)
        ]
        return {"stage": "", "model": "", "version": 0, "covers": [], "kafka_ms": None, "items": best}
    return {
        **{name: value[name] for name in ("stage", "model", "version", "rec_id", "n_events")},
        "covers": sorted(visitor.covered()),
        "kafka_ms": visitor.kafka_ms,
        "items": [_ranked(item, visitor, products) for item in value["items"]],
    }


def _ranked(ranked: Mapping[str, Any], visitor: Visitor, products: Products) -> View:
    item = products.get(ranked["item_id"])
    reasons = []
    for reason in ranked["because"]:
        line = visitor.line(reason["event_id"])
        if line is not None:
            words = told(line, products.title(line.item_id) if line.item_id else "")
            if words not in reasons:  # A click and the dwell after it are one reason for whoever reads it.
                reasons.append(words)
    shown = product(item) if item is not None else bare(ranked["item_id"])
    return shown | {"rank": ranked["rank"], "score": ranked["score"], "because": reasons}


def system(visitor: Visitor, products: Products, model: str) -> View:
    """The page "as the system sees you": the window's lines, newest first, the vector's neighbours, the versions."""
    lines: list[View] = []
    versions: list[tuple[str, str]] = []
    if visitor.seen is not None:
        window = visitor.seen.window
        lines = [
            {
                "event_id": line.event_id,
                "kind": line.kind.value,
                "item_id": line.item_id,
                "told": told(line, products.title(line.item_id) if line.item_id else ""),
                "detail": detail(line),
            }
            for line in reversed(window.lines)
        ]
        offsets = ", ".join(f"{topic} {offset}" for topic, offset in sorted(visitor.seen.offsets.items()))
        versions = [
            ("window version", str(visitor.seen.version)),
            ("events taken in", str(window.n_events)),
            ("items bought, reviewed or refused", str(len(window.owned))),
            ("newest offset contained", offsets),
        ]
    if (value := visitor.listed) is not None:
        trigger = value["trigger"]
        place = f"{trigger['topic']}[{trigger['partition']}] at {trigger['offset']}"
        versions += [("list version", str(value["version"])), ("list id", value["rec_id"]), ("brought about by", place)]
    return {
        "user_id": visitor.user_id,
        "taken_in": sorted(visitor.taken_in()),
        "lines": lines,
        "versions": [*versions, ("model", value["model"] if value else model)],
        **_near(visitor, products, model),
    }


def _near(visitor: Visitor, products: Products, model: str) -> View:
    """The facets, worked out once per vector and shelf: they cost more than all the rest of the page."""
    if visitor.facets is None or visitor.facets[0] != len(products):
        visitor.facets = len(products), _facets(visitor.interest, products, model)
    return visitor.facets[1]


def _facets(interest: Mapping[str, Any] | None, products: Products, model: str) -> View:
    """What the vector is near to. Vectors of two models lie in two spaces: another's is not compared."""
    nothing: View = {"categories": [], "products": [], "vector": None}
    if interest is None:
        return nothing
    vector = np.asarray(interest["vector"], np.float32)
    about = {"dim": interest["dim"], "model": interest["model"], "comparable": interest["model"] == model}
    if interest["model"] != model or not vector.any():
        return nothing | {"vector": about}
    categories, nearest = products.facets(vector)
    return {
        "categories": [{"name": facet.name, "cosine": round(facet.cosine, 3)} for facet in categories],
        "products": [{"name": facet.name, "cosine": round(facet.cosine, 3)} for facet in nearest],
        "vector": about,
    }


def standing(
    visitor: Visitor, *, kafka: bool, worker: str, trouble: str, read: bool, filled: bool, now_ms: float
) -> View:
    """How things stand: Kafka, and whether the worker answers. That is judged also by what this visitor waits for.

    Args:
        kafka: a broker answers.
        worker: the group that has no worker; "" where there is one.
        trouble: why nothing is read.
        read: all topics have been.
        filled: something stands on the shelf.
    """
    waiting = list(visitor.waiting())
    oldest_ms = now_ms - waiting[0].sent_ms if waiting else 0.0
    refused = [(act.line.event_id, act.trouble) for act in visitor.acts.values() if act.trouble]
    late = oldest_ms > LATE_MS
    return {
        "kafka": kafka,
        "no_worker_in": worker,
        "trouble": trouble,
        "read": read,
        "ready": read and filled,
        "late": late,
        "waiting": len(waiting) if late else 0,
        "waiting_s": round(oldest_ms / 1000) if late else 0,
        "refused": [{"event_id": event_id, "why": why} for event_id, why in refused],
    }


def audience(lists: Mapping[str, int], user_id: str) -> Sequence[View]:
    """Who has a product in the newest list, best rank first; you before all others of that rank."""
    ordered = sorted(lists.items(), key=lambda pair: (pair[1], pair[0] != user_id, pair[0]))
    return [{"user": name, "you": name == user_id, "rank": rank} for name, rank in ordered]
