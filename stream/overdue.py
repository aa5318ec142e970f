"""Beside step 10: a call of the client library that does not come back ends the worker.

librdkafka's `send_offsets_to_transaction` ignores its timeout, and waits for good where the group's coordinator has
gone (librdkafka #5456 and #5511, open in 2.16). No other thread can wake it, and it holds the lock that a rebalance
needs, so that the worker could not even be stopped. Knows nothing of what is called.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from stream.errors import Exit

log = logging.getLogger(__name__)

TICK_S = 1.0


class Overdue(threading.Thread):
    """Looks once a tick whether the call under way is still the one of the tick before.

    It counts ticks and not time: a process that was frozen has missed them, and its calls have an answer waiting.

    Args:
        name: whose calls, for the log.
        ticks: after which a call is given up, and the process with it.
        end: how.
    """

    def __init__(self, name: str, ticks: int, end: Callable[[int], object] = os._exit, tick_s: float = TICK_S) -> None:
        """Starts to look."""
        super().__init__(name=f"overdue-{name}", daemon=True)
        self._of, self._ticks, self._end, self._tick_s = name, ticks, end, tick_s
        self._calls = 0
        self._under_way = 0
        self.start()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """One call, by one thread at a time."""
        self._calls += 1
        self._under_way = self._calls
        try:
            yield
        finally:
            self._under_way = 0

    def run(self) -> None:
        """Until the process ends."""
        before, same = 0, 0
        while same < self._ticks:
            time.sleep(self._tick_s)
            now = self._under_way
            same = same + 1 if now and now == before else 0
            before = now
        try:
            self._tell(same * self._tick_s)
        finally:  # Whatever becomes of the words: the log's own file may be closed, or its disk full.
            self._end(Exit.UNREACHABLE)

    def _tell(self, silent_s: float) -> None:
        log.critical(
            "%s: Kafka's client has not come back for %d s from a call that had less (librdkafka #5511); this worker "
            "ends: start it again, and what was not committed is read again",
            self._of,
            silent_s,
        )
        for handler in logging.getLogger().handlers:
            with suppress(OSError, ValueError):
                handler.flush()
        with suppress(OSError, ValueError):
            faulthandler.dump_traceback()
