"""One worker as a Faust app: the agents, the service that feeds them, the web pages, and how it starts and stops.

Knows nothing of what the parts do (parts.py joins them). Order of a start: refuse what cannot be (bundle, device,
topics, guarantee), read the catalogue to its end, join the group, take in what waits of the products, then events.
Order of a stop: end the micro-batch under way, leave the group, close.
"""

import asyncio
import logging
import math
import socket
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from logging.config import dictConfig
from typing import Any, cast

from stream.agents import Turns
from stream.backlog import Backlog
from stream.batcher import Batcher
from stream.collector import calm
from stream.errors import Exit, NotAllowed, Unreachable, exit_code
from stream.follower import Follower
from stream.logs import config, use_key
from stream.pages import add_pages
from stream.parts import Parts, build
from stream.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Faust 0.15 imports with deprecation warnings of its own on Python 3.11 and later.
    import faust
    from faust.app.base import BootStrategy

log = logging.getLogger(__name__)

LAG_EVERY_S = 5.0
BEAT_S = 1.0
PAY_EVERY_S = 0.5  # A look at whether lists are owed, in memory.
BACKLOG_S = 60.0  # Events wait for the products' backlog no longer, where the shelf is not empty.
BACKLOG_EVERY_S = 0.2  # A question to the broker each; the first lists come so much later at the most.


class _NoKafka(BootStrategy):
    """Faust without its own consumer, producer and tables: they lose events or are 10 to 50 times slower."""

    enable_kafka = False


class _App(faust.App):
    """Faust without its folders (`firstclick-data` where the command ran): they are for tables, and it keeps none."""

    def _create_directories(self) -> None:
        pass


