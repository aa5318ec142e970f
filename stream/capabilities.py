"""Beside the line: what a broker must have and what it can, asked once at start; a missing capability is an error.

Knows nothing of records. Where a broker cannot do what is asked for, the error names the setting that accepts less.
"""

import time

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream import topics
from stream.errors import NotAllowed, Unreachable
from stream.follower import reader
from stream.logs import CLIENT
from stream.outbox import INIT_TIMEOUT_S
from stream.settings import Settings

PROBE_TIMEOUT_S = 10


def topics_of(settings: Settings, space: str, admin: AdminClient) -> dict[str, topics.FoundTopic]:
    """The topics as they are, all of them there, co-partitioned and cleaned up as they must be."""
    wanted = topics.shapes(space, events=tuple(settings.formats), items=settings.items)
    found, brokers = topics.look(admin, [shape.name for shape in wanted])
    fatal = [d for d in topics.compare(wanted, found, brokers) if d.what in ("missing", "partitions", "cleanup.policy")]
    if fatal:
        raise NotAllowed(
            "; ".join(str(difference) for difference in fatal),
            f"`firstclick topics --bootstrap {settings.bootstrap} --apply` mends what can be; --events names others",
        )
    return found


def guarantee_of(settings: Settings) -> tuple[str, str]:
    """The guarantee that holds, and why."""
    if settings.guarantee == "at_least_once":
        return "at_least_once", "as set"
    if isolates(settings, topics.COUNTS):
        return "exactly_once", "as set" if settings.guarantee == "exactly_once" else "the broker isolates transactions"
    if settings.guarantee == "exactly_once":
        raise NotAllowed(
            "exactly once is impossible: this broker shows the records of aborted transactions",
            "use Apache Kafka, or --guarantee at_least_once",
        )
    return "at_least_once", "the broker shows aborted records"


def protocol_of(settings: Settings, admin: AdminClient) -> str:
    """The group protocol: KIP-848 where the broker says that it has it."""
    if settings.group_protocol != "auto":
        return settings.group_protocol
    broker = next(iter(admin.list_topics(timeout=topics.ASK_S).brokers))
    asked = admin.describe_configs([ConfigResource(ResourceType.BROKER, str(broker))], request_timeout=topics.ASK_S)
    try:
        told = next(iter(asked.values())).result(timeout=topics.ASK_S)
    except KafkaException:
        return "classic"
    protocols = told.get("group.coordinator.rebalance.protocols")
    return "consumer" if protocols is not None and "consumer" in str(protocols.value) else "classic"


def isolates(settings: Settings, topic: str) -> bool:
    """Whether this broker hides aborted records: writes one, aborts, and looks for it as a read_committed reader.

    A broker may accept every call of a transaction, even hold readers up while it is open, and then show what was
    aborted. Takes about .1 s; the record's key is `firstclick-probe`.

    Raises:
        Unreachable: the broker does not answer, or another transaction stays open in this partition.
    """
    name = f"{settings.group}-{settings.replica_name}-probe"
    timeout_ms = settings.transaction_timeout_ms
    producer = Producer({**settings.client, **CLIENT, "transactional.id": name, "transaction.timeout.ms": timeout_ms})
    written: list[int | None] = []
    producer.init_transactions(INIT_TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(
        topic, b"", b"firstclick-probe", 0, on_delivery=lambda _, message: written.append(message.offset())
    )
    producer.flush(PROBE_TIMEOUT_S)
    producer.abort_transaction(PROBE_TIMEOUT_S)
    if not written or written[0] is None:
        raise Unreachable(f"the broker did not take a record in {topic}", "see its log")
    aborted = written[0]
    consumer = reader({**settings.client, **CLIENT}, [TopicPartition(topic, 0, aborted)])
    try:
        deadline = time.monotonic() + INIT_TIMEOUT_S
        while time.monotonic() < deadline:
            message = consumer.poll(1.0)
            error = message.error() if message is not None else None
            if message is not None and error is None:
                return (message.offset() or 0) > aborted
            at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
            if message is not None and at_end and (message.offset() or 0) > aborted:
                return True  # An end at or before it means that the abort's own marker is not there yet.
    finally:
        consumer.close()
    raise Unreachable(f"{topic}[0] cannot be read to its end: another transaction is open there")
