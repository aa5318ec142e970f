"""Beside the line: whether a loop still turns.

Knows nothing of what loops do. A loop that blocks for good looks like a quiet day; only its silence tells them apart.
One that rests has nothing to do and is never stuck.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pulse:
    """When a loop has turned last. Beaten by its own thread, read by others.

    Args:
        name: the loop's, as a metric's label and in what an operator reads.
        clock: seconds, monotonic.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self._clock = name, clock
        self._beaten: float | None = None

    def beat(self) -> None:
        """It has turned."""
        self._beaten = self._clock()

    def rest(self) -> None:
        """It has nothing to do, or has ended."""
        self._beaten = None

    @contextmanager
    def turning(self) -> Iterator[None]:
        """One piece of work, with rest before and after."""
        self.beat()
        try:
            yield
        finally:
            self.rest()

    @property
    def silent_s(self) -> float:
        """Seconds since it turned; 0 while it rests."""
        beaten = self._beaten
        return 0.0 if beaten is None else max(self._clock() - beaten, 0.0)
