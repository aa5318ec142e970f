"""Beside the line: what a worker needs, asked one by one: what is there, what is wrong, and how to mend it.

Knows nothing of how a worker runs. It leaves one thing behind: the record of an aborted transaction in our own topic of
counts, which no reader of committed records sees. A check that hangs on one that failed is skipped, and says so.
"""

import platform
import shutil
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

import confluent_kafka
import onnxruntime
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from packaging.requirements import Requirement

from model.bundle import Bundle, BundleError
from model.encoder import Encoder
from model.session import DeviceError
from stream import topics
from stream.capabilities import guarantee_of, protocol_of
from stream.errors import CommandError, one_line
from stream.settings import Settings

State = Literal["ok", "warning", "wrong", "skipped"]
PYTHON = (3, 11)
LIBRDKAFKA = (2, 16)  # Groups of KIP-848 as intake.py uses them.
AHEAD_S = 2.0  # Clocks kept by NTP differ by milliseconds.
MIB = 1 << 20
# Beyond the model: two lanes of 64 MiB each that wait (intake.py), and 300 MB while 256 users are scored (agents.py).
WORK_BYTES = 512 * MIB
MEND_TOPICS = "firstclick topics --apply"
REMEDIES = {
    KafkaError._RESOLVE: "check the names in --bootstrap",
    KafkaError._AUTHENTICATION: "check sasl.mechanism, sasl.username and sasl.password in --kafka",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check sasl.mechanism, sasl.username and sasl.password in --kafka",
    KafkaError._SSL: "check security.protocol and ssl.ca.location in --kafka",
    KafkaError._INVALID_ARG: "check --kafka",
}
LISTENS = "check --bootstrap, that a broker listens there, and security.protocol in --kafka"


