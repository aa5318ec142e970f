"""`firstclick serve` as consumers meet it: a process that follows a real broker's topics and answers over real HTTP."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from stream import topics
from stream.cli import invoke
from stream.errors import Exit, NotAllowed
from stream.serve import Followed, run
from stream.states import Memory
from tests.broker.test_broker_facts import a_transaction
from tests.brokers import ApacheKafka, Broker, admin
from tests.eventually import eventually
from tests.outputs import a_list, an_interest, of_both, publish
from tests.server import Answer, Server
from tests.unit.test_popular import record, shelved

SOON_S = 30.0  # Milliseconds on an idle machine.
PARTITIONS = 3
CATALOGUE = topics.catalogue_topic("small-1")
ASKED_S = 240.0  # Schemathesis takes 10 s on two idle cores.


def outputs_of(broker: Broker) -> None:
    """The topics that a server follows."""
    wanted = [topics.TopicShape(name, PARTITIONS, {"cleanup.policy": "compact"}) for name in followed()]
    topics.apply(admin(broker.bootstrap), wanted)


def unless_304(server: Server, user_id: str, known: str) -> Answer | None:
    answer = server.list_of(user_id, If_None_Match=known)
    return answer if answer.status == 200 else None


def followed() -> tuple[str, ...]:
    return topics.RECOMMENDATIONS, topics.INTERESTS, CATALOGUE


@pytest.mark.parametrize("state", ["memory", "sqlite"])
def test_who_joins_late_has_the_newest_of_all_users_and_then_what_comes(
    state: str, broker: Broker, tmp_path: Path
) -> None:
    outputs_of(broker)
    told = [each for version in (1, 2, 3) for number in range(200) for each in of_both(f"u{number}", version)]
    publish(broker.bootstrap, *told, (topics.RECOMMENDATIONS, "u7", None))
    publish(broker.bootstrap, (topics.RECOMMENDATIONS, "u8", b"no list"), (topics.INTERESTS, "u8", a_list("u8")))
    options = ["--state", "memory" if state == "memory" else f"sqlite:{tmp_path / 'state'}"]
    with Server(broker.bootstrap, *options).await_ready() as server:
        for number in {*range(200)} - {7}:
            assert server.list_of(f"u{number}").body == a_list(f"u{number}", 3)
        assert server.ask("/v1/users/u7/interest").body == an_interest("u7", 3)
        assert server.list_of("u7").status == 404
        skipped = server.ask("/readyz").told["skipped"]
        assert sum(skipped[topics.RECOMMENDATIONS].values()) == sum(skipped[topics.INTERESTS].values()) == 1
        known = server.list_of("u5").headers["ETag"]
        assert server.list_of("u5", If_None_Match=known).status == 304
        publish(broker.bootstrap, *of_both("u5", 4))
        newer = eventually(lambda: unless_304(server, "u5", known), SOON_S, server.said)
        assert newer is not None
        assert newer.body == a_list("u5", 4)
        assert server.stop() == Exit.DONE, server.said()


def test_a_file_is_read_on_where_it_ended_and_two_servers_answer_alike(broker: Broker, tmp_path: Path) -> None:
    outputs_of(broker)
    publish(broker.bootstrap, *(each for number in range(100) for each in of_both(f"u{number}", 1)))
    options = "--state", f"sqlite:{tmp_path / 'state'}", "--popular", "0"
    with Server(broker.bootstrap, *options).await_ready() as server:
        assert server.ask("/readyz").told["read"][topics.RECOMMENDATIONS] == 100
    publish(broker.bootstrap, *of_both("u3", 2), (topics.RECOMMENDATIONS, "u4", None))
    with (
        Server(broker.bootstrap, *options).await_ready() as server,
        Server(broker.bootstrap, "--popular", "0") as other,
    ):
        other.await_ready()
        assert server.ask("/readyz").told["read"][topics.RECOMMENDATIONS] < 100
        for number in range(100):
            assert server.list_of(f"u{number}").body == other.list_of(f"u{number}").body or number == 4
        assert server.list_of("u3").body == a_list("u3", 2)
        assert server.list_of("u4").status == other.list_of("u4").status == 404
        assert server.list_of("u5").headers["ETag"] == other.list_of("u5").headers["ETag"]


def test_what_sells_follows_the_catalogue(broker: Broker) -> None:
    outputs_of(broker)
    records = [record(shelved(f"i{clicks}", clicks))[1] for clicks in (3, 50, 7)]
    publish(broker.bootstrap, *((CATALOGUE, key.decode(), value) for key, value in records))
    with Server(broker.bootstrap, "--popular", "2").await_ready() as server:
        told = server.list_of("nobody", "?fallback=popular").told
        assert [item["item_id"] for item in told["items"]] == ["i50", "i7"]
        publish(broker.bootstrap, (CATALOGUE, "i50", None))
        eventually(
            lambda: server.list_of("nobody", "?fallback=popular").told["items"][0]["item_id"] == "i7",
            SOON_S,
            server.said,
        )


@pytest.mark.kafka
def test_what_was_aborted_is_never_served(kafka_empty: ApacheKafka) -> None:
    outputs_of(kafka_empty)
    publish(kafka_empty.bootstrap, *of_both("u", 1))
    with a_transaction(kafka_empty) as producer:
        producer.produce(topics.RECOMMENDATIONS, a_list("u", 2), "u")
        producer.produce(topics.RECOMMENDATIONS, a_list("v", 2), "v")
        assert producer.flush(20) == 0
        producer.abort_transaction(20)
    with Server(kafka_empty.bootstrap).await_ready() as server:
        assert server.list_of("u").body == a_list("u", 1)
        assert server.list_of("v").status == 404


@pytest.mark.kafka
def test_while_the_broker_is_away_it_serves_on_says_so_and_catches_up(fresh_kafka: ApacheKafka) -> None:
    outputs_of(fresh_kafka)
    publish(fresh_kafka.bootstrap, *of_both("u", 1))
    with Server(fresh_kafka.bootstrap).await_ready() as server:
        fresh_kafka.kill()
        eventually(lambda: "Firstclick-Stale" in server.list_of("u").headers, SOON_S, server.said)
        assert server.list_of("u").body == a_list("u", 1)
        ready = server.ask("/readyz")
        assert (ready.status, ready.told["broker"]) == (200, "silent")
        fresh_kafka.start()
        publish(fresh_kafka.bootstrap, *of_both("u", 2))
        eventually(lambda: server.list_of("u").body == a_list("u", 2), SOON_S, server.said)
        eventually(lambda: server.ask("/readyz").told["broker"] == "answers", SOON_S, server.said)
        assert "Firstclick-Stale" not in server.list_of("u").headers


def test_a_state_that_takes_no_more_ends_the_server_with_its_reason(broker: Broker) -> None:
    class Full(Memory):
        def apply(self, *_: object) -> None:
            raise NotAllowed("the disk is full")

    outputs_of(broker)
    publish(broker.bootstrap, *of_both("u", 1))
    followed = Followed({"bootstrap.servers": broker.bootstrap}, Full(), 0, None)
    with pytest.raises(NotAllowed, match="the disk is full"):
        run(followed, "127.0.0.1", 0, print)


def test_the_running_server_keeps_its_document_whatever_it_is_asked(broker: Broker, tmp_path: Path) -> None:
    outputs_of(broker)
    publish(broker.bootstrap, *of_both("u-17", 1050))
    item = record(shelved("i", 5))[1]
    publish(broker.bootstrap, (CATALOGUE, item[0].decode(), item[1]))
    with Server(broker.bootstrap).await_ready() as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"]
        command += ["--checks", "all", "--max-examples", "60", "--seed", "7", "--report-dir", str(tmp_path)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=ASKED_S, cwd=tmp_path, check=False)
        assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:] + server.said()
        assert "bug" not in server.said()
        # Ctrl-C is no fault, and no success either: a supervisor sees that somebody stopped it.
        assert server.stop(signal.SIGINT) == Exit.INTERRUPTED
        assert server.said().endswith("firstclick: interrupted\n")


def test_no_broker_no_topic_and_a_taken_port_are_named_with_the_remedy(
    kafka_empty: ApacheKafka, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = ["serve", "--bootstrap", kafka_empty.bootstrap]
    assert invoke([*serve, "--popular", "0"]) == Exit.UNREACHABLE
    assert "topic recommendations" in (said := capsys.readouterr().err)
    assert "`firstclick topics --apply`" in said
    outputs_of(kafka_empty)
    topics.apply(admin(kafka_empty.bootstrap), [topics.TopicShape(topics.catalogue_topic("other-2"))])
    assert invoke(serve) == Exit.USAGE
    assert (
        f"{topics.catalogue_topic('other-2')}, {CATALOGUE}; name the workers' with --catalogue"
        in capsys.readouterr().err
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert invoke([*serve, "--catalogue", CATALOGUE, "--port", port]) == Exit.UNREACHABLE
    assert f"--port {port} of --host 127.0.0.1" in capsys.readouterr().err
    monkeypatch.setattr("stream.topics.ASK_S", 0.5)
    assert invoke(["serve", "--bootstrap", "127.0.0.1:1"]) == Exit.UNREACHABLE
    assert "no broker answers at 127.0.0.1:1 (" in (said := capsys.readouterr().err)
    assert "check --bootstrap" in said


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
def test_the_newest_list_of_a_user_is_printed(
    partitioner: str, broker: Broker, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    outputs_of(broker)
    told = [(topics.RECOMMENDATIONS, f"u{n}", a_list(f"u{n}", version)) for version in (1, 2) for n in range(20)]
    publish(broker.bootstrap, *told, (topics.RECOMMENDATIONS, "u1", None), partitioner=partitioner)
    command = ["recommend", "--bootstrap", broker.bootstrap, "--user"]
    assert invoke([*command, "u5"]) == Exit.DONE
    assert capfdbinary.readouterr().out == a_list("u5", 2) + b"\n"
    for user in ("nobody", "u1"):
        assert invoke([*command, user]) == Exit.BAD_INPUT
        captured = capfdbinary.readouterr()
        assert captured.out == b""
        assert f"--user {user}: no list".encode() in captured.err
    publish(broker.bootstrap, (topics.RECOMMENDATIONS, "u5", b"{}"), partitioner=partitioner)
    assert invoke([*command, "u5"]) == Exit.BAD_INPUT
    assert b"is no list: " in capfdbinary.readouterr().err


def test_what_comes_is_watched_as_lines(broker: Broker) -> None:
    outputs_of(broker)
    publish(broker.bootstrap, *of_both("u", 1), *of_both("v", 1))
    command = [sys.executable, "-m", "stream.cli", "watch", "--bootstrap", broker.bootstrap, "--user", "u", "--newest"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        first = [orjson.loads(watching.stdout.readline()) for _ in range(2)]
        assert {line["topic"]: line["value"] for line in first} == {
            topics.RECOMMENDATIONS: orjson.loads(a_list("u", 1)),
            topics.INTERESTS: orjson.loads(an_interest("u", 1)),
        }
        publish(broker.bootstrap, *of_both("v", 2), (topics.INTERESTS, "u", b"?"), (topics.RECOMMENDATIONS, "u", None))
        gone = orjson.loads(watching.stdout.readline())
        assert (gone["topic"], gone["key"], gone["value"]) == (topics.RECOMMENDATIONS, "u", None)
        assert watching.stderr.readline().startswith(b"firstclick: following recommendations and interests at ")
        assert b"interests[" in (said := watching.stderr.readline())
        assert b"is skipped: " in said
        watching.send_signal(signal.SIGINT)
        assert watching.wait(SOON_S) == Exit.INTERRUPTED
        assert watching.stderr.read().strip() == b"firstclick: interrupted"
