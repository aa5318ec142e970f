"""Whether the answers are right, worked out from what was sent by other means than the worker's.

Shares no code with `model/` and `stream/`. A benchmark that fails here has no figures.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from tests.bench.fleet import Sent

DAY_MS = 86_400_000


class WrongAnswer(AssertionError):
    """What was worked out is not what must be."""


def _is_control(sign: str) -> bool:
    """Control characters, marks that turn text around, and the byte order mark."""
    return unicodedata.category(sign) == "Cc" or sign in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a window must say of an event, by its own field names."""
    text = event.get("query") or event.get("text") or ""
    return {
        "at": event["at"],
        "event": event["event_id"],
        "kind": event["kind"],
        "item": event.get("item_id", ""),
        "text": " ".join("".join(" " if _is_control(sign) else sign for sign in text).split())[:400].rstrip(),
        "dwell": event.get("dwell_ms"),
        "rating": event.get("rating"),
        "price": event.get("price"),
        "quantity": event.get("quantity"),
    }


def check_windows(sent: Iterable[Sent], found: Mapping[str, Mapping[str, Any]], lines: int, age_ms: int) -> int:
    """Every user's newest lines, by time and event id, are those in the changelog; all were sent in order. Returns the lines compared."""
    expected: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, value in sent:
        expected[key].append(told(orjson.loads(value)))
    if expected.keys() != found.keys():
        raise WrongAnswer(f"{len(expected)} users sent events, {len(found)} have a window")
    compared = 0
    for user, events in expected.items():
        events.sort(key=lambda line: (line["at"], line["event"]))
        young = [line for line in events if line["at"] >= events[-1]["at"] - age_ms]
        names = ("at", "event", "kind", "item", "text", "dwell", "rating", "price", "quantity")
        held = [dict(zip(names, line, strict=True)) for line in found[user]["lines"]]
        if held != young[-lines:] or found[user]["n"] != len(events):
            raise WrongAnswer(f"{user}: the window has {held}, sent were {young[-lines:]}")
        compared += len(held)
    return compared


def check_lists(
    users: Sequence[str],
    lists: Mapping[str, Mapping[str, Any]],
    vectors: Mapping[str, Mapping[str, Any]],
    items: set[str],
    length: int = 10,
) -> None:
    """Every user has a list of as many different known items, and a unit vector of the same version."""
    for user in users:
        if user not in lists or user not in vectors:
            raise WrongAnswer(f"{user} has no {'list' if user not in lists else 'vector'}")
        ids = [item["item_id"] for item in lists[user]["items"]]
        if len(set(ids)) != length or len(ids) != length or not items.issuperset(ids):
            raise WrongAnswer(f"{user} got {ids}")
        norm = sum(x * x for x in vectors[user]["vector"]) ** 0.5
        if abs(norm - 1) > 1e-3 and (norm or lists[user]["stage"] != "fallback"):
            raise WrongAnswer(f"{user}'s vector is {norm} long")
