"""Beside the line: what the shop page knows of one visitor: what was done, and what came back of it.

Knows nothing of Kafka's clients, of HTTP or of any clock: times are passed in, epoch milliseconds.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from model.text import Line
from model.window import Window

ACTS = 100  # Three windows' worth: a reason never names an older one.
VISITORS = 1_000  # 100 kB each at most; then the one that was quiet longest is forgotten.


@dataclass
class Act:
    """One event that the page sent."""

    line: Line
    sent_ms: float
    offset: int | None = None
    """Where it stands in its partition; None until Kafka has said so."""
    trouble: str = ""
    """Why it will never reach a window."""


class Seen(NamedTuple):
    """A window as the worker committed it."""

    window: Window
    version: int
    offsets: Mapping[str, int]
    """Source topic -> newest offset that it contains."""


@dataclass
class Visitor:
    """One visitor."""

    user_id: str
    topic: str
    """Where the acts go."""
    acts: OrderedDict[str, Act] = field(default_factory=OrderedDict)
    """By event id, oldest first."""
    seen: Seen | None = None
    listed: dict[str, Any] | None = None
    """The newest `recommendations` value."""
    kafka_ms: float | None = None
    """From the trigger's record timestamp to that list's arrival; None where the trigger is not ours."""
    interest: dict[str, Any] | None = None
    facets: tuple[int, dict[str, Any]] | None = None
    """Of how many products it was told, and what the vector is near to; a new vector forgets it."""

    def did(self, act: Act) -> None:
        """The page sends this."""
        self.acts[act.line.event_id] = act
        while len(self.acts) > ACTS:
            self.acts.popitem(last=False)

    def take_window(self, seen: Seen) -> bool:
        """A window came; whether it is news."""
        if self.seen is not None and seen.version <= self.seen.version:
            return False
        self.seen = seen
        return True

    def take_list(self, value: dict[str, Any], arrived_ms: float) -> bool:
        """A list came; whether it is news. Who keeps the highest version sees every state once."""
        if self.listed is not None and value["version"] <= self.listed["version"]:
            return False
        self.listed = value
        act = self.acts.get(value["trigger"]["event_id"])
        self.kafka_ms = None if act is None else max(0.0, arrived_ms - act.sent_ms)
        return True

    def take_interest(self, value: dict[str, Any]) -> bool:
        """A vector came; whether it is news."""
        if self.interest is not None and value["version"] <= self.interest["version"]:
            return False
        self.interest, self.facets = value, None
        return True

    def line(self, event_id: str) -> Line | None:
        """The line of an event: from what was sent, or, after this page was started anew, from the window."""
        act = self.acts.get(event_id)
        if act is not None:
            return act.line
        lines = self.seen.window.lines if self.seen is not None else ()
        return next((line for line in lines if line.event_id == event_id), None)

    def taken_in(self) -> set[str]:
        """The acts that the newest window or the newest list contains."""
        contained = -1
        if self.seen is not None:
            contained = self.seen.offsets.get(self.topic, -1)
        return self.covered() | self._up_to(contained) | self._in_window()

    def covered(self) -> set[str]:
        """The acts that the newest list answers."""
        if self.listed is None:
            return set()
        trigger = self.listed["trigger"]
        return {trigger["event_id"]} | (self._up_to(trigger["offset"]) if trigger["topic"] == self.topic else set())

    def waiting(self) -> Iterator[Act]:
        """The acts that no window contains yet, oldest first."""
        done = self.taken_in()
        return (act for event_id, act in self.acts.items() if event_id not in done and not act.trouble)

    def _up_to(self, offset: int) -> set[str]:
        return {event_id for event_id, act in self.acts.items() if act.offset is not None and act.offset <= offset}

    def _in_window(self) -> set[str]:
        return set() if self.seen is None else {line.event_id for line in self.seen.window.lines}


class Visitors:
    """The visitors that the page has met.

    Args:
        topic: where their acts go.
    """

    def __init__(self, topic: str, most: int = VISITORS) -> None:
        self._topic, self._most = topic, most
        self._met: OrderedDict[str, Visitor] = OrderedDict()

    def forget(self) -> None:
        """What came back of everybody, and what Kafka had of their acts; what is still to be sent stays."""
        for user_id, visitor in self._met.items():
            acts = OrderedDict((event_id, act) for event_id, act in visitor.acts.items() if act.offset is None)
            self._met[user_id] = Visitor(user_id, self._topic, acts)

    def get(self, user_id: str) -> Visitor:
        """The visitor, now the one heard of last."""
        visitor = self._met.pop(user_id, None) or Visitor(user_id, self._topic)
        self._met[user_id] = visitor
        while len(self._met) > self._most:
            self._met.popitem(last=False)
        return visitor
