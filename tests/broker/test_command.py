"""The command `firstclick` against a broker: topics, replay, the demo."""

import gzip
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from model.bundle import DEFAULT_BUNDLE, Bundle, BundleError
from stream import topics
from stream.cli import invoke
from stream.demo.bundle import DEMO_BUNDLE
from stream.errors import Exit
from stream.murmur2 import partition_of
from tests.brokers import ApacheKafka, Broker, Embedded

DEMO_S = 240.0  # 15 s on two idle cores.


@pytest.fixture(scope="module")
def space() -> str:
    try:
        return Bundle.load(DEFAULT_BUNDLE).space
    except BundleError as error:
        pytest.skip(f"no ready bundle, `make install` makes it: {error}")


def test_topics_are_told_created_and_then_right(broker: Broker, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["topics", "--bootstrap", broker.bootstrap, "--partitions", "3"]
    assert invoke(command) == Exit.BAD_INPUT
    assert f"{topics.catalogue_topic(space)}: missing; would have 3 partitions" in capsys.readouterr().out
    assert not {topics.WINDOWS, topics.REJECTED} & set(
        AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics().topics
    )
    assert invoke([*command, "--apply"]) == Exit.DONE
    assert invoke(["topics", "--bootstrap", broker.bootstrap]) == Exit.DONE
    assert invoke(["topics", "--bootstrap", broker.bootstrap, "--apply"]) == Exit.DONE
    assert invoke(["topics", "--bootstrap", broker.bootstrap, "--partitions", "5", "--apply"]) == Exit.UNREACHABLE
    assert "growing a keyed topic" in capsys.readouterr().err


@pytest.mark.kafka
def test_three_brokers_keep_three_copies_of_which_two_must_answer(kafka3: ApacheKafka) -> None:
    kafka3.clear()
    admin = AdminClient({"bootstrap.servers": kafka3.bootstrap})
    wanted = topics.shapes("zero-shot-1", partitions=2)
    assert len(topics.apply(admin, wanted)) == len(wanted)
    assert topics.check(admin, wanted) == []
    found, brokers = topics.look(admin, [topics.WINDOWS, topics.REJECTED])
    assert brokers == 3
    assert (found[topics.WINDOWS].replication, found[topics.WINDOWS].config["min.insync.replicas"]) == (3, "2")
    assert found[topics.REJECTED].config["max.message.bytes"] == str(topics.REJECTED_BYTES)


@pytest.mark.kafka
def test_a_wrong_clean_up_policy_is_put_right(kafka_empty: ApacheKafka) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_empty.bootstrap})
    for future in admin.create_topics([NewTopic("items", 4, 1, config={"cleanup.policy": "delete"})]).values():
        future.result()
    wanted = topics.shapes("zero-shot-1")
    topics.apply(admin, wanted)
    assert topics.check(admin, wanted) == []


def test_a_replayed_log_stands_in_the_topic_each_user_in_the_partition_of_javas_hash(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    topics.apply(admin, [topics.TopicShape("replayed", 4)])  # Returns when the broker shows it.
    log = tmp_path / "log.jsonl.gz"
    lines = [b'{"user_id":"u%d","event_id":"e%d"}' % (number % 97, number) for number in range(5_000)]
    log.write_bytes(gzip.compress(b"\n".join([*lines, b"no JSON"])))
    assert invoke(["replay", str(log), "--bootstrap", broker.bootstrap, "--to", "replayed"]) == Exit.BAD_INPUT
    told = orjson.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["delivered"], told["refused"], told["failed"], told["next_line"]) == (5_000, 1, 0, 5_002)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "check", "enable.auto.commit": False})
    consumer.assign([TopicPartition("replayed", part, OFFSET_BEGINNING) for part in range(4)])
    found = []
    while len(found) < len(lines):
        message = consumer.poll(20)
        assert message is not None, f"only {len(found)} came"
        assert message.error() is None
        found.append(message.value())
        assert message.partition() == partition_of(message.key(), 4)
    consumer.close()
    assert sorted(found) == sorted(lines)


def test_a_replay_to_nowhere_says_so(broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _replay_to_nowhere(broker, tmp_path, capsys)


def test_a_mistyped_topic_is_created_on_no_broker(
    embedded: Embedded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded broker makes a topic of every name that is asked for, as Kafka does by default."""
    _replay_to_nowhere(embedded, tmp_path, capsys)


def _replay_to_nowhere(broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    topics.apply(admin, [topics.TopicShape("clicks-of-the-shop", 2)])
    log = tmp_path / "log.jsonl"
    log.write_text('{"user_id":"u"}\n')
    command = ["replay", str(log), "--bootstrap", broker.bootstrap]
    assert invoke([*command, "--to", "clicks-of-the-shpo"]) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert "--to clicks-of-the-shpo: there is no such topic" in said
    assert "there are clicks-of-the-shop;" in said.replace("\n", " ")
    assert "clicks-of-the-shpo" not in admin.list_topics().topics


@pytest.mark.usefixtures("space")
def test_the_demo_runs_without_a_terminal_and_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stream.cli", "demo", "--seconds", "5", "--plain"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_S, check=False, **_elsewhere(tmp_path))
    assert ran.returncode == Exit.DONE, ran.stderr
    assert not left(tmp_path)
    told = orjson.loads(ran.stdout.splitlines()[-1])
    assert told["rejected"] == 0
    assert 0 < told["lists"] <= told["events"]
    assert told["users"] > 1
    assert 0 < told["p50_ms"] <= told["p99_ms"]
    assert "because you bought" in ran.stdout
    # The shop's own model, or aloud another.
    assert ("trained on" in ran.stdout) == DEMO_BUNDLE.exists()
    assert ("make install" in ran.stderr) != DEMO_BUNDLE.exists()


def _elsewhere(folder: Path) -> dict[str, Any]:
    """A command with this code runs in a folder of its own, and beside it lie its temporary files."""
    for name in ("here", "temporary"):
        (folder / name).mkdir()
    told = {"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder / "temporary")}
    return {"cwd": folder / "here", "env": {**os.environ, **told}}


def left(folder: Path) -> list[Path]:
    """What a command has left there; of the temporary files ours (onnxruntime keeps one of its own)."""
    return [*(folder / "here").iterdir(), *(folder / "temporary").glob("firstclick*")]


@pytest.mark.usefixtures("space")
def test_who_has_seen_enough_of_the_demo_finds_nothing_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stream.cli", "demo", "--plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **_elsewhere(tmp_path)) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.stdout.close()  # As `firstclick demo | head -1` does.
        demo.wait(DEMO_S)
    assert not left(tmp_path)


@pytest.mark.usefixtures("space")
def test_ctrl_c_stops_the_demo_and_all_that_it_started() -> None:
    command = [sys.executable, "-m", "stream.cli", "demo", "--plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        bootstrap = next(lines).split()[2]
        assert any("because you bought" in line for line in lines)
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=DEMO_S)
    assert demo.returncode == Exit.DONE, err
    assert orjson.loads(out.splitlines()[-1])["lists"] > 0
    host, port = bootstrap.split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0, "the broker still listens"
