"""Step 3: scripts of a stream, through windows whose changelog is a list."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from model.event import Reason
from model.formats import CONTRACT
from model.reading import reader
from stream.errors import NotAllowed
from stream.follower import Pair, Place
from stream.lane import Batch
from stream.messages import Record, read_window_record
from stream.topics import REJECTED, WINDOWS
from stream.windows import DAY_MS, Taken, Windows
from tests.records import NOW_MS, FakeRecord, batch, event

FORGET_MS = 30 * DAY_MS
REJECTED_BYTES = 100_000


class World:
    """Windows over a changelog that takes what `commit` gives it."""

    def __init__(self, lines: int = 3, age_ms: int = 0, now_ms: int = NOW_MS, form: str = CONTRACT) -> None:
        self.changelog: list[tuple[int, Pair]] = []
        self.reads: list[list[int]] = []
        self.ends: dict[Place, int] = {}
        self.now_ms = now_ms
        self.windows = Windows(
            self.read,
            lambda _: self.ends,
            lines,
            age_ms or 10 * DAY_MS,
            FORGET_MS,
            REJECTED_BYTES,
            {"clicks": reader(form)},
        )

    def read(self, partitions: Sequence[int]) -> Iterable[tuple[int, Pair]]:
        self.reads.append(list(partitions))
        return [record for record in self.changelog if record[0] in partitions]

    def take(self, *batches: Batch) -> Taken:
        taken = Taken()
        self.windows.load(batches)
        for one in batches:
            self.windows.take_in(one, self.now_ms, taken)
        self.windows.sweep({one.partition for one in batches}, taken)
        return taken

    def commit(self, taken: Taken) -> None:
        for record in taken.records():
            assert record.topic == WINDOWS
            assert record.key is not None
            self.changelog.append((record.partition, (record.key, record.value)))

    def run(self, *batches: Batch) -> Taken:
        taken = self.take(*batches)
        self.commit(taken)
        return taken


def shown(taken: Taken) -> dict[str, list[str]]:
    """User -> the event ids of the window as the changelog record has it."""
    found = {}
    for record in taken.records():
        assert record.key is not None
        window = None if record.value is None else read_window_record(record.value)[1]
        found[record.key.decode()] = [] if window is None else [line.event_id for line in window.lines]
    return found


def reasons(records: Iterable[Record]) -> list[str]:
    return [(dict(record.headers)["reason"] or b"").decode() for record in records]


def test_a_batch_becomes_one_changelog_record_per_user_with_all_that_the_window_holds() -> None:
    taken = World().run(batch(event(5, "a"), event(6, "b"), event(7, "a"), event(8, "a"), event(9, "a")))
    assert shown(taken) == {"a": ["clicks@7", "clicks@8", "clicks@9"], "b": ["clicks@6"]}
    assert [line.event_id for line in taken.accepted] == [f"clicks@{n}" for n in (5, 6, 7, 8, 9)]
    held, trigger = taken.changed[0, "a"]
    assert held.offsets == {"clicks": 9}
    assert trigger == ("clicks@9", "clicks", 0, 9)
    assert held.window.n_events == 4


def test_a_changelog_record_goes_to_the_partition_that_the_event_came_from() -> None:
    taken = World().run(batch(event(0, partition=3)))
    assert [record.partition for record in taken.records()] == [3]


def test_windows_are_loaded_once_per_epoch_and_then_held() -> None:
    world = World()
    world.run(batch(event(0)))
    world.run(batch(event(1)))
    assert world.reads == [[0]]
    world.run(batch(event(2), epoch=2))
    assert world.reads == [[0], [0]]
    assert shown(world.run(batch(event(3), epoch=2))) == {"u": ["clicks@1", "clicks@2", "clicks@3"]}


def test_a_new_worker_goes_on_where_the_old_one_ended() -> None:
    old, new = World(), World()
    old.run(batch(event(0), event(1)))
    new.changelog = old.changelog
    taken = new.run(batch(event(1), event(2)))
    assert shown(taken) == {"u": ["clicks@0", "clicks@1", "clicks@2"]}
    assert len(taken.repeated) == 1


def test_the_last_word_of_the_changelog_counts_and_a_tombstone_is_one() -> None:
    world, later = World(), World()
    world.run(batch(event(0, "a"), event(1, "b")))
    later.changelog = [*world.changelog, (0, (b"a", None))]
    assert shown(later.run(batch(event(2, "a"), event(3, "b")))) == {"a": ["clicks@2"], "b": ["clicks@1", "clicks@3"]}


def test_a_repeated_offset_changes_nothing() -> None:
    world = World()
    held = world.run(batch(event(0), event(1))).changed[0, "u"][0]
    held.shown = (), np.zeros(1, np.float16)  # Its list has been published.
    taken = world.run(batch(event(0), event(1)))
    assert (len(taken.repeated), taken.changed, taken.accepted) == (2, {}, [])
    assert list(taken.records()) == []


def test_a_repeat_brings_the_list_that_a_dead_worker_may_still_owe() -> None:
    old, new = World(), World()
    old.run(batch(event(0), event(1)))
    new.changelog = old.changelog
    taken = new.run(batch(event(0), event(1)))
    assert (len(taken.repeated), taken.accepted) == (2, [])
    assert taken.changed[0, "u"][1][0] == "clicks@1"
    assert [record.value for record in taken.records()] == [old.changelog[-1][1][1]]


def test_the_list_that_is_owed_names_the_event_that_it_named_at_first() -> None:
    old, new = World(), World()
    old.run(batch(event(0), event(1)))
    new.changelog = old.changelog
    assert new.run(batch(event(0))).changed == {}
    assert new.run(batch(event(1))).changed[0, "u"][1][0] == "clicks@1"


def test_offsets_of_other_topics_do_not_hide_an_event() -> None:
    world = World()
    world.run(batch(event(9, topic="clicks")))
    taken = world.run(batch(event(2, topic="browses", kind="browse")))
    assert taken.changed[0, "u"][0].offsets == {"clicks": 9, "browses": 2}


def test_the_same_event_sent_twice_is_in_its_window_once() -> None:
    taken = World().run(batch(event(0, event_id="e"), event(1, event_id="e")))
    assert shown(taken) == {"u": ["e"]}
    assert (len(taken.repeated), taken.rejected) == (1, [])


def test_another_event_under_a_used_id_is_rejected_and_the_first_stays() -> None:
    taken = World().run(batch(event(0, event_id="e"), event(1, event_id="e", item_id="j")))
    assert reasons(taken.rejected) == ["event_id_reused"]
    assert [line.item_id for line in taken.accepted] == ["i"]


def test_rejected_bytes_are_the_original_ones_with_their_origin() -> None:
    poison = FakeRecord("clicks", 2, 7, b"\xff", b"\x00not json", NOW_MS)
    (record,) = World().run(batch(poison)).rejected
    headers = dict(record.headers)
    assert (record.topic, record.key, record.value) == (REJECTED, b"\xff", b"\x00not json")
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"clicks", b"2", b"7")
    assert headers["at"] == str(NOW_MS).encode()


def test_poison_among_honest_events_costs_only_itself() -> None:
    poison = [
        FakeRecord("clicks", 0, 1, None, b"{}"),
        FakeRecord("clicks", 0, 2, b"u", None),
        FakeRecord("clicks", 0, 3, b"u", b"[" * 100_000),
        FakeRecord("clicks", 0, 4, b"u", b"x" * 2_000_000),
        event(5, at=NOW_MS + DAY_MS),
        FakeRecord("clicks", 0, 6, b"other", event(6).value()),
    ]
    taken = World().run(batch(event(0), *poison, event(7)))
    assert shown(taken) == {"u": ["clicks@0", "clicks@7"]}
    assert reasons(taken.rejected) == [
        "key_missing",
        "tombstone",
        "not_json",
        "too_large",
        "time_ahead",
        "key_mismatch",
    ]


class Cursed(FakeRecord):
    """A record on which our own code fails."""

    def headers(self) -> Any:
        raise ZeroDivisionError("ours")


def test_a_bug_on_a_record_is_a_rejection_and_does_not_stop_the_partition() -> None:
    cursed = Cursed("clicks", 0, 1, b"u", event(1).value(), NOW_MS)
    taken = World().run(batch(event(0), cursed, event(2)))
    assert shown(taken) == {"u": ["clicks@0", "clicks@2"]}
    assert reasons(taken.rejected) == [Reason.BUG]
    assert b"ZeroDivisionError: ours" in (dict(taken.rejected[0].headers)["detail"] or b"")


def test_dropped_windows_are_loaded_again_and_what_was_not_committed_is_gone() -> None:
    world = World()
    world.run(batch(event(0)))
    world.take(batch(event(1)))  # Aborted: in memory, not in the changelog.
    world.windows.drop([0])
    assert len(world.windows) == 0
    assert shown(world.run(batch(event(1), event(2), epoch=2))) == {"u": ["clicks@0", "clicks@1", "clicks@2"]}


def test_without_the_drop_an_aborted_event_would_pass_for_a_repeat_and_be_lost() -> None:
    # Why rule 3 drops: the memory says that it has the event, the changelog does not.
    world = World()
    world.run(batch(event(0)))
    world.take(batch(event(1)))
    assert len(world.take(batch(event(1))).repeated) == 1


def test_dropping_a_partition_leaves_the_others() -> None:
    world = World()
    world.run(batch(event(0, "a")), batch(event(0, "b", partition=1)))
    world.windows.drop([0])
    assert len(world.windows) == 1


def test_a_user_in_two_partitions_has_two_windows_in_one_batch() -> None:
    taken = World().run(batch(event(0)), batch(event(5, partition=1)))
    assert [(record.partition, record.key) for record in taken.records()] == [(0, b"u"), (1, b"u")]


def test_a_user_without_events_for_too_long_is_forgotten_in_memory_and_in_the_changelog() -> None:
    world = World()
    world.run(batch(event(0, "old"), event(1, "new")))
    world.now_ms = later = NOW_MS + FORGET_MS + 1
    taken = world.run(batch(event(2, "new", arrived_ms=later)))
    assert taken.forgotten == [(0, "old")]
    assert [(record.key, record.value is None) for record in taken.records()] == [(b"new", False), (b"old", True)]
    assert len(world.windows) == 1
    assert world.run(batch(event(3, "new", arrived_ms=later))).forgotten == []


def test_forgetting_waits_for_its_time_and_looks_once_a_day() -> None:
    world = World()
    world.run(batch(event(0, "old"), event(1, "new")))
    world.now_ms = NOW_MS + 2 * FORGET_MS
    assert world.run(batch(event(2, "new", arrived_ms=NOW_MS + FORGET_MS))).forgotten == [], "exactly on time stays"
    soon = NOW_MS + FORGET_MS + DAY_MS - 1
    assert world.run(batch(event(3, "new", arrived_ms=soon))).forgotten == [], "not a day after the last look"
    assert world.run(batch(event(4, "new", arrived_ms=soon + 1))).forgotten == [(0, "old")]


@pytest.mark.parametrize("at", [NOW_MS, NOW_MS + 100 * 365 * DAY_MS])
def test_a_record_from_the_future_forgets_nobody(at: int) -> None:
    # A producer whose clock runs a century ahead stamps the record, too.
    world = World()
    world.run(batch(event(0, "old")))
    taken = world.run(batch(event(1, "fast", arrived_ms=NOW_MS + 100 * 365 * DAY_MS, at=at)))
    assert taken.forgotten == []
    assert shown(world.run(batch(event(2, "old")))) == {"old": ["clicks@0", "clicks@2"]}


def test_a_topic_that_was_created_anew_is_refused_not_taken_for_repeats() -> None:
    world, later = World(), World()
    world.run(batch(event(41)))
    later.changelog, later.ends = world.changelog, {("clicks", 0): 42}
    later.run(batch(event(42)))
    anew = World()
    anew.changelog, anew.ends = world.changelog, {("clicks", 0): 3}
    with pytest.raises(NotAllowed, match="created anew"):
        anew.run(batch(event(0)))


def test_a_late_write_of_a_worker_thought_dead_does_not_bring_back_an_older_window() -> None:
    zombie, successor, later = World(), World(), World()
    zombie.run(batch(event(0)))
    successor.changelog = list(zombie.changelog)
    successor.run(batch(event(1)))
    later.changelog = [*successor.changelog, *zombie.changelog]
    assert shown(later.run(batch(event(2)))) == {"u": ["clicks@0", "clicks@1", "clicks@2"]}
