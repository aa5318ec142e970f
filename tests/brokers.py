"""The brokers that tests run on: Apache Kafka itself (one broker or three), and the embedded one.

Knows nothing of our topics. Apache Kafka comes as jars by Maven (tests/pom.xml), runs in KRaft mode and keeps its
files in a temporary folder; every process dies with the tests.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import IO, Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream.demo.broker import EmbeddedBroker, dies_with_parent, free_port
from tests.eventually import eventually

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "kafka"
READY_S = 60.0  # One broker takes 3 s on two idle cores, three take 5.
NONE = "none"  # FIRSTCLICK_TESTS_KAFKA=none: test without Apache Kafka although Java and Maven are here.

LOG4J = """
status = error
appender.file.type = Console
appender.file.name = console
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class Broker(Protocol):
    """What a test may ask of any broker."""

    name: str
    isolates: bool
    """Whether a read_committed reader is spared aborted records: exactly once is possible."""

    @property
    def bootstrap(self) -> str: ...
    def clear(self) -> None: ...


def missing() -> str:
    """Why Apache Kafka cannot run here; empty if it can."""
    if os.environ.get("FIRSTCLICK_TESTS_KAFKA") == NONE:
        return "FIRSTCLICK_TESTS_KAFKA=none"
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        return f"Apache Kafka needs Java 17 and Maven; missing: {'java ' * (java is None)}{'mvn' * (maven is None)}"
    spoken = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', spoken)
    if version is None or int(version[1]) < 17:
        return f"Apache Kafka needs Java 17 and Maven; {java} is {spoken.splitlines()[:1]}"
    return ""


@cache
def program() -> Path:
    """The folder of Apache Kafka: `jars` and a `formatted` disk; made once per pom (10 s)."""
    pom = HERE / "pom.xml"
    target = BUILD / hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    if target.is_dir():
        return target
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as fresh:  # Renamed when whole: a broken download is never used.
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}/kafka/jars"]
        _run("mvn", "-q", "-B", "-f", str(pom), *goal)
        # The formatted disk holds the feature levels alone. Without them the cluster is one of years ago: it knows no
        # KIP-848 groups ("ConsumerGroupHeartbeat not supported") and no transactions version 2.
        keys = {**_quorum(1, {1: (9092, 9093)}), "log.dirs": f"{fresh}/kafka/formatted"}
        Path(fresh, "properties").write_text(_properties(keys))
        tool = ["kafka.tools.StorageTool", "format", "-t", "A" * 22, "-c", f"{fresh}/properties"]
        _run("java", "-cp", f"{fresh}/kafka/jars/*", *tool)
        Path(fresh, "kafka").rename(target)
    return target


def _run(*command: str) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        why = "no Apache Kafka here (FIRSTCLICK_TESTS_KAFKA=none tests without it)"
        raise RuntimeError(f"{why}; {command[0]} said: {run.stdout[-1000:]}{run.stderr[-1000:]}")


def _quorum(broker: int, ports: dict[int, tuple[int, int]]) -> dict[str, object]:
    client, control = ports[broker]
    return {
        "process.roles": "broker,controller",
        "node.id": broker,
        "controller.quorum.voters": ",".join(f"{each}@127.0.0.1:{port}" for each, (_, port) in ports.items()),
        "listeners": f"CLIENTS://127.0.0.1:{client},CONTROL://127.0.0.1:{control}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROL:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROL",
    }


def admin(bootstrap: str) -> AdminClient:
    """A quiet admin client (tests stop brokers on purpose). Keep it while its futures are open."""
    quick = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 0}
    return AdminClient({"bootstrap.servers": bootstrap, **quick})


def clear(bootstrap: str, timeout_s: float = 20) -> None:
    """Deletes all topics but the broker's own, and all groups; waits until both are gone.

    A member killed a moment ago keeps its group for its session timeout (6 s).
    """
    client = admin(bootstrap)

    def gone() -> bool:
        listed = client.list_consumer_groups().result()
        groups = [each.group_id for each in listed.valid]
        topics = [name for name in client.list_topics(timeout=10).topics if not name.startswith("__")]
        for future in client.delete_topics(topics, operation_timeout=10).values() if topics else ():
            _accept(future, KafkaError.UNKNOWN_TOPIC_OR_PART)
        for future in client.delete_consumer_groups(groups).values() if groups else ():
            _accept(future, KafkaError.NON_EMPTY_GROUP, KafkaError.GROUP_ID_NOT_FOUND)
        return not topics and not groups

    eventually(gone, timeout_s, f"topics and groups of {bootstrap} gone")


def _accept(future: object, *codes: int) -> None:
    try:
        future.result()  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].code() not in codes:
            raise


class Embedded(EmbeddedBroker):
    """The embedded broker, as tests see it."""

    name = "embedded"
    isolates = False

    def clear(self) -> None:
        """An empty one on the same port: faster than deleting."""
        self.stop()
        self.start()


