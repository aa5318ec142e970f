"""Stock Faust doing (a): its own consumer, an agent, a Table of each user's newest lines. One process, one JSON line.

`python -m tests.bench.stock BOOTSTRAP TOPIC COUNT`. As its documentation has it: JSON parse, append to the user's list,
in memory, with the changelog that every Table has. It is spared the rest of (a): validation, rejections, transactions.
"""

import contextlib
import os
import signal
import sys
import time
import warnings

import orjson

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import faust

LINES = 32  # As many as a window of the bundle has.


def main(bootstrap: str, topic: str, count: int) -> None:
    app = faust.App(
        "stock-faust",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        topic_partitions=4,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        autodiscover=False,
    )
    source = app.topic(topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    windows = app.Table("windows", default=list, partitions=4)
    seen = 0
    began = 0.0

    @app.agent(source)
    async def remember(stream: "faust.StreamT[bytes]") -> None:
        nonlocal seen, began
        async for value in stream:
            if not seen:
                began = time.perf_counter()
            event = orjson.loads(value)
            user = event["user_id"]
            lines = windows[user]
            lines.append([event["at"], event["event_id"], event["kind"], event["item_id"]])
            windows[user] = lines[-LINES:]
            seen += 1
            if seen == count:
                seconds = time.perf_counter() - began
                held = sum(len(lines) for lines in windows.values())
                told = {"events": seen, "users": len(windows), "lines": held, "seconds": seconds}
                print(orjson.dumps(told).decode(), flush=True)
                os.kill(os.getpid(), signal.SIGTERM)

    worker = faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True)
    with contextlib.suppress(SystemExit):
        worker.execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
