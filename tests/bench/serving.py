"""(h) `firstclick serve` over real sockets: 1,000 requests a second on a plan, while lists and vectors keep coming.

Five are due at once, every 5 ms, whether or not those before them have been answered, and a latency counts from when
its request was due: who waits for a slow server does not ask less. So the client's own lateness is in every figure.
Broker, client and server share the machine. Half of the requests are for lists, a fifth each for vectors and for lists
that the client has (304), a tenth for users whom nobody knows (404). First lists are compared with what was published.
"""

import asyncio
import os
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Producer

from stream import topics
from stream.collector import calm
from tests.bench.answers import WrongAnswer
from tests.bench.fleet import spread
from tests.brokers import Embedded, admin
from tests.outputs import a_list, an_interest
from tests.server import Server

USERS = 20_000
DIM = 384  # As the zero-shot bundle's.
RATE = 1_000
SECONDS = 10
WARM_S = 2
CONNECTIONS = 16
BURST = 5  # Every 5 ms: the event loop wakes by the millisecond, and to wait without sleep would take a core away.
UPDATES_EVERY_S = 0.01  # A list and a vector each: 100 users a second.
MOST_S = 5
DRAIN_S = 10.0


class Request(NamedTuple):
    """What is sent, and the status that must come back."""

    sent: bytes
    status: int


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, answers checked for status and length."""

    def __init__(self, free: "deque[Connection]") -> None:
        self._free, self._received = free, b""
        self._due, self._request = 0.0, Request(b"", 0)
        self.taken: list[float] = []
        """(seconds) from due to the answer's last byte."""
        self.wrong = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._free.append(self)

    def ask(self, request: Request, due: float) -> None:
        self._due, self._request = due, request
        self._transport.write(request.sent)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not ended or len(body) < int(length or b"0"):
            return
        self.taken.append(time.perf_counter() - self._due)
        self.wrong += int(head[9:12]) != self._request.status
        self._received = b""
        self._free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.wrong += exc is not None

    def close(self) -> None:
        self._transport.close()


def serving() -> Iterator[dict[str, Any]]:
    """Held in memory, and in a file."""
    with Embedded() as broker, tempfile.TemporaryDirectory() as folder:
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
                told = asyncio.run(_load(server, producer, _requests(etags)))
                memory = _memory_mib(server.process.pid)
            ratio = {} if p50_ms is None else {"p50_to_memory": round(told["p50_ms"] / p50_ms, 2)}
            p50_ms = p50_ms or told["p50_ms"]
            yield {"state": name, "users": USERS, "ready_s": round(ready_s, 1), "memory_mib": memory, **told, **ratio}
        producer.close()


def _publish(producer: Producer, number: int, version: int) -> None:
    user_id, draw = f"user-{number}", random.Random(number + version)
    vector = [round(draw.gauss(0, 0.05), 6) for _ in range(DIM)]
    producer.produce(topics.RECOMMENDATIONS, a_list(user_id, version), user_id)
    producer.produce(topics.INTERESTS, an_interest(user_id, version, vector=vector, dim=DIM), user_id)


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


async def _load(server: Server, producer: Producer, requests: Iterator[Request]) -> dict[str, Any]:
    free: deque[Connection] = deque()
    host, port = server.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(free), host, int(port)))[1] for _ in range(CONNECTIONS)
    ]
    calm()
    cpu_s = _cpu_s(server.process.pid)
    most_per_s = await _as_fast_as_it_can(connections, free, requests)
    cpu_s = (_cpu_s(server.process.pid) - cpu_s) / sum(len(connection.taken) for connection in connections)
    publishing = asyncio.create_task(_keep_publishing(producer))
    await _on_a_plan(free, requests, WARM_S)
    for connection in connections:
        connection.taken.clear()
    late = await _on_a_plan(free, requests, SECONDS)
    publishing.cancel()
    wrong = sum(connection.wrong for connection in connections)
    taken = [seconds for connection in connections for seconds in connection.taken]
    for connection in connections:
        connection.close()
    if wrong or len(taken) != RATE * SECONDS:
        raise WrongAnswer(f"{wrong} answers were wrong, {len(taken)} of {RATE * SECONDS} came; {server.said()}")
    told = spread(taken)
    return {
        "rate_per_s": RATE,
        **told,
        "p99_under_5_ms": told["p99_ms"] < 5,
        "client_late_p99_ms": spread(late)["p99_ms"],
        "most_per_s": most_per_s,
        "server_cpu_us": round(cpu_s * 1e6),
    }


async def _on_a_plan(free: "deque[Connection]", requests: Iterator[Request], seconds: int) -> list[float]:
    """Sends each request when it is due, those of a tick at once. Returns how late each was sent."""
    late, began = [], time.perf_counter()
    for number in range(RATE * seconds):
        due = began + number // BURST * BURST / RATE
        while (left := due - time.perf_counter()) > 0 or not free:
            await asyncio.sleep(max(left, 0.0))
        late.append(time.perf_counter() - due)
        free.popleft().ask(next(requests), due)
    await _drain(free)
    return late


async def _as_fast_as_it_can(
    connections: Sequence[Connection], free: "deque[Connection]", requests: Iterator[Request]
) -> int:
    began = time.perf_counter()
    while time.perf_counter() - began < MOST_S:
        while free:
            free.popleft().ask(next(requests), time.perf_counter())
        await asyncio.sleep(0)
    await _drain(free)
    return round(sum(len(connection.taken) for connection in connections) / (time.perf_counter() - began))


async def _drain(free: "deque[Connection]") -> None:
    deadline = time.perf_counter() + DRAIN_S
    while len(free) < CONNECTIONS and time.perf_counter() < deadline:
        await asyncio.sleep(0.001)


async def _keep_publishing(producer: Producer) -> None:
    draw, version = random.Random(14), 2
    while True:
        number = draw.randrange(USERS)
        _publish(producer, number + (number % 100 == 0), version)
        producer.poll(0)
        version += 1
        await asyncio.sleep(UPDATES_EVERY_S)


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
