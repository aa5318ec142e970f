"""Beside the line: what the demo knows at this moment: events sent, lists that came back, and how long each took.

Knows nothing of Kafka, of terminals or of any clock: times are passed in, epoch milliseconds.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from stream.demo.shoppers import Act

LATENCIES = 100_000  # Enough for hours; then the oldest go.
ACTS_SHOWN = 3


class Row(NamedTuple):
    """One item of a shown list."""

    rank: int
    title: str
    because: str
    before: int | None
    """Its rank in the list before; None: it is new there."""


class Listed(NamedTuple):
    """One list that came back."""

    user_id: str
    label: str
    told: str
    """What the user did."""
    stage: str
    rows: tuple[Row, ...]
    ms: float | None
    """From the event's record timestamp to the list's arrival; None where the event is not ours."""


class Watched:
    """What is shown of one user."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.acts: deque[str] = deque(maxlen=ACTS_SHOWN)
        self.last: Listed | None = None


class Board:
    """Everything that the screen shows and the last line counts.

    Args:
        labels: user id -> name, of the users that are watched.
        titles: item id -> title.
    """

    def __init__(self, labels: Mapping[str, str], titles: Mapping[str, str]) -> None:
        self.watched = {user_id: Watched(label) for user_id, label in labels.items()}
        self._titles = titles
        self._sent: dict[str, tuple[int, Act]] = {}  # event id -> (record timestamp, what was done)
        self._ranks: dict[str, dict[str, int]] = {}
        self.users: set[str] = set()
        self.events = self.lists = self.rejected = 0
        self.latencies: deque[float] = deque(maxlen=LATENCIES)

    def sent(self, act: Act, at_ms: int) -> None:
        """An event goes out with this record timestamp."""
        self.events += 1
        self.users.add(act.user_id)
        self._sent[act.event_id] = (at_ms, act)
        if act.user_id in self.watched:
            self.watched[act.user_id].acts.append(act.told)

    def listed(self, recommendation: Mapping[str, Any], arrived_ms: float) -> Listed:
        """A record of `recommendations` arrived."""
        user_id = recommendation["user_id"]
        ours = self._sent.get(recommendation["trigger"]["event_id"])
        ms = None if ours is None else max(0.0, arrived_ms - ours[0])
        told = "did something that we did not send" if ours is None else ours[1].told
        before = self._ranks.get(user_id, {})
        rows = tuple(
            Row(
                item["rank"],
                self._titles.get(item["item_id"], item["item_id"]),
                self._because(item["because"]),
                before.get(item["item_id"]),
            )
            for item in recommendation["items"]
        )
        self._ranks[user_id] = {item["item_id"]: item["rank"] for item in recommendation["items"]}
        self.lists += 1
        if ms is not None:
            self.latencies.append(ms)
        watched = self.watched.get(user_id)
        listed = Listed(user_id, watched.label if watched else user_id, told, recommendation["stage"], rows, ms)
        if watched:
            watched.last = listed
        return listed

    def _because(self, reasons: list[dict[str, Any]]) -> str:
        ours = self._sent.get(reasons[0]["event_id"]) if reasons else None
        return ours[1].reason if ours else ""

    def quantile_ms(self, share: float) -> float | None:
        """This share of the lists came within so many milliseconds; None before the first."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    def summary(self, seconds: float) -> dict[str, float | int | None]:
        """The last line of a plain run."""
        return {
            "events": self.events,
            "lists": self.lists,
            "users": len(self.users),
            "rejected": self.rejected,
            "p50_ms": self.quantile_ms(0.5),
            "p99_ms": self.quantile_ms(0.99),
            "events_per_s": round(self.events / max(seconds, 1e-3), 1),
        }
