"""Faults on the embedded broker, at least once: nothing is lost, what repeats is the same, and no list stays behind."""

from collections.abc import Callable
from pathlib import Path

from tests.brokers import Embedded
from tests.chaos.test_faults import Hold, verdict_of, works
from tests.chaos.traffic import SHELF, Traffic
from tests.fleet import Fleet


def test_killed_between_a_window_and_its_list(
    embedded: Embedded, hire: Callable[[Embedded], Fleet], tmp_path: Path
) -> None:
    fleet, hold = hire(embedded), Hold(tmp_path, "list")
    worker = fleet.start("one", hold.program).await_ready(len(SHELF))
    traffic = Traffic(fleet.bootstrap).start()
    works(worker)
    hold.catch()
    traffic.stop()  # No later event of these users helps: the lists that are owed must come by themselves.
    worker.kill()
    hold.let_go()
    fleet.start("one").await_ready(len(SHELF))
    verdict = verdict_of(fleet, traffic, repeats_allowed=True)
    assert verdict.clean, verdict
    assert verdict.accepted + verdict.rejected == verdict.produced
