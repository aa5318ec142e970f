"""The lists that a worker publishes are those that `firstclick evaluate` judges: same windows, same trained bundle."""

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from confluent_kafka import Producer

from model.bundle import Bundle
from model.catalogue import Shelved
from model.training.examples import replay
from model.training.fit import FitSettings
from model.training.logs.columns import Log
from model.training.slices import windows
from model.training.splits import leave_one_out
from model.training.train import TrainSettings, train
from stream import topics
from stream.evaluating import Counted, serving
from stream.messages import read_catalogue_record
from tests.brokers import Broker
from tests.eventually import eventually
from tests.fleet import Fleet, newest
from tests.logs import log_of
from tests.shop import COLOURS, THEMES, make_bundle

TITLES = [f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS]
USERS = 60
NEVER_MS = 600_000  # The worker's counts stay out: evaluate's are those that training left, and here there are none.
WATCHER = "watcher"  # Saw one item and wanted none: the first counts are taken in at once, and these weigh nothing.
MINUTE = 60_000
NOTHING = np.zeros(0, np.int64)


def events(now_ms: int) -> Iterator[dict[str, Any]]:
    """Users with one to eight events of all sorts, and then the one that evaluate asks for."""
    dice = np.random.default_rng(0)
    for user in range(USERS):
        first_ms = now_ms - 10_000_000 + user * MINUTE
        for step in range(int(dice.integers(1, 9))):
            kind = str(dice.choice(["click", "browse", "purchase", "review", "search", "cart", "dislike"]))
            event = {"event_id": f"e-{user}-{step}", "user_id": f"u{user}", "kind": kind, "at": first_ms + step * 1000}
            if kind == "search":
                event["query"] = str(dice.choice([word for words in THEMES.values() for word in words]))
            else:
                event["item_id"] = str(dice.choice(TITLES))
            if kind == "review":
                event |= {"rating": float(dice.integers(1, 6)), "text": "good jam and a red guitar"}
            if kind == "browse":
                event["dwell_ms"] = int(dice.integers(500, 30_000))
            yield event
        target = {
            "event_id": f"e-{user}-t",
            "user_id": f"u{user}",
            "kind": "click",
            "item_id": str(dice.choice(TITLES)),
        }
        yield {**target, "at": first_ms + MINUTE // 2}


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(events(int(time.time() * 1000)), [{"item_id": title, "title": title} for title in TITLES])


@pytest.fixture(scope="module")
def bundle(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("trained")
    settings = TrainSettings(FitSettings(dim=16, epochs=3, learning_rate=2e-2, bf16=False), name="live")
    made = train(log, leave_one_out(log), make_bundle(folder / "base"), folder / "bundle", settings)
    assert made is not None
    return made.bundle


def sent_events(log: Log, targets: set[int]) -> Iterator[dict[str, Any]]:
    """The log's events but for the targets, as a producer would send them."""
    for row in range(len(log)):
        if row not in targets:
            line = log.line(row)
            told = {"event_id": line.event_id, "user_id": log.users[log.user[row]], "kind": line.kind, "at": line.at_ms}
            words = {"query": line.text} if line.kind == "search" else {"text": line.text}
            more = {"item_id": line.item_id, "rating": line.rating, "dwell_ms": line.dwell_ms, **words}
            yield told | {name: value for name, value in more.items() if value}


def test_the_workers_lists_are_those_that_evaluate_judges(
    broker: Broker, log: Log, bundle: Bundle, tmp_path: Path
) -> None:
    last = {int(log.user[row]): row for row in range(len(log))}
    targets = np.array(sorted(last.values()))
    requests = replay(log, targets, np.ones(len(log), np.bool_), bundle.lines, bundle.age_ms)
    (served,), _ = serving([bundle], log, NOTHING, NOTHING)
    put = windows(log, requests, np.arange(len(targets)))
    judged = dict(zip(log.user[targets].tolist(), served.recommend(put, None, True), strict=True))

    with closing(Fleet(broker.bootstrap, bundle.path, tmp_path)) as fleet:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random", "log_level": 0})
        for title in TITLES:
            producer.produce(topics.ITEMS, orjson.dumps({"title": title}), title.encode())
        producer.flush(20)
        fleet.start("one", counts_every_ms=NEVER_MS, list_items=served.places).await_ready(len(TITLES))
        seen = {"event_id": "e-w", "user_id": WATCHER, "kind": "impression", "item_id": TITLES[0]}
        producer.produce("events", orjson.dumps({**seen, "at": int(time.time() * 1000)}), WATCHER.encode())
        producer.flush(20)
        fleet.await_committed("events")
        shelf = topics.catalogue_topic(bundle.space)
        eventually(lambda: bool(newest(fleet.dump(shelf))[TITLES[0]]["counts"]), 30.0, "the first counts are taken in")
        for event in sent_events(log, set(targets.tolist())):
            producer.produce("events", orjson.dumps(event), event["user_id"].encode())
        producer.flush(20)
        fleet.await_committed("events")
        live = newest(fleet.dump(topics.RECOMMENDATIONS))
    del live[WATCHER]
    assert len(live) == USERS
    for user, row in last.items():
        shown = [(item["item_id"], item["score"]) for item in live[log.users[user]]["items"]]
        expected = judged[user]
        assert [item for item, _ in shown] == [item for item, _ in expected], log.line(row)
        assert [score for _, score in shown] == pytest.approx([score for _, score in expected], abs=2e-6)
    assert {shown["model"] for shown in live.values()} == {bundle.model}


def test_a_workers_shelf_is_counted_as_that_of_evaluate(
    broker: Broker, log: Log, bundle: Bundle, tmp_path: Path
) -> None:
    """What sells, since when, and what follows what: of the same events, in whatever micro-batches they came."""
    counted = Counted(bundle, log, np.zeros((len(TITLES), bundle.text_dim), np.float32), np.arange(len(log)))
    counted.count()
    with closing(Fleet(broker.bootstrap, bundle.path, tmp_path)) as fleet:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random", "log_level": 0})
        for title in TITLES:
            producer.produce(topics.ITEMS, orjson.dumps({"title": title}), title.encode())
        producer.flush(20)
        fleet.start("one", counts_every_ms=50).await_ready(len(TITLES))
        for event in sent_events(log, set()):
            producer.produce("events", orjson.dumps(event), event["user_id"].encode())
        producer.flush(20)
        fleet.await_committed("events")
        expected_all = [counted.item(number) for number in range(len(TITLES))]
        steps = sum(item.before.steps for item in expected_all)

        def shelf() -> dict[str, Shelved]:
            told = newest(fleet.dump(topics.catalogue_topic(bundle.space)))
            return {item_id: read_catalogue_record(orjson.dumps(each)).item for item_id, each in told.items()}

        def all_counted() -> bool:
            return sum(item.before.steps for item in shelf().values()) > steps - 0.5

        eventually(all_counted, 30.0, "all steps are counted")
        found = shelf()
    assert found.keys() == set(TITLES)
    followed = 0
    for title, expected in zip(TITLES, expected_all, strict=True):
        item = found[title]
        # Of several of one kind in a micro-batch only the newest time is told.
        assert expected.since_ms <= item.since_ms <= max([at_ms for _, at_ms in item.counts.values()], default=0)
        assert item.counts.keys() == expected.counts.keys()
        for kind, (value, at_ms) in expected.counts.items():
            assert item.counts[kind] == (pytest.approx(value, rel=0.01), at_ms)
        assert item.before.steps == pytest.approx(expected.before.steps, abs=1e-3)
        assert item.before.weights == pytest.approx(expected.before.weights, abs=1e-3)
        followed += len(item.before.weights)
    assert followed > USERS


def test_what_others_had_together_just_now_is_recommended(broker: Broker, tmp_path: Path) -> None:
    """With a bundle that has counted nothing, and two products that have no word in common."""
    first, second, bundle = "red boots", "blue guitar", make_bundle(tmp_path / "bundle")
    with closing(Fleet(broker.bootstrap, bundle.path, tmp_path)) as fleet:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random", "log_level": 0})

        now_ms = count(int(time.time() * 1000))  # Each event at a time of its own: else ids would order them.

        def click(user: str, item_id: str) -> None:
            event = {"event_id": f"{user} {item_id}", "user_id": user, "kind": "click", "item_id": item_id}
            producer.produce("events", orjson.dumps(event | {"at": next(now_ms)}), user.encode())

        for title in TITLES:
            producer.produce(topics.ITEMS, orjson.dumps({"title": title}), title.encode())
        producer.flush(20)
        fleet.start("one", counts_every_ms=50).await_ready(len(TITLES))
        click("before", first)
        producer.flush(20)
        fleet.await_committed("events")
        for n in range(30):
            click(f"shopper {n}", first)
            click(f"shopper {n}", second)
        producer.flush(20)
        fleet.await_committed("events")
        shelf = topics.catalogue_topic(bundle.space)
        eventually(lambda: "before" in newest(fleet.dump(shelf))[second], 30.0, "the pairs are on the shelf")

        def gets(user: str) -> list[str]:
            click(user, first)
            producer.flush(20)
            fleet.await_committed("events")
            return [item["item_id"] for item in newest(fleet.dump(topics.RECOMMENDATIONS))[user]["items"]]

        numbers = count()
        eventually(lambda: gets(f"after {next(numbers)}")[0] == second, 30.0, "the next one gets the pair")
        lists = newest(fleet.dump(topics.RECOMMENDATIONS))
    assert lists["before"]["items"][0]["item_id"] != second
