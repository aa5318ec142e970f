"""A turn from records to a commit, with a recommender and an outbox that do as they are told."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import orjson
import pytest

from model.window import Window
from stream.agents import MOST_ABORTS, Behaviour, Turns
from stream.errors import NotAllowed
from stream.intake import Intake
from stream.lane import Batch, Lane
from stream.messages import Record
from stream.metrics import Metrics
from stream.outbox import Aborted, Fenced
from stream.recommender import Advice, RankedItem, Recommender
from stream.settings import Settings
from stream.topics import COUNTS, INTERESTS, RECOMMENDATIONS, REJECTED, WINDOWS
from stream.windows import DAY_MS, Windows
from tests.eventually import eventually
from tests.records import FakeRecord, batch, event


class FakeRecommender:
    """Gives every user `advice`; remembers how many it was asked for at a time."""

    def __init__(self) -> None:
        self.advice: Callable[[Window], Advice] = lambda window: advice("a", "b")
        self.asked: list[int] = []

    def recommend(self, windows: Sequence[Window]) -> list[Advice]:
        self.asked.append(len(windows))
        return [self.advice(window) for window in windows]


def advice(*items: str, vector: Sequence[float] = (1, 0)) -> Advice:
    ranked = tuple(RankedItem(item, rank, 1 / rank, ()) for rank, item in enumerate(items, 1))
    return Advice("cold", ranked, np.array(vector, np.float32))


class FakeOutbox:
    """Commits, or raises what it is told, one per commit."""

    def __init__(self) -> None:
        self.committed: list[list[Record]] = []
        self.outcomes: Iterator[Exception | None] = iter(())

    def open(self) -> None: ...
    def close(self) -> None: ...

    def commit(self, batches: Sequence[Batch], records: Sequence[Record]) -> None:
        outcome = next(self.outcomes, None)
        if outcome is not None:
            raise outcome
        self.committed.append(list(records))


class FakeIntake:
    """Remembers what it was asked to read again."""

    def __init__(self) -> None:
        self.rewound: list[list[int]] = []

    def rewind(self, lane: Lane, partitions: Iterable[int]) -> None:
        self.rewound.append(sorted(partitions))


class Quick(Behaviour):
    """A hundred aborts without the ten seconds that they take."""

    abort_pause_s = 0.0
    portion = 1
    call_users = 2


class World:
    """The behaviour lane over an empty changelog."""

    def __init__(
        self, moved: float = 0.0, items: Mapping[str, int] | None = None, batch_users: int = 256, batch_texts: int = 256
    ) -> None:
        self.recommender, self.outbox, self.intake, self.metrics = (
            FakeRecommender(),
            FakeOutbox(),
            FakeIntake(),
            Metrics(),
        )
        self.lane = Lane("behaviour", ["clicks"])
        self.windows = Windows(lambda _: [], lambda _: {}, 5, DAY_MS, 30 * DAY_MS, 100_000)
        self.turns = Quick(
            self.lane, cast(Intake, self.intake), self.outbox, self.metrics, self.windows,
            cast(Recommender, self.recommender), "m", items or {}, 4,
            Settings(moved=moved, batch_users=batch_users, batch_texts=batch_texts),
        )  # fmt: skip

    def turn(self, *records: FakeRecord) -> dict[str, list[Any]]:
        """What the turn sent, by topic: its values."""
        before = len(self.outbox.committed)
        self.turns.turn([batch(*records)])
        sent: dict[str, list[Any]] = {}
        for record in [record for records in self.outbox.committed[before:] for record in records]:
            sent.setdefault(record.topic, []).append(record)
        return sent

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"firstclick_{name}", labels) or 0.0


def values(records: Sequence[Record]) -> list[Any]:
    return [orjson.loads(record.value or b"null") for record in records]


def test_a_turn_commits_windows_lists_and_vectors_together() -> None:
    sent = World().turn(event(0, "a"), event(1, "b"), event(2, "a"))
    assert sent.keys() == {WINDOWS, RECOMMENDATIONS, INTERESTS}
    assert [record.key for record in sent[WINDOWS]] == [b"a", b"b"]
    lists, vectors = values(sent[RECOMMENDATIONS]), values(sent[INTERESTS])
    assert [one["user_id"] for one in lists] == [one["user_id"] for one in vectors] == ["a", "b"]
    assert lists[0]["trigger"] == {"event_id": "clicks@2", "topic": "clicks", "partition": 0, "offset": 2}
    assert (lists[0]["version"], lists[0]["n_events"]) == (3, 2)
    assert [item["item_id"] for item in lists[0]["items"]] == ["a", "b"]


BARE = advice()._replace(stage="fallback", bare=True)


class Bare(World):
    """Nothing is on the shelf yet; the partition is ours, and what is committed counts as done."""

    def __init__(self) -> None:
        super().__init__()
        self.recommender.advice = lambda _: BARE
        self.lane.assign({("clicks", 0): 7})
        self.turns.thread.submit(lambda: None).result()

    def records(self, *records: FakeRecord) -> dict[str, list[Any]]:
        """What a turn with these records sent."""
        (standing,) = self.lane.standing([("clicks", 0)], self.lane.owned())
        before = len(self.outbox.committed)
        self.turns.turn([standing._replace(messages=list(records))])
        return by_topic(self.outbox.committed[before:])

    def paid(self) -> dict[str, list[Any]]:
        before = len(self.outbox.committed)
        self.turns.thread.submit(self.turns.pay).result()
        return by_topic(self.outbox.committed[before:])


def by_topic(commits: Sequence[Sequence[Record]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for record in (record for records in commits for record in records):
        found.setdefault(record.topic, []).append(orjson.loads(record.value or b"null"))
    return found


def test_who_comes_before_the_first_product_is_owed_a_list_and_gets_it_once() -> None:
    world = Bare()
    sent = world.records(event(0, "a"), event(1, "b"), event(2, "c"))
    assert sent.keys() == {WINDOWS, INTERESTS}
    assert [window["owed"][3] for window in sent[WINDOWS]] == [0, 1, 2]
    assert world.turns.owes
    assert world.paid() == {}, "there is still nothing to show"
    world.recommender.advice = lambda _: advice("a", "b")
    assert world.records(event(3, "a")).keys() == {WINDOWS, INTERESTS, RECOMMENDATIONS}, "the next event pays, too"
    paid = world.paid()
    assert paid.keys() == {WINDOWS, RECOMMENDATIONS}
    assert [(one["user_id"], one["version"], one["trigger"]["offset"]) for one in paid[RECOMMENDATIONS]] == [
        ("b", 2, 1),
        ("c", 3, 2),
    ]
    assert [window for window in paid[WINDOWS] if "owed" in window] == []
    assert not world.turns.owes
    assert world.paid() == {}
    assert world.counted("lists_total", stage="cold") == 3
    assert world.counted("lists_unchanged_total") == 0


def test_what_is_owed_outlives_an_abort_and_a_restart() -> None:
    world = Bare()
    (window,) = world.records(event(0))[WINDOWS]
    changelog = [(0, (b"u", orjson.dumps(window)))]
    world.windows._read = lambda _: changelog
    world.recommender.advice = lambda _: advice("a")
    world.outbox.outcomes = iter([Aborted("a rebalance")])
    assert world.paid() == {}
    assert world.intake.rewound == [[0]]
    heir = Bare()
    heir.windows._read = lambda _: changelog
    heir.windows.drop([0])  # As if it had just come.
    heir.recommender.advice = lambda _: advice("a")
    for each in (world, heir):
        assert [one["version"] for one in each.paid()[RECOMMENDATIONS]] == [1]


def test_a_partition_that_moves_while_it_is_loaded_is_not_paid_from_what_was_loaded() -> None:
    """Another worker may have had it in between, and have taken in more."""
    world = Bare()
    (window,) = world.records(event(0))[WINDOWS]

    def read(_: object) -> list[tuple[int, tuple[bytes, bytes]]]:
        if not moved:
            moved.append(True)
            world.lane.revoke([("clicks", 0)])
            world.lane.assign({("clicks", 0): 9})
        return [(0, (b"u", orjson.dumps(window)))]

    def commit(batches: Sequence[Batch], records: Sequence[Record]) -> None:
        if not world.lane.current(batches):
            raise Aborted("a partition moved meanwhile")
        committed.append(records)

    moved: list[bool] = []
    committed: list[Sequence[Record]] = []
    world.windows._read, world.turns.outbox.commit = read, commit  # type: ignore[method-assign]
    world.windows.drop([0])
    world.recommender.advice = lambda _: advice("a")
    world.paid()
    assert committed == []


def test_whose_list_has_left_the_shelf_gets_an_empty_one() -> None:
    world = Bare()
    world.recommender.advice = lambda _: advice("a")
    world.records(event(0))
    world.recommender.advice = lambda _: BARE
    (shown,) = world.records(event(1))[RECOMMENDATIONS]
    assert shown["items"] == []
    assert not world.turns.owes


def test_an_owed_list_that_the_model_stumbles_over_is_owed_no_more() -> None:
    world = Bare()
    world.records(event(0))

    def stumbles(window: Window) -> Advice:
        if window.lines:
            raise ZeroDivisionError
        return advice("a")

    world.recommender.advice = stumbles
    assert world.paid().keys() == {WINDOWS}
    assert not world.turns.owes
    assert world.counted("lists_failed_total") == 1


def test_a_list_that_is_the_same_is_not_news_but_its_window_is_kept() -> None:
    world = World()
    world.turn(event(0))
    assert world.turn(event(1)).keys() == {WINDOWS}
    assert world.counted("lists_unchanged_total") == 1


def test_another_list_is_news() -> None:
    world = World()
    world.turn(event(0))
    world.recommender.advice = lambda _: advice("b", "a")
    assert world.turn(event(1)).keys() == {WINDOWS, RECOMMENDATIONS, INTERESTS}


@pytest.mark.parametrize(("moved", "news"), [(0.0, True), (0.01, True), (0.05, False)])
def test_a_vector_is_news_once_it_has_moved_by_the_setting(moved: float, news: bool) -> None:
    world = World(moved)
    world.turn(event(0))
    world.recommender.advice = lambda _: advice("a", "b", vector=(0.96, 0.28))  # A cosine distance of .04.
    assert (INTERESTS in world.turn(event(1))) is news


def test_small_moves_add_up_because_they_count_from_what_was_shown() -> None:
    world = World(moved=0.05)
    world.turn(event(0))
    world.recommender.advice = lambda _: advice("a", "b", vector=(0.96, 0.28))
    assert INTERESTS not in world.turn(event(1))
    world.recommender.advice = lambda _: advice("a", "b", vector=(0.8, 0.6))
    assert INTERESTS in world.turn(event(2))


def test_a_repeat_asks_for_no_advice() -> None:
    world = World()
    world.turn(event(0))
    assert world.turn(event(0)) == {}
    assert world.recommender.asked == [1]
    assert world.counted("events_total", kind="click", fate="repeated") == 1


def test_the_recommender_gets_no_more_users_at_a_time_than_set_and_lists_keep_their_users() -> None:
    world = World()
    world.recommender.advice = lambda window: advice(window.lines[-1].item_id)
    sent = world.turn(*(event(n, f"u{n}", item_id=f"i{n}") for n in range(5)))
    assert world.recommender.asked == [2, 2, 1]
    found = [(one["user_id"], one["items"][0]["item_id"]) for one in values(sent[RECOMMENDATIONS])]
    assert found == [(f"u{n}", f"i{n}") for n in range(5)]


def test_touched_items_are_counted_in_the_partition_of_their_owner() -> None:
    sent = World(items={"i": 3}).turn(event(0), event(1), event(2, item_id="unknown"))
    assert [(record.partition, record.key) for record in sent[COUNTS]] == [(3, b"i")]


def test_what_is_only_shown_is_counted_whoever_comes_with_it() -> None:
    """Else what is known of an item's first day would depend on how events fell into batches."""
    world = World(items={"i": 3})
    world.turn(event(0))
    (shown,) = world.turn(event(1, kind="impression"))[COUNTS]
    assert (shown.partition, shown.key) == (3, b"i")


