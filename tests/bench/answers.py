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
    """Every user's newest lines, by time and event id, are those in the changelog; so is the number of events.

    Args:
        sent: all events, each user's in the order of their offsets.
    Returns:
        The lines compared.
    """
    expected: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, value in sent:
        expected[key].append(told(orjson.loads(value)))
    if expected.keys() != found.keys():
        raise WrongAnswer(f"{len(expected)} users sent events, {len(found)} have a window")
    names = ("at", "event", "kind", "item", "text", "dwell", "rating", "price", "quantity")
    compared = 0
    for user, events in expected.items():
        n = _taken_in(events, lines, age_ms)
        events.sort(key=_order)
        young = [line for line in events if line["at"] >= events[-1]["at"] - age_ms][-lines:]
        held = [dict(zip(names, line, strict=True)) for line in found[user]["lines"]]
        if held != young:
            raise WrongAnswer(f"{user}: the window has {held}, sent were {young}")
        if found[user]["n"] != n:
            raise WrongAnswer(f"{user}: the window counts {found[user]['n']} events, sent were {n}")
        compared += len(held)
    return compared


def _order(line: Mapping[str, Any]) -> tuple[int, str]:
    return line["at"], line["event"]


def _taken_in(events: Sequence[Mapping[str, Any]], lines: int, age_ms: int) -> int:
    """How many of these, one after the other, were young and new enough to be taken in when they came."""
    kept: list[tuple[int, str]] = []
    taken = 0
    for event in events:
        mine = _order(event)
        newest_ms = max(kept[-1][0], mine[0]) if kept else mine[0]
        kept = [each for each in sorted([*kept, mine]) if each[0] >= newest_ms - age_ms][-lines:]
        taken += mine in kept
    return taken


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
