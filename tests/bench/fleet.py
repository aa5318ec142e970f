"""One broker and the workers on it: what every benchmark needs around the thing that it measures.

Knows nothing of what is sent. Workers are processes of their own, as in life.
"""

import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from model.bundle import Bundle
from stream import topics
from stream.demo.broker import dies_with_parent, free_port
from stream.settings import Settings
from tests.brokers import ApacheKafka, admin
from tests.eventually import eventually

GROUP = "firstclick"
START_S = 60.0
PAGE_S = 5.0


class Sent(NamedTuple):
    """A record that a benchmark sends; librdkafka stamps it as it is handed over."""

    key: str
    value: bytes


class Worker:
    """A worker's process."""

    def __init__(self, bootstrap: str, *, model: bool = True, name: str = "one", **settings: object) -> None:
        self.port = free_port()
        told = {"bootstrap": bootstrap, "web_port": self.port, "web_host": "127.0.0.1", "replica": name, **settings}
        environment = {**os.environ, **{f"FIRSTCLICK_{key.upper()}": str(value) for key, value in told.items()}}
        self.start_cpu_s = 0.0
        self._said = tempfile.TemporaryFile("w+b")  # noqa: SIM115 (closed when the process has ended)
        command = [sys.executable, "-m", "tests.bench.worker", *([] if model else ["--no-model"])]
        self.process = subprocess.Popen(
            dies_with_parent(command), env=environment, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said
        )

    def page(self, name: str) -> bytes:
        """A page of the worker; empty while it does not answer or is not ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=PAGE_S) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            self.alive()
            return b""

    def alive(self) -> None:
        """Raises what the worker said, if it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended with {self.process.returncode}: {self.said()}")

    def said(self) -> str:
        """The end of its log."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")[-3000:]

    def await_ready(self) -> None:
        """Until the catalogue is read and the group joined."""
        eventually(lambda: self.page("readyz"), START_S, self.said)
        self.start_cpu_s = float(self.samples()["cpu_s"])

    def samples(self) -> dict[str, Any]:
        """Every sample so far: steps, batches, CPU seconds, MiB."""
        return dict(orjson.loads(eventually(lambda: self.page("samples"), PAGE_S, self.said)))

    def counter(self, name: str) -> float:
        """The sum of a metric's samples over its labels."""
        rows = [row for row in self.page("metrics").decode().splitlines() if row.startswith(name)]
        return sum(float(row.rpartition(" ")[2]) for row in rows if row[len(name)] in "{ ")

    def stop(self) -> None:
        """SIGTERM, as an orchestrator does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._said.close()

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()
        self._said.close()


class Fleet:
    """A broker with our topics, and what may be asked of it."""

    def __init__(self, broker: ApacheKafka) -> None:
        self.broker, self.bundle = broker, Bundle.load(Settings.load().bundle)  # FIRSTCLICK_BUNDLE, as for the worker.
        self.bootstrap = broker.bootstrap
        self.admin: AdminClient = admin(self.bootstrap)

    def fresh(self, keep: Sequence[str] = ()) -> None:
        """All topics, empty, but for those kept."""
        shapes = topics.shapes(self.bundle.space)
        gone = {shape.name for shape in shapes} - set(keep)

        def emptied() -> bool:
            there = [name for name in self.admin.list_topics(timeout=10).topics if name in gone]
            for future in self.admin.delete_topics(there, operation_timeout=10).values() if there else ():
                future.exception()
            return not there

        eventually(emptied, 20, "topics deleted")
        # A worker that was killed holds its partitions until its session ends: the next would begin with half of them.
        eventually(self._group_is_gone, 30, "the group is empty")
        topics.apply(self.admin, shapes)

    def _group_is_gone(self) -> bool:
        [deleted] = self.admin.delete_consumer_groups([GROUP], request_timeout=10).values()
        error = deleted.exception()
        return error is None or error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND

    @contextmanager
    def worker(self, **settings: object) -> Iterator[Worker]:
        """A worker that is ready; stopped afterwards."""
        worker = Worker(self.bootstrap, **settings)  # type: ignore[arg-type]
        try:
            worker.await_ready()
            yield worker
        except BaseException:
            worker.kill()
            raise
        worker.stop()

    def producer(self) -> Producer:
        """murmur2 like Java's. Uncompressed: stock Faust's client reads lz4 only with a further package."""
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def send(self, topic: str, records: Iterable[Sent]) -> int:
        """Sends all and waits until all are delivered. Returns how many."""
        producer, count, failed = self.producer(), 0, list[KafkaError]()

        def heard(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error)

        for key, value in records:
            producer.produce(topic, value, key, on_delivery=heard)
            count += 1
            if not count % 1000:
                producer.poll(0)
        left = producer.flush(60)
        if left or failed:
            raise RuntimeError(f"{left} records not sent, {len(failed)} failed: {failed[:1]}")
        return count

    def ends(self, *names: str) -> dict[tuple[str, int], int]:
        """The high watermark of every partition."""
        asked = {}
        for name in names:
            for partition in range(len(self.admin.list_topics(name, timeout=10).topics[name].partitions)):
                asked[TopicPartition(name, partition)] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        found = self.admin.list_offsets(asked)
        return {(place.topic, place.partition): int(future.result().offset) for place, future in found.items()}

    def await_done(self, *names: str, timeout_s: float, group: str = GROUP, workers: Sequence[Worker] = ()) -> None:
        """Until the group has committed these topics to their end."""
        ends = {place: end for place, end in self.ends(*names).items() if end}

        def done() -> bool:
            for worker in workers:
                worker.alive()
            asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in ends])]
            found = self.admin.list_consumer_group_offsets(asked)[group].result().topic_partitions or []
            return bool(found) and all(place.offset >= ends[place.topic, place.partition] for place in found)

        eventually(done, timeout_s, f"{names} read by {group}")

    def read(self, name: str) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(partition, key, value) of every committed record of a topic, in each partition's order."""
        ends = {place: end for place, end in self.ends(name).items() if end}
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "bench-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer.assign([TopicPartition(name, partition, 0) for _, partition in ends])
            left = {partition for _, partition in ends}
            while left:
                for message in consumer.consume(5000, 1.0):
                    error = message.error()
                    if error is None:
                        yield message.partition(), message.key(), message.value()  # type: ignore[misc]
                    elif error.code() == KafkaError._PARTITION_EOF:
                        # The stable end may lag behind the last commit's marker: then the position is short, go on.
                        place = consumer.position([TopicPartition(name, message.partition())])[0]  # type: ignore[arg-type]
                        if place.offset >= ends[name, place.partition]:
                            left.discard(place.partition)
                        else:
                            consumer.seek(TopicPartition(name, place.partition, place.offset))
                    else:
                        raise RuntimeError(error.str())
        finally:
            consumer.close()

    def newest(self, name: str) -> dict[str, dict[str, Any]]:
        """The newest value by key of a compacted topic of JSON."""
        latest = {key: value for _, key, value in self.read(name)}
        return {key.decode(): orjson.loads(value) for key, value in latest.items() if value is not None}


def spread(seconds: Iterable[float]) -> Mapping[str, float]:
    """p50, p95, p99 in milliseconds (nearest rank) and the sum in seconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    ranks = {q: ordered[-(-len(ordered) * q // 100) - 1] for q in (50, 95, 99)}
    milliseconds = {f"p{q}_ms": round(value * 1000, 3) for q, value in ranks.items()}
    return {**milliseconds, "n": len(ordered), "sum_s": round(sum(ordered), 3)}
