"""Before the line: feeds a log file to a topic, with key and headers, at a speed.

Knows nothing of what the lines say (`loglines.py` does). Nothing is sent twice on purpose, and nothing is dropped
silently: each line is delivered, refused (its reason and number are told) or failed (the broker did not take it).
Event ids are deterministic, so sending a line again changes nothing downstream.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from model.foreign import NoBehaviour
from model.formats import CONTRACT
from model.rejection import EventError
from model.training.logs.files import File, LogError
from stream.errors import WrongUsage
from stream.loglines import LineError, Record, Row, Subject, as_read, lines, log_file, records
from stream.progress import following, shown_name
from stream.topics import partitions

# Java's producers put a key into partition murmur2(key), librdkafka's default is CRC32. Two hashes in front of one
# topic would put one user into two partitions, and so into two windows.
PARTITIONER = "murmur2_random"
QUEUE_RECORDS = 100_000  # At most this many lines wait for the broker: back-pressure instead of memory.
QUEUE_KBYTES = 65_536
GIVE_UP_MS = 60_000  # A broker that takes nothing for a minute is gone: stop and say from where to go on.
CHECKPOINT_S = 5.0  # How often "everything up to here is delivered" is made true and noted. It costs some 10 ms.
ASK_S = 10.0
WAKE_S = 0.2  # While waiting for an event's time: short enough that Ctrl-C answers at once.
TOLD = 20  # Refused lines that are told one by one; all of them are counted.


@dataclass(frozen=True, slots=True)
class Plan:
    """What to replay.

    Attributes:
        speed: times real time by the events' own times; None is as fast as it goes.
        name: names the log in event ids and headers.
        first_line: where to begin, from 1.
        state: a file that remembers the next line, or None.
        only_check: sends nothing, and reads each record as a worker does.
    """

    file: Path
    topic: str
    form: str = "firstclick"
    subject: Subject = "events"
    name: str = ""
    speed: float | None = None
    first_line: int = 1
    state: Path | None = None
    only_check: bool = False


@dataclass(slots=True)
class Report:
    """What became of the lines. `next_line` is where to go on: everything before it is delivered or refused.

    A line of some formats holds several events, which are counted one by one where they are delivered or refused, or
    none: it is passed over. What is refused cannot be sent. What can be is sent unjudged: only a check knows what of it
    a worker takes and what it rejects, and then these two and `refused` add up as in `firstclick validate`.
    """

    file: str
    topic: str
    lines: int = 0
    delivered: int = 0
    refused: int = 0
    passed_over: int = 0
    repeated: int = 0
    """Products as they were told before: not sent again."""
    accepted: int | None = None
    """By a worker; None: not asked."""
    rejected: int | None = None
    failed: int = 0
    next_line: int = 1
    seconds: float = 0.0
    per_second: float = 0.0
    interrupted: bool = False
    reasons: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """One JSON line."""
        return orjson.dumps(asdict(self)).decode()


class Replay:
    """One run over one file.

    Args:
        producer: a confluent_kafka Producer, or what looks like one; not needed for a check.
        clock: seconds; passed in so that a test may turn it.
        wall: seconds since 1970.
        tell: where refused lines are told.
    """

    def __init__(
        self,
        plan: Plan,
        producer: Any = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tell: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
    ) -> None:
        first = _recall(plan) or plan.first_line
        self.plan, self.producer, self.clock, self.wall, self.tell = plan, producer, clock, wall, tell
        self.report = Report(str(plan.file), plan.topic, next_line=first)
        if plan.only_check:
            self.report.accepted = self.report.rejected = 0
        self._products: dict[bytes, int] = {}
        self._first_failed: int | None = None
        self._why_failed = ""
        self._reached = first - 1  # The last line that was read.
        self._started: tuple[float, int] | None = None  # (clock, the first event's own time)

    def run(self, step: Callable[[File, Report], None] = lambda log, report: None) -> Report:
        """Goes through the file; Ctrl-C ends it in good order.

        Args:
            step: told after each line, for a progress bar.

        Raises:
            Unreachable: the broker took nothing for `GIVE_UP_MS`; the report is complete all the same.
        """
        began = noted = self.clock()
        first = self.report.next_line
        log = log_file(self.plan.file)
        try:
            for number, line in lines(log, self.plan.form, self.plan.subject):
                if number < first:
                    continue
                self._one(number, line)
                step(log, self.report)
                if self._first_failed is not None:
                    break
                if self.producer is not None and self.clock() - noted >= CHECKPOINT_S:
                    self._settle()
                    noted = self.clock()
        except LogError as error:  # The file itself breaks off here.
            self._refuse(self._reached + 1, LineError(str(error)))
        except KeyboardInterrupt:
            self.report.interrupted = True
        self._settle()
        self.report.seconds = round(self.clock() - began, 3)
        self.report.per_second = round(self.report.delivered / max(self.report.seconds, 1e-3), 1)
        return self.report

    def _one(self, number: int, line: Row) -> None:
        plan = self.plan
        self.report.lines += 1
        now_ms = round(self.wall() * 1000)
        for made in records(line, number, form=plan.form, subject=plan.subject, name=plan.name, now_ms=now_ms):
            if isinstance(made, NoBehaviour):
                self.report.passed_over += 1
            elif isinstance(made, LineError):
                self._refuse(number, made)
            elif plan.only_check:
                self._judge(number, made)
            elif self._told_before(made):
                self.report.repeated += 1
            else:
                if plan.speed and made.at_ms is not None:
                    self._wait_for(made.at_ms, plan.speed)
                if self.producer is not None:
                    self._send(number, made)
        self._reached = number

    def _judge(self, number: int, made: Record) -> None:
        """As a worker does."""
        report = self.report
        try:
            as_read(made, self.plan.subject)
            report.accepted = (report.accepted or 0) + 1
        except EventError as error:
            report.rejected = (report.rejected or 0) + 1
            self._tell(number, "would be rejected", LineError.of(error))

    def _told_before(self, made: Record) -> bool:
        """Whether a product has been told so already: each event of some formats brings it along."""
        if self.plan.subject == "events" or self.plan.form == CONTRACT:
            return False
        told, before = hash(made.value), self._products.get(made.key)
        self._products[made.key] = told
        return told == before

    def _send(self, number: int, made: Record) -> None:
        while True:
            try:
                self.producer.produce(
                    self.plan.topic,
                    value=made.value,
                    key=made.key,
                    headers=made.headers,
                    on_delivery=partial(self._delivered, number),
                )
            except BufferError:  # The queue is full: the broker sets the pace.
                self.producer.poll(WAKE_S)
                if self._first_failed is not None:
                    return
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise
                self._refuse(number, LineError("larger than a record may be"))
                return
            else:
                self.producer.poll(0)
                return

    def _delivered(self, number: int, error: KafkaError | None, message: object) -> None:
        if error is None:
            self.report.delivered += 1
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:  # The topic's own limit, which only the broker knows.
            self._refuse(number, LineError("larger than a record may be"))
        else:
            self.report.failed += 1
            self._first_failed = min(number, self._first_failed or number)
            self._why_failed = error.str()

    def _refuse(self, number: int, error: LineError) -> None:
        self.report.refused += 1
        self._tell(number, "refused", error)

    def _tell(self, number: int, fate: str, error: LineError) -> None:
        reasons, reason = self.report.reasons, str(error)
        reasons[reason] = reasons.get(reason, 0) + 1
        told = sum(reasons.values())
        if told <= TOLD:
            self.tell(f"{self.plan.file}:{number}: {fate}: {error.detail}")
        if told == TOLD:
            self.tell("further bad lines are only counted")

    def _wait_for(self, at_ms: int, speed: float) -> None:
        """Waits until this event's turn; one that is older than the one before is due at once."""
        now = self.clock()
        if self._started is None:
            self._started = (now, at_ms)
        began, first_ms = self._started
        due = began + (at_ms - first_ms) / 1000 / speed
        while (left := due - self.clock()) > 0:
            self.producer.poll(min(left, WAKE_S))

    def _settle(self) -> None:
        """Everything sent so far is delivered, or known to have failed; notes from where to go on."""
        if self.producer is not None:
            waiting = self.producer.flush(GIVE_UP_MS / 1000 + ASK_S)
            if waiting:  # Older than any time-out: cannot be counted on.
                self.report.failed += waiting
                return
        self.report.next_line = self._reached + 1 if self._first_failed is None else self._first_failed
        if self.plan.state is not None and not self.plan.only_check:
            noted = {"file": self.plan.file.name, "topic": self.plan.topic, "next_line": self.report.next_line}
            half = self.plan.state.with_name(self.plan.state.name + ".half")
            half.write_bytes(orjson.dumps(noted))
            half.replace(self.plan.state)

    @property
    def why_failed(self) -> str:
        """What the broker said of the last line that failed."""
        return self._why_failed


