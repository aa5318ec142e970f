"""A call that does not come back ends the process; slow ones, many quick ones and none at all do not."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream.errors import Exit
from stream.overdue import Overdue
from tests.eventually import eventually

TICK_S = 0.02
TICKS = 5


def looking(ends: list[int]) -> Overdue:
    return Overdue("w1", TICKS, ends.append, TICK_S)


def test_a_call_that_does_not_come_back_ends_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[int] = []
    with looking(ends).calling():
        eventually(lambda: ends, 10)
    assert ends == [Exit.UNREACHABLE]
    (said,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "w1" in said.getMessage()
    assert "start it again" in said.getMessage()


def test_it_ends_though_nothing_can_be_said(tmp_path: Path) -> None:
    ends: list[int] = []
    handler = logging.StreamHandler((tmp_path / "log").open("w"))
    handler.stream.close()
    logging.getLogger().addHandler(handler)
    try:
        with looking(ends).calling():
            eventually(lambda: ends, 10)
    finally:
        logging.getLogger().removeHandler(handler)
    assert ends == [Exit.UNREACHABLE]


def test_many_calls_are_not_one_long_one_and_an_error_ends_a_call() -> None:
    ends: list[int] = []
    overdue = looking(ends)
    until = time.monotonic() + 4 * TICKS * TICK_S
    while time.monotonic() < until:
        with pytest.raises(ValueError, match="stale"), overdue.calling():
            raise ValueError("stale")
        with overdue.calling():
            time.sleep(TICK_S / 4)
    time.sleep(4 * TICKS * TICK_S)  # Nothing is under way.
    assert overdue.is_alive()
    assert ends == []


def test_the_process_ends_though_its_thread_never_does() -> None:
    """Where the stacks go, the hanging call stands."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import time\nfrom stream.overdue import Overdue\n"
            "with Overdue('w1', 3, tick_s=.05).calling():\n    time.sleep(600)",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == Exit.UNREACHABLE
    assert "w1" in told.stderr
    assert "most recent call first" in told.stderr
