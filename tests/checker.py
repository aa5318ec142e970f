"""The independent checker: was any event lost, counted twice, or left out of the last list?

Knows every record that was sent and every record that a read_committed reader sees, and works everything else out by
itself. Shares no line of code with `model` or `stream`, on purpose: a bug there must not be a bug here. It reads plain
JSON events (no CloudEvents, no GA4 names), and takes the rejected topic's word for what was refused.
"""

import json
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

Record = dict[str, Any]
"""A Kafka record: topic, partition, offset, key, value (bytes or None), headers (pairs), timestamp (ms). In what was
sent, `fate` may say "accepted" or "rejected", where the sender knows what must become of it."""

OWNING = {"purchase", "review", "return", "dislike"}
OWNED = 200
TEXT_CHARS, REVIEWED_CHARS = 400, 150
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"  # Marks that turn text around, and the BOM.


@dataclass
class Verdict:
    """What the checker found; every list is empty when all is well."""

    produced: int = 0
    rejected: int = 0
    accepted: int = 0
    users: int = 0
    lost: list[str] = field(default_factory=list)
    """An accepted event without effect, a user without window, list or vector."""
    doubled: list[str] = field(default_factory=list)
    """An event counted twice, a state committed twice, a window that went back."""
    stale: list[str] = field(default_factory=list)
    """A last list or vector that is not the last window's."""
    wrong: list[str] = field(default_factory=list)
    """Anything else that cannot be: a foreign line, a list of no committed window, a fate other than the expected."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale or self.wrong)

    def __str__(self) -> str:
        parts = [f"{self.produced} produced = {self.accepted} accepted + {self.rejected} rejected, {self.users} users"]
        for name in ("lost", "doubled", "stale", "wrong"):
            found: list[str] = getattr(self, name)
            parts.append(f"{name} {len(found)}" + "".join(f"\n    {each}" for each in found[:10]))
        return "\n  ".join(parts)


def dump(bootstrap: str, topic: str, timeout_s: float = 60) -> list[Record]:
    """Every committed record of a topic, from its beginning to its high watermark as of now.

    Raises:
        AssertionError: not there in time; an open transaction holds readers back.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    places = [TopicPartition(topic, each, 0) for each in admin.list_topics(topic, timeout=20).topics[topic].partitions]
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets(dict.fromkeys(places, latest), isolation_level=IsolationLevel.READ_UNCOMMITTED)
    left = {place.partition: int(answer.result().offset) for place, answer in asked.items()}
    config = {"bootstrap.servers": bootstrap, "group.id": "checker", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer({**config, "isolation.level": "read_committed", "enable.partition.eof": True})
    records: list[Record] = []
    deadline = time.monotonic() + timeout_s
    try:
        consumer.assign(places)
        while left:
            assert time.monotonic() < deadline, f"{topic}: not at the high watermarks {left} within {timeout_s} s"
            for message in consumer.consume(1000, 0.2):
                partition, offset, error = message.partition(), message.offset(), message.error()
                assert partition is not None
                assert offset is not None
                if error is None:
                    kind_and_ms = message.timestamp()
                    record = {"topic": topic, "partition": partition, "offset": offset, "timestamp": kind_and_ms[1]}
                    record |= {"key": message.key(), "value": message.value(), "headers": message.headers() or []}
                    records.append(record)
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                # The end event alone is not enough (it fires at the last stable offset), nor is the watermark (the
                # embedded broker's is too low): the end has been reached where both say so.
                elif offset >= left.get(partition, offset + 1):
                    del left[partition]
    finally:
        consumer.close()
    return records


def check(
    sent: Sequence[Record],
    windows: Sequence[Record],
    recommendations: Sequence[Record],
    interests: Sequence[Record],
    rejected: Sequence[Record],
    *,
    lines: int,
    age_ms: int = 0,
    every_change_shown: bool = True,
    repeats_allowed: bool = False,
) -> Verdict:
    """Compares what was sent with what a read_committed reader sees. No topic may have been compacted meanwhile.

    Args:
        lines, age_ms: the windows' bounds; age 0 is any.
        every_change_shown: each change of a window is published. False where the worker publishes only news: then the
            last list may be older than the last window, and only a missing one is a fault.
        repeats_allowed: at least once: the same state may be committed again, but no other state under its version.
    """
    verdict = Verdict(produced=len(sent))
    refused = _refused(sent, rejected, verdict, repeats_allowed)
    verdict.rejected, verdict.accepted = len(refused), verdict.produced - len(refused)
    events: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in sent:
        origin = record["topic"], record["partition"], record["offset"]
        expected = record.get("fate")
        if expected is not None and (origin in refused) != (expected == "rejected"):
            verdict.wrong.append(f"{origin} should be {expected}: {record['value']!r:.200}")
        elif origin not in refused:
            try:
                user = str(json.loads(record["value"])["user_id"])
                events[record["partition"], user].append({**record, "line": _line(record["value"])})
            except (ValueError, TypeError, KeyError) as error:
                verdict.wrong.append(f"{origin} is no event for the checker, and was accepted: {error!r}")
    verdict.users = len({user for _, user in events})
    held = {place: states for place, states in _history(windows, verdict, repeats_allowed).items() if states}
    for place in held.keys() - events.keys():
        verdict.wrong.append(f"window of {place}, of whom nothing was accepted there")
    for place, own in events.items():
        if not held.get(place):
            verdict.lost.append(f"{place}: no window of {len(own)} accepted events")
        else:
            _compare(place, own, held[place][-1], lines, age_ms, verdict)
    for name, output in (("list", recommendations), ("vector", interests)):
        _outputs(name, output, held, verdict, every_change_shown, repeats_allowed)
    return verdict


def _refused(
    sent: Sequence[Record], rejected: Sequence[Record], verdict: Verdict, repeats: bool
) -> set[tuple[str, int, int]]:
    known = {(record["topic"], record["partition"], record["offset"]): record for record in sent}
    found: set[tuple[str, int, int]] = set()
    for record in rejected:
        headers = dict(record["headers"])
        origin = headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])
        if origin not in known:
            verdict.wrong.append(f"rejected {origin}, which was never sent")
            continue
        if origin in found and not repeats:
            verdict.doubled.append(f"rejected {origin} twice")
        if "value_bytes" not in headers and record["value"] != known[origin]["value"]:
            verdict.wrong.append(f"rejected {origin} with other bytes than were sent")
        found.add(origin)
    return found