def test_a_rejection_is_committed_with_the_rest_and_counted_by_reason() -> None:
    world = World()
    sent = world.turn(event(0), FakeRecord("clicks", 0, 1, b"u", b"{"))
    assert len(sent[REJECTED]) == 1
    assert world.counted("rejections_total", lane="behaviour", reason="not_json") == 1
    assert world.counted("events_total", kind="click", fate="accepted") == 1


def test_a_user_in_a_partition_that_java_would_not_choose_is_counted_once() -> None:
    world = World()
    for offset in range(2):
        world.turn(*(event(10 * offset + n, f"u{n}") for n in range(8)))
    assert 0 < world.counted("foreign_partition_users_total") < 8


def test_without_a_model_windows_are_kept_and_nothing_else() -> None:
    world = World()
    world.turns._recommender = None
    assert world.turn(event(0)).keys() == {WINDOWS}


def test_an_abort_drops_the_windows_and_reads_again_from_the_last_commit() -> None:
    # Rule 3. Without the drop the event would be in memory, pass for a repeat, and never reach the changelog.
    world = World()
    world.outbox.outcomes = iter([Aborted("a rebalance")])
    assert world.turn(event(0)) == {}
    assert len(world.windows) == 0
    assert world.intake.rewound == [[0]]
    assert world.turn(event(0)).keys() == {WINDOWS, RECOMMENDATIONS, INTERESTS}
    assert world.counted("aborts_total", lane="behaviour") == 1


