"""Step 10 of 10: window records, outputs and consumed offsets become one Kafka transaction.

Knows nothing of what the records mean. What may fail, and what becomes of the events:

| what fails                                         | raised    | fate of the micro-batch                      |
|----------------------------------------------------|-----------|----------------------------------------------|
| a partition moved, or was rewound, meanwhile       | `Aborted` | nothing was sent; its owner reads it again   |
| the broker aborts, a delivery fails, a stale group | `Aborted` | invisible to read_committed; read again      |
| another worker took this worker's name             | `Fenced`  | as above; the process ends, to be restarted  |
| the broker is gone for longer than a transaction   | `Fenced`  | whole or as above; the next start settles it |
| the client does not come back from a call          | nothing   | `overdue` ends the process; as above         |
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from stream.errors import NotAllowed, Unreachable
from stream.intake import Intake
from stream.lane import Batch, Lane, offsets_of
from stream.logs import CLIENT
from stream.messages import Record
from stream.overdue import Overdue
from stream.settings import Settings

log = logging.getLogger(__name__)

INIT_TIMEOUT_S = 60  # A dead predecessor's transaction is ended first; a broker that restarts has needed over 40 s.
RETRIES_PAUSE_S = 0.02
LAST_CALL_S = 1.0
GRACE_S = 20.0  # That a call may take beyond its time, on a machine that is busy, before the client counts as hanging.
POLL_RECORDS = 256  # The client's answers are heard this often while records go out: at each it costs 0.6 us of 3.


class Aborted(Exception):
    """Nothing of this micro-batch will be seen. Drop the state of its partitions, rewind, and read them again."""


class Fenced(Unreachable):
    """This worker may not write any more; only a new process can."""


class Outbox(Protocol):
    """Where a lane's micro-batches end."""

    def open(self) -> None:
        """Gets ready to write; ends what a dead predecessor of the same name left open."""

    def commit(self, batches: Sequence[Batch], records: Sequence[Record]) -> None:
        """All of `records` and the batches' offsets, or nothing. Raises `Aborted` or `Fenced`."""

    def close(self) -> None:
        """Waits for what is on its way."""


MakeProducer = Callable[[dict[str, Any]], Producer]


def _producer(make: MakeProducer, settings: Settings, lane: Lane, **more: Any) -> Producer:
    return make(
        {
            **settings.client,
            **CLIENT,
            "client.id": f"{settings.replica_name}-{lane.name}",
            "partitioner": "murmur2_random",  # Java's: consumers and producers of other languages find the same place.
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,  # A commit flushes at once; this only lets a large batch fill its requests.
            "compression.type": "lz4",
            "message.max.bytes": 4 * 1024 * 1024,  # The topics' own limits count, not the client's.
            "queue.buffering.max.messages": 1_000_000,
            **more,
        }
    )


def _produce(producer: Producer, records: Sequence[Record], on_delivery: Callable[..., None] | None = None) -> None:
    for number, (topic, partition, key, value, headers) in enumerate(records):
        while True:
            try:
                producer.produce(topic, value, key, partition, on_delivery, headers=list(headers) if headers else None)
                break
            except BufferError:  # A million records wait in the client: let some go.
                producer.poll(0.1)
        if not number % POLL_RECORDS:
            producer.poll(0)


