"""Step 4: when a micro-batch begins, on a clock that stands still until it is moved."""

import asyncio

import pytest

from stream.batcher import Batcher, Share
from stream.lane import Lane
from tests.records import offsets, plain

NEVER_S = 0.05  # What waits for hours of a standing clock has not come in this time, nor would it later.
HOUR_MS = 3_600_000


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    """A lane of `items` and `counts`, partition 0 of both ours, and its batcher."""

    def __init__(self, *shares: Share, wait_ms: int = HOUR_MS) -> None:
        self.lane, self.clock = Lane("shelf", ["items", "counts"]), Clock()
        self.lane.assign({("items", 0): 0, ("counts", 0): 0})
        self.batcher = Batcher(self.lane, shares or [Share(("items", "counts"), 10)], wait_ms, self.clock)

    def offer(self, topic: str, *numbers: int) -> None:
        self.lane.offer((topic, 0), plain(topic, 0, *numbers))

    async def next(self) -> list[tuple[str, int, list[int]]]:
        return offsets(await asyncio.wait_for(self.batcher.next(), 5))

    async def nothing_comes(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.batcher.next(), NEVER_S)


async def test_a_lone_event_on_a_quiet_day_goes_at_once() -> None:
    world = World()
    waiting = asyncio.create_task(world.next())
    await asyncio.sleep(0)  # It waits for company by now.
    world.offer("items", 0)
    assert await waiting == [("items", 0, [0])]


async def test_what_comes_from_another_thread_wakes_it() -> None:
    world = World()
    waiting = asyncio.create_task(world.next())
    await asyncio.get_running_loop().run_in_executor(None, world.offer, "items", 0)
    assert await waiting == [("items", 0, [0])]


async def test_the_next_begins_only_when_the_one_before_has_ended() -> None:
    world = World(wait_ms=0)
    world.offer("items", 0)
    await world.next()
    world.offer("items", 1)
    await world.nothing_comes()
    world.batcher.ended()
    assert await world.next() == [("items", 0, [1])]


async def test_between_two_lies_the_wait_and_all_that_comes_meanwhile_shares_the_next() -> None:
    world = World()
    world.offer("items", 0)
    await world.next()
    world.batcher.ended()
    world.offer("items", 1)
    await world.nothing_comes()
    world.offer("items", 2)
    world.clock.now += HOUR_MS / 1000
    assert await world.next() == [("items", 0, [1]), ("items", 0, [2])]


async def test_the_wait_counts_from_the_end_so_that_a_long_one_is_not_followed_at_once() -> None:
    world = World()
    world.offer("items", 0, 1)
    await world.next()
    world.clock.now += 10 * HOUR_MS / 1000
    world.offer("items", 2)
    world.batcher.ended()
    await world.nothing_comes()


async def test_a_full_one_does_not_wait() -> None:
    world = World(Share(("items", "counts"), 2))
    world.offer("items", 0)
    await world.next()
    world.batcher.ended()
    world.offer("items", 1, 2)
    assert await world.next() == [("items", 0, [1, 2])]


async def test_each_share_takes_its_most() -> None:
    world = World(Share(("items",), 2), Share(("counts",), 3), wait_ms=0)
    world.offer("items", *range(5))
    world.offer("counts", *range(5))
    assert await world.next() == [("items", 0, [0, 1]), ("counts", 0, [0, 1, 2])]


async def test_a_share_with_a_pace_is_looked_at_that_often_and_holds_nobody_up() -> None:
    world = World(Share(("items",), 10), Share(("counts",), 10, every_ms=HOUR_MS), wait_ms=0)
    world.offer("counts", 0)
    assert await world.next() == [("counts", 0, [0])]
    world.batcher.ended()
    world.offer("counts", 1)
    await world.nothing_comes()
    world.offer("items", 0)
    assert await world.next() == [("items", 0, [0])], "the other share does not wait with it"
    world.batcher.ended()
    world.clock.now += HOUR_MS / 1000
    assert await world.next() == [("counts", 0, [1])]


async def test_a_paced_share_comes_when_it_is_due_though_nothing_wakes_it() -> None:
    world = World(Share(("counts",), 10, every_ms=20), wait_ms=0)
    world.batcher = Batcher(world.lane, [Share(("counts",), 10, every_ms=20)], 0)  # On the real clock.
    world.offer("counts", 0)
    await world.next()
    world.batcher.ended()
    world.offer("counts", 1)
    assert await world.next() == [("counts", 0, [1])]


async def test_a_batch_dropped_by_a_rewind_leaves_nothing_to_take() -> None:
    world = World(wait_ms=0)
    world.offer("items", 0)
    world.lane.rewind(0)
    await world.nothing_comes()