def test_nothing_that_was_aborted_is_counted_as_done() -> None:
    world = World()
    world.outbox.outcomes = iter([Aborted("a rebalance")])
    world.turn(event(0))
    assert world.counted("events_total", kind="click", fate="accepted") == 0


def test_a_hundred_aborts_in_a_row_end_the_worker_and_one_commit_begins_anew() -> None:
    world = World()
    aborts: list[Exception | None] = [Aborted("the broker is ill")] * MOST_ABORTS
    world.outbox.outcomes = iter([*aborts, None, *aborts, Aborted("the broker is ill")])
    for _ in range(2 * MOST_ABORTS + 1):
        world.turn(event(0))
    with pytest.raises(Fenced, match="the broker is ill"):
        world.turn(event(0))


@pytest.mark.parametrize("error", [Fenced("another worker has its name"), ZeroDivisionError()])
def test_whatever_else_happens_ends_the_worker(error: Exception) -> None:
    world = World()
    world.outbox.outcomes = iter([error])
    with pytest.raises(type(error)):
        world.turn(event(0))
    assert world.intake.rewound == []


def test_windows_of_a_revoked_partition_are_dropped_in_the_lanes_own_thread() -> None:
    world = World()
    world.lane.assign({("clicks", 0): 0})
    world.turn(event(0))
    world.lane.revoke([("clicks", 0)])
    world.turns.thread.shutdown(wait=True)
    assert len(world.windows) == 0
    world.lane.assign({("clicks", 0): 0})  # A callback after the stop breaks nothing.


