"""The only place where the parts are joined: one worker, from its settings to its end.

Knows nothing of what the parts do. Order of a start: refuse what cannot be (bundle, device, topics, guarantee), read
the catalogue to its end, join the group. Order of a stop: end the micro-batch under way, leave the group, close.
"""

import asyncio
import json
import logging
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from model.bundle import Bundle
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from stream import topics
from stream.agents import Behaviour, Shelving, Turns
from stream.batcher import Batcher, Share
from stream.collector import calm
from stream.errors import NotAllowed, Unreachable
from stream.follower import Follower, Pair, ends, read_to_end
from stream.intake import Intake
from stream.lane import Lane
from stream.messages import read_catalogue_record
from stream.metrics import Metrics
from stream.outbox import Deliveries, Outbox, Transactions, isolates
from stream.recommender import Recommender
from stream.settings import Settings
from stream.shelf import Shelves
from stream.windows import DAY_MS, Windows

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Faust 0.15 imports with deprecation warnings of its own on Python 3.11 and later.
    import faust
    from faust.app.base import BootStrategy

log = logging.getLogger(__name__)

# Items of one transaction: about a second of encoding on two cores: a new item never waits long behind a bulk load.
SHELF_ITEMS = 256
# Counts of one transaction: half a second of sums. Ten busy workers write fewer in the two seconds between.
SHELF_COUNTS = 20_000
LAG_EVERY_S = 5.0
KAFKA_RECORD_BYTES = 1_048_588  # Kafka's own default of max.message.bytes, where the broker does not tell.


