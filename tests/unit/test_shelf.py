"""Beside the line: items and their counts, with an encoder that tells what it was asked for."""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import orjson

from model.encoder import Encoder
from model.event import Kind
from model.text import Line
from model.window import EMPTY, Window
from stream.follower import Pair
from stream.lane import Batch
from stream.messages import Record, Shelf, read_catalogue_record, read_counts_record
from stream.shelf import NEAR, Shelves, count_records
from stream.topics import COUNTS, REJECTED
from tests.records import NOW_MS, FakeRecord, batch, upsert

WEEK_MS = 7 * 86_400_000
TOPIC = "firstclick.catalogue.m"


class FakeEncoder:
    """Two numbers per text; remembers every text that it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        assert all(texts)
        self.texts += texts
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


class World:
    """Shelves over a catalogue topic that takes what `run` sends."""

    def __init__(self) -> None:
        self.topic: list[tuple[int, Pair]] = []
        self.encoder = FakeEncoder()
        self.shelves = Shelves(self.read, cast(Encoder, self.encoder), TOPIC, WEEK_MS, 100_000)

    def read(self, partitions: Sequence[int]) -> Iterable[tuple[int, Pair]]:
        return [record for record in self.topic if record[0] in partitions]

    def take(self, *batches: Batch) -> list[Record]:
        self.shelves.load(batches)
        return self.shelves.take_in(batches)

    def run(self, *batches: Batch) -> list[Record]:
        records = self.take(*batches)
        for record in records:
            if record.topic == TOPIC:
                assert record.key is not None
                self.topic.append((record.partition, (record.key, record.value)))
        return records


def shelf(record: Record) -> Shelf:
    assert record.value is not None
    return read_catalogue_record(record.value)


def counts(offset: int, item_id: str, value: bytes, partition: int = 0) -> FakeRecord:
    return FakeRecord(COUNTS, partition, offset, item_id.encode(), value)


def clicks(offset: int, item_id: str, count: float, at_ms: int = NOW_MS) -> FakeRecord:
    return counts(offset, item_id, orjson.dumps({"click": [count, at_ms]}))


def test_a_new_item_is_encoded_and_told_to_all_in_its_own_partition() -> None:
    world = World()
    (record,) = world.run(batch(upsert(0, "i", "Red shoe", partition=3, price=9.5, category="Shoes")))
    assert (record.topic, record.partition, record.key) == (TOPIC, 3, b"i")
    item = shelf(record).item
    assert (item.title, item.category, item.price, item.available) == ("Red shoe", "Shoes", 9.5, True)
    assert item.vector.tolist() == [8, ord("R")]
    assert world.encoder.texts == ["Red shoe"]


def test_a_changed_price_encodes_nothing_and_keeps_the_vector() -> None:
    world = World()
    (before,) = world.run(batch(upsert(0, "i", "Red shoe", price=9)))
    (after,) = world.run(batch(upsert(1, "i", "Red shoe", price=8, available=False)))
    assert world.encoder.texts == ["Red shoe"]
    assert shelf(after).item.vector.tolist() == shelf(before).item.vector.tolist()
    assert (shelf(after).item.price, shelf(after).item.available) == (8, False)


def test_a_changed_title_is_encoded() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Red shoe")))
    (record,) = world.run(batch(upsert(1, "i", "Blue shoe")))
    assert world.encoder.texts == ["Red shoe", "Blue shoe"]
    assert shelf(record).item.vector.tolist() == [9, ord("B")]


def test_one_text_in_one_batch_is_encoded_once_whoever_has_it() -> None:
    world = World()
    records = world.run(batch(upsert(0, "i", "Shoe"), upsert(1, "j", "Shoe"), upsert(2, "i", "Shoe", price=1)))
    assert world.encoder.texts == ["Shoe"]
    assert world.shelves.encoded == 1
    assert [shelf(record).item.vector.tolist() for record in records] == [[4, ord("S")]] * 2


def test_an_item_changed_twice_in_a_batch_is_told_once_as_it_is_in_the_end() -> None:
    (record,) = World().run(batch(upsert(0, "i", "One"), upsert(1, "i", "Two"), upsert(2, "i", "Three")))
    assert shelf(record).item.title == "Three"
    assert shelf(record).offsets == {"items": 2}


def test_a_tombstone_takes_the_item_off_and_an_unknown_one_says_nothing() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe")))
    (record,) = world.run(batch(upsert(1, "i", None), upsert(2, "never seen", None)))
    assert (record.key, record.value) == (b"i", None)


def test_a_tombstone_and_then_an_upsert_in_one_batch_is_the_new_item_with_fresh_counts() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe")))
    world.run(batch(clicks(0, "i", 5)))
    (record,) = world.run(batch(upsert(1, "i", None), upsert(2, "i", "Boot")))
    assert shelf(record).item.title == "Boot"
    assert shelf(record).item.counts == {}


def test_an_upsert_and_then_a_tombstone_in_one_batch_is_the_tombstone() -> None:
    world = World()
    (record,) = world.run(batch(upsert(0, "i", "Shoe"), upsert(1, "i", None)))
    assert record.value is None


def test_a_restart_encodes_nothing() -> None:
    old, new = World(), World()
    old.run(batch(upsert(0, "i", "Shoe"), upsert(1, "j", "Boot")))
    new.topic = old.topic
    new.run(batch(upsert(2, "i", "Shoe", price=1)))
    assert new.encoder.texts == []


def test_what_was_not_committed_is_encoded_again_after_a_drop() -> None:
    world = World()
    world.take(batch(upsert(0, "i", "Shoe")))
    world.shelves.drop([0])
    world.run(batch(upsert(0, "i", "Shoe"), epoch=2))
    assert world.encoder.texts == ["Shoe", "Shoe"]


def test_counts_of_the_fleet_are_summed_and_halve_with_event_time() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe")))
    records = world.run(batch(clicks(0, "i", 4), clicks(1, "i", 1, NOW_MS + WEEK_MS)))
    assert [shelf(record).item.counts for record in records] == [{"click": (3.0, NOW_MS + WEEK_MS)}]
    assert [shelf(record).item.since_ms for record in records] == [NOW_MS]


def test_counts_read_again_are_not_counted_again() -> None:
    world, later = World(), World()
    world.run(batch(upsert(0, "i", "Shoe")))
    world.run(batch(clicks(0, "i", 4)))
    later.topic = world.topic
    (record,) = later.run(batch(clicks(0, "i", 4), clicks(1, "i", 1)))
    assert shelf(record).item.counts == {"click": (5.0, NOW_MS)}
    assert shelf(record).offsets == {"items": 0, COUNTS: 1}


def test_an_upsert_read_again_changes_nothing() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe"), upsert(1, "i", "Boot")))
    assert world.run(batch(upsert(0, "i", "Shoe"), upsert(1, "i", "Boot"))) == []


def test_counts_stay_when_an_item_changes() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe")))
    world.run(batch(clicks(0, "i", 4)))
    (record,) = world.run(batch(upsert(1, "i", "Boot")))
    assert shelf(record).item.counts == {"click": (4.0, NOW_MS)}
    assert shelf(record).item.since_ms == NOW_MS


def test_counts_of_an_item_that_is_not_there_are_nobodys() -> None:
    assert World().run(batch(clicks(0, "i", 4))) == []


def test_upserts_and_counts_of_one_batch_make_one_record() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe")))
    (record,) = world.run(batch(upsert(1, "i", "Shoe", price=3)), batch(clicks(0, "i", 2)))
    assert (shelf(record).item.price, shelf(record).item.counts) == (3, {"click": (2.0, NOW_MS)})


def test_a_poison_upsert_is_rejected_with_its_bytes_and_stops_nobody() -> None:
    poison = FakeRecord("items", 0, 1, b"bad", b"{")
    first, second, bad = sorted(World().run(batch(upsert(0, "i", "A"), poison, upsert(2, "j", "B"))), key=by_key)
    assert (bad.topic, bad.key, bad.value) == (REJECTED, b"bad", b"{")
    assert dict(bad.headers)["reason"] == b"not_json"
    assert [first.key, second.key] == [b"i", b"j"]


def test_poison_counts_are_rejected_and_stop_nobody() -> None:
    world = World()
    world.run(batch(upsert(0, "i", "Shoe")))
    poison = [counts(0, "i", b"["), FakeRecord(COUNTS, 0, 1, b"\xff", b"{}"), counts(2, "i", b'{"click": 3}')]
    records = world.run(batch(*poison, clicks(3, "i", 1)))
    assert [dict(record.headers)["reason"] for record in records if record.topic == REJECTED] == [b"bug"] * 3
    assert [shelf(record).item.counts for record in records if record.topic == TOPIC] == [{"click": (1.0, NOW_MS)}]


def by_key(record: Record) -> tuple[bool, bytes]:
    return record.topic == REJECTED, record.key or b""


def line(item_id: str, kind: Kind = Kind.CLICK, at_ms: int = NOW_MS) -> Line:
    return Line(at_ms, "e", kind, item_id, "", None, None, None, None)


def test_a_batch_counts_each_item_once_by_kind_at_its_newest_time() -> None:
    lines = [line("i"), line("j"), line("i", at_ms=NOW_MS + 5), line("i", Kind.CART), line("i", at_ms=NOW_MS - 5)]
    records = list(count_records(lines, [EMPTY] * 5, {"i": 2, "j": 0}))
    assert [(record.topic, record.partition, record.key) for record in records] == [
        (COUNTS, 2, b"i"),
        (COUNTS, 0, b"j"),
    ]
    assert orjson.loads(records[0].value or b"") == {"click": [3.0, NOW_MS + 5], "cart": [1.0, NOW_MS]}


def test_items_that_nobody_owns_are_not_counted() -> None:
    assert list(count_records([line("unknown"), line("", Kind.SEARCH)], [EMPTY] * 2, {"i": 2})) == []


def test_who_comes_to_an_item_is_counted_with_what_came_before() -> None:
    first, second, again, other = line("i")._replace(event_id="1"), line("j"), line("j", Kind.CART), line("k")
    told = [each._replace(event_id=str(n), at_ms=NOW_MS + n) for n, each in enumerate((first, second, again, other))]
    windows = [Window(tuple(told[: n + 1]), (), n + 1) for n in range(4)]
    records = list(count_records(told, windows, {"i": 0, "j": 0, "k": 0}))
    assert [read_counts_record(record.value or b"")[1:] for record in records] == [
        ({}, 1.0),
        ({"i": 1.0}, 1.0),  # A click and then the basket: one step.
        ({"j": 1.0, "i": 0.5}, 1.0),
    ]


class Vanishing(dict[str, int]):
    """A shelf off which another thread takes everything as soon as it has been looked at."""

    def get(self, key: str, default: int | None = None) -> int | None:  # type: ignore[override]
        return self.pop(key, default)


def test_an_item_that_leaves_the_shelf_meanwhile_breaks_nothing() -> None:
    assert len(list(count_records([line("i")], [EMPTY], Vanishing(i=1)))) == 1


def test_a_bad_review_counts_as_a_dislike_and_a_good_one_as_a_review() -> None:
    bad, good = (line("i", Kind.REVIEW)._replace(rating=stars) for stars in (2.0, 3.0))
    [record] = count_records([bad, good], [EMPTY] * 2, {"i": 0})
    assert orjson.loads(record.value or b"") == {"dislike": [1.0, NOW_MS], "review": [1.0, NOW_MS]}


def test_a_busy_items_record_stays_small_and_tells_of_the_heaviest_and_of_no_made_up_ids() -> None:
    """A record of all that a thousand visitors had touched before was larger than Kafka takes."""
    told, windows = [], []
    for visitor in range(NEAR + 50):
        other = "often" if visitor < 2 else f"other-{visitor}"
        before = [line(f"made-up-{visitor}"), line(other)]
        window = [*before, line("hot")]
        window = [each._replace(event_id=str(n), at_ms=NOW_MS + n) for n, each in enumerate(window)]
        told.append(window[-1])
        windows.append(Window(tuple(window), (), 3))
    known = {"hot": 0, "often": 0} | {f"other-{visitor}": 0 for visitor in range(NEAR + 50)}
    (record,) = count_records(told, windows, known)
    touched = read_counts_record(record.value or b"")
    assert len(touched.near) == NEAR
    assert touched.near["often"] == 2.0
    assert touched.steps == NEAR + 50
    assert not any(item_id.startswith("made-up") for item_id in touched.near)
