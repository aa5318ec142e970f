"""A worker on a broker whose topics carry other formats: a replayed log and live records end in one window."""

import time
from contextlib import closing
from pathlib import Path

import orjson
from confluent_kafka import Producer

from stream import topics
from stream.cli import invoke
from stream.errors import Exit
from tests.brokers import Broker
from tests.eventually import eventually
from tests.fleet import Fleet, newest
from tests.outputs import publish
from tests.shop import make_bundle

LIST_S = 60.0


def test_records_of_three_formats_end_in_one_window_and_a_bad_part_on_the_rejected_topic(
    broker: Broker, tmp_path: Path
) -> None:
    make_bundle(tmp_path)
    with closing(Fleet(broker.bootstrap, tmp_path / "bundle", tmp_path, 1)) as fleet:
        items = [{"item_id": "red boots", "item_name": "red boots"}, {"item_name": "no id"}, {"item_id": "blue boots"}]
        now_ms = int(time.time() * 1000)
        request = {"client_id": "u", "timestamp_micros": now_ms * 1000}
        request |= {"events": [{"name": "purchase", "params": {"items": items}}, {"name": "page_view", "params": {}}]}
        view = {"event_time": "2026-01-01 00:00:00 UTC", "event_type": "view", "product_id": "green boots"}
        view |= {"category_id": "1", "category_code": "", "brand": "", "price": "3.5", "user_id": "u"}
        log = tmp_path / "log.csv"
        log.write_text(f"{','.join([*view, 'user_session'])}\n{','.join([*view.values(), 's'])}\n")
        replayed = ["replay", str(log), "--format", "rees46", "--to", "events", "--bootstrap", broker.bootstrap]
        assert invoke(replayed) == Exit.DONE

        producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
        producer.produce("clicks", orjson.dumps(request), b"u")
        producer.produce("clicks", orjson.dumps({"client_id": "u", "events": [{"name": "login"}]}), b"u")
        producer.produce("browses", orjson.dumps(view | {"event_type": "cart"}), b"u")
        assert producer.flush(20) == 0
        worker = fleet.start("one", events="clicks:ga4,browses:rees46,reviews,events").await_ready()
        fleet.await_committed("clicks", "browses", "events")

        window = newest(fleet.dump(topics.WINDOWS))["u"]
        kinds = sorted((line[2], line[3]) for line in window["lines"])
        assert kinds == [
            ("browse", "green boots"),
            ("cart", "green boots"),
            ("purchase", "blue boots"),
            ("purchase", "red boots"),
        ]
        assert window["n"] == 4
        (rejected,) = fleet.dump(topics.REJECTED)
        assert dict(rejected["headers"])["detail"] == b"events[0].params.items[1].item_id is missing"
        assert rejected["value"] == orjson.dumps(request)
        eventually(
            lambda: newest(fleet.dump(topics.INTERESTS)).get("u") is not None, LIST_S, "a vector: no shelf, no list"
        )
        told = worker.page("metrics").decode()
        assert 'firstclick_events_total{fate="passed_over",kind="unknown"} 1.0' in told
        assert 'firstclick_rejections_total{lane="behaviour",reason="field_missing"} 1.0' in told


def test_a_product_that_the_catalogue_does_not_know_speaks_by_the_title_that_came_with_its_event(
    broker: Broker, tmp_path: Path
) -> None:
    shelf = ["red sandals", "blue jam", "black violin", "white spade"]
    make_bundle(tmp_path)
    with closing(Fleet(broker.bootstrap, tmp_path / "bundle", tmp_path, 1)) as fleet:
        publish(fleet.bootstrap, *((topics.ITEMS, title, orjson.dumps({"title": title})) for title in shelf))
        fleet.start("one", events="clicks:ga4,browses,reviews,events").await_ready(len(shelf))
        now_ms = int(time.time() * 1000)
        items = [{"item_id": "sku-1", "item_name": "green boots", "item_category": "shoes", "price": 79.5}]
        request = {"client_id": "u", "timestamp_micros": now_ms * 1000}
        request |= {"events": [{"name": "select_item", "params": {"items": items}}]}
        click = {"event_id": "e", "user_id": "v", "kind": "click", "at": now_ms, "item_id": "sku-2"}
        click |= {"item": {"title": "green honey", "category": "food", "price": 4}}
        publish(fleet.bootstrap, ("clicks", "u", orjson.dumps(request)), ("events", "v", orjson.dumps(click)))
        fleet.await_committed("clicks", "events")

        windows, lists = newest(fleet.dump(topics.WINDOWS)), newest(fleet.dump(topics.RECOMMENDATIONS))
        told = {user: [(line[3], line[4]) for line in windows[user]["lines"]] for user in "uv"}
        assert told == {"u": [("sku-1", "green boots")], "v": [("sku-2", "green honey")]}
        assert {user: lists[user]["stage"] for user in "uv"} == {"u": "cold", "v": "cold"}
        assert {user: lists[user]["items"][0]["item_id"] for user in "uv"} == {"u": "red sandals", "v": "blue jam"}
        assert lists["v"]["items"][0]["because"][0]["event_id"] == "e"
        shelved = newest(fleet.dump(topics.catalogue_topic(fleet.bundle.space)))
        assert sorted(shelved) == sorted(shelf)  # What rides along is not put on the shelf.
