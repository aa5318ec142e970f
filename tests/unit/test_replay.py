"""Replay: each line is delivered, refused or failed; it waits for nobody in vain, and says where to go on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException

from model.training.logs.files import File
from stream.errors import WrongUsage
from stream.loglines import Subject
from stream.replay import Plan, Replay, Report
from stream.validate import judge
from tests.records import NOW_MS

Delivery = Callable[[KafkaError | None, object], None]


class FakeProducer:
    """A producer whose queue holds `room` records; `poll` delivers, and moves the clock by the time it was given.

    Args:
        fails: error code by the key of the record that the broker does not take.
        interrupts_at: the record count at which somebody presses Ctrl-C.
    """

    def __init__(self, room: int = 100, fails: dict[bytes, int] | None = None, interrupts_at: int = 0) -> None:
        self.room, self.fails, self.interrupts_at = room, fails or {}, interrupts_at
        self.sent: list[tuple[str, bytes, bytes | None, Sequence[tuple[str, bytes]]]] = []
        self.sent_s: list[float] = []
        self.now_s = 0.0
        self._waiting: list[tuple[bytes, Delivery]] = []

    def clock(self) -> float:
        return self.now_s

    def produce(self, topic: str, *, value: bytes | None, key: bytes, headers: Any, on_delivery: Delivery) -> None:
        if len(self._waiting) >= self.room:
            raise BufferError
        if value is not None and len(value) > 1000:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.sent.append((topic, key, value, headers))
        self.sent_s.append(self.now_s)
        self._waiting.append((key, on_delivery))
        if len(self.sent) == self.interrupts_at:
            raise KeyboardInterrupt

    def poll(self, seconds: float) -> None:
        self.now_s += seconds
        if seconds:
            self.flush(0)

    def flush(self, seconds: float) -> int:
        for key, on_delivery in self._waiting:
            code = self.fails.get(key)
            on_delivery(None if code is None else KafkaError(code), None)
        self._waiting.clear()
        return 0


def log_of(tmp_path: Path, lines: Sequence[str]) -> Path:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines) + "\n")
    return log


def event(number: int, at_ms: int = 0) -> str:
    return orjson.dumps({"user_id": f"u{number}", "event_id": f"e{number}", "at": at_ms}).decode()


def replayed(producer: FakeProducer | None, plan: Plan) -> tuple[Report, list[str]]:
    told: list[str] = []
    clock = producer.clock if producer else FakeProducer().clock
    return Replay(plan, producer, clock=clock, tell=told.append).run(), told


def test_every_line_is_delivered_or_refused_with_its_number(tmp_path: Path) -> None:
    lines = [event(1), "not JSON", event(3), '{"no": "user"}', event(5)]
    producer = FakeProducer()
    report, told = replayed(producer, Plan(log_of(tmp_path, lines), "events"))
    assert (report.lines, report.delivered, report.refused, report.failed, report.next_line) == (5, 3, 2, 0, 6)
    assert report.reasons == {"not JSON": 1, "no user_id": 1}
    assert [line.split(":")[1] for line in told] == ["2", "4"]
    assert [key for _, key, _, _ in producer.sent] == [b"u1", b"u3", b"u5"]
    assert producer.sent[0][2] == lines[0].encode()


def test_a_full_queue_makes_it_wait_and_loses_nothing(tmp_path: Path) -> None:
    producer = FakeProducer(room=2)
    report, _ = replayed(producer, Plan(log_of(tmp_path, [event(number) for number in range(50)]), "events"))
    assert (report.delivered, len(producer.sent)) == (50, 50)


def test_a_record_that_is_too_large_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    large = orjson.dumps({"user_id": "u", "text": "x" * 2000}).decode()
    producer = FakeProducer(fails={b"u2": KafkaError.MSG_SIZE_TOO_LARGE})
    report, _ = replayed(producer, Plan(log_of(tmp_path, [event(1), large, event(2), event(3)]), "events"))
    assert (report.delivered, report.refused, report.failed) == (2, 2, 0)


def test_a_failure_ends_it_and_the_next_line_is_the_first_that_failed(tmp_path: Path) -> None:
    producer = FakeProducer(room=3, fails={b"u4": KafkaError._MSG_TIMED_OUT})
    report, _ = replayed(producer, Plan(log_of(tmp_path, [event(number) for number in range(100)]), "events"))
    assert (report.failed, report.next_line) == (1, 5)
    assert report.lines < 100


def test_after_ctrl_c_it_says_where_to_go_on_and_going_on_sends_the_rest(tmp_path: Path) -> None:
    log = log_of(tmp_path, [event(number) for number in range(20)])
    state = tmp_path / "state"
    report, _ = replayed(FakeProducer(interrupts_at=8), Plan(log, "events", state=state))
    assert report.interrupted
    assert report.next_line == 8  # The eighth line was on its way: it is sent again, which changes nothing.
    producer = FakeProducer()
    report, _ = replayed(producer, Plan(log, "events", state=state))
    assert [key for _, key, _, _ in producer.sent] == [f"u{number}".encode() for number in range(7, 20)]
    assert (report.interrupted, report.next_line) == (False, 21)
    report, _ = replayed(FakeProducer(), Plan(log, "events", state=state))
    assert report.lines == 0


def test_a_state_of_another_replay_is_refused(tmp_path: Path) -> None:
    log, state = log_of(tmp_path, [event(1)]), tmp_path / "state"
    replayed(FakeProducer(), Plan(log, "events", state=state))
    with pytest.raises(WrongUsage, match="to events"):
        Replay(Plan(log, "clicks", state=state), FakeProducer())
    state.write_text("nonsense")
    with pytest.raises(WrongUsage, match="no state"):
        Replay(Plan(log, "events", state=state), FakeProducer())


def test_a_speed_keeps_the_events_own_distances(tmp_path: Path) -> None:
    at = [10_000, 12_000, 11_000, 16_000]  # The third is late: it goes at once.
    producer = FakeProducer()
    lines = [event(number, at_ms) for number, at_ms in enumerate(at)]
    replayed(producer, Plan(log_of(tmp_path, lines), "events", speed=2.0))
    assert producer.sent_s == pytest.approx([0.0, 1.0, 1.0, 3.0])


def test_a_check_sends_nothing(tmp_path: Path) -> None:
    report, _ = replayed(None, Plan(log_of(tmp_path, [event(1), "x"]), "events", only_check=True))
    assert (report.lines, report.delivered, report.refused) == (2, 0, 1)


CLICK = {"event_id": "e", "user_id": "u", "kind": "click", "item_id": "i", "at": NOW_MS}
GA4_ITEM = {"item_id": "i", "item_name": "red boots"}
GA4_CLICK = {"event_name": "view_item", "event_timestamp": NOW_MS * 1000, "user_id": "u", "items": [GA4_ITEM]}
MIXED: dict[str, tuple[Subject, list[object]]] = {
    "firstclick": (
        "events",
        [CLICK, {**CLICK, "kind": "dance"}, {**CLICK, "at": 1}, {**CLICK, "user_id": None}, [], [CLICK, {}]],
    ),
    "ga4": ("items", [GA4_CLICK, GA4_CLICK, {**GA4_CLICK, "user_id": None}, {"event_name": "page_view"}, 7]),
}


@pytest.mark.parametrize("form", MIXED)
def test_a_check_counts_as_validate_does_and_a_replay_tells_what_is_sent_unjudged(form: str, tmp_path: Path) -> None:
    subject, told = MIXED[form]
    log = log_of(tmp_path, [orjson.dumps(each).decode() for each in told])
    verdict = judge(File(log), form, subject)
    plan = Plan(log, "topic", form, subject, only_check=True)
    report, _ = replayed(None, plan)
    assert verdict.accepted
    assert report.accepted == verdict.accepted
    assert (report.rejected or 0) + report.refused == verdict.rejected > 0
    assert report.reasons == verdict.faults
    assert (report.lines, report.passed_over) == (verdict.lines, sum(verdict.passed_over.values()))
    sent, _ = replayed(FakeProducer(), replace(plan, only_check=False))
    assert (sent.accepted, sent.rejected) == (None, None)
    assert sent.refused == report.refused
    assert sent.delivered + sent.repeated == (report.accepted or 0) + (report.rejected or 0)


def test_the_report_is_one_json_line(tmp_path: Path) -> None:
    report, _ = replayed(FakeProducer(), Plan(log_of(tmp_path, [event(1)]), "events"))
    line = report.line()
    assert "\n" not in line
    assert orjson.loads(line)["delivered"] == 1


def test_a_line_of_several_events_is_as_many_records_and_a_bad_part_is_refused_alone(tmp_path: Path) -> None:
    items = [{"item_id": "a", "item_name": "Boots", "price": 3}, {"item_name": "no id"}, {"item_id": "b"}]
    row = {"event_name": "purchase", "event_timestamp": 1_700_000_000_000_000, "user_pseudo_id": "u", "items": items}
    lines = [orjson.dumps(one).decode() for one in (row, row | {"event_name": "page_view"}, row | {"items": items[2:]})]
    producer = FakeProducer()
    report, told = replayed(producer, Plan(log_of(tmp_path, lines), "events", form="ga4", name="log"))
    assert (report.lines, report.delivered, report.refused, report.passed_over) == (3, 3, 1, 1)
    assert report.reasons == {"field_missing: items[].item_id": 1}
    assert told[0].endswith(":1: refused: items[1].item_id is missing")
    sent = [orjson.loads(value or b"") for _, _, value, _ in producer.sent]
    assert [(event["event_id"], event["item_id"]) for event in sent] == [
        ("log-1.000", "a"),
        ("log-1.002", "b"),
        ("log-3", "b"),
    ]
    assert {key for _, key, _, _ in producer.sent} == {b"u"}


def test_products_that_events_bring_along_are_sent_once_until_they_change(tmp_path: Path) -> None:
    item = {"item_id": "a", "item_name": "Boots", "price": 3}
    row = {"event_name": "view_item", "event_timestamp": 1_700_000_000_000_000, "user_pseudo_id": "u"}
    rows = [row | {"items": [told]} for told in (item, item, item | {"price": 4}, {"item_id": "untold"})]
    producer = FakeProducer()
    lines = [orjson.dumps(one).decode() for one in rows]
    replayed(producer, Plan(log_of(tmp_path, lines), "items", form="ga4", subject="items"))
    assert [(key, orjson.loads(value or b"")["price"]) for _, key, value, _ in producer.sent] == [(b"a", 3), (b"a", 4)]
