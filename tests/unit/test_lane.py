"""Step 0: lanes by hand: what they give, what may be committed, and what is read again."""

from stream.lane import Batch, Lane, Place, offsets_of
from tests.records import offsets, plain

CLICKS, BROWSES = ("clicks", 0), ("browses", 0)


def lane_of(*topics: str, **done: int | None) -> Lane:
    """A lane whose topics' partition 0 are ours, done up to the offsets given (None: nothing committed)."""
    lane = Lane("behaviour", topics)
    if done:
        lane.assign({(topic, 0): at for topic, at in done.items()})
    return lane


def offer(lane: Lane, place: Place, *numbers: int, size: int = 0) -> None:
    lane.offer(place, plain(*place, *numbers, size=size))


def test_a_lane_gives_only_partitions_that_are_ours_of_all_its_topics() -> None:
    lane = lane_of("clicks", "browses", clicks=0)
    offer(lane, CLICKS, 0)
    assert lane.take(10, lane.topics) == []
    assert lane.partitions == []
    lane.assign({BROWSES: 0})
    offer(lane, CLICKS, 0, 1)
    assert offsets(lane.take(10, lane.topics)) == [("clicks", 0, [0, 1])]
    assert lane.partitions == [0]


def test_a_lane_gives_only_the_topics_that_are_asked_for() -> None:
    lane = lane_of("clicks", "browses", clicks=0, browses=0)
    offer(lane, CLICKS, 0)
    offer(lane, BROWSES, 0)
    assert offsets(lane.take(10, ["browses"])) == [("browses", 0, [0])]
    assert offsets(lane.take(10, ["clicks"])) == [("clicks", 0, [0])]


def test_a_batch_too_large_is_split_and_its_parts_follow_each_other() -> None:
    lane = lane_of("clicks", clicks=5)
    offer(lane, CLICKS, 5, 6, 9, 10)  # A compacted topic has gaps.
    first, second = lane.take(3, lane.topics)[0], lane.take(3, lane.topics)[0]
    assert (first.start, first.end, second.start, second.end) == (5, 10, 10, 11)
    assert offsets([first, second]) == [("clicks", 0, [5, 6, 9]), ("clicks", 0, [10])]
    assert lane.current([first, second])
    assert not lane.current([second]), "what lies before it is not done"
    assert lane.waiting == lane.bytes == 0


def test_under_load_every_partition_has_its_turn() -> None:
    lane = Lane("behaviour", ["clicks"])
    lane.assign({("clicks", 0): 0, ("clicks", 1): 0})
    offer(lane, ("clicks", 0), *range(10))
    offer(lane, ("clicks", 1), 0)
    assert offsets(lane.take(4, lane.topics)) == [("clicks", 0, [0, 1, 2, 3])]
    assert offsets(lane.take(4, lane.topics))[0] == ("clicks", 1, [0])


def test_a_batch_is_current_only_in_its_epoch_and_only_where_its_partition_is_done() -> None:
    lane = lane_of("clicks", clicks=None)
    offer(lane, CLICKS, 0, 1)
    offer(lane, CLICKS, 2)
    first, second = lane.take(10, lane.topics)
    assert first.start is None, "nothing is committed yet"
    assert lane.current([first])
    assert lane.current([first, second])
    assert not lane.current([second])
    assert not lane.current([second, first])
    lane.committed([first])
    assert lane.place_done(CLICKS) == 2
    assert lane.current([second])
    assert not lane.current([first])
    lane.rewind(0)
    assert not lane.current([second]), "its start is right, its epoch is over"


def test_a_rewind_goes_back_to_what_is_done_under_a_new_epoch() -> None:
    lane = lane_of("clicks", "browses", clicks=3, browses=7)
    dropped: list[int] = []
    lane.on_dropped = dropped.append
    offer(lane, CLICKS, 3, 4)
    offer(lane, BROWSES, 7)
    old = lane.take(1, ["clicks"])[0]
    assert lane.rewind(0) == {CLICKS: 3, BROWSES: 7}
    assert dropped == [0]
    assert lane.waiting == lane.bytes == 0
    offer(lane, CLICKS, 3, 4)
    again = lane.take(10, lane.topics)[0]
    assert again.epoch > old.epoch
    assert again.start == 3
    assert lane.current([again])
    assert not lane.current([old])


def test_a_rewind_leaves_other_partitions_alone() -> None:
    lane = Lane("behaviour", ["clicks"])
    lane.assign({("clicks", 0): 0, ("clicks", 1): 0})
    offer(lane, ("clicks", 1), 0)
    lane.rewind(0)
    assert lane.current(lane.take(10, lane.topics))


def test_what_a_partition_had_when_it_was_revoked_may_not_be_committed_even_if_it_comes_back() -> None:
    lane = lane_of("clicks", clicks=0)
    offer(lane, CLICKS, 0)
    batches = lane.take(10, lane.topics)
    lane.revoke([CLICKS])
    assert not lane.current(batches)
    lane.assign({CLICKS: 0})
    assert not lane.current(batches)


def test_known_records_are_dropped_and_unknown_ones_kept() -> None:
    lane = lane_of("clicks", clicks=5)
    offer(lane, CLICKS, 3, 4)
    assert lane.take(10, lane.topics) == []
    offer(lane, CLICKS, 4, 5, 6)
    assert offsets(lane.take(10, lane.topics)) == [("clicks", 0, [5, 6])]


def test_a_topic_that_joins_or_leaves_a_partition_sends_the_others_back_to_what_is_done() -> None:
    # All topics of a partition are one state: it is dropped, so what was read of the others must be read again.
    lane = lane_of("clicks", "browses", clicks=3)
    offer(lane, CLICKS, 3, 4)
    assert lane.assign({BROWSES: 7}) == {CLICKS: 3}
    offer(lane, CLICKS, 3, 4)
    assert lane.current(lane.take(10, lane.topics))
    assert lane.revoke([BROWSES]) == {CLICKS: 3}
    assert lane.revoke([CLICKS]) == {}


def test_the_offsets_to_commit_are_the_last_end_of_each_partition() -> None:
    batches = [Batch("clicks", 0, 0, 3, 1, []), Batch("browses", 0, 0, 9, 1, []), Batch("clicks", 0, 3, 5, 1, [])]
    assert {(tp.topic, tp.partition, tp.offset) for tp in offsets_of(batches)} == {("clicks", 0, 5), ("browses", 0, 9)}


def test_a_partition_of_which_only_some_topics_are_ours_is_told() -> None:
    lane = Lane("behaviour", ["clicks", "browses"])
    lane.assign({("clicks", 0): None, ("browses", 0): None, ("clicks", 1): None})
    assert (lane.partitions, lane.torn) == ([0], [1])


def test_what_is_owned_is_an_empty_batch_per_whole_partition_in_its_epoch() -> None:
    lane = lane_of("clicks", "browses", clicks=0)
    assert lane.owned() == []
    lane.assign({BROWSES: 0})
    offer(lane, CLICKS, 0)
    (batch,) = lane.take(1, lane.topics)
    (owned,) = lane.owned()
    assert (owned.partition, owned.epoch, owned.messages) == (0, batch.epoch, [])
    lane.rewind(0)
    assert lane.owned()[0].epoch > batch.epoch


def test_an_assignment_is_told_after_the_state_before_it_was_dropped() -> None:
    lane = lane_of("clicks")
    heard: list[str] = []
    lane.on_dropped = lambda partition: heard.append(f"dropped {partition}")
    lane.on_assigned = lambda: heard.append(f"assigned {lane.partitions}")
    lane.assign({CLICKS: 3})
    assert heard == ["dropped 0", "assigned [0]"]