def _history(windows: Iterable[Record], verdict: Verdict, repeats: bool) -> dict[tuple[int, str], list[Record]]:
    """(partition, user) -> every committed state, oldest first; none of a user whose window was deleted."""
    held: dict[tuple[int, str], list[Record]] = defaultdict(list)
    for record in sorted(windows, key=lambda each: (each["partition"], each["offset"])):
        place = record["partition"], record["key"].decode()
        if record["value"] is None:
            held.pop(place, None)
            continue
        state = json.loads(record["value"])
        if state["user"] != place[1]:
            verdict.wrong.append(f"{place}: the window of {state['user']!r} under this key")
        if state["version"] != sum(offset + 1 for offset in state["offsets"].values()):
            verdict.wrong.append(f"{place}: version {state['version']} is not that of {state['offsets']}")
        if held[place]:
            before = held[place][-1]
            if any(state["offsets"].get(topic, -1) < offset for topic, offset in before["offsets"].items()):
                verdict.doubled.append(f"{place}: went back from {before['offsets']} to {state['offsets']}")
            elif (
                state["version"] == before["version"] and not (repeats and state == before) and not _paid(before, state)
            ):
                verdict.doubled.append(f"{place}: version {state['version']} committed twice")
            elif state["n"] < before["n"]:
                verdict.doubled.append(f"{place}: n went back from {before['n']} to {state['n']}")
        held[place].append(state)
    return held