class Feed(faust.Service):
    """Starts and stops the threads, and puts their micro-batches into the agents' channels."""

    def __init__(self, app: faust.App, parts: Parts) -> None:
        super().__init__()
        self._app, self._parts = app, parts
        self.channels: dict[str, Any] = {turns.lane.name: app.channel(maxsize=1) for turns in parts.turns}
        self._batchers: dict[str, Batcher] = {}

    def agent(self, turns: Turns) -> Callable[[Any], Coroutine[Any, Any, None]]:
        """The body of a lane's agent: a turn for every micro-batch."""

        async def body(stream: Any) -> None:
            async for batches in stream:
                if self._parts.stopping:  # Its offsets are not committed: whoever takes over reads it again.
                    return
                try:
                    await asyncio.get_running_loop().run_in_executor(turns.thread, turns.turn, batches)
                except asyncio.CancelledError:  # Faust stops its agents; the turn itself ends in its thread.
                    raise
                except BaseException as error:
                    await self._end(error)
                    return
                self._batchers[turns.lane.name].ended()

        return body

    async def on_start(self) -> None:
        for turns in self._parts.turns:
            name = turns.lane.name
            self._batchers[name] = Batcher(turns.lane, self._parts.shares[name], self._parts.settings.wait_ms)
        self._app.flow_control.resume()  # Faust suspends its agents' queues until its own consumer has partitions.
        self._parts.follower.start()
        self.add_future(self._beat())
        self.add_future(self._begin())

    async def on_stop(self) -> None:
        loop, parts = asyncio.get_running_loop(), self._parts
        parts.stopping = True
        for turns in parts.turns:  # The micro-batch under way is committed; no other begins.
            await loop.run_in_executor(None, turns.thread.shutdown)
        await loop.run_in_executor(None, parts.intake.stop)
        for turns in parts.turns:
            await loop.run_in_executor(None, turns.outbox.close)
        await loop.run_in_executor(None, parts.follower.stop)

    async def _begin(self) -> None:
        loop, parts = asyncio.get_running_loop(), self._parts
        try:
            for turns in parts.turns:
                await loop.run_in_executor(turns.thread, turns.outbox.open)
            await loop.run_in_executor(None, parts.warm_up)
            self.add_future(self._watch(parts.follower.failure))
            await loop.run_in_executor(None, _await_ready, parts.follower)
            log.info("the catalogue is read: %d items", len(parts.catalogue))
            await loop.run_in_executor(None, parts.backlog.look)
            parts.intake.start()
            self.add_future(self._watch(parts.intake.failure))
            for turns in parts.turns:
                self.add_future(self._watch(turns.failure))
        except Exception as error:
            await self._end(error)
            return
        self.add_future(self._pump(parts.shelving.lane.name))
        self.add_future(self._pump_events())
        self.add_future(self._tell_lag())

    async def _pump(self, lane: str) -> None:
        while not self.should_stop:
            await self.channels[lane].put(await self._batchers[lane].next())

    async def _pump_events(self) -> None:
        """Once the products that stood there at the start are on the shelf."""
        parts = self._parts
        try:
            if not parts.backlog.over:
                records, topic = parts.backlog.records, parts.settings.items
                log.info("events wait until about %d records of %s, not taken in yet, are on the shelf", records, topic)
                # Of an empty shelf no list is worth a thing. Of another most are: who restarts while a night's new
                # titles come in, or joins to help with them, does not hold up events until the last is encoded.
                await self._taken_in(parts.backlog, BACKLOG_S if len(parts.catalogue) else math.inf)
                parts.backlog.over = True
                log.info("events go on, with %d products on the shelf", len(parts.catalogue))
        except Exception as error:
            await self._end(error)
            return
        self.add_future(self._pay())
        await self._pump(parts.behaviour.lane.name)

    async def _taken_in(self, backlog: Backlog, longest_s: float = math.inf) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + longest_s
        while not (self.should_stop or loop.time() > end or await loop.run_in_executor(None, backlog.ask)):
            await self.sleep(BACKLOG_EVERY_S)

    async def _pay(self) -> None:
        """Who came when nothing was on the shelf gets a list once what comes first is there, all of it."""
        loop, parts = asyncio.get_running_loop(), self._parts
        while not self.should_stop:
            await self.sleep(PAY_EVERY_S)
            if not (parts.behaviour.owes and parts.catalogue.available.any()):
                continue
            try:
                backlog = parts.backlog.again()
                await loop.run_in_executor(None, backlog.look)
                await self._taken_in(backlog)
                if not parts.stopping:
                    await loop.run_in_executor(parts.behaviour.thread, parts.behaviour.pay)
            except Exception as error:
                await self._end(error)
                return

    async def _watch(self, failure: "Future[None]") -> None:
        try:
            await asyncio.wrap_future(failure)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await self._end(error)

    async def _end(self, error: BaseException) -> None:
        foreseen = exit_code(error) is not Exit.BUG
        self._parts.failure = self._parts.failure or error
        log.critical("the worker ends: %s", error, exc_info=None if foreseen else error)
        await self._app.crash(error)

    async def _beat(self) -> None:
        gauge, loop = self._parts.metrics.silence, self._parts.loop
        for pulse in self._parts.pulses:
            gauge.labels(pulse.name).set_function(partial(getattr, pulse, "silent_s"))
        while not self.should_stop:
            loop.beat()
            await self.sleep(BEAT_S)

    async def _tell_lag(self) -> None:
        metrics = self._parts.metrics
        while not self.should_stop:
            await self.sleep(LAG_EVERY_S)
            try:
                lags = await asyncio.wrap_future(self._parts.intake.lag())
            except Unreachable:  # The consumer has ended; `_watch` tells why.
                return
            metrics.lag.clear()  # Of partitions that others own now.
            for (topic, partition), lag in lags.items():
                metrics.lag.labels(topic, partition).set(lag)
            for lane in (turns.lane for turns in self._parts.turns):
                metrics.waiting.labels(lane.name).set(lane.waiting)
                if torn := lane.torn:  # For an instant in a rebalance, or for good where settings differ.
                    log.error(
                        "partitions %s wait: other workers hold them in some of the topics %s; has the whole group the "
                        "same --events?",
                        torn,
                        ", ".join(lane.topics),
                    )


def faust_app(parts: Parts) -> faust.App:
    """The Faust app: an agent per lane, the service that feeds their channels, and the web pages."""
    settings = parts.settings
    app = _App(
        settings.group,
        broker="kafka://unused",
        autodiscover=False,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        web_in_thread=False,
        topic_disable_leader=True,
    )
    app.boot_strategy = _NoKafka(app)
    feed = Feed(app, parts)
    for turns in parts.turns:
        app.agent(feed.channels[turns.lane.name], name=f"firstclick.{turns.lane.name}")(feed.agent(turns))
    cast(Any, app).service(feed)
    add_pages(app, parts)
    return app


def _await_ready(follower: Follower) -> None:
    while not follower.ready.wait(0.1):
        if follower.failure.done():
            return


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


def run(settings: Settings, joined: Callable[[Settings], Parts] = build) -> int:
    """One worker until it is told to stop. Returns the exit code 0; raises what ended it otherwise.

    Args:
        joined: makes the parts; tests of faults pass one that exchanges a part for a careless one.
    """
    _port_is_free(settings)
    if settings.hash_key:
        use_key(settings.hash_key)
    dictConfig(config(settings.log, settings.log_level))  # Faust sets it once more, when it starts.
    parts = joined(settings)
    worker = faust.Worker(
        faust_app(parts),
        loglevel=settings.log_level.upper(),
        logging_config=config(settings.log, settings.log_level),
        redirect_stdouts=False,
        daemon=True,
        quiet=True,
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
