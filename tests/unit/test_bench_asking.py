"""The benchmark's client: a stall is in the figure of everybody who was due in it, and a wrong answer is counted."""

import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.bench.asking import Request, at_once, on_a_plan

STALL_S = 0.4
RATE = 200
ASK = b"GET /%s HTTP/1.1\r\nHost: bench\r\n\r\n"


class Answering(socketserver.BaseRequestHandler):
    """Answers one request after the other; `stall` makes all connections wait."""

    lock = threading.Lock()

    def handle(self) -> None:
        while asked := self.request.recv(4096):
            with self.lock:
                if asked.startswith(b"GET /stall"):
                    time.sleep(STALL_S)
            found = b"404 Not Found" if asked.startswith(b"GET /nobody") else b"200 OK"
            self.request.sendall(b"HTTP/1.1 " + found + b"\r\nContent-Length: 10\r\n\r\n01234")
            self.request.sendall(b"56789")


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


def test_who_was_due_in_a_stall_waited_since_then(address: tuple[str, int]) -> None:
    quiet = [Request(ASK % b"somebody", 200)] * (RATE // 4)
    asked = on_a_plan(address, [*quiet, Request(ASK % b"stall", 200), *quiet * 3], RATE, seed=3)
    assert (len(asked.taken_s), asked.wrong) == (RATE + 1, 0)
    assert max(asked.taken_s) >= STALL_S
    # A client that asked one at a time would have one slow answer; here all who were due in the first half have waited.
    assert sum(seconds > STALL_S / 2 for seconds in asked.taken_s) > RATE * STALL_S / 2 / 3
    assert min(asked.late_s) >= 0


def test_an_answer_of_another_status_is_wrong(address: tuple[str, int]) -> None:
    requests = [Request(ASK % b"somebody", 200), Request(ASK % b"nobody", 404), Request(ASK % b"nobody", 200)]
    asked, seconds = at_once(address, requests)
    assert (len(asked.taken_s), asked.wrong) == (3, 1)
    assert seconds > 0