@dataclass
class Parts:
    """What a worker consists of."""

    settings: Settings
    bundle: Bundle
    guarantee: str
    why: str
    metrics: Metrics
    catalogue: Catalogue
    intake: Intake
    follower: Follower
    turns: Sequence[Turns]
    shares: Mapping[str, Sequence[Share]]
    failure: BaseException | None = None
    stopping: bool = False
    loaded: list[Future[None]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """The catalogue has been read to its end, and the group has taken this worker in."""
        return self.follower.ready.is_set() and self.intake.joined.is_set() and self.failure is None


def build(settings: Settings, *, model: bool = True) -> Parts:
    """Joins the parts of a worker; connects to Kafka to ask what it can.

    Args:
        model: False leaves out steps 4 to 9, to measure what the rest costs.

    Raises:
        CommandError: something cannot be; it says what and the remedy.
        BundleError: the bundle is not one that this worker may run.
    """
    bundle = Bundle.load(settings.bundle)
    admin = AdminClient(dict(settings.client))
    found = _topics(settings, bundle, admin)
    partitions = found[settings.events[0]].partitions
    rejected_bytes = int(found[topics.REJECTED].config.get("max.message.bytes", KAFKA_RECORD_BYTES))
    guarantee, why = _guarantee(settings)
    exact = guarantee == "exactly_once"
    metrics = Metrics()

    events = Lane("behaviour", settings.events)
    shelf = Lane("shelf", (settings.items, topics.COUNTS))
    intake = Intake(settings, _protocol(settings, admin), (events, shelf))

    encoder = Encoder(bundle, settings.device, settings.threads, settings.padded_tokens)
    catalogue = Catalogue(bundle.dim, bundle.half_life_ms)
    recommender = Recommender(
        bundle,
        catalogue,
        encoder,
        device=settings.device,
        threads=settings.threads,
        items=settings.list_items,
        candidates=settings.candidates,
        repeat_categories=settings.repeat_categories,
    )
    topic = topics.catalogue_topic(bundle.model)
    partition_of_item: dict[str, int] = {}

    def apply(records: list[tuple[int, Pair]]) -> None:
        changes: list[tuple[str, Shelved | None]] = []
        for partition, (key, value) in records:
            item_id = key.decode()
            if value is None:
                partition_of_item.pop(item_id, None)
                changes.append((item_id, None))
            else:
                partition_of_item[item_id] = partition
                changes.append((item_id, read_catalogue_record(value).item))
        catalogue.apply(changes)
        metrics.items.set(len(catalogue))

    def reader(name: str) -> Callable[[Sequence[int]], Any]:
        return lambda wanted: read_to_end(settings.client, admin, name, wanted, exact)

    outbox: Callable[[Lane], Outbox] = lambda lane: (Transactions if exact else Deliveries)(settings, intake, lane)  # noqa: E731
    windows = Windows(
        reader(topics.WINDOWS),
        lambda wanted: ends(admin, [(name, number) for name in settings.events for number in wanted]),
        bundle.lines,
        bundle.age_ms,
        settings.forget_days * DAY_MS,
        rejected_bytes,
    )
    shelves = Shelves(reader(topic), encoder, topic, bundle.half_life_ms, rejected_bytes)
    behaviour = Behaviour(
        events,
        intake,
        outbox(events),
        metrics,
        windows,
        recommender if model else None,
        bundle.model,
        partition_of_item,
        settings.moved,
        partitions,
        settings.batch_users,
    )
    shares = {
        events.name: [Share(events.topics, settings.batch_events)],
        shelf.name: [
            Share((settings.items,), SHELF_ITEMS),
            Share((topics.COUNTS,), SHELF_COUNTS, settings.counts_every_ms),
        ],
    }
    metrics.model.info({"model": bundle.model, "device": settings.device, "guarantee": guarantee})
    return Parts(
        settings,
        bundle,
        guarantee,
        why,
        metrics,
        catalogue,
        intake,
        Follower(settings.client, admin, topic, partitions, exact, apply),
        (behaviour, Shelving(shelf, intake, outbox(shelf), metrics, shelves)),
        shares,
    )


def _topics(settings: Settings, bundle: Bundle, admin: AdminClient) -> dict[str, topics.FoundTopic]:
    """The topics as they are, all of them there, co-partitioned and cleaned up as they must be."""
    wanted = topics.shapes(bundle.model, events=settings.events, items=settings.items)
    found, brokers = topics.look(admin, [shape.name for shape in wanted])
    fatal = [d for d in topics.compare(wanted, found, brokers) if d.what in ("missing", "partitions", "cleanup.policy")]
    if fatal:
        raise NotAllowed(
            "; ".join(str(difference) for difference in fatal),
            f"`firstclick topics --bootstrap {settings.bootstrap} --apply` mends what can be; --events names others",
        )
    return found


def _guarantee(settings: Settings) -> tuple[str, str]:
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


def _protocol(settings: Settings, admin: AdminClient) -> str:
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


class _NoKafka(BootStrategy):
    """Faust without its own consumer, producer and tables: they lose events or are 10 to 50 times slower."""

    enable_kafka = False


def faust_app(parts: Parts) -> faust.App:
    """The Faust app: an agent per lane, the service that feeds their channels, and the web pages."""
    settings = parts.settings
    app = faust.App(
        settings.group,
        broker="kafka://unused",
        autodiscover=False,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        web_in_thread=False,
        topic_disable_leader=True,
    )
    app.boot_strategy = _NoKafka(app)
    channels: dict[str, Any] = {turns.lane.name: app.channel(maxsize=1) for turns in parts.turns}
    batchers: dict[str, Batcher] = {}

    async def crash(error: BaseException) -> None:
        parts.failure = parts.failure or error
        log.critical("the worker ends: %s", error, exc_info=error if settings.log_level == "debug" else None)
        await app.crash(error)

    def agent(turns: Turns) -> None:
        async def body(stream: Any) -> None:
            async for batches in stream:
                if parts.stopping:  # Its offsets are not committed: whoever takes over reads it again.
                    return
                try:
                    await asyncio.get_running_loop().run_in_executor(turns.thread, turns.turn, batches)
                except asyncio.CancelledError:  # Faust stops its agents; the turn itself ends in its thread.
                    raise
                except BaseException as error:
                    await crash(error)
                    return
                batchers[turns.lane.name].ended()

        app.agent(channels[turns.lane.name], name=f"firstclick.{turns.lane.name}")(body)

    for turns in parts.turns:
        agent(turns)

    class Feed(faust.Service):
        """Starts and stops the threads, and puts their micro-batches into the agents' channels."""

        async def on_start(self) -> None:
            for turns in parts.turns:
                name = turns.lane.name
                batchers[name] = Batcher(turns.lane, parts.shares[name], settings.wait_ms)
            app.flow_control.resume()  # Faust suspends its agents' queues until its own consumer has partitions.
            parts.follower.start()
            self.add_future(self._begin())

        async def _begin(self) -> None:
            loop = asyncio.get_running_loop()
            try:
                for turns in parts.turns:
                    await loop.run_in_executor(turns.thread, turns.outbox.open)
                self.add_future(self._watch(parts.follower.failure))
                await loop.run_in_executor(None, _await_ready, parts.follower)
                log.info("the catalogue is read: %d items", len(parts.catalogue))
                parts.intake.start()
                self.add_future(self._watch(parts.intake.failure))
            except Exception as error:
                await crash(error)
                return
            for turns in parts.turns:
                self.add_future(self._pump(turns.lane.name))
            self.add_future(self._lag())

        async def _pump(self, lane: str) -> None:
            while not self.should_stop:
                await channels[lane].put(await batchers[lane].next())

        async def _watch(self, failure: "Future[None]") -> None:
            try:
                await asyncio.wrap_future(failure)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                await crash(error)

        async def _lag(self) -> None:
            while not self.should_stop:
                await self.sleep(LAG_EVERY_S)
                try:
                    lags = await asyncio.wrap_future(parts.intake.lag())
                except Unreachable:  # The consumer has ended; `_watch` tells why.
                    return
                parts.metrics.lag.clear()  # Of partitions that others own now.
                for (topic, partition), lag in lags.items():
                    parts.metrics.lag.labels(topic, partition).set(lag)
                for turns in parts.turns:
                    parts.metrics.waiting.labels(turns.lane.name).set(turns.lane.waiting)

        async def on_stop(self) -> None:
            loop = asyncio.get_running_loop()
            parts.stopping = True
            for turns in parts.turns:  # The micro-batch under way is committed; no other begins.
                await loop.run_in_executor(None, turns.thread.shutdown)
            await loop.run_in_executor(None, parts.intake.stop)
            for turns in parts.turns:
                await loop.run_in_executor(None, turns.outbox.close)
            await loop.run_in_executor(None, parts.follower.stop)

    app.service(Feed)
    _pages(app, parts)
    return app


def _await_ready(follower: Follower) -> None:
    while not follower.ready.wait(0.1):
        if follower.failure.done():
            return


def _pages(app: faust.App, parts: Parts) -> None:
    """/healthz: alive. /readyz: 200 once lists can be right. /metrics: Prometheus."""

    def told(ready: bool) -> dict[str, Any]:
        return {
            "ready": ready,
            "model": parts.bundle.model,
            "guarantee": parts.guarantee,
            "items": len(parts.catalogue),
            "partitions": {turns.lane.name: turns.lane.partitions for turns in parts.turns},
            "failure": str(parts.failure) if parts.failure else None,
        }

    @app.page("/healthz")
    async def healthz(web: Any, request: Any) -> Any:
        return web.text(
            "ok\n" if parts.failure is None else f"{parts.failure}\n", status=200 if parts.failure is None else 503
        )

    @app.page("/readyz")
    async def readyz(web: Any, request: Any) -> Any:
        ready = parts.ready
        parts.metrics.ready.set(ready)
        return web.bytes(
            json.dumps(told(ready)).encode() + b"\n", content_type="application/json", status=200 if ready else 503
        )

    @app.page("/metrics")
    async def metrics(web: Any, request: Any) -> Any:
        parts.metrics.ready.set(parts.ready)
        return web.bytes(parts.metrics.text(), content_type="text/plain; version=0.0.4")


def _port_is_free(settings: Settings) -> None:
    """Before anything else: the port is part of this worker's name, and a second one would fence the first."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web_host, settings.web_port))
        except OSError as error:
            raise NotAllowed(
                f"port {settings.web_port} of {settings.web_host} cannot be had: {error.strerror or error}",
                "each worker of a host needs its own --web-port",
            ) from error


def run(settings: Settings) -> int:
    """One worker until it is told to stop. Returns the exit code 0; raises what ended it otherwise."""
    _port_is_free(settings)
    parts = build(settings)
    worker = faust.Worker(
        faust_app(parts), loglevel=settings.log_level.upper(), redirect_stdouts=False, daemon=True, quiet=True
    )
    log.info("%s: %s (%s), model %s", settings.replica_name, parts.guarantee, parts.why, parts.bundle.model)
    calm()
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if end.code and parts.failure is None:  # A part of Faust's own crashed: that is no clean end either.
            parts.failure = worker.crash_reason or RuntimeError("the worker crashed")
    if parts.failure is not None:
        raise parts.failure
    return 0
