"""Beside the line: every topic, its name and its shape, in one place; creates them and says what differs.

Knows nothing of records. Asks the broker and compares; what a broker does not tell is said, never assumed.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from stream.errors import NotAllowed, Unreachable

EVENTS = ("clicks", "browses", "reviews", "events")
ITEMS = "items"
WINDOWS = "firstclick.windows"
COUNTS = "firstclick.counts"
RECOMMENDATIONS = "recommendations"
INTERESTS = "interests"
REJECTED = "events.rejected"

PARTITIONS = 4
REPLICATION = 3  # What exactly-once is promised for, with MIN_ISR; fewer brokers get fewer copies.
MIN_ISR = 2
ASK_S = 10.0  # A healthy broker answers in milliseconds; its controller may take seconds to elect a leader.
ASK_AGAIN_S = 0.05
NAMED = 20  # Topics that an error names: a shop's cluster may have thousands.
REJECTED_BYTES = 2 * 1024 * 1024  # Brokers take 1 MiB by default: an input at that limit plus headers must fit.
DAY_MS = 86_400_000

_COMPACT = {"cleanup.policy": "compact"}
_DELETE = {"cleanup.policy": "delete"}


def catalogue_topic(space: str) -> str:
    """Topic of the items encoded into this space: of one encoder, one rendering. Two spaces never mix, and a model that
    only learned other towers finds the catalogue encoded."""
    return f"firstclick.catalogue.{space}"


@dataclass(frozen=True, slots=True)
class TopicShape:
    """How a topic must look.

    Attributes:
        partitions: wanted count; 0 means: that of the topics it is co-partitioned with, else `PARTITIONS`.
        config: what the topic is created with. Retention times are the operator's afterwards and not compared.
        together: one of those that need the same partition count: a user's or item's partition is the same in all.
        keyed: its records' partition is that of their key, so that more partitions would tear a key's history apart.
        retention_ms: what the operator asks for now; None leaves it as it is.
    """

    name: str
    partitions: int = 0
    config: Mapping[str, str] = field(default_factory=dict)
    together: bool = False
    keyed: bool = True
    retention_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """How the broker says a topic looks; `config` holds only what it told."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        what: "missing", "partitions", "replication", "untold", or the configuration's key.
        fixable: `apply` can put it right.
        note: what to do where it cannot, or why it matters.
    """

    topic: str
    what: str
    found: str
    wanted: str
    fixable: bool
    note: str = ""

    def __str__(self) -> str:
        if self.what == "missing":
            return f"{self.topic}: missing; would have {self.wanted}"
        said = f"{self.topic}: {self.what} is {self.found}, should be {self.wanted}"
        return f"{said} ({self.note})" if self.note else said


def shapes(
    space: str,
    *,
    events: Sequence[str] = EVENTS,
    items: str = ITEMS,
    partitions: int = 0,
    retention_ms: int | None = None,
) -> tuple[TopicShape, ...]:
    """All topics of a fleet whose bundle encodes into `space`.

    Args:
        partitions: for the co-partitioned ones; 0 takes what is there already, else `PARTITIONS`.
        retention_ms: of the events; None leaves it to the broker.
    """
    return (
        *(TopicShape(name, partitions, _DELETE, together=True, retention_ms=retention_ms) for name in events),
        TopicShape(items, partitions, _COMPACT, together=True),
        TopicShape(WINDOWS, partitions, _COMPACT, together=True),
        TopicShape(catalogue_topic(space), partitions, _COMPACT, together=True),
        # Summed by the item's owner within seconds; a week survives a long week-end's standstill.
        TopicShape(COUNTS, partitions, _DELETE | {"retention.ms": str(7 * DAY_MS)}, together=True),
        TopicShape(RECOMMENDATIONS, partitions, _COMPACT),
        TopicShape(INTERESTS, partitions, _COMPACT),
        TopicShape(
            REJECTED,
            partitions,
            _DELETE | {"retention.ms": str(30 * DAY_MS), "max.message.bytes": str(REJECTED_BYTES)},
            keyed=False,  # Each record is a case of its own.
        ),
    )


def check(admin: Any, wanted: Sequence[TopicShape], replication: int = REPLICATION) -> list[Difference]:
    """What differs between the broker's topics and `wanted`; changes nothing.

    Args:
        replication: copies of each partition; fewer brokers make fewer.

    Raises:
        KafkaException: the broker cannot be reached.
    """
    found, brokers = look(admin, [shape.name for shape in wanted])
    return compare(wanted, found, brokers, replication)


def compare(
    wanted: Sequence[TopicShape], found: Mapping[str, FoundTopic], brokers: int, replication: int = REPLICATION
) -> list[Difference]:
    """What differs, topic by topic in the order of `wanted`."""
    copies = min(replication, brokers)
    differences = []
    for shape in settle(wanted, found):
        topic = found.get(shape.name)
        if topic is None:
            config = ", ".join(f"{key}={value}" for key, value in _settled_config(shape, copies).items())
            said = f"{shape.partitions} partitions, {copies} copies, {config}"
            differences.append(Difference(shape.name, "missing", "", said, fixable=True))
            continue
        if topic.partitions != shape.partitions:
            differences.append(_partitions(shape, topic.partitions))
        if topic.replication < copies:
            note = "only kafka-reassign-partitions can add copies"
            differences.append(
                Difference(shape.name, "replication", str(topic.replication), str(copies), fixable=False, note=note)
            )
        differences += _config(shape, min(copies, topic.replication), topic.config)
    return differences


def settle(wanted: Sequence[TopicShape], found: Mapping[str, FoundTopic]) -> list[TopicShape]:
    """The shapes with every open partition count filled in: most co-partitioned topics' own, else `PARTITIONS`."""
    there = Counter(found[shape.name].partitions for shape in wanted if shape.together and shape.name in found)
    usual = max(there, key=lambda count: (there[count], count)) if there else PARTITIONS
    settled = []
    for shape in wanted:
        free = not shape.together and shape.name in found  # An output may have any count that its readers like.
        own = found[shape.name].partitions if free else usual
        settled.append(shape if shape.partitions else replace(shape, partitions=own))
    return settled


