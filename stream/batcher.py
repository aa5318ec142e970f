"""Step 4 of 10: when the next micro-batch begins, and what is in it.

Knows nothing of records. A lone event on a quiet day goes at once. Under load a transaction takes all that came while
the one before was worked on, and leaves `wait_ms` between two: back to back they take 27-50 ms each instead of 4.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from stream.intake import Batch, Lane


class Batcher:
    """One lane's micro-batches, one at a time.

    Args:
        lane: what waits.
        most: records in one micro-batch, at the most.
        wait_ms: least time from the end of one micro-batch to the start of the next.
        every_ms: topics that are only looked at this often (their records wait meanwhile).
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        lane: Lane,
        most: int,
        wait_ms: int,
        every_ms: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lane, self._most, self._wait_s, self._clock = lane, most, wait_ms / 1000, clock
        self._every_s = {topic: every / 1000 for topic, every in (every_ms or {}).items()}
        self._due = dict.fromkeys(self._every_s, clock())
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
        await asyncio.sleep(max(self._ended + self._wait_s - self._clock(), 0.0))
        while True:
            self._woken.clear()
            now = self._clock()
            due = [topic for topic in self._lane.topics if self._due.get(topic, now) <= now]
            if batches := self._lane.take(self._most, due):
                for topic in {batch.topic for batch in batches} & self._due.keys():
                    self._due[topic] = now + self._every_s[topic]
                self._free.clear()
                return batches
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
