"""Step 4 of 10: when the next micro-batch begins, and what is in it.

Knows nothing of records. A lone event on a quiet day goes at once. Under load a transaction takes all that came while
the one before was worked on, and leaves `wait_ms` between two: back to back they take 27-50 ms each instead of 4.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream.lane import Batch, Lane


class Share(NamedTuple):
    """What a micro-batch takes of some of its lane's topics: `most` records, and none more often than `every_ms`."""

    topics: tuple[str, ...]
    most: int
    every_ms: int = 0


class Batcher:
    """One lane's micro-batches, one at a time.

    Args:
        lane: what waits.
        shares: what a micro-batch takes; topics in none are never taken.
        wait_ms: least time from the end of one micro-batch to the start of the next, unless that is full already.
        clock: seconds, monotonic.
    """

    def __init__(
        self, lane: Lane, shares: Sequence[Share], wait_ms: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lane, self._wait_s, self._clock = lane, wait_ms / 1000, clock
        self._due = dict.fromkeys(shares, clock())
        self._full = sum(share.most for share in shares)
        self._ended = clock() - self._wait_s
        self._woken = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._woken.set)

        lane.on_waiting = wake

    async def next(self) -> list[Batch]:
        """The next micro-batch, never empty, once the one before has ended."""
        await self._free.wait()
        if self._lane.waiting < self._full:  # A full one takes longer to work on than `wait_ms`: that keeps them apart.
            await asyncio.sleep(max(self._ended + self._wait_s - self._clock(), 0.0))
        while True:
            self._woken.clear()
            if batches := self._take():
                self._free.clear()
                return batches
            now = self._clock()
            later = [at - now for at in self._due.values() if at > now]
            try:
                async with asyncio.timeout(min(later, default=None)):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def ended(self) -> None:
        """The micro-batch is committed, or given up."""
        self._ended = self._clock()
        self._free.set()

    def _take(self) -> list[Batch]:
        taken: list[Batch] = []
        now = self._clock()
        for share, due in self._due.items():
            if due <= now and (batches := self._lane.take(share.most, share.topics)):
                self._due[share] = now + share.every_ms / 1000
                taken += batches
        return taken
