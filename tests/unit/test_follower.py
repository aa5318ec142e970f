"""Reading to an end, with a consumer that says what it is told; on real brokers: tests/broker/test_six_rules.py."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from stream.errors import NotAllowed
from stream.follower import ToEnd, ToTime, fetched
from tests.records import NOW_MS, FakeRecord, plain


class FakeConsumer:
    """Gives everything in one poll."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.first, *self.rest = [*records, None]

    def poll(self, timeout: float) -> Any:
        return self.first

    def consume(self, most: int, timeout: float) -> list[Any]:
        return [record for record in self.rest if record is not None][:most]


def error(code: int, offset: int = -1001, *, fatal: bool = False) -> FakeRecord:
    return FakeRecord("t", 0, offset, error=KafkaError(code, "no", fatal))


def end_event(offset: int) -> FakeRecord:
    return error(KafkaError._PARTITION_EOF, offset)


def read(to_end: ToEnd, *records: Any) -> list[int]:
    return [cast(int, record.offset()) for record in fetched(cast(Consumer, FakeConsumer(records)), to_end)]


def test_the_end_is_the_high_watermark_and_not_the_event_before_an_open_transaction() -> None:
    to_end = ToEnd({("t", 0): 5}, isolates=True)
    assert read(to_end, *plain("t", 0, 0, 1), end_event(2)) == [0, 1]
    assert not to_end
    assert read(to_end, *plain("t", 0, 2, 3), end_event(4)) == [2, 3]
    assert not to_end, "a marker is still to come"
    read(to_end, end_event(5))
    assert to_end


def test_a_record_at_the_end_is_the_end() -> None:
    to_end = ToEnd({("t", 0): 2}, isolates=True)
    read(to_end, *plain("t", 0, 1))
    assert to_end


def test_empty_partitions_are_at_their_end_and_all_must_be() -> None:
    to_end = ToEnd({("t", 0): 0, ("t", 1): 1}, isolates=True)
    assert not to_end
    read(to_end, *plain("t", 1, 0))
    assert to_end


def test_what_comes_after_the_end_is_read_on() -> None:
    to_end = ToEnd({("t", 0): 1}, isolates=True)
    assert read(to_end, *plain("t", 0, 0, 1, 2)) == [0, 1, 2]
    assert to_end


def test_who_does_not_know_the_broker_believes_its_end_event_or_a_record_as_late_as_the_start() -> None:
    by_event = ToTime({("t", 0): 2}, NOW_MS + 1)
    read(by_event, *plain("t", 0, 0, 1, 2, 3), end_event(1))
    assert not by_event, "the end may lie too low, and the event before it may stand before an open transaction"
    read(by_event, end_event(4))
    assert by_event
    by_record = ToTime({("t", 0): 2}, NOW_MS)
    read(by_record, *plain("t", 0, 0, 1))
    assert not by_record
    read(by_record, *plain("t", 0, 2))
    assert by_record


def test_no_more_is_taken_at_once_than_was_asked_for() -> None:
    consumer = cast(Consumer, FakeConsumer(plain("t", 0, *range(9))))
    assert len(fetched(consumer, ToEnd({("t", 0): 1}, isolates=True), most=4)) == 4


def test_passing_errors_are_survived() -> None:
    to_end = ToEnd({("t", 0): 1}, isolates=True)
    assert read(to_end, error(KafkaError._TRANSPORT), *plain("t", 0, 0)) == [0]


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (error(KafkaError.TOPIC_AUTHORIZATION_FAILED), NotAllowed),
        (error(KafkaError._FATAL, fatal=True), KafkaException),
    ],
)
def test_what_no_patience_mends_is_raised(said: FakeRecord, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        read(ToEnd({("t", 0): 1}, isolates=True), said)