class ApacheKafka:
    """Apache Kafka in KRaft mode: `brokers` combined brokers and controllers, numbered from 1.

    `start`, `stop`, `kill`, `freeze` and `thaw` act on one broker, or on all.
    """

    isolates = True

    def __init__(self, brokers: int = 1) -> None:
        self.ids = range(1, brokers + 1)
        self.name = f"Apache Kafka, {brokers} broker{'s' * (brokers > 1)}"
        self.folder = Path(tempfile.mkdtemp(prefix="firstclick-kafka-"))
        self.ports = {each: (free_port(), free_port()) for each in self.ids}  # Clients, controllers.
        self.cluster = uuid.uuid4().hex[:22]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.logs: dict[int, IO[bytes]] = {}
        try:
            self._lay_out()
            self.start()
        except BaseException:
            self.close()
            raise

    def more(self) -> dict[str, object]:
        """Further keys of a broker's properties."""
        return {}

    @property
    def bootstrap(self) -> str:
        """All brokers' addresses."""
        return ",".join(f"127.0.0.1:{client}" for client, _ in self.ports.values())

    def _lay_out(self) -> None:
        (self.folder / "log4j2.properties").write_text(LOG4J)
        copies = min(3, len(self.ids))
        for each in self.ids:
            files = self.folder / str(each)
            shutil.copytree(program() / "formatted", files)
            meta = {"version": 1, "cluster.id": self.cluster, "node.id": each, "directory.id": uuid.uuid4().hex[:22]}
            (files / "meta.properties").write_text(_properties(meta))
            keys = {
                **_quorum(each, self.ports),
                "log.dirs": files,
                "auto.create.topics.enable": False,
                "default.replication.factor": copies,
                "min.insync.replicas": max(1, copies - 1),
                "offsets.topic.replication.factor": copies,
                "offsets.topic.num.partitions": 4,
                "transaction.state.log.replication.factor": copies,
                "transaction.state.log.min.isr": max(1, copies - 1),
                "transaction.state.log.num.partitions": 4,
                "share.coordinator.state.topic.replication.factor": copies,
                "share.coordinator.state.topic.min.isr": max(1, copies - 1),
                "share.coordinator.state.topic.num.partitions": 4,
                "group.initial.rebalance.delay.ms": 0,
                "group.min.session.timeout.ms": 1000,
                "group.consumer.session.timeout.ms": 6000,  # KIP-848's timeouts live on the broker.
                "group.consumer.min.session.timeout.ms": 1000,
                "group.consumer.heartbeat.interval.ms": 1000,
                "group.consumer.min.heartbeat.interval.ms": 500,
                # The default 10 s is added to every dead worker's recovery.
                "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
                **self.more(),
            }
            (self.folder / f"{each}.properties").write_text(_properties(keys))

    def start(self, broker: int | None = None) -> None:
        """Starts what does not run, on the same files and ports; returns when all running brokers know each other."""
        for each in self._chosen(broker):
            if each not in self.processes:
                self._launch(each)
        eventually(self._whole, READY_S, self.said)

    def _launch(self, broker: int) -> None:
        command = [
            "java",
            "-Xmx512m" if len(self.ids) == 1 else "-Xmx320m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]
        command += [f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties", "-cp", f"{program()}/jars/*"]
        command += ["kafka.Kafka", str(self.folder / f"{broker}.properties")]
        self.logs[broker] = (self.folder / f"{broker}.log").open("ab")
        self.processes[broker] = subprocess.Popen(
            dies_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=self.logs[broker],
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _whole(self) -> bool:
        for each, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"broker {each} ended with {process.returncode}: {self.said()}")
        # Each is asked by itself: a broker that is up but not yet registered knows the others only.
        for each in self.processes:
            try:
                known = admin(f"127.0.0.1:{self.ports[each][0]}").list_topics(timeout=0.5).brokers
            except KafkaException:
                return False
            if not known.keys() >= self.processes.keys():
                return False
        return True

    def stop(self, broker: int | None = None) -> None:
        """SIGTERM: hands its partitions over first (.5 s; three at once take 6 s)."""
        for each in self._chosen(broker, running=True):
            self.processes[each].terminate()
        for each in self._chosen(broker, running=True):
            try:
                self.processes[each].wait(30)
            finally:
                self._forget(each)

    def kill(self, broker: int | None = None) -> None:
        """SIGKILL, and its files stay."""
        for each in self._chosen(broker, running=True):
            self.processes[each].kill()
        for each in self._chosen(broker, running=True):
            self._forget(each)

    def freeze(self, broker: int | None = None) -> None:
        """SIGSTOP: alive for the kernel, silent for the clients."""
        for each in self._chosen(broker, running=True):
            self.processes[each].send_signal(signal.SIGSTOP)

    def thaw(self, broker: int | None = None) -> None:
        """SIGCONT."""
        for each in self._chosen(broker, running=True):
            self.processes[each].send_signal(signal.SIGCONT)

    def clear(self) -> None:
        """Deletes all topics and groups (.1 to .3 s; up to 6 s after a member was killed)."""
        clear(self.bootstrap)

    def close(self) -> None:
        """Ends it hard and deletes its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self) -> str:
        """The end of every broker's log."""
        logs = [self.folder / f"{each}.log" for each in self.ids]
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs if log.exists())

    def _chosen(self, broker: int | None, running: bool = False) -> list[int]:
        chosen = list(self.ids) if broker is None else [broker]
        return [each for each in chosen if each in self.processes] if running else chosen

    def _forget(self, broker: int) -> None:
        process = self.processes.pop(broker)
        process.kill()
        process.wait()
        self.logs.pop(broker).close()


def _properties(keys: dict[str, object]) -> str:
    return "".join(
        f"{key}={str(value).lower() if value is True or value is False else value}\n" for key, value in keys.items()
    )
