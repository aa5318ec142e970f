"""Beside the line: what time it is in the shop.

Where a log of long ago is replayed, as the demo does, today's time would make all counts decay to nothing: there the
shop's clock stands at the newest event heard of. Knows nothing of records; every time is epoch milliseconds.
"""


class Clock:
    """Gives every event a later time than the one before.

    Args:
        at_ms: the shop's time at the start; None: it has today's.
    """

    def __init__(self, at_ms: int | None) -> None:
        self._replaying = at_ms is not None
        self._newest_ms = at_ms or 0
        self._heard_ms: float | None = None
        self._told_ms = 0

    def heard(self, at_ms: int, now_ms: float) -> None:
        """An event of this time has come."""
        if at_ms >= self._newest_ms:
            self._newest_ms, self._heard_ms = at_ms, now_ms

    def next(self, now_ms: float) -> int:
        """The time of the next event."""
        shop_ms = now_ms
        if self._replaying:
            if self._heard_ms is None:
                self._heard_ms = now_ms
            shop_ms = self._newest_ms + max(now_ms - self._heard_ms, 0.0)
        self._told_ms = max(int(shop_ms), self._told_ms + 1)
        return self._told_ms
