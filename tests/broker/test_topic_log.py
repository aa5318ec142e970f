"""A log straight from topics, between two times: what their dumps give as files, and errors that say what to do."""

import time
from dataclasses import fields, replace
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


class Ga4:
    """A topic of GA4's requests and rows: a purchase of two, one without a time, a bad part, and a page view."""

    def __init__(self, broker: Broker) -> None:
        self.client = {"bootstrap.servers": broker.bootstrap}
        self.topic = old_topic(broker)
        boots = {"item_id": "b", "item_name": "Boots", "item_category": "Shoes", "price": 20, "quantity": 2}
        self.send("purchase", [boots, {"item_name": "no id"}, {"item_id": "s", "item_name": "Socks"}], T)
        self.send("view_item", [{"item_id": "s"}], None, arrived_ms=T + MINUTE)
        self.send("page_view", None, T)
        row = {"event_name": "add_to_cart", "event_timestamp": (T + 1) * 1000, "items": [{"item_id": "b", "price": 20}]}
        self.put({**row, "user_pseudo_id": "c", "user_id": "u-7"}, "u-7")

    def send(self, name: str, items: Any, at_ms: int | None, arrived_ms: int = T) -> None:
        """A request of the Measurement Protocol."""
        request: dict[str, Any] = {"client_id": "c", "events": [{"name": name, "params": {"items": items}}]}
        self.put(request if at_ms is None else request | {"timestamp_micros": at_ms * 1000}, "c", arrived_ms)

    def put(self, record: dict[str, Any], key: str, arrived_ms: int = T + 1) -> None:
        producer = Producer(self.client)
        producer.produce(self.topic, orjson.dumps(record), key, timestamp=arrived_ms)
        assert producer.flush(20) == 0


def test_a_topic_of_another_format_is_read_as_a_worker_reads_it(broker: Broker) -> None:
    shop = Ga4(broker)
    log = Topics(shop.client, [f"{shop.topic}:ga4"], "", 0, None).log()
    told = [(log.users[log.user[row]], log.line(row)) for row in range(len(log))]
    assert [(user, line.kind, line.item_id, line.at_ms - T, line.text, line.quantity) for user, line in told] == [
        ("c", "purchase", "b", 0, "Boots", 2),
        ("c", "purchase", "s", 0, "Socks", None),
        ("u-7", "cart", "b", 1, "", None),
        ("c", "browse", "s", MINUTE, "", None),  # It told no time: it happened when it arrived.
    ]
    assert log.items.item(0)[1:5] == ("Boots", "Shoes", "", 20.0)
    assert log.passed_over == {"page_view": 1}
    assert log.faults == {"field_missing": f"{shop.topic}[0]:0: events[0].params.items[1].item_id is missing"}


def test_its_dump_is_the_same_log_in_the_contracts_form(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Ga4(broker)
    asked = ["--bootstrap", broker.bootstrap, "--topic", f"{shop.topic}:ga4"]
    assert invoke(["dump", *asked]) == Exit.DONE
    told = capsys.readouterr()
    assert f"4 lines of {shop.topic}:ga4; rejected 1 field_missing; the first is {shop.topic}[0]:0: even" in told.err
    assert told.err.endswith("item_id is missing; passed over 1\n")
    path = tmp_path / "dumped.jsonl"
    path.write_text(told.out)
    live = Topics(shop.client, [f"{shop.topic}:ga4"], "", 0, None).log()
    assert same(replace(live, rejected={}, passed_over={}), read_log([path]))


def test_the_commands_read_topics_of_several_formats(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = Shop(broker), Ga4(broker)
    for number in range(40):
        user, view = f"c{number % 5}", {"name": "view_item", "params": {"items": [{"item_id": f"i{number % 9}"}]}}
        theirs.put({"client_id": user, "events": [view]}, user)
    asked = ["--bootstrap", broker.bootstrap, "--topic", ours.clicks, "--topic", f"{theirs.topic}:ga4"]
    asked += ["--items-topic", ours.items]
    assert invoke(["log", *asked, "--json"]) == Exit.DONE
    found = orjson.loads(capsys.readouterr().out)
    assert (found["kinds"]["browse"], found["kinds"]["cart"], found["passed_over"]) == (41, 1, {"page_view": 1})
    out = tmp_path / "tables"
    assert invoke(["evaluate", *asked, "--split", "time", "--baselines", "popularity", "--out", str(out)]) == Exit.DONE
    assert orjson.loads((out / "evaluation.json").read_bytes())["about"]["log"] == [ours.clicks, f"{theirs.topic}:ga4"]


def test_a_topic_without_any_behaviour_says_so(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    topic = old_topic(broker)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, orjson.dumps({"client_id": "c", "events": [{"name": "page_view"}]}), "c", timestamp=T)
    assert producer.flush(20) == 0
    asked = ["--bootstrap", broker.bootstrap, "--topic", f"{topic}:ga4", "--items-topic", ""]
    assert invoke(["log", *asked]) == Exit.BAD_INPUT
    assert f"--topic {topic}: no event; none of its records holds a behaviour: page_view" in capsys.readouterr().err
