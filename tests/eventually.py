"""Waiting in tests: ask until it is so, with a deadline; never sleep and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout_s: float, says: str | Callable[[], str] = "") -> T:
    """The first true answer of `condition`, asked every 2 to 50 ms.

    Args:
        says: what to tell when the time is over; a callable is asked then.
    Raises:
        AssertionError: no true answer in `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.002
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {says() if callable(says) else says or condition}")
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 2)