def _partitions(shape: TopicShape, found: int) -> Difference:
    if found > shape.partitions:
        note = "Kafka cannot take partitions away: delete the topic, or give the others as many"
    elif shape.keyed:
        note = "growing a keyed topic moves keys away from their history: drain it, delete it and create it anew"
    else:
        note = ""
    return Difference(shape.name, "partitions", str(found), str(shape.partitions), fixable=not note, note=note)


def _settled_config(shape: TopicShape, copies: int) -> dict[str, str]:
    """With three copies a write counts once two have it: one broker may fail, and none may forget."""
    isr = {"min.insync.replicas": str(MIN_ISR)} if copies >= REPLICATION else {}
    asked = {} if shape.retention_ms is None else {"retention.ms": str(shape.retention_ms)}
    return {**shape.config, **isr, **asked}


def _config(shape: TopicShape, copies: int, told: Mapping[str, str]) -> Iterable[Difference]:
    for key, value in _settled_config(shape, copies).items():
        if key == "retention.ms" and shape.retention_ms is None:
            continue
        if key not in told:
            note = "the broker does not tell; check it by other means"
            yield Difference(shape.name, "untold", "unknown", f"{key}={value}", fixable=False, note=note)
            continue
        least = value.isdigit() and key != "retention.ms"  # More copies in sync or larger records do no harm.
        enough = int(told[key]) >= int(value) if least else _same(told[key], value)
        if not enough:
            yield Difference(shape.name, key, told[key], value, fixable=True)


def _same(one: str, other: str) -> bool:
    """Lists such as `compact,delete` in any order."""
    return {part.strip() for part in one.split(",")} == {part.strip() for part in other.split(",")}


def look(admin: Any, names: Sequence[str]) -> tuple[dict[str, FoundTopic], int]:
    """The named topics as far as they exist, and the number of brokers.

    Args:
        admin: a confluent_kafka AdminClient.

    Raises:
        KafkaException: the broker cannot be reached.
    """
    cluster = admin.list_topics(timeout=ASK_S)
    there = [name for name in names if name in cluster.topics and cluster.topics[name].error is None]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
    futures = admin.describe_configs(resources, request_timeout=ASK_S) if resources else {}
    told: dict[str, dict[str, str]] = {}
    for resource, future in futures.items():
        try:
            entries = future.result(timeout=ASK_S)
        except KafkaException:
            entries = {}  # Not all brokers have this call; `compare` says what they left open.
        told[resource.name] = {key: str(entry.value) for key, entry in entries.items() if entry.value is not None}
    found = {}
    for name in there:
        partitions = cluster.topics[name].partitions
        copies = min((len(partition.replicas) for partition in partitions.values()), default=0)
        found[name] = FoundTopic(name, len(partitions), copies, told.get(name, {}))
    return found, max(1, len(cluster.brokers))