def test_a_kind_of_turn_must_say_what_its_work_is() -> None:
    world = World()
    bare = Turns(world.lane, cast(Intake, world.intake), world.outbox, world.metrics)
    with pytest.raises(NotImplementedError):
        bare.turn([batch(event(0))])


def test_a_window_that_the_model_stumbles_over_gets_no_list_and_takes_nobody_with_it() -> None:
    world = World()

    def stumbles(window: Window) -> Advice:
        if window.lines and window.lines[-1].item_id == "poison":
            raise ZeroDivisionError
        return advice("a")

    world.recommender.advice = stumbles
    sent = world.turn(event(0, "a"), event(1, "b", item_id="poison"), event(2, "c"))
    assert [one["user_id"] for one in values(sent[RECOMMENDATIONS])] == ["a", "c"]
    assert len(sent[WINDOWS]) == 3
    assert world.counted("lists_failed_total") == 1


def test_a_model_that_stumbles_over_everything_ends_the_worker_and_commits_nothing() -> None:
    world = World()

    def broken(window: Window) -> Advice:
        raise MemoryError

    world.recommender.advice = broken
    with pytest.raises(MemoryError):
        world.turn(event(0))
    assert world.outbox.committed == []


def test_a_forgotten_users_list_and_vector_are_deleted_with_the_window() -> None:
    world = World()
    world.turn(event(0, "old"))
    world.windows.sweep = lambda partitions, taken: taken.forgotten.append((0, "old"))  # type: ignore[method-assign]
    sent = world.turn(event(1, "new"))
    for topic in (WINDOWS, RECOMMENDATIONS, INTERESTS):
        assert [record.key for record in sent[topic] if record.value is None] == [b"old"]


@pytest.mark.parametrize(("users", "texts", "done"), [(2, 9, 2), (9, 2, 3), (9, 9, 5)])
def test_a_turn_ends_once_it_has_users_or_texts_enough_and_the_rest_waits_in_order(
    users: int, texts: int, done: int
) -> None:
    world = World(batch_users=users, batch_texts=texts)
    world.lane.assign({("clicks", 0): 0})
    events = [event(n, f"u{n}", kind="review", text="good" if n else "", item_id=f"i{n}") for n in range(5)]
    world.lane.offer(("clicks", 0), list(events))
    world.turns.turn(world.lane.take(9, ["clicks"]))
    assert len([record for record in world.outbox.committed[0] if record.topic == WINDOWS]) == done
    left = [message.offset() for batch in world.lane.take(9, ["clicks"]) for message in batch.messages]
    assert left == list(range(done, 5))


def test_an_assignment_loads_the_state_of_its_partitions_before_any_event_comes() -> None:
    world = World()
    world.lane.assign({("clicks", 0): 0, ("clicks", 2): None})
    eventually(lambda: world.turns.held() == {0, 2}, 5, "windows of both")
    assert world.turns.loaded
    world.lane.assign({("clicks", 3): 0})
    world.lane.revoke([("clicks", 2)])
    eventually(lambda: world.turns.held() == {0, 3}, 5, "what is ours now")


def test_what_fails_between_two_turns_is_heard_of() -> None:
    world = World()
    world.windows.load = refuse  # type: ignore[method-assign, assignment]
    world.lane.assign({("clicks", 0): 0})
    assert isinstance(world.turns.failure.exception(5), NotAllowed)
    assert not world.turns.loaded


def refuse(batches: Sequence[Batch]) -> None:
    raise NotAllowed("the topic was created anew")


def test_what_was_committed_is_counted_by_lane_and_kind() -> None:
    world = World()
    world.turn(event(0), event(1, kind="purchase"), FakeRecord("clicks", 0, 2, b"u", b"{"))
    assert world.counted("commits_total", lane="behaviour") == 1
    assert world.counted("events_total", kind="purchase", fate="accepted") == 1
    assert world.counted("events_total", kind="unknown", fate="rejected") == 1
