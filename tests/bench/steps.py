"""Where (a)'s seconds go within a step: CPU of the calling thread alone, without Kafka and without company."""

import time
from collections.abc import Callable, Sequence

from model.event import parse_event
from model.text import render
from model.window import EMPTY, Window
from stream.messages import window_record
from tests.bench.fleet import Sent
from tests.bench.loads import START_MS

TURNS = 3  # The least of them counts: whoever else uses the machine only adds.
DAY_MS = 86_400_000


def cpu_us(sent: Sequence[Sent], lines: int, age_ms: int) -> dict[str, float]:
    """Microseconds of CPU: per event of steps 1 to 3, and per record of the windows' changelog."""
    received = [(value, key.encode()) for key, value in sent]
    events = [parse_event(value, key, None, START_MS + DAY_MS) for value, key in received]
    rendered = [(event.user_id, render(event)) for event in events]
    windows: dict[str, Window] = {}

    def parse() -> None:
        for value, key in received:
            parse_event(value, key, None, START_MS + DAY_MS)

    def say() -> None:
        for event in events:
            render(event)

    def remember() -> None:
        windows.clear()
        for user, line in rendered:
            windows[user] = windows.get(user, EMPTY).remember(line, lines, age_ms)

    def keep() -> None:
        for user, window in windows.items():
            window_record(user, window, {"clicks": 1}, START_MS)

    count = len(sent)
    return {
        "1 parse": _least_us(parse, count),
        "2 render": _least_us(say, count),
        "3 remember": _least_us(remember, count),
        "changelog record": _least_us(keep, len(windows)),
        "lines per record": round(sum(len(window.lines) for window in windows.values()) / len(windows), 1),
    }


def _least_us(work: Callable[[], None], count: int) -> float:
    taken = []
    for _ in range(TURNS):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return round(min(taken) / count * 1e6, 2)