def partitions(client: Any, topic: str, option: str, bootstrap: str) -> list[int]:
    """The topic's partitions.

    Args:
        client: an AdminClient, or a Producer.
        topic: any.
        option: who named it, for the error.
        bootstrap: whom the client asks, for the error.

    Raises:
        Unreachable: no broker answers, or the topic is not there.
    """
    try:
        # All of them: a broker that creates topics on demand creates the one that it is asked about by name.
        cluster = client.list_topics(timeout=ASK_S).topics
    except KafkaException as error:
        raise Unreachable(
            f"no broker answers at {bootstrap} ({error.args[0].name()})", "check --bootstrap (FIRSTCLICK_BOOTSTRAP)"
        ) from error
    there = cluster.get(topic)
    if there is None:
        raise Unreachable(
            f"{option} {topic}: there is no such topic, or none that you may see; there are {_named(cluster)}",
            "check its name; `firstclick topics --apply` creates firstclick's own, and those of --events, --items",
        )
    if there.error is not None:
        raise Unreachable(f"{option} {topic}: {there.error.str()}", "ask again; it may be moving between brokers")
    return list(there.partitions)


def _named(found: Iterable[str]) -> str:
    """The names of topics for people, without Kafka's own."""
    names = sorted(name for name in found if not name.startswith("__"))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "none") + more


def apply(admin: Any, wanted: Sequence[TopicShape], replication: int = REPLICATION) -> list[Difference]:
    """Creates what is missing and sets what can be set; what was put right comes back. Doing it twice is harmless.

    Raises:
        KafkaException: the broker cannot be reached or refuses.
        NotAllowed: something differs that no call can put right. Where that is a partition count, nothing has been
            changed: new topics would have a count that the old ones have not. Else everything else has been applied.
    """
    done: dict[tuple[str, str], Difference] = {}
    deadline = time.monotonic() + 2 * ASK_S
    while True:
        found, brokers = look(admin, [shape.name for shape in wanted])
        differences = compare(wanted, found, brokers, replication)
        torn = [str(d) for d in differences if d.what == "partitions" and not d.fixable]
        if torn:
            raise NotAllowed("nothing was changed: " + "; ".join(torn))
        fixable = [d for d in differences if d.fixable]
        if not fixable:
            break
        if time.monotonic() > deadline:
            raise NotAllowed(f"accepted, and not to be seen after {2 * ASK_S:.0f} s: {'; '.join(map(str, fixable))}")
        # Brokers show a change some milliseconds after the controller has made it, and another operator may be at work:
        # so the rounds go on until nothing is left to be done, and each does only what is still to be seen.
        done |= {(d.topic, d.what): d for d in fixable}
        _round(admin, {shape.name: shape for shape in settle(wanted, found)}, fixable, min(replication, brokers))
        admin.poll(ASK_AGAIN_S)
    left = [str(d) for d in differences if d.what != "untold"]
    if left:
        raise NotAllowed("left as they are: " + "; ".join(left))
    return list(done.values())


def _round(admin: Any, settled: Mapping[str, TopicShape], differences: Sequence[Difference], copies: int) -> None:
    missing = [settled[d.topic] for d in differences if d.what == "missing"]
    if missing:
        made = [NewTopic(s.name, s.partitions, copies, config=_settled_config(s, copies)) for s in missing]
        _accept(admin.create_topics(made, operation_timeout=ASK_S), KafkaError.TOPIC_ALREADY_EXISTS)
    grown = [NewPartitions(d.topic, settled[d.topic].partitions) for d in differences if d.what == "partitions"]
    if grown:
        _accept(admin.create_partitions(grown, operation_timeout=ASK_S), KafkaError.INVALID_PARTITIONS)
    _set([d for d in differences if d.what not in ("missing", "partitions")], admin)


def _accept(futures: Mapping[str, Any], already: int) -> None:
    """Waits for all; `already` is the code of what was done before and is not to be seen yet."""
    for future in futures.values():
        try:
            future.result(timeout=2 * ASK_S)
        except KafkaException as error:
            if error.args[0].code() != already:
                raise


def _set(differences: Sequence[Difference], admin: Any) -> None:
    resources: dict[str, ConfigResource] = {}
    for difference in differences:
        resource = resources.setdefault(difference.topic, ConfigResource(ResourceType.TOPIC, difference.topic))
        resource.add_incremental_config(
            ConfigEntry(difference.what, difference.wanted, incremental_operation=AlterConfigOpType.SET)
        )
    if resources:
        for future in admin.incremental_alter_configs(list(resources.values())).values():
            future.result(timeout=2 * ASK_S)
