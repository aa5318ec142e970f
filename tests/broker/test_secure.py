"""The worker and the commands on a cluster with TLS and SASL: every client is let in, and nobody tells the secret."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream import topics
from stream.cli import invoke
from stream.errors import Exit
from tests.brokers import missing
from tests.eventually import eventually
from tests.fleet import Fleet
from tests.secure import PASSWORD, USER, SecureKafka
from tests.shop import make_bundle

pytestmark = pytest.mark.kafka
LIST_S = 60.0

Cluster = tuple[SecureKafka, Path]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The broker and a folder with a bundle and the password; our topics are there."""
    if why := missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("secure")
    (folder / "password").write_text(PASSWORD + "\n")
    with closing(SecureKafka()) as kafka, closing(Fleet(kafka.bootstrap, make_bundle(folder).path, folder)):
        yield kafka, folder


def properties(cluster: Cluster, mechanism: str) -> dict[str, str]:
    kafka, folder = cluster
    told = {"security.protocol": "SASL_SSL", "ssl.ca.location": kafka.certificate, "sasl.mechanism": mechanism}
    if mechanism == "OAUTHBEARER":
        return told | {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": f"principal={USER}"}
    return told | {"sasl.username": USER, "sasl.password": f"file:{folder / 'password'}"}


def doctor(cluster: Cluster, told: dict[str, str], out: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """The exit code, and what it said, by check."""
    kafka, folder = cluster
    file = folder / "client.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    command = [
        "doctor",
        "--json",
        "--bootstrap",
        kafka.secured,
        "--bundle",
        str(folder / "bundle"),
        "--kafka",
        str(file),
    ]
    code = invoke(command)
    said = out.readouterr()
    assert PASSWORD not in said.out + said.err
    return code, {each["check"]: each for each in orjson.loads(said.out)["checks"]}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_admin_producer_and_consumer_come_in_by_each_mechanism(
    cluster: Cluster, mechanism: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = doctor(cluster, properties(cluster, mechanism), capsys)
    assert code == Exit.DONE, said
    assert said["guarantee"]["said"].startswith("exactly_once")
    assert said["topics"]["state"] == "ok"


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"sasl.password": "guessed"}, "sasl.password"),
        ({"ssl.ca.location": ""}, "ssl.ca.location"),
        ({"security.protocol": "PLAINTEXT"}, "security.protocol"),
    ],
)
def test_the_doctor_says_why_it_is_not_let_in(
    cluster: Cluster, wrong: dict[str, str], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {name: value for name, value in (properties(cluster, "SCRAM-SHA-512") | wrong).items() if value}
    code, said = doctor(cluster, told, capsys)
    assert code == Exit.UNREACHABLE
    assert said["broker"]["state"] == "wrong"
    assert remedy in said["broker"]["remedy"]


def test_a_worker_and_the_commands_work_and_the_log_keeps_the_secret(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka, folder = cluster
    told = orjson.dumps(properties(cluster, "SCRAM-SHA-512")).decode()
    event = {"event_id": "e", "user_id": "u", "kind": "click", "item_id": "red boots", "at": int(time.time() * 1000)}
    for topic, line in (("items", {"item_id": "red boots", "title": "red boots"}), ("events", event)):
        log = folder / f"{topic}.jsonl"
        log.write_bytes(orjson.dumps(line) + b"\n")
        assert invoke(["replay", str(log), "--bootstrap", kafka.secured, "--kafka", told, "--to", topic]) == Exit.DONE
    with closing(Fleet(kafka.bootstrap, folder / "bundle", folder)) as fleet:
        worker = fleet.start("guest", bootstrap=kafka.secured, kafka=told, log_level="debug")
        eventually(lambda: worker.counter("firstclick_lists_total"), LIST_S, worker.said)
        assert PASSWORD not in worker.said(1 << 30)
    capsys.readouterr()
    assert (
        invoke(["dump", "--bootstrap", kafka.secured, "--kafka", told, "--topic", topics.RECOMMENDATIONS]) == Exit.DONE
    )
    assert orjson.loads(capsys.readouterr().out)["user_id"] == "u"
