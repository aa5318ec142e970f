"""Asks an HTTP server on a plan, and times its answers: for a process of its own, so that little makes it late.

Open loop: a request goes out when it is due, whether or not those before it have been answered, and its latency counts
from when it was due. Who waits for a slow server does not ask less, so a stall is in the figure of everybody whom it
kept waiting. Plain sockets and one select, which wakes to the tenth of a millisecond; asyncio rounds up to a whole one.
"""

import gc
import random
import select
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

CONNECTIONS = 32
DRAIN_S = 10.0
RECEIVE = 1 << 16


class Request(NamedTuple):
    """What is sent, and the status that must come back."""

    sent: bytes
    status: int


class Asked(NamedTuple):
    """What came of a plan; of each request in the order of the answers, but for `late_s`."""

    taken_s: list[float]
    """From when it was due to the answer's last byte."""
    answered_s: list[float]
    """From when it was sent: without what this client was late, and without a wait for a free connection."""
    late_s: list[float]
    """From due to sent, of those for which a connection was free: this client's fault, or the machine's."""
    wrong: int
    """Answers of another status."""


class Connection:
    """One keep-alive connection: one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self.due_s, self.sent_s, self._status = b"", 0.0, 0.0, 0

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def ask(self, request: Request, due_s: float) -> None:
        """Sends it."""
        self.due_s, self.sent_s, self._status = due_s, time.perf_counter(), request.status
        self.socket.sendall(request.sent)

    def answer(self) -> bool | None:
        """Whether the whole answer has the wanted status; None while there is more to come.

        Raises:
            ConnectionError: the server has closed the connection.
        """
        received = self.socket.recv(RECEIVE)
        if not received:
            raise ConnectionError("the server closed a connection that is kept alive")
        self._received += received
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not ended or len(body) < int(length or b"0"):
            return None
        self._received = b""
        return int(head[9:12]) == self._status


class Asking:
    """All connections to one server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._all = [Connection(*address) for _ in range(CONNECTIONS)]
        self._free = list(self._all)
        self.asked = Asked([], [], [], 0)

    def on(self, requests: Sequence[Request], due_s: Sequence[float]) -> None:
        """Sends each request when it is due: seconds from now, ascending."""
        late = self.asked.late_s
        began = time.perf_counter()
        for request, offset_s in zip(requests, due_s, strict=True):
            due = began + offset_s
            while (left := due - time.perf_counter()) > 0:
                self._receive(left)
            waited = not self._free
            while not self._free:
                self._receive(DRAIN_S)
            connection = self._free.pop()
            connection.ask(request, due)
            if not waited:
                late.append(connection.sent_s - due)
        self.drain()

    def drain(self) -> None:
        """Takes the answers that are still to come."""
        deadline = time.perf_counter() + DRAIN_S
        while len(self._free) < len(self._all) and (left := deadline - time.perf_counter()) > 0:
            self._receive(left)

    def _receive(self, timeout_s: float) -> None:
        for connection in select.select(self._all, (), (), timeout_s)[0]:
            right = connection.answer()
            if right is None:
                continue
            now = time.perf_counter()
            self.asked.taken_s.append(now - connection.due_s)
            self.asked.answered_s.append(now - connection.sent_s)
            self.asked = self.asked._replace(wrong=self.asked.wrong + (not right))
            self._free.append(connection)

    def close(self) -> None:
        """Hangs up."""
        for connection in self._all:
            connection.socket.close()


def on_a_plan(address: tuple[str, int], requests: Sequence[Request], rate: float, seed: int) -> Asked:
    """As many people ask who know nothing of each other: at random times, `rate` a second on average (Poisson)."""
    draw, due_s, at_s = random.Random(seed), [], 0.0
    for _ in requests:
        at_s += draw.expovariate(rate)
        due_s.append(at_s)
    return _asked(address, requests, due_s)


def at_once(address: tuple[str, int], requests: Sequence[Request]) -> tuple[Asked, float]:
    """As fast as the server answers all connections. Returns also the seconds that it took."""
    began = time.perf_counter()
    asked = _asked(address, requests, [0.0] * len(requests))
    return asked, time.perf_counter() - began


def _asked(address: tuple[str, int], requests: Sequence[Request], due_s: Sequence[float]) -> Asked:
    asking = Asking(address)
    gc.collect()
    gc.disable()
    try:
        asking.on(requests, due_s)
    finally:
        gc.enable()
        asking.close()
    return asking.asked