class Finding(NamedTuple):
    """What one check found."""

    check: str
    state: State
    said: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks, as they are done; some take seconds."""
    yield versions()
    bundle, found = _bundle(settings)
    yield found
    yield provider(settings, bundle) if bundle else Finding("provider", "skipped", "needs the bundle")
    admin, found = broker(settings)
    yield found
    if admin is None:
        yield from (Finding(name, "skipped", "needs the broker") for name in ("topics", "guarantee", "clock"))
    else:
        differs = _topics(settings, bundle, admin)
        yield differs
        if differs.state == "wrong":
            yield Finding("guarantee", "skipped", "needs the topics")
        else:
            yield guarantee(settings, admin)
        yield clock(settings, admin, time.time())
    yield disk(settings.bundle)
    yield memory(*memory_bytes())


def versions() -> Finding:
    """Python, librdkafka, and what firstclick requires."""
    library = confluent_kafka.libversion()[0]
    told = [f"Python {platform.python_version()}", f"librdkafka {library}"]
    wrong = [f"Python {platform.python_version()} < {'.'.join(map(str, PYTHON))}"] * (sys.version_info < PYTHON)
    if tuple(map(int, library.split(".")[:2])) < LIBRDKAFKA:
        wrong.append(f"librdkafka {library} < {'.'.join(map(str, LIBRDKAFKA))}")
    for line in metadata.requires("firstclick") or ():
        required = Requirement(line)
        if required.marker is not None and not required.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(required.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{required.name} is missing")
            continue
        if not required.specifier.contains(there, prereleases=True):
            wrong.append(f"{required.name} {there} is not {required.specifier}")
        if required.name.startswith(("faust", "onnxruntime", "confluent")):
            told.append(f"{required.name} {there}")
    if wrong:
        return Finding(
            "versions", "wrong", "; ".join(wrong), "pip install --upgrade firstclick, on a newer Python if need be"
        )
    return Finding("versions", "ok", ", ".join(told))


def _bundle(settings: Settings) -> tuple[Bundle | None, Finding]:
    try:
        bundle = Bundle.load(settings.bundle)
    except (BundleError, OSError) as error:
        remedy = "--bundle names another; `firstclick model init`, `train` or `export` make one for this version"
        return None, Finding("bundle", "wrong", one_line(error), remedy)
    return bundle, Finding("bundle", "ok", f"{bundle.model} of {settings.bundle}, its fingerprint is this code's")


def provider(settings: Settings, bundle: Bundle) -> Finding:
    """Runs one text through the encoder where the worker would."""
    there = ", ".join(each.removesuffix("ExecutionProvider") for each in onnxruntime.get_available_providers())
    try:
        encoder = Encoder(bundle, settings.device, settings.threads, settings.padded_tokens)
        encoder.vectors(["firstclick"])
    except (DeviceError, BundleError) as error:
        remedy = "--device cpu does without a GPU; CUDA comes with pip install 'firstclick[cuda]' and NVIDIA's driver"
        return Finding("provider", "wrong", f"{one_line(error)} (onnxruntime is built for {there})", remedy)
    return Finding("provider", "ok", f"a text runs on {encoder.provider} (onnxruntime is built for {there})")


def broker(settings: Settings) -> tuple[AdminClient | None, Finding]:
    """Whether a broker answers, and else what it or the way there said."""
    heard: list[KafkaError] = []
    admin = None
    try:
        client: dict[str, Any] = {**settings.client, "log_level": 0, "error_cb": heard.append}
        admin = AdminClient(client)
        cluster = admin.list_topics(timeout=topics.ASK_S)
    except KafkaException as error:
        if admin is not None:
            admin.poll(0)  # What the client has heard meanwhile: the call itself only says that its time was up.
        said = [*heard, error.args[0]]
        why = next((each for each in said if each.code() in REMEDIES), said[0])
        told = f"{settings.bootstrap} does not answer: {why.str()} ({why.name()})"
        return None, Finding("broker", "wrong", told, REMEDIES.get(why.code(), LISTENS))
    told = f"{len(cluster.brokers)} of cluster {cluster.cluster_id} at {settings.bootstrap}"
    if len(cluster.brokers) < topics.REPLICATION:
        remedy = f"{topics.REPLICATION} brokers keep what is promised while one of them fails"
        return admin, Finding("broker", "warning", told, remedy)
    return admin, Finding("broker", "ok", told)


def _topics(settings: Settings, bundle: Bundle | None, admin: AdminClient) -> Finding:
    wanted = topics.shapes(bundle.space if bundle else "", events=tuple(settings.formats), items=settings.items)
    if bundle is None:
        wanted = tuple(shape for shape in wanted if shape.name != topics.catalogue_topic(""))
    try:
        differences = topics.check(admin, wanted)
    except KafkaException as error:
        return Finding("topics", "wrong", one_line(error), "grant DESCRIBE and DESCRIBE_CONFIGS on the topics")
    wrong = [difference for difference in differences if difference.what not in ("untold", "replication")]
    if wrong:
        return Finding("topics", "wrong", "; ".join(map(str, wrong)), MEND_TOPICS)
    if differences:
        return Finding("topics", "warning", "; ".join(map(str, differences)), "what the broker tells is right")
    return Finding("topics", "ok", f"{len(wanted)} are there, of equal partitions, cleaned up as they must be")


def guarantee(settings: Settings, admin: AdminClient) -> Finding:
    """What the brokers can, under a name of its own: it must fence no worker."""
    named = settings.model_copy(update={"replica": f"{settings.replica_name}-doctor"})
    try:
        holds, why = guarantee_of(named)
        protocol = protocol_of(named, admin)
    except (CommandError, KafkaException) as error:
        return Finding("guarantee", "wrong", one_line(error), "--guarantee at_least_once accepts less")
    if holds == "at_least_once" and settings.guarantee == "auto":
        return Finding("guarantee", "warning", f"at least once: {why}", "exactly once needs Apache Kafka or its like")
    return Finding("guarantee", "ok", f"{holds}: {why}; groups by the protocol {protocol}")


def clock(settings: Settings, admin: Any, now_s: float) -> Finding:
    """This machine's clock beside the newest records of the event topics."""
    try:
        there = admin.list_topics(timeout=topics.ASK_S).topics
        places = [(name, each) for name in settings.formats if name in there for each in there[name].partitions]
        asked = {TopicPartition(*place): OffsetSpec.max_timestamp() for place in places}  # type: ignore[no-untyped-call]
        answers = admin.list_offsets(asked, request_timeout=topics.ASK_S) if asked else {}
        newest_ms, newest = max(
            ((answer.result().timestamp, f"{place.topic}[{place.partition}]") for place, answer in answers.items()),
            default=(-1, ""),
        )
    except KafkaException as error:
        return Finding("clock", "skipped", f"the broker does not tell its newest records ({error.args[0].name()})")
    if newest_ms < 0:
        return Finding("clock", "skipped", "no event to compare with")
    ahead_s = newest_ms / 1000 - now_s
    if ahead_s > AHEAD_S:
        said = f"a record of {newest} is {ahead_s:.0f} s ahead of this machine's clock"
        return Finding("clock", "wrong", said, "keep this machine's, the brokers' and the producers' clocks by NTP")
    return Finding("clock", "ok", f"the newest event, in {newest}, is {-ahead_s:.0f} s old")


def disk(bundle: Path) -> Finding:
    """Room for the next bundle beside this one; a worker itself writes nothing but its log."""
    there = next((each for each in (bundle, *bundle.absolute().parents) if each.exists()), Path("/"))
    size = sum(each.stat().st_size for each in bundle.rglob("*") if each.is_file())
    free = shutil.disk_usage(there).free
    told = f"{free / MIB:.0f} MiB free beside the bundle, which takes {size / MIB:.0f}"
    if free < size:
        return Finding("disk", "warning", told, f"make room in {there} before the next bundle comes")
    return Finding("disk", "ok", told)


def memory(used: int, available: int) -> Finding:
    """Whether a worker's batches fit.

    Args:
        used: bytes that this process takes with the model loaded.
        available: bytes that it may still take.
    """
    told = f"{available / MIB:.0f} MiB to be had; the model takes {used / MIB:.0f} here, a worker's batches up to "
    told += f"{WORK_BYTES / MIB:.0f}, and windows and items come on top"
    if available < WORK_BYTES:
        return Finding("memory", "wrong", told, "give the machine or the container more, or lower --batch-users")
    return Finding("memory", "ok", told)


def memory_bytes(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """(bytes of this process, bytes that it may still take): the machine's, or less where a cgroup says so."""
    used = int((proc / "self/statm").read_text().split()[1]) * 4096
    rows = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
    available = int(rows["MemAvailable"].split()[0]) * 1024
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        taken = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return used, available
    return used, available if limit == "max" else min(available, max(int(limit) - taken, 0))
