"""Workers are killed, frozen, stopped and joined by others under traffic, on Apache Kafka: nothing is lost, doubled or
stale, and every event has one fate. And a line that is broken on purpose is caught.

The verdict is the checker's (tests/checker.py), which knows every event sent and shares no code with the line.
"""

from pathlib import Path

import pytest

from tests.chaos.traffic import SHELF, TOPICS, Traffic, miscounted
from tests.checker import Verdict
from tests.eventually import eventually
from tests.fleet import TAKE_OVER_S, Fleet, Worker

pytestmark = pytest.mark.kafka


class Hold:
    """Makes a hesitant worker stop where it is to be hit."""

    def __init__(self, folder: Path, where: str, outbox: str = "right") -> None:
        self.program = ("-m", "tests.chaos.hesitant", where, str(folder), outbox)
        self._hold, self._there = folder / "hold", folder / "there"

    def catch(self) -> None:
        """Returns when the worker is there."""
        self._hold.touch()
        eventually(self._there.exists, TAKE_OVER_S, "the worker to stop")

    def let_go(self) -> None:
        self._hold.unlink()
        self._there.unlink(missing_ok=True)


def works(worker: Worker) -> None:
    """Waits until it has published something more."""
    before = worker.counter("firstclick_lists_total")
    eventually(lambda: worker.counter("firstclick_lists_total") > before, TAKE_OVER_S, worker.said)


def owns(worker: Worker, count: int) -> None:
    """Waits until it has so many partitions."""
    eventually(lambda: len(worker.partitions()) == count, TAKE_OVER_S, worker.said)


def verdict_of(fleet: Fleet, traffic: Traffic, **expected: bool) -> Verdict:
    """Stops the traffic, waits until all of it is read, and checks."""
    sent = traffic.stop()
    fleet.await_committed(*TOPICS)
    return fleet.check(sent, **expected)


def holds(fleet: Fleet, traffic: Traffic) -> None:
    """0 lost, 0 doubled, 0 stale; each event counted once; every event has its fate."""
    verdict = verdict_of(fleet, traffic)
    assert verdict.clean, verdict
    assert verdict.accepted + verdict.rejected == verdict.produced == len(traffic.sent)
    assert verdict.rejected == sum(record["fate"] == "rejected" for record in traffic.sent) > 0
    assert miscounted(fleet, traffic.sent) == {}


@pytest.mark.parametrize("where", ["begin", "commit"])
def test_killed_and_started_again_under_its_name(fleet: Fleet, tmp_path: Path, where: str) -> None:
    hold = Hold(tmp_path, where)
    worker = fleet.start("one", hold.program).await_ready(len(SHELF))
    traffic = Traffic(fleet.bootstrap).start()
    works(worker)
    hold.catch()
    worker.kill()
    hold.let_go()
    again = fleet.start("one").await_ready(len(SHELF))
    works(again)
    holds(fleet, traffic)


@pytest.mark.parametrize("where", ["begin", "commit"])
def test_killed_and_nobody_comes_back_under_its_name(fleet: Fleet, tmp_path: Path, where: str) -> None:
    hold = Hold(tmp_path, where)
    worker, other = fleet.start("one", hold.program), fleet.start("two")
    for each in (worker, other):
        each.await_ready(len(SHELF))
        owns(each, 1)
    traffic = Traffic(fleet.bootstrap).start()
    works(worker)
    works(other)
    hold.catch()
    worker.kill()
    owns(other, 2)
    works(other)
    holds(fleet, traffic)


def test_one_joins_and_one_leaves_under_traffic(fleet: Fleet) -> None:
    first = fleet.start("one").await_ready(len(SHELF))
    traffic = Traffic(fleet.bootstrap).start()
    works(first)
    second = fleet.start("two").await_ready(len(SHELF))
    owns(second, 1)
    owns(first, 1)
    works(second)
    works(first)
    assert first.terminate() == 0, first.said()
    owns(second, 2)
    works(second)
    holds(fleet, traffic)
    # KIP-848 hands over without an abort, unless a commit meets the very moment at which the group's epoch changes.
    assert second.counter("firstclick_aborts_total") <= 2


@pytest.mark.parametrize("where", ["begin", "commit"])
def test_a_zombie_wakes_up_and_is_fenced(fleet: Fleet, tmp_path: Path, where: str) -> None:
    hold = Hold(tmp_path, where)
    # Of its two lanes only behaviour is to be caught in a transaction: the shelf's is quiet after its first counts.
    zombie, other = fleet.start("one", hold.program, counts_every_ms=600_000), fleet.start("two")
    for each in (zombie, other):
        each.await_ready(len(SHELF))
        owns(each, 1)
    shelved = 'firstclick_commits_total{lane="shelf"}'
    before = zombie.counter(shelved)
    traffic = Traffic(fleet.bootstrap).start()
    works(zombie)
    eventually(lambda: zombie.counter(shelved) > before, TAKE_OVER_S, zombie.said)
    hold.catch()
    zombie.freeze()
    owns(other, 2)  # The session is over, and so is the transaction.
    works(other)
    hold.let_go()
    zombie.thaw()
    if where == "commit":
        assert zombie.process.wait(TAKE_OVER_S) not in (0, None), zombie.said()
        assert "no longer takes writes" in zombie.said()
    else:
        eventually(lambda: zombie.counter("firstclick_aborts_total") > 0, TAKE_OVER_S, zombie.said)
        owns(zombie, 1)
        works(zombie)
    holds(fleet, traffic)


@pytest.mark.parametrize(("outbox", "fault"), [("offsets-first", "lost"), ("offsets-last", "doubled")])
def test_offsets_outside_of_the_transaction_are_caught(fleet: Fleet, tmp_path: Path, outbox: str, fault: str) -> None:
    hold = Hold(tmp_path, "apart", outbox)
    worker = fleet.start("one", hold.program).await_ready(len(SHELF))
    traffic = Traffic(fleet.bootstrap).start()
    works(worker)
    hold.catch()
    traffic.stop()
    worker.kill()
    hold.let_go()
    fleet.start("one")
    fleet.await_committed(*TOPICS)
    verdict = fleet.check(traffic.sent)
    assert getattr(verdict, fault), verdict
