"""What the doctor finds without a broker, and with the embedded one."""

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition

from stream import topics
from stream.cli import invoke
from stream.doctor import MIB, WORK_BYTES, Finding, clock, disk, memory, memory_bytes, versions
from stream.errors import Exit
from stream.settings import Settings
from tests.brokers import Embedded
from tests.shop import make_bundle

NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("doctor")).path


def asked(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, dict[str, Finding]]:
    """The exit code and the findings by check."""
    code = invoke(["doctor", "--json", *command])
    told: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    assert told["healthy"] == (code == Exit.DONE)
    return code, {each["check"]: Finding(**each) for each in told["checks"]}


def test_without_a_broker_all_else_is_told(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "ASK_S", 0.5)
    code, found = asked(capsys, "--bootstrap", NOBODY, "--bundle", str(bundle))
    assert code == Exit.UNREACHABLE
    assert found["broker"].state == "wrong"
    assert NOBODY in found["broker"].said
    assert "--bootstrap" in found["broker"].remedy
    assert {name for name, each in found.items() if each.state == "skipped"} == {"topics", "guarantee", "clock"}
    assert found["bundle"].state == found["provider"].state == found["versions"].state == "ok"
    assert all(each.remedy for each in found.values() if each.state in ("wrong", "warning"))


def test_a_bundle_and_a_device_that_are_not_there_are_named_with_the_remedy(
    bundle: Path, embedded: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = asked(capsys, "--bootstrap", embedded.bootstrap, "--bundle", "/nowhere")
    assert code == Exit.BAD_INPUT
    assert (found["bundle"].state, found["provider"].state) == ("wrong", "skipped")
    assert "--bundle" in found["bundle"].remedy
    code, found = asked(capsys, "--bootstrap", embedded.bootstrap, "--bundle", str(bundle), "--device", "cuda:7")
    assert code == Exit.BAD_INPUT
    assert found["provider"].state == "wrong"
    assert "--device cpu" in found["provider"].remedy


def test_missing_topics_are_wrong_until_they_are_there(
    bundle: Path, embedded: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "--bootstrap", embedded.bootstrap, "--bundle", str(bundle)
    code, found = asked(capsys, *command)
    assert code == Exit.BAD_INPUT
    assert "items: missing" in found["topics"].said
    assert "topics --apply" in found["topics"].remedy
    assert invoke(["topics", *command, "--apply"]) == Exit.DONE
    capsys.readouterr()
    code, found = asked(capsys, *command)
    assert code == Exit.DONE, found
    assert found["guarantee"].state == "warning"  # The embedded broker shows aborted records, and the doctor says so.
    assert invoke(["doctor", *command]) == Exit.DONE
    assert f"{found['topics'].state:<10}topics" in capsys.readouterr().out


class FakeAdmin:
    """A broker with the topic `clicks`, that tells the newest record time of each of its partitions, -1 for none."""

    def __init__(self, *newest_ms: int) -> None:
        self._newest_ms = newest_ms

    def list_topics(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(
            topics={"clicks": SimpleNamespace(partitions=dict.fromkeys(range(len(self._newest_ms))))}
        )

    def list_offsets(self, asked: Iterable[TopicPartition], request_timeout: float) -> dict[TopicPartition, Any]:
        answers: dict[TopicPartition, Any] = {}
        for place in asked:
            answers[place] = Future()
            answers[place].set_result(SimpleNamespace(timestamp=self._newest_ms[place.partition]))
        return answers


@pytest.mark.parametrize(
    ("newest_ms", "state", "said"),
    [
        ((-1, -1), "skipped", "no event"),
        ((), "skipped", "no event"),
        ((1_000_000, 1_060_000), "wrong", "clicks[1] is 60 s ahead"),
        ((1_001_000, -1), "ok", "clicks[0]"),  # A second: within what NTP and a busy machine leave open.
        ((990_000, 970_000), "ok", "clicks[0], is 10 s old"),
    ],
)
def test_this_machines_clock_is_held_against_the_newest_record(
    newest_ms: tuple[int, ...], state: str, said: str
) -> None:
    found = clock(Settings(events=("clicks", "browses")), FakeAdmin(*newest_ms), now_s=1_000.0)
    assert found.state == state
    assert said in found.said


def test_versions_are_those_that_the_package_asks_for() -> None:
    found = versions()
    assert found.state == "ok", found.said
    for name in ("Python 3.", "librdkafka 2.", "faust-streaming 0.", "onnxruntime"):
        assert name in found.said


@pytest.mark.parametrize(("available", "state"), [(WORK_BYTES - 1, "wrong"), (WORK_BYTES, "ok")])
def test_memory_must_hold_a_workers_batches(available: int, state: str) -> None:
    assert memory(300 * MIB, available).state == state


def test_a_containers_limit_counts_where_it_is_less_than_the_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "statm").write_text("9 2 1 1 0 1 0\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    assert memory_bytes(tmp_path, tmp_path) == (8192, 8_000_000 * 1024)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory_bytes(tmp_path, tmp_path)[1] == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory_bytes(tmp_path, tmp_path)[1] == 4000


def test_disk_is_asked_for_where_the_bundle_lies(bundle: Path) -> None:
    assert disk(bundle).state == "ok"
    assert disk(Path("/nowhere/bundle")).state == "ok"
