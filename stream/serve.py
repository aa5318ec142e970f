"""Beside the line, for consumers: `firstclick serve` from start to stop: followers, state, and the HTTP server.

Knows nothing of what an answer looks like (answers.py). Any number may run: each follows the topics by itself, in no
group, and writes nothing to Kafka. A reader that ends takes the process with it: else it would serve ever older lists.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from aiohttp import web
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream import topics
from stream.answers import web_app
from stream.collector import calm
from stream.errors import Exit, NotAllowed
from stream.follower import Follower, Pair
from stream.outputs import Outputs, admin_of
from stream.popular import Popular, catalogue_of
from stream.states import State
from stream.topics import partitions

log = logging.getLogger(__name__)

FOLLOWED = (topics.RECOMMENDATIONS, topics.INTERESTS)
CATALOGUE = "catalogue"
"""How the catalogue is called where topics are told: its topic's name differs from model to model."""
PULSE_S = 2.0  # A silent broker is told after one to two of these.
# Python's own 5 ms is what an answer would wait while a follower's thread parses: the p99 that is promised, all of it.
SWITCH_S = 0.0005


class Followed:
    """The output topics, followed into a state, and the catalogue, for what is popular.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        state: takes the outputs.
        popular: items of the popularity list; 0: the catalogue is not followed.
        catalogue: its topic; None: the only one that there is.

    Raises:
        Unreachable: no broker answers, or a topic is not there.
        WrongUsage: there are several catalogues.
    """

    def __init__(self, client: Mapping[str, Any], state: State, popular: int, catalogue: str | None) -> None:
        self.state, self.popular = state, Popular(popular) if popular else None
        self._client, self._admin = client, admin_of(client)
        self._outputs = {topic: Outputs(topic, partial(self._keep, topic)) for topic in FOLLOWED}
        self._followers: dict[str, Follower] = {}
        for topic, outputs in self._outputs.items():
            begin = state.begin(topic, _source(self._admin, topic, client), _now_ms())
            self._follow(topic, topic, outputs.apply, begin)
        if self.popular is not None:
            self._follow(CATALOGUE, catalogue_of(self._admin, catalogue), self.popular.apply, {})
        self._heard_s, self._silent = time.monotonic(), False

    def _follow(
        self, name: str, topic: str, apply: Callable[[Sequence[tuple[int, Pair]]], None], begin: Mapping[int, int]
    ) -> None:
        count = len(partitions(self._admin, topic, "topic", self._client["bootstrap.servers"]))
        self._followers[name] = Follower(self._client, self._admin, topic, count, None, apply, begin, gentle=True)

    def _keep(self, topic: str, outputs: Sequence[Any]) -> None:
        self.state.apply(topic, outputs, self._followers[topic].passed, _now_ms())

    def start(self) -> "list[Future[None]]":
        """Begins to read. Returns what ends with a reader."""
        for follower in self._followers.values():
            follower.start()
        return [follower.failure for follower in self._followers.values()]

    def stop(self) -> None:
        """Reads no more."""
        for follower in self._followers.values():
            follower.stop()
        self.state.close()

    @property
    def caught_up(self) -> bool:
        """All topics have been read to where they ended at the start."""
        return all(follower.ready.is_set() for follower in self._followers.values())

    @property
    def ready(self) -> bool:
        """All has been read, and is read on."""
        return self.caught_up and self.alive

    @property
    def alive(self) -> bool:
        """No reader has ended."""
        return not any(follower.failure.done() for follower in self._followers.values())

    def silent_s(self) -> float:
        """Seconds since a broker answered; 0 while they do."""
        return time.monotonic() - self._heard_s if self._silent else 0.0

    def ask(self) -> None:
        """Asks the brokers for a sign of life; takes at most a pulse."""
        try:
            self._admin.list_topics(topics.RECOMMENDATIONS, timeout=PULSE_S)
        except KafkaException as error:
            if not self._silent:
                log.warning("no broker answers (%s): what has been read is served on", error.args[0].name())
            self._silent = True
            return
        if self._silent:
            log.warning("the brokers answer again after %.0f s", self.silent_s())
        self._heard_s, self._silent = time.monotonic(), False

    def newest_ms(self) -> dict[str, int]:
        """Topic -> when its newest record was written (epoch); 0 before the first."""
        return {name: follower.newest_ms for name, follower in self._followers.items()}

    def read(self) -> dict[str, int]:
        """Topic of outputs -> records read."""
        return {topic: outputs.read for topic, outputs in self._outputs.items()}

    def skipped(self) -> dict[str, Mapping[str, int]]:
        """Topic -> what is wrong -> records passed over for it."""
        told: dict[str, Mapping[str, int]] = {topic: outputs.skipped for topic, outputs in self._outputs.items()}
        return told if self.popular is None else {**told, CATALOGUE: self.popular.skipped}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _source(admin: AdminClient, topic: str, client: Mapping[str, Any]) -> str:
    """Names a topic for ever: one that is deleted and created anew has another name."""
    partitions(admin, topic, "topic", client["bootstrap.servers"])  # Raises what to do where it is not there.
    told = admin.describe_topics(TopicCollection([topic]), request_timeout=topics.ASK_S)[topic].result()
    return f"{admin.list_topics(topic, timeout=topics.ASK_S).cluster_id}/{told.topic_id}"


def run(followed: Followed, host: str, port: int, say: Callable[[str], None]) -> int:
    """Serves until SIGTERM (returns 0) or Ctrl-C (raises KeyboardInterrupt).

    Args:
        followed: not started yet.
        host: address to listen on.
        port: 0 picks a free one.
        say: is told where it listens.

    Raises:
        NotAllowed: the address cannot be had.
        CommandError: what ended a reader.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        asyncio.run(_serve(followed, host, port, say))
    finally:
        sys.setswitchinterval(before)
        followed.stop()
    return Exit.DONE


async def _serve(followed: Followed, host: str, port: int, say: Callable[[str], None]) -> None:
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    runner = web.AppRunner(web_app(followed), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise NotAllowed(
                f"--port {port} of --host {host} cannot be had: {error.strerror or error}", "give others"
            ) from error
        say(f"serving http://{host}:{runner.addresses[0][1]}/v1/users/{{id}}/recommendations")
        readers = followed.start()
        pulse = asyncio.create_task(_pulse(followed))
        stop = asyncio.create_task(told_to_stop.wait())
        ends: list[asyncio.Future[Any]] = [stop, pulse, asyncio.create_task(_caught_up(followed))]
        ends += map(asyncio.wrap_future, readers)
        while not stop.done():
            done, left = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
            ends = list(left)
    finally:
        await runner.cleanup()


async def _pulse(followed: Followed) -> None:
    while True:
        await asyncio.sleep(PULSE_S)
        await asyncio.get_running_loop().run_in_executor(None, followed.ask)


async def _caught_up(followed: Followed) -> None:
    began = time.monotonic()
    while not followed.caught_up:
        await asyncio.sleep(0.05)
    log.info("all is read after %.1f s: %s", time.monotonic() - began, followed.read())
    calm()