def _recall(plan: Plan) -> int | None:
    """The next line that the state file remembers."""
    if plan.state is None or plan.only_check or not plan.state.exists():
        return None
    try:
        noted = orjson.loads(plan.state.read_bytes())
        same = noted["file"] == plan.file.name and noted["topic"] == plan.topic
        line = int(noted["next_line"])
    except (ValueError, KeyError, TypeError) as error:
        raise WrongUsage(f"--state {plan.state} is no state of a replay", "name another file") from error
    if not same:
        raise WrongUsage(
            f"--state {plan.state} is of {noted['file']} to {noted['topic']}", "name another file, or delete it"
        )
    return line


def producer(client: Mapping[str, Any], topic: str) -> Producer:
    """A producer for this topic, after asking whether it is there.

    Raises:
        Unreachable: no broker, or no such topic.
    """
    sender = Producer(
        {
            "partitioner": PARTITIONER,
            "enable.idempotence": True,  # A retry keeps the order and doubles nothing.
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": QUEUE_KBYTES,
            "message.timeout.ms": GIVE_UP_MS,
            "log_level": 2,  # librdkafka's own lines on stderr would break the progress bar; errors come by callback.
            **client,
        }
    )
    partitions(sender, topic, "--to", client["bootstrap.servers"])
    return sender


def replay(plan: Plan, client: Mapping[str, Any]) -> tuple[Report, str]:
    """Replays with a progress bar on stderr (a plain line now and then where it is no terminal).

    Returns:
        The report, and what the broker said of what failed.
    """
    sender = None if plan.only_check else producer(client, plan.topic)
    with following(shown_name(plan.file), often=plan.speed is not None) as (step, tell):
        run = Replay(plan, sender, tell=tell)
        report = run.run(lambda log, report: step(log, report.lines, f"{report.delivered:,} delivered"))
    return report, run.why_failed
