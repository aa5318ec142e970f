"""The checker catches what it is there for: every defect is planted into a clean history by hand, and found."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from model.event import EventError, parse_event
from model.text import render
from model.window import EMPTY
from stream.messages import version_of, window_record
from tests.checker import Verdict, check

Record = dict[str, Any]
LINES = 3


class History:
    """Two users' events and all that a right worker makes of them, one micro-batch per event; windows of LINES lines.

    Ann's fourth event pushes her first one out. One record is refused, one event comes twice.
    """

    def __init__(self) -> None:
        self.sent: list[Record] = []
        self.windows: list[Record] = []
        self.lists: list[Record] = []
        self.vectors: list[Record] = []
        self.rejected: list[Record] = []
        self._lines: dict[str, list[list[Any]]] = {"ann": [], "bob": []}
        self._owned: dict[str, list[list[Any]]] = {"ann": [], "bob": []}
        self._n = {"ann": 0, "bob": 0}
        self.event("ann", 1, "click", item_id="a")
        self.event("bob", 2, "search", query="red  shoes\n", text="red shoes")
        self.event("ann", 3, "purchase", item_id="b", price=9.5, quantity=2)
        self.event("ann", 4, "review", item_id="b", text="good", rating=5)
        self.refuse(b"not JSON")
        self.event("ann", 5, "browse", item_id="c", dwell_ms=900)
        self.repeat()

    def _record(self, topic: str, to: list[Record], key: str, value: Any, partition: int = 0) -> Record:
        written = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        to.append({"topic": topic, "partition": partition, "offset": len(to), "timestamp": 0, "headers": []})
        to[-1] |= {"key": key.encode(), "value": written}
        return to[-1]

    def event(self, user: str, at: int, kind: str, text: str = "", **fields: Any) -> None:
        body = {"event_id": f"e{at}", "user_id": user, "kind": kind, "at": at, **fields}
        offset = self._record("clicks", self.sent, user, body | ({"text": text} if kind == "review" else {}))["offset"]
        numbers = [fields.get(name) for name in ("dwell_ms", "rating", "price", "quantity")]
        lines = [*self._lines[user], [at, f"e{at}", kind, fields.get("item_id", ""), text, *numbers]][-LINES:]
        if kind in ("purchase", "review"):
            self._owned[user] = [[at, fields["item_id"]]]
        self._lines[user], self._n[user] = lines, self._n[user] + 1
        self.state(user, offset, lines, self._n[user])

    def state(self, user: str, offset: int, lines: list[list[Any]], n: int) -> None:
        state = {"v": 1, "user": user, "n": n, "offsets": {"clicks": offset}, "touched": 0, "version": offset + 1}
        self._record("windows", self.windows, user, {**state, "lines": lines, "owned": self._owned[user]})
        for to in (self.lists, self.vectors):
            shown = {"user_id": user, "model": "m", "version": offset + 1, "n_events": n}
            self._record("out", to, user, shown)

    def refuse(self, value: bytes) -> None:
        offset = self._record("clicks", self.sent, "ann", value)["offset"]
        origin = [("topic", b"clicks"), ("partition", b"0"), ("offset", str(offset).encode())]
        self._record("rejected", self.rejected, "ann", value)["headers"] = origin

    def repeat(self) -> None:
        self._record("clicks", self.sent, "ann", self.sent[3]["value"])

    def last(self, of: list[Record], user: str = "ann") -> Record:
        return [record for record in of if record["key"] == user.encode()][-1]

    def change(self, record: Record, **fields: Any) -> None:
        record["value"] = json.dumps({**json.loads(record["value"]), **fields}).encode()

    def verdict(self, **how: Any) -> Verdict:
        outputs = self.windows, self.lists, self.vectors, self.rejected
        return check(self.sent, *outputs, **{"lines": LINES, **how})


def lines_of(record: Record) -> list[list[Any]]:
    lines: list[list[Any]] = json.loads(record["value"])["lines"]
    return lines


def test_a_right_history_is_clean_and_adds_up() -> None:
    verdict = History().verdict()
    assert verdict.clean, str(verdict)
    assert (verdict.produced, verdict.accepted, verdict.rejected, verdict.users) == (7, 6, 1, 2)


def test_lines_beyond_the_age_are_expected_to_be_gone() -> None:
    history = History()
    assert history.verdict(age_ms=1).lost == []
    assert [x.split(":")[1] for x in history.verdict(age_ms=1).wrong] == [
        " 1 lines too many, e.g. (3, 'e3', 'purchase', 'b', '', None, None, 9.5, 2)"
    ]


def no_window(h: History) -> None:
    h.windows[:] = [record for record in h.windows if record["key"] != b"bob"]
    h.lists[:] = [record for record in h.lists if record["key"] != b"bob"]
    h.vectors[:] = [record for record in h.vectors if record["key"] != b"bob"]


def line_missing(h: History) -> None:
    last = h.last(h.windows)
    h.change(last, lines=lines_of(last)[1:])


def event_not_counted(h: History) -> None:
    for record in (h.last(h.windows), h.last(h.lists), h.last(h.vectors)):
        fields = json.loads(record["value"])
        h.change(record, **{name: fields[name] - 1 for name in ("n", "n_events") if name in fields})


def owned_missing(h: History) -> None:
    h.change(h.last(h.windows), owned=[])


def no_list(h: History) -> None:
    h.lists.remove(h.last(h.lists, "bob"))


def no_vector(h: History) -> None:
    h.vectors.remove(h.last(h.vectors, "bob"))


def window_deleted(h: History) -> None:
    h._record("windows", h.windows, "bob", None)


def event_counted_twice(h: History) -> None:
    for record in (h.last(h.windows), h.last(h.lists), h.last(h.vectors)):
        fields = json.loads(record["value"])
        h.change(record, **{name: fields[name] + 1 for name in ("n", "n_events") if name in fields})


def line_twice(h: History) -> None:
    last = h.last(h.windows)
    h.change(last, lines=[*lines_of(last), lines_of(last)[-1]])


def zombie(h: History) -> None:
    h.windows.append({**h.windows[2], "offset": len(h.windows)})  # Ann's second state again, after her fourth.


def committed_twice(h: History) -> None:
    h.windows.append({**h.last(h.windows), "offset": len(h.windows)})


def list_twice(h: History) -> None:
    h.lists.append({**h.last(h.lists), "offset": len(h.lists)})


def refused_twice(h: History) -> None:
    h.rejected.append({**h.rejected[0], "offset": 1})


def list_behind(h: History) -> None:
    h.lists.remove(h.last(h.lists))


def vector_behind(h: History) -> None:
    h.vectors.remove(h.last(h.vectors))


def foreign_line(h: History) -> None:
    last = h.last(h.windows, "bob")
    h.change(last, lines=[[1, "x", "click", "z", "", None, None, None, None], *lines_of(last)])


def other_text(h: History) -> None:
    last = h.last(h.windows, "bob")
    lines = lines_of(last)
    lines[0][4] = "red"
    h.change(last, lines=lines)


def out_of_order(h: History) -> None:
    last = h.last(h.windows)
    h.change(last, lines=lines_of(last)[::-1])


def torn(h: History) -> None:
    h.windows.remove(h.windows[2])  # The list of an aborted window was shown.


def other_partition(h: History) -> None:
    for record in h.windows:
        record["partition"] = 1


def other_fate(h: History) -> None:
    h.sent[0]["fate"] = "rejected"


def never_sent(h: History) -> None:
    h.rejected[0]["headers"][2] = ("offset", b"77")


def other_bytes(h: History) -> None:
    h.rejected[0]["value"] = b"not"


def other_version(h: History) -> None:
    h.change(h.windows[0], version=7)


DEFECTS: list[tuple[Callable[[History], None], str]] = [
    *((plant, "lost") for plant in (no_window, line_missing, event_not_counted, owned_missing, no_list, no_vector)),
    (window_deleted, "lost"),
    *((plant, "doubled") for plant in (event_counted_twice, line_twice, zombie, committed_twice, list_twice)),
    (refused_twice, "doubled"),
    *((plant, "stale") for plant in (list_behind, vector_behind)),
    *((plant, "wrong") for plant in (foreign_line, out_of_order, torn, other_partition, other_fate, never_sent)),
    *((plant, "wrong") for plant in (other_text, other_bytes, other_version)),
]


@pytest.mark.parametrize(("plant", "found"), DEFECTS, ids=[plant.__name__ for plant, _ in DEFECTS])
def test_a_planted_defect_is_found_under_its_name(plant: Callable[[History], None], found: str) -> None:
    history = History()
    plant(history)
    assert getattr(history.verdict(), found), str(history.verdict())


@pytest.mark.parametrize("plant", [committed_twice, list_twice, refused_twice])
def test_at_least_once_forgives_the_same_bytes_again(plant: Callable[[History], None]) -> None:
    history = History()
    plant(history)
    assert history.verdict(repeats_allowed=True).clean


def test_where_only_news_is_shown_a_list_may_be_older_but_not_missing() -> None:
    history = History()
    list_behind(history)
    assert history.verdict(every_change_shown=False).clean
    no_list(history)
    assert history.verdict(every_change_shown=False).lost


@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_the_windows_that_serve(seed: int) -> None:
    """Random times, repetitions, reused ids, two topics: the checker finds no fault in the real code."""
    chance = random.Random(seed)
    lines, age_ms, topics = (
        chance.choice([2, 5, 50]),
        chance.choice([20, 10**12]),
        ["clicks", "reviews"][: 1 + seed % 2],
    )
    sent: list[Record] = []
    refused: list[Record] = []
    windows: list[Record] = []
    shown: list[Record] = []
    window, offsets = EMPTY, dict[str, int]()
    for _ in range(60):
        topic, at = chance.choice(topics), 10**12 + chance.randrange(60)
        kind = chance.choice(["click", "impression", "purchase", "review", "search"])
        body: dict[str, Any] = {"event_id": f"e{at}", "user_id": "u", "kind": kind, "at": at, "item_id": f"i{at % 7}"}
        body |= {"query": "tea \u202e pot", "text": f"fine \n {'x' * (at % 3 * 250)}", "rating": 4, "price": 1.5}
        value = json.dumps(body).encode()
        offset = sum(record["topic"] == topic for record in sent)
        sent.append({"topic": topic, "partition": 0, "offset": offset, "key": b"u", "value": value, "timestamp": at})
        try:
            after = window.remember(render(parse_event(value, b"u", [], at)), lines, age_ms)
        except EventError:
            origin = [("topic", topic.encode()), ("partition", b"0"), ("offset", str(offset).encode())]
            refused.append({"partition": 0, "offset": len(refused), "key": b"u", "value": value, "headers": origin})
            continue
        if after is window:
            continue
        window, offsets = after, {**offsets, topic: offset}
        record = {"partition": 0, "offset": len(windows), "key": b"u", "value": window_record("u", window, offsets, 0)}
        windows.append(record)
        at_last = {"version": version_of(offsets), "n_events": window.n_events, "model": "m"}
        shown.append({**record, "value": json.dumps(at_last).encode()})
    verdict = check(sent, windows, shown, shown, refused, lines=lines, age_ms=age_ms)
    assert verdict.clean, str(verdict)
