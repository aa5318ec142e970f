"""Beside the line: how often Python looks for dead cycles.

Knows nothing of events. What a worker holds makes no cycles: lines, windows and vectors die by their count. But the
collector's count of new objects starts it every few hundred events, and each full look goes through every line held.
"""

import gc

# Objects made before it looks; Python's own 700 are half an event's worth of a batch. Measured with 200,000 lines held:
# steps 1 to 3 take 16 us an event with Python's own, 10 us with these. Cycles (of the web pages, of exceptions) are
# still found, some seconds later.
YOUNG = 100_000
OLDER = 50
OLDEST = 100


def calm() -> None:
    """Sets what is there by now aside for good, and looks at what comes more rarely. For a process of its own."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDEST)