class Transactions:
    """Exactly once: KIP-447, one transaction per micro-batch, fenced by the group's generation."""

    def __init__(self, settings: Settings, intake: Intake, lane: Lane, producer: MakeProducer = Producer) -> None:
        self._intake, self._lane = intake, lane
        self._timeout_s = settings.transaction_timeout_ms / 1000
        # Stable and unique per replica: the same name coming back aborts its dead predecessor's transaction at once.
        self._name = f"{settings.group}-{settings.replica_name}-{lane.name}"
        self._producer = _producer(
            producer,
            settings,
            lane,
            **{"transactional.id": self._name, "transaction.timeout.ms": settings.transaction_timeout_ms},
        )
        self._overdue = Overdue(self._name, int(self._timeout_s + LAST_CALL_S + GRACE_S))

    def open(self) -> None:
        """Fences predecessors of the same name."""
        try:
            self._producer.init_transactions(INIT_TIMEOUT_S)
        except KafkaException as error:
            code = error.args[0].code()
            if code in (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                raise NotAllowed(
                    f"Kafka does not let this worker write transactions as {self._name!r}",
                    "grant WRITE and DESCRIBE on transactional ids that begin with --group, or set --guarantee",
                ) from error
            raise

    def commit(self, batches: Sequence[Batch], records: Sequence[Record]) -> None:
        """One transaction.

        1. Take the group's metadata: before the check, so that a rebalance in between makes it stale and fenced.
        2. Under the lock shared with the rebalance callbacks, check that each batch is current.
        3. Begin, produce, add the offsets, commit.
        4. Mark the batches done, still under the lock: a revocation waits until here.
        """
        metadata = self._intake.metadata
        with self._lane.commit_lock:
            if not self._lane.current(batches):
                raise Aborted("a partition moved meanwhile")
            try:
                self._producer.begin_transaction()
                _produce(self._producer, records)
                offsets = offsets_of(batches)
                self._retry(lambda left_s: self._producer.send_offsets_to_transaction(offsets, metadata, left_s))
                self._retry(self._producer.commit_transaction)
            except KafkaException as error:
                self._abort(error)
            self._lane.committed(batches)

    def _retry(self, step: Callable[[float], None]) -> None:
        """Until it is done, fails for good, or the time is over: a call that timed out goes on when called again.

        The last call begins when the time is over. A process that was frozen inside of one finds its answer there.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                with self._overdue.calling():
                    return step(max(left_s, LAST_CALL_S))
            except KafkaException as error:
                if not error.args[0].retriable() or left_s <= 0:
                    raise
                time.sleep(RETRIES_PAUSE_S)

    def _abort(self, error: KafkaException) -> None:
        reason: KafkaError = error.args[0]
        if reason.fatal():
            raise Fenced(
                f"Kafka no longer takes writes as {self._name!r}: {reason.str()}",
                "is another live worker called the same (--replica)? Start this one again",
            ) from error
        try:
            self._retry(self._producer.abort_transaction)
        except KafkaException as worse:  # Among others: a commit that never got its answer cannot be aborted.
            raise Fenced(
                f"Kafka leaves open what became of a transaction of {self._name!r}: {reason.str()}; "
                f"nor could it be aborted: {worse.args[0].str()}",
                "start this worker again: that settles it, and what was not committed is read again",
            ) from worse
        raise Aborted(reason.str()) from error

    def close(self) -> None:
        """Nothing is under way between two commits; an open transaction would be aborted by the next of this name."""


class Deliveries:
    """At least once: everything is delivered before the offsets are committed; a repeat is the same bytes again."""

    def __init__(self, settings: Settings, intake: Intake, lane: Lane, producer: MakeProducer = Producer) -> None:
        self._intake, self._lane = intake, lane
        self._producer = _producer(producer, settings, lane)
        self._failed: list[KafkaError] = []

    def open(self) -> None:
        """Nothing to get ready."""

    def commit(self, batches: Sequence[Batch], records: Sequence[Record]) -> None:
        """Delivers `records`, then commits the offsets if the batches are still ours."""
        if not self._lane.current(batches):
            raise Aborted("a partition moved meanwhile")
        self._failed.clear()
        _produce(self._producer, records, self._heard)
        self._producer.flush()
        if self._failed:
            if fatal := next((error for error in self._failed if error.fatal()), None):
                raise Fenced(f"Kafka no longer takes writes: {fatal.str()}")
            raise Aborted(self._failed[0].str())
        try:
            if not self._intake.commit_offsets(self._lane, batches):
                raise Aborted("a partition moved meanwhile")
        except KafkaException as error:
            raise Aborted(error.args[0].str()) from error

    def _heard(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failed.append(error)

    def close(self) -> None:
        """Waits for what is on its way."""
        self._producer.flush(5)