def _paid(before: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a state tells nothing new but that the list has been published that was owed while the shelf was bare."""
    return "owed" in before and state == {name: told for name, told in before.items() if name != "owed"}


def _compare(
    place: tuple[int, str], own: list[Record], last: Record, lines: int, age_ms: int, verdict: Verdict
) -> None:
    """A user's last window against the one worked out from all of the user's accepted events.

    Impressions are in it only where there is nothing else: the newest, and all count as one.
    """
    everything = sorted({event["line"] for event in own}, key=lambda line: line[:2])
    distinct = [line for line in everything if line[2] != "impression"] or everything[-1:]
    oldest_ms = distinct[-1][0] - age_ms if age_ms else 0
    expected = [line for line in distinct[-lines:] if line[0] >= oldest_ms]
    found = [tuple(line) for line in last["lines"]]
    if len(set(found)) < len(found):
        verdict.doubled.append(f"{place}: a line stands twice")
    missing, foreign = set(expected) - set(found), set(found) - set(expected)
    if missing:
        verdict.lost.append(f"{place}: {len(missing)} lines missing, e.g. {min(missing, key=lambda x: x[:2])}")
    if foreign:
        verdict.wrong.append(f"{place}: {len(foreign)} lines too many, e.g. {min(foreign, key=lambda x: x[:2])}")
    if not missing and not foreign and found != expected:
        verdict.wrong.append(f"{place}: lines out of order")
    latest: dict[str, int] = {}
    for line in distinct:
        if line[2] in OWNING and line[3]:
            latest[line[3]] = line[0]  # Sorted by time: the last is the latest.
    owned = sorted((at_ms, item) for item, at_ms in latest.items())[-OWNED:]
    had = [tuple(each) for each in last["owned"]]
    if had != owned:
        kept = verdict.lost if set(owned) - set(had) else verdict.wrong
        kept.append(f"{place}: owned items differ: {set(owned) ^ set(had)}")
    counted = [event for event in own if event["line"] in distinct]
    least, most = _counted(counted, expected, distinct, lines, age_ms)
    if last["n"] < least:
        verdict.lost.append(f"{place}: n_events {last['n']}, should be {least} to {most}")
    if last["n"] > most:
        verdict.doubled.append(f"{place}: n_events {last['n']}, should be {least} to {most}")
    for topic, offset in last["offsets"].items():
        if offset not in {event["offset"] for event in own if event["topic"] == topic}:
            verdict.wrong.append(f"{place}: contains {topic}@{offset}, no accepted event of this user")


def _counted(own: list[Record], expected: list[Any], distinct: list[Any], lines: int, age_ms: int) -> tuple[int, int]:
    """Least and most that n_events may be. One number where the order of arrival is known or does not matter."""
    if len(expected) == len(distinct):
        return len(distinct), len(distinct)
    if len({event["topic"] for event in own}) > 1:  # Which topic was read first decides what came too late to count.
        return len(expected), len(distinct)
    held: list[Any] = []
    n = 0
    for event in sorted(own, key=lambda each: each["offset"]):
        line = event["line"]
        after = sorted({*held, line}, key=lambda each: each[:2])[-lines:]
        after = [each for each in after if not age_ms or each[0] >= after[-1][0] - age_ms]
        n += line in after and line not in held
        held = after
    return n, n


def _outputs(
    name: str,
    output: Sequence[Record],
    held: dict[tuple[int, str], list[Record]],
    verdict: Verdict,
    every: bool,
    repeats: bool,
) -> None:
    """Lists or vectors against the committed windows. A user whose events lie in several partitions has several."""
    committed: dict[str, set[tuple[int, int]]] = defaultdict(set)
    final: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for (_, user), states in held.items():
        committed[user] |= {(state["version"], state["n"]) for state in states}
        final[user].add((states[-1]["version"], states[-1]["n"]))
    seen: dict[tuple[str, str, tuple[int, int]], bytes] = {}
    last: dict[str, tuple[int, int]] = {}
    for record in sorted(output, key=lambda each: (each["partition"], each["offset"])):
        user = record["key"].decode()
        if record["value"] is None:
            last.pop(user, None)
            continue
        shown = json.loads(record["value"])
        at = shown["version"], shown["n_events"]
        before = seen.get((user, shown["model"], at))
        if before is not None and not (repeats and before == record["value"]):
            verdict.doubled.append(f"{name} of {user}: (version, n_events) {at} twice")
        if at not in committed[user]:
            verdict.wrong.append(f"{name} of {user}: (version, n_events) {at} is of no committed window")
        seen[user, shown["model"], at] = record["value"]
        last[user] = at
    for user, states_final in final.items():
        if user not in last:
            verdict.lost.append(f"{name} of {user}: none")
        elif every and last[user] not in states_final:
            verdict.stale.append(f"{name} of {user}: (version, n_events) {last[user]}, window {sorted(states_final)}")


def _line(value: bytes) -> tuple[Any, ...]:
    """An event's line: [at_ms, event_id, kind, item_id, text, dwell_ms, rating, price, quantity]."""
    event = json.loads(value)
    kind = event["kind"] if event.get("kind") is not None else event["type"]
    at = event["at"]
    if isinstance(at, str):
        moment = datetime.fromisoformat(at.replace("Z", "+00:00"))
        at = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
    item = event.get("item") or {}
    text = _item_text(item) if item else ""
    if kind == "search":
        text = _fold(event["query"])
    elif kind == "signup":
        text = _fold(", ".join(event["interests"]))
    elif kind == "review":
        text = _fold(f"{_fold(text, REVIEWED_CHARS)} {event.get('text') or ''}")
    item_id = event.get("item_id") or item.get("item_id") or ""
    numbers = (event.get(name) for name in ("dwell_ms", "rating", "price", "quantity"))
    return (at, event["event_id"], kind, item_id, text, *numbers)


def _item_text(item: dict[str, Any]) -> str:
    title, category, about, brand = (_fold(item.get(x) or "") for x in ("title", "category", "description", "brand"))
    text = title or category or about
    if not text or not brand:
        return text or brand
    return text if brand.casefold() in text.casefold() else _fold(f"{text}, {brand}")


def _fold(text: str, chars: int = TEXT_CHARS) -> str:
    shown = (" " if unicodedata.category(each) == "Cc" or each in TURNING else each for each in text)
    return " ".join("".join(shown).split())[:chars].rstrip(" ")
