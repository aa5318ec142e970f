"""(h) `firstclick serve` over real sockets: 1,000 requests a second on a plan, while lists and vectors keep coming.

The client has a process of its own (asking.py), the broker and who publishes have theirs; all share the machine. Half
of the requests are for lists, a fifth each for vectors and for lists that the client has (304), a tenth for users whom
nobody knows (404). First lists are compared with what was published.
"""

import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from stream import topics
from tests.bench.answers import WrongAnswer
from tests.bench.asking import Asked, Request, at_once, on_a_plan
from tests.bench.fleet import spread
from tests.brokers import Embedded, admin
from tests.outputs import a_list, an_interest
from tests.server import Server

USERS = 20_000
DIM = 384  # As the zero-shot bundle's.
# Everybody's, for nobody reads it: to draw another each time took half a millisecond, beside what is being timed.
VECTOR = [round(number / DIM - 0.5, 6) for number in range(DIM)]
RATE = 1_000
SECONDS = 10
TURNS = 3  # The machine may have company: all turns are told, and the middle one.
WARM_S = 2
BATCH_USERS, BATCH_EVERY_S = 1_000, 1.0  # At once, as a busy worker commits them: that delays answers most.
MOST = 20_000
LIMIT_MS = 5.0


def serving() -> Iterator[dict[str, Any]]:
    """Held in memory, and in a file."""
    alone = multiprocessing.get_context("spawn")
    with (
        Embedded() as broker,
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=alone) as client,
    ):
        shapes = [topics.TopicShape(name, 4) for name in (topics.RECOMMENDATIONS, topics.INTERESTS)]
        topics.apply(admin(broker.bootstrap), shapes)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random", "linger.ms": 1})
        for number in range(USERS):
            _publish(producer, number, 1)
            producer.poll(0)
        if producer.flush(60):
            raise WrongAnswer("the broker did not take all outputs")
        p50_ms: float | None = None
        for name, state in (("memory", "memory"), ("sqlite", f"sqlite:{Path(folder) / 'state'}")):
            began = time.perf_counter()
            with Server(broker.bootstrap, "--popular", "0", "--state", state).await_ready() as server:
                ready_s = time.perf_counter() - began
                etags = _check(server)
                with _publishing(producer):
                    told = _load(server, client, etags)
                memory = _memory_mib(server.process.pid)
            ratio = {} if p50_ms is None else {"p50_to_memory": round(told["p50_ms"] / p50_ms, 2)}
            p50_ms = p50_ms or told["p50_ms"]
            yield {"state": name, "users": USERS, "ready_s": round(ready_s, 1), "memory_mib": memory, **told, **ratio}
        producer.close()


def _publish(producer: Producer, number: int, version: int) -> None:
    user_id = f"user-{number}"
    producer.produce(topics.RECOMMENDATIONS, a_list(user_id, version), user_id)
    producer.produce(topics.INTERESTS, an_interest(user_id, version, vector=VECTOR, dim=DIM), user_id)


def _check(server: Server) -> list[str]:
    """Every hundredth user's list is the one that was published last. Returns their ETags."""
    etags = []
    for number in range(0, USERS, 100):
        answer = server.list_of(f"user-{number}")
        told = answer.told
        if answer.body != a_list(f"user-{number}", told["version"]):
            raise WrongAnswer(f"user-{number} has {answer.body!r}")
        etags.append(answer.headers["ETag"])
    return etags


def _requests(etags: Sequence[str]) -> Iterator[Request]:
    draw = random.Random(13)

    def of(user_id: str, page: str, status: int, more: str = "") -> Request:
        return Request(f"GET /v1/users/{user_id}/{page} HTTP/1.1\r\nHost: bench\r\n{more}\r\n".encode(), status)

    while True:
        user, kind = draw.randrange(USERS), draw.random()
        if kind < 0.5:
            yield of(f"user-{user}", "recommendations", 200)
        elif kind < 0.7:
            yield of(f"user-{user}", "interest", 200)
        elif kind < 0.9:  # Users that are not published again meanwhile.
            place = draw.randrange(len(etags))
            yield of(f"user-{place * 100}", "recommendations", 304, f"If-None-Match: {etags[place]}\r\n")
        else:
            yield of(f"nobody-{user}", "recommendations", 404)


def _load(server: Server, client: Executor, etags: Sequence[str]) -> dict[str, Any]:
    host, port = server.url.removeprefix("http://").split(":")
    address, requests = (host, int(port)), _requests(etags)

    def planned(seconds: int, seed: int) -> Asked:
        asked = client.submit(on_a_plan, address, list(islice(requests, RATE * seconds)), RATE, seed).result()
        _all_right(asked, RATE * seconds, server)
        return asked

    cpu_s = _cpu_s(server.process.pid)
    asked, seconds = client.submit(at_once, address, list(islice(requests, MOST))).result()
    _all_right(asked, MOST, server)
    cpu_s = (_cpu_s(server.process.pid) - cpu_s) / MOST
    planned(WARM_S, 0)
    turns = sorted((planned(SECONDS, turn) for turn in range(1, TURNS + 1)), key=lambda turn: _p99(turn.taken_s))
    middle = turns[TURNS // 2]
    return {
        "rate_per_s": RATE,
        **spread(middle.taken_s),
        "p99_ms_of_all_turns": [_p99(turn.taken_s) for turn in turns],
        "p99_under_5_ms": _p99(middle.taken_s) < LIMIT_MS,
        "p99_ms_from_sent": _p99(middle.answered_s),
        "client_late_p99_ms": _p99(middle.late_s),
        "most_per_s": round(MOST / seconds),
        "server_cpu_us": round(cpu_s * 1e6),
    }


def _p99(seconds: Sequence[float]) -> float:
    return spread(seconds)["p99_ms"]


def _all_right(asked: Asked, wanted: int, server: Server) -> None:
    if asked.wrong or len(asked.taken_s) != wanted:
        raise WrongAnswer(f"{asked.wrong} answers were wrong, {len(asked.taken_s)} of {wanted} came; {server.said()}")


@contextmanager
def _publishing(producer: Producer) -> Iterator[None]:
    """Lists and vectors keep coming, each newer than all before."""
    over = threading.Event()

    def publish() -> None:
        draw, version = random.Random(14), 2
        while not over.wait(BATCH_EVERY_S):
            for number in draw.choices(range(USERS), k=BATCH_USERS):
                _publish(producer, number + (number % 100 == 0), version)
                version += 1
            producer.poll(0)

    thread = threading.Thread(target=publish, name="publish")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cpu_s(process: int) -> float:
    """User's and system's."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(process: int) -> int:
    told = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return round(int(told["VmRSS"].split()[0]) / 1024)


if __name__ == "__main__":
    for row in serving():
        print(orjson.dumps(row).decode(), flush=True)
