"""Workers as processes of their own on a real broker: started, asked, told to stop, killed, frozen and thawed.

Knows nothing of what is sent. Each worker is the command `firstclick worker`, or one of the careless programs of
tests/chaos; its log goes to a file that is printed when a test fails, and it dies with the tests.
"""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from model.bundle import Bundle
from stream import topics
from stream.demo.broker import dies_with_parent, free_port
from stream.follower import ends
from tests.brokers import admin
from tests.checker import Record, Verdict, check, dump
from tests.eventually import eventually

GROUP = "firstclick"
START_S = 60.0  # 3 s on two idle cores.
STOP_S = 30.0
TAKE_OVER_S = 60.0  # A dead worker's session lasts 6 s, its transaction 5 s and the broker's round of 1 s.
CLOSE_S = 10.0
PAGE_S = 5.0
COMMAND = ("-m", "stream.cli", "worker")
TRANSACTION_MS = 5_000  # A dead worker's transaction hides what follows it for so long; a busy machine commits in .5 s.


class Ended(AssertionError):
    """A worker that was asked something has ended."""


class Worker:
    """A worker's process."""

    def __init__(self, name: str, program: Sequence[str], log: Path, settings: dict[str, object]) -> None:
        self.name, self._log, self.port = name, log, free_port()
        told = {"replica": name, "web_host": "127.0.0.1", "web_port": self.port, "threads": 1, **settings}
        ours = {f"FIRSTCLICK_{key.upper()}": str(value) for key, value in told.items()}
        rest = {key: value for key, value in os.environ.items() if not key.startswith("FIRSTCLICK_")}
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                dies_with_parent([sys.executable, *program]),
                env={**rest, **ours},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def page(self, name: str) -> bytes:
        """A page of the worker; empty while it does not answer, or answers that it is not ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=PAGE_S) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            if self.process.poll() is not None:
                raise Ended(f"{self.name} ended with {self.process.returncode}: {self.said()}") from None
            return b""

    def ready(self) -> dict[str, Any]:
        """What /readyz tells; empty while it is not ready."""
        return dict(orjson.loads(self.page("readyz") or b"{}"))

    def await_ready(self, items: int = 0) -> "Worker":
        """Until the group has taken it in and its shelf holds so many items."""
        eventually(lambda: self.ready().get("items", -1) >= items, START_S, lambda: f"{self.name} ready: {self.said()}")
        return self

    def partitions(self) -> list[int]:
        """The partitions of the event topics that are its own."""
        return list(self.ready().get("partitions", {}).get("behaviour", []))

    def counter(self, name: str) -> float:
        """The sum of a metric's samples over its labels."""
        rows = [row for row in self.page("metrics").decode().splitlines() if row.startswith(name)]
        return sum(float(row.rpartition(" ")[2]) for row in rows if row[len(name)] in "{ ")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, as an orchestrator does. Returns the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_S)

    def freeze(self) -> None:
        """SIGSTOP: alive for the kernel, silent for the broker."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def said(self, most: int = 4_000) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-most:]


class Fleet:
    """The workers of one test on one broker, with our topics and a small bundle.

    Args:
        bundle: its folder.
        folder: for logs.
    """

    def __init__(self, bootstrap: str, bundle: Path, folder: Path, partitions: int = 2) -> None:
        self.bootstrap, self._path, self.folder = bootstrap, bundle, folder
        self.bundle = Bundle.load(bundle)
        self.workers: list[Worker] = []
        self.admin = admin(bootstrap)
        topics.apply(self.admin, topics.shapes(self.bundle.space, partitions=partitions))

    def start(self, name: str, program: Sequence[str] = COMMAND, **settings: object) -> Worker:
        """A worker; it may not be ready yet."""
        told: dict[str, object] = {"bootstrap": self.bootstrap, "bundle": self._path, "group": GROUP}
        told |= {"transaction_timeout_ms": TRANSACTION_MS}
        log = self.folder / f"{len(self.workers)}-{name}.log"
        self.workers.append(Worker(name, program, log, told | settings))
        return self.workers[-1]

    def committed(self, *names: str) -> bool:
        """Whether the group has committed these topics to their present end."""
        said = "\n".join(worker.said() for worker in self.workers)
        assert any(worker.process.poll() is None for worker in self.workers), f"all workers have ended: {said}"
        logs = self.ends(*names)
        asked = [ConsumerGroupTopicPartitions(GROUP, [TopicPartition(*place) for place in logs])]
        try:
            found = self.admin.list_consumer_group_offsets(asked)[GROUP].result().topic_partitions or []
        except KafkaException:  # The group is not there yet, or its coordinator is moving.
            return False
        return bool(found) and all(place.offset >= logs[place.topic, place.partition] for place in found)

    def await_committed(self, *names: str, timeout_s: float = TAKE_OVER_S) -> None:
        """Until the group has committed these topics to their end."""
        eventually(lambda: self.committed(*names), timeout_s, f"{names} read to their ends")

    def ends(self, *names: str) -> dict[tuple[str, int], int]:
        """Where the logs of these topics end, by place; without empty ones."""
        places = [(name, each) for name in names for each in self.admin.list_topics(name).topics[name].partitions]
        return {place: end for place, end in ends(self.admin, places).items() if end}

    def dump(self, topic: str) -> list[Record]:
        """Every committed record of a topic."""
        return dump(self.bootstrap, topic)

    def check(self, sent: Sequence[Record], **expected: bool) -> Verdict:
        """The checker's verdict on all that was sent and all that came out."""
        names = topics.WINDOWS, topics.RECOMMENDATIONS, topics.INTERESTS, topics.REJECTED
        windows, lists, vectors, rejected = (self.dump(name) for name in names)
        verdict = check(
            sent,
            windows,
            lists,
            vectors,
            rejected,
            lines=self.bundle.lines,
            age_ms=self.bundle.age_ms,
            **expected,
        )
        print(verdict)
        return verdict

    def close(self) -> None:
        """Ends all workers and prints their logs, which pytest shows for a test that failed.

        With SIGTERM first: who is killed keeps its group for its session, and the next test waits for that.
        """
        running = [worker for worker in self.workers if worker.process.poll() is None]
        for worker in running:
            worker.process.terminate()
        for worker in running:
            with suppress(subprocess.TimeoutExpired):  # Frozen, or it hangs.
                worker.process.wait(CLOSE_S)
            worker.kill()
        for worker in self.workers:
            print(f"--- {worker.name}, ended with {worker.process.returncode}:\n{worker.said()}")


def newest(records: Iterable[Record]) -> dict[str, Any]:
    """Key -> the newest value of JSON, of a compacted topic's records; None is a tombstone's."""
    ordered = sorted(records, key=lambda each: (each["partition"], each["offset"]))
    return {each["key"].decode(): orjson.loads(each["value"]) if each["value"] else None for each in ordered}
