"""A log straight from topics, between two times: what their dumps give as files, and errors that say what to do."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from confluent_kafka import Producer

from model.training.logs.columns import Log, read_log
from stream.cli import invoke
from stream.dump import records
from stream.errors import Exit
from stream.topic_log import Topics
from tests.broker.test_broker_facts import a_topic
from tests.broker.test_dump_command import old_topic
from tests.brokers import ApacheKafka, Broker, Embedded

T = 1_700_000_000_000
MINUTE = 60_000
USERS, EVENTS = 11, 200
WANTED = T + 20 * MINUTE, T + 180 * MINUTE
BAD = 50


class Shop:
    """A topic of clicks, one of reviews and one of products, with an event a minute and two that are none."""

    def __init__(self, broker: Broker) -> None:
        self.client = {"bootstrap.servers": broker.bootstrap}
        self.clicks, self.reviews, self.items = (old_topic(broker, partitions) for partitions in (3, 2, 2))
        producer = Producer({**self.client, "linger.ms": 5})
        for number in range(9):
            item = {"title": f"Boots {number}", "price": 20 + number}
            producer.produce(self.items, orjson.dumps(item), f"i{number}", timestamp=T - 10_000 * MINUTE)
        producer.produce(self.items, None, "i8", timestamp=T)
        for number in range(EVENTS):
            user, topic = f"u{number % USERS}", self.reviews if number % 4 == 3 else self.clicks
            event: dict[str, Any] = {"event_id": f"e{number}", "user_id": user, "item_id": f"i{number % 9}"}
            event["at"] = T + number // 30
            event |= {"kind": "review", "text": f"Number {number}."} if topic == self.reviews else {"kind": "click"}
            headers: Any = [("source", b"test"), ("ce_id", b"c"), ("ce_specversion", b"1.0")] if number % 5 == 0 else []
            producer.produce(topic, orjson.dumps(event), user, headers=headers, timestamp=T + number * MINUTE)
        producer.produce(self.clicks, b"no\nJSON", "u0", partition=1, timestamp=T + BAD * MINUTE)
        producer.produce(self.reviews, None, "u0", partition=0, timestamp=T + BAD * MINUTE)
        assert producer.flush(20) == 0

    def log(self, **given: Any) -> Log:
        """Straight from the topics."""
        return Topics(self.client, [self.clicks, self.reviews], self.items, *WANTED).log(**given)

    def dumped(self, to: Path) -> tuple[list[Path], Path]:
        """Files of events, and that of products."""
        for topic in (self.clicks, self.reviews, self.items):
            span, owner = ((0, None), "item_id") if topic == self.items else (WANTED, "user_id")
            lines = records(self.client, topic, *span, owner)
            (to / f"{topic}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        return [to / f"{self.clicks}.jsonl", to / f"{self.reviews}.jsonl"], to / f"{self.items}.jsonl"


def same(one: Log, other: Log) -> bool:
    for field in fields(Log):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs, field.name)
        elif field.name == "items":
            assert mine.ids == theirs.ids
            assert mine.table.equals(theirs.table)
        elif field.name != "faults":  # They name where the record is, and that differs.
            assert mine == theirs, field.name
    return True


def test_a_log_of_topics_is_that_of_their_dumps(broker: Broker, tmp_path: Path) -> None:
    shop = Shop(broker)
    events, items = shop.dumped(tmp_path)
    log = shop.log()
    assert same(log, read_log(events, [items]))
    assert len(log) == 160
    assert set(log.users) == {f"u{number}" for number in range(USERS)}
    assert log.items.item(log.items.numbers["i3"]).title == "Boots 3"


def test_the_bar_ends_where_all_is_passed(kafka: ApacheKafka) -> None:
    told: list[tuple[int, int | None]] = []
    shop = Shop(kafka)
    shop.log(progress=lambda done, of: told.append((done, of)))
    assert told == sorted(told)
    assert len({of for _, of in told}) == 1
    assert told[-1][0] == told[-1][1]
    assert told[-1][0] > 160


def test_on_the_embedded_broker_which_tells_too_low_ends_the_bar_has_none(embedded: Embedded) -> None:
    told: list[tuple[int, int | None]] = []
    Shop(embedded).log(progress=lambda done, of: told.append((done, of)))
    assert {of for _, of in told} == {None}
    done = [done for done, _ in told]
    assert done == sorted(done)
    assert done[-1] > 160


def test_a_topic_is_read_whole_though_a_producers_clock_is_fast(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    events, items = old_topic(broker), old_topic(broker)
    click = {"event_id": "e", "user_id": "u", "kind": "click", "item_id": "i"}
    soon = time.time_ns() // 1_000_000 + 30 * MINUTE  # Apache Kafka takes none that is an hour early.
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(items, orjson.dumps({"title": "Boots"}), "i", timestamp=soon)
    producer.produce(events, orjson.dumps({**click, "at": T}), "u", timestamp=soon)
    producer.produce(events, orjson.dumps({**click, "event_id": "f", "at": T + 1}), "u", timestamp=MINUTE)
    assert producer.flush(20) == 0
    asked = ["--bootstrap", broker.bootstrap, "--topic", events]
    assert invoke(["log", *asked, "--items-topic", items, "--json"]) == Exit.DONE
    assert orjson.loads(capsys.readouterr().out)["events"] == 2
    log = Topics({"bootstrap.servers": broker.bootstrap}, [events], items, 0, None).log()
    assert log.items.item(0).title == "Boots"
    assert invoke(["dump", *asked]) == Exit.DONE
    assert capsys.readouterr().out.count("\n") == 2


def test_a_bad_record_is_counted_and_told_with_its_partition_and_offset(broker: Broker) -> None:
    shop = Shop(broker)
    log = shop.log()
    assert sorted(log.rejected.values()) == [1, 1]
    place = log.faults["not_json"].split(": ")[0]
    topic, partition, offset = place.replace("[", " ").replace("]:", " ").split()
    assert (topic, partition) == (shop.clicks, "1")
    assert int(offset) > 0


def test_who_reads_again_reads_the_same(broker: Broker) -> None:
    shop = Shop(broker)
    assert same(shop.log(), shop.log())


def test_files_of_products_may_stand_for_their_topic(broker: Broker, tmp_path: Path) -> None:
    shop = Shop(broker)
    _, items = shop.dumped(tmp_path)
    log = Topics(shop.client, [shop.clicks], "", *WANTED).log(files=[items])
    assert log.items.item(log.items.numbers["i3"]).title == "Boots 3"
    bare = Topics(shop.client, [shop.clicks], "", *WANTED).log()
    assert bare.items.item(bare.items.numbers["i3"]).title == ""


def test_the_command_tells_of_topics_what_it_tells_of_their_files(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(broker)
    (clicks, reviews), items = shop.dumped(tmp_path)
    assert invoke(["log", str(clicks), str(reviews), "--items", str(items), "--json"]) == Exit.DONE
    of_files = orjson.loads(capsys.readouterr().out)
    times = ["--from", str(WANTED[0]), "--to", str(WANTED[1]), "--bootstrap", broker.bootstrap]
    asked = ["--topic", shop.clicks, "--topic", shop.reviews, "--items-topic", shop.items, *times]
    assert invoke(["log", *asked, "--json"]) == Exit.DONE
    of_topics = orjson.loads(capsys.readouterr().out)
    of_places = {"faults", "meanings"}  # They tell where a bad record is.
    assert of_topics["faults"].keys() == of_files["faults"].keys()
    assert all(of_topics[name] == of_files[name] for name in of_files.keys() - of_places)
    out = tmp_path / "tables"
    assert invoke(["evaluate", *asked, "--split", "time", "--baselines", "popularity", "--out", str(out)]) == Exit.DONE
    about = orjson.loads((out / "evaluation.json").read_bytes())["about"]
    assert (about["log"], about["from_ms"], about["to_ms"]) == ([shop.clicks, shop.reviews], *WANTED)


def test_a_time_without_records_is_told(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    topic = a_topic(broker)
    asked = ["log", "--bootstrap", broker.bootstrap, "--topic", topic, "--items-topic", ""]
    assert invoke(asked) == Exit.BAD_INPUT
    said = capsys.readouterr().err
    assert f"--topic {topic}" in said
    assert "give an earlier --from or a later --to" in said


@pytest.mark.parametrize("command", ["log", "evaluate", "tune"])
def test_a_topic_that_is_not_there_is_named_with_its_option(
    command: str, kafka: ApacheKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [command, "--bootstrap", kafka.bootstrap, "--topic", a_topic(kafka)]
    assert invoke([*asked, "--items-topic", "nowhere"]) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert "--items-topic nowhere" in said
    assert "check its name; `firstclick topics --apply` creates firstclick's own" in said
    assert invoke([*asked, "--topic", "no-such-topic", "--items-topic", ""]) == Exit.UNREACHABLE
    assert "--topic no-such-topic" in capsys.readouterr().err
