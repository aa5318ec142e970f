"""Beside the line: what the demo starts and listens to: worker and shop page as processes, and a reader of topics.

Knows nothing of the shop. Whatever dies here is noticed by whoever waits for it, and told.
"""

import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from stream.cli_shop import PORT
from stream.demo.broker import HOST, dies_with_parent, free_port
from stream.errors import Unreachable

READY_S = 90.0  # A worker takes 3 s on two idle cores; cold disks and busy machines have taken 20.
STOP_S = 15.0  # After SIGTERM it commits what it has in hand and leaves its group.
ASK_AGAIN_S = 0.1
ASK_S = 10.0
LOG_TAIL_BYTES = 3_000


class Child:
    """A command of `firstclick` as a child; it ends with the `with` block, and dies with its parent.

    Args:
        what: it is, for people.
        web: where its /readyz is.
        arguments: the command and its options.
    """

    def __init__(self, what: str, web: str, *arguments: str) -> None:
        self.what, self.web = what, web
        self._command = [sys.executable, "-m", "stream.cli", *arguments]

    def __enter__(self) -> Self:
        descriptor, name = tempfile.mkstemp(prefix=f"firstclick-{self._command[3]}-", suffix=".log")
        self.log = Path(name)
        with os.fdopen(descriptor, "wb") as log:
            self._process = subprocess.Popen(
                dies_with_parent(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # A terminal's Ctrl-C is for us: the child gets SIGTERM, and is waited for.
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not (isinstance(error, Unreachable) and str(self.log) in str(error)):
            self.log.unlink()  # Kept where somebody is told to read it.

    def alive(self, wait_s: float = 0.0) -> None:
        """Returns after `wait_s` if it still runs.

        Raises:
            Unreachable: it ended; the text has the end of its log.
        """
        try:
            code = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        print(tail, file=sys.stderr)
        raise Unreachable(f"the {self.what} ended with code {code}", f"its log is {self.log}")

    def wait_ready(self) -> None:
        """Returns when /readyz says so.

        Raises:
            Unreachable: it ended, or is not ready after `READY_S`.
        """
        deadline = time.monotonic() + READY_S
        said = "nothing"
        while time.monotonic() < deadline:
            self.alive(ASK_AGAIN_S)
            try:
                with urllib.request.urlopen(f"{self.web}/readyz", timeout=ASK_S):
                    return
            except urllib.error.HTTPError as error:
                said = error.read(300).decode(errors="replace")
            except OSError:
                pass  # It does not listen yet.
        raise Unreachable(f"the {self.what} is not ready after {READY_S:.0f} s: {said}", f"its log is {self.log}")


def worker(bootstrap: str, options: Sequence[str] = ()) -> Child:
    """`firstclick worker`."""
    port = free_port()
    where = ("--bootstrap", bootstrap, "--web-host", HOST, "--web-port", str(port))
    return Child("worker", f"http://{HOST}:{port}", "worker", *where, *options)


def shop_page(bootstrap: str, options: Sequence[str] = ()) -> Child:
    """`firstclick shop`, at its usual port where nobody listens there."""
    port = PORT if _is_free(PORT) else free_port()
    where = ("--bootstrap", bootstrap, "--port", str(port))
    return Child("shop page", f"http://{HOST}:{port}", "shop", *where, *options)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


class Arrived(NamedTuple):
    """A record, and when it came (epoch ms)."""

    topic: str
    key: bytes | None
    value: bytes | None
    at_ms: float


class Reader(threading.Thread):
    """Reads topics from their beginning, committed records only, and notes when each record came.

    A thread of its own, so that drawing a screen delays no time stamp.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        super().__init__(name="reader", daemon=True)
        self.arrived: queue.SimpleQueue[Arrived | BaseException] = queue.SimpleQueue()
        self._topics = topics
        self._over = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "firstclick-demo",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                # The embedded broker lets a waiting fetch hold up everybody's writes: at the default of 500 ms a write
                # took 215 ms, at 20 ms it takes 3.
                "fetch.wait.max.ms": 20,
                "log_level": 2,
            }
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(ASK_S)

    def run(self) -> None:
        """The thread's body; an error goes to whoever waits for records."""
        try:
            found = self._consumer.list_topics(timeout=ASK_S).topics
            self._consumer.assign(
                [
                    TopicPartition(topic, part, OFFSET_BEGINNING)
                    for topic in self._topics
                    for part in found[topic].partitions
                ]
            )
            while not self._over.is_set():
                message = self._consumer.poll(0.2)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    self.arrived.put(Arrived(message.topic() or "", message.key(), message.value(), time.time() * 1000))
                elif not error.retriable():
                    raise KafkaException(error)
        except BaseException as error:
            self.arrived.put(error)
        finally:
            self._consumer.close()

    def next(self, wait_s: float) -> Arrived | None:
        """The next record, None when none came in time."""
        try:
            arrived = self.arrived.get(timeout=max(wait_s, 0.0))
        except queue.Empty:
            return None
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived
