"""`make chaos`: the faults of test_faults.py many times over, and brokers that fail. Minutes each.

A supervisor starts again, under its name, whoever ends: a worker that was fenced ends itself, as it should.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest

from tests.brokers import ApacheKafka
from tests.chaos.hesitant import STACKS
from tests.chaos.test_faults import Hold, holds
from tests.chaos.traffic import SHELF, Traffic
from tests.eventually import eventually
from tests.fleet import Ended, Fleet, Worker

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

PARTITIONS = 4
PER_S, USERS = 100, 2_000  # Windows that never fill: n_events has one right value over minutes.
RECOVERY_S = 120.0
MOST = 20_000  # Characters: the stacks of a worker's dozen threads.


class Crew:
    """Workers that are started again when they end."""

    def __init__(self, fleet: Fleet, size: int, **settings: object) -> None:
        self.fleet, self._settings = fleet, settings
        self.workers: dict[str, Worker] = {}
        self.holds: dict[str, Hold] = {}
        self._numbers = count(1)
        self.ended = 0
        """How many ended by themselves."""
        for _ in range(size):
            self.add()
        self.await_whole()

    def add(self, name: str = "") -> str:
        """Another worker, or the same name again. Returns its name."""
        name = name or f"w{next(self._numbers)}"
        if name not in self.holds:
            folder = self.fleet.folder / name
            folder.mkdir()
            self.holds[name] = Hold(folder, "commit")
        self.workers[name] = self.fleet.start(name, self.holds[name].program, **self._settings)
        return name

    def tend(self) -> None:
        """Starts again whoever has ended."""
        for name, worker in list(self.workers.items()):
            if worker.process.poll() is not None:
                print(f"{name} ended with {worker.process.returncode} and is started again")
                self.ended += 1
                self.add(name)

    def lists(self) -> dict[Worker, float]:
        """How many lists each worker has published; of those alone who answer."""
        published = {}
        for worker in self.workers.values():
            with suppress(Ended):
                published[worker] = worker.counter("firstclick_lists_total")
        return published

    def await_whole(self) -> None:
        """Until every partition is somebody's and every worker has the shelf."""

        def whole() -> bool:
            self.tend()
            try:
                told = [worker.ready() for worker in self.workers.values()]
            except Ended:
                return False
            owned = sorted(each for one in told for each in one.get("partitions", {}).get("behaviour", []))
            return owned == list(range(PARTITIONS)) and all(one.get("items") == len(SHELF) for one in told)

        eventually(whole, RECOVERY_S, self.stacks)

    def stacks(self) -> str:
        """Where every worker's threads stand: what hangs shows what it waits for."""
        for worker in self.workers.values():
            worker.process.send_signal(STACKS)
        eventually(lambda: all("most recent call first" in worker.said(MOST) for worker in self.workers.values()), 5)
        return "\n".join(f"{name}:\n{worker.said(MOST)}" for name, worker in self.workers.items())

    def works(self) -> None:
        """Until lists come again."""
        before = self.lists()

        def more() -> bool:
            self.tend()
            return any(lists > before.get(worker, 0) for worker, lists in self.lists().items())

        eventually(more, RECOVERY_S, self.stacks)


def test_twelve_kills_eight_of_them_inside_a_transaction(kafka_empty: ApacheKafka, hire: Callable[..., Fleet]) -> None:
    crew = Crew(hire(kafka_empty, PARTITIONS), 2)
    traffic = Traffic(crew.fleet.bootstrap, PER_S, USERS).start()
    dice = random.Random(3)
    for number in range(12):
        crew.works()
        victim = dice.choice(list(crew.workers))
        if number % 3:
            crew.holds[victim].catch()
        crew.workers.pop(victim).kill()
        if number % 3:
            crew.holds[victim].let_go()
        crew.add(dice.choice([victim, ""]))
        crew.await_whole()
    crew.works()
    assert crew.ended == 0
    holds(crew.fleet, traffic)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_many_rebalances(kafka_empty: ApacheKafka, hire: Callable[..., Fleet], protocol: str) -> None:
    crew = Crew(hire(kafka_empty, PARTITIONS), 1, group_protocol=protocol)
    traffic = Traffic(crew.fleet.bootstrap, PER_S, USERS).start()
    for _ in range(8):
        crew.add()
        crew.await_whole()
        crew.works()
        oldest = next(iter(crew.workers))
        assert crew.workers.pop(oldest).terminate() == 0
        crew.await_whole()
        crew.works()
    assert crew.ended == 0
    holds(crew.fleet, traffic)


def test_one_of_three_brokers_is_stopped_and_another_killed(kafka3: ApacheKafka, hire: Callable[..., Fleet]) -> None:
    kafka3.clear()
    # A coordinator's move takes longer than a busy machine's commit.
    crew = Crew(hire(kafka3, PARTITIONS), 2, transaction_timeout_ms=10_000)
    traffic = Traffic(crew.fleet.bootstrap, PER_S, USERS).start()
    for hit, broker in ((kafka3.stop, 2), (kafka3.kill, 3), (kafka3.stop, 1), (kafka3.kill, 2)):
        crew.works()
        hit(broker)
        crew.works()
        kafka3.start(broker)
        crew.await_whole()
    crew.works()
    holds(crew.fleet, traffic)
