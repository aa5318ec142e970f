"""One contract for both states; and what only a file can do: go on where it ended."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.errors import NotAllowed, WrongUsage
from stream.outputs import Gone, Output
from stream.states import KEPT_MS, Memory, Sqlite, State, state_of

T = "recommendations"


def output(user_id: str, at_ms: int, version: int, model: str = "m") -> Output:
    return Output(user_id, at_ms, version, model, f"{user_id}@{at_ms}.{version}.{model}".encode())


@pytest.fixture(params=["memory", "sqlite"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    made: State = Memory() if request.param == "memory" else Sqlite(tmp_path / "state.db")
    made.begin(T, "here", 0)
    made.begin("interests", "here", 0)
    yield made
    made.close()


def test_the_newest_counts_whatever_the_order_and_however_often(state: State) -> None:
    draw = random.Random(3)
    told = [output(f"u{draw.randrange(9)}", draw.randrange(5), draw.randrange(50)) for _ in range(400)]
    for start in range(0, len(told), 37):
        state.apply(T, told[start : start + 37], {0: start}, 0)
    for user in {each.user_id for each in told}:
        best = max((each for each in told if each.user_id == user), key=lambda each: (each.at_ms, each.version))
        assert state.get(T, user) == best


def test_who_tells_the_same_version_later_is_believed(state: State) -> None:
    state.apply(T, [output("u", 1, 1, "m-1"), output("u", 1, 1, "m-2")], {}, 0)
    assert state.get(T, "u") == output("u", 1, 1, "m-2")


def test_versions_that_begin_anew_with_the_topics_are_newer_by_their_events_time(state: State) -> None:
    state.apply(T, [output("u", 1, 900), output("u", 2, 3)], {}, 0)
    assert state.get(T, "u") == output("u", 2, 3)


def test_a_tombstone_forgets_and_what_comes_after_it_is_held(state: State) -> None:
    state.apply(T, [output("u", 5, 5), output("v", 5, 5), Gone("u"), Gone("nobody")], {}, 0)
    assert state.get(T, "u") is None
    state.apply(T, [output("u", 1, 1)], {}, 0)
    assert state.get(T, "u") == output("u", 1, 1)
    assert state.get(T, "v") == output("v", 5, 5)


def test_users_are_counted_once_each_and_by_topic(state: State) -> None:
    state.apply(T, [output("u", 1, 1), output("v", 5, 5), output("u", 2, 2), output("v", 1, 1)], {}, 0)
    assert (state.users(T), state.users("interests")) == (2, 0)
    state.apply(T, [Gone("u"), Gone("nobody"), output("w", 1, 1), Gone("u")], {}, 0)
    assert state.users(T) == 2
    state.begin(T, "elsewhere", 0)
    assert state.users(T) == 0


def test_topics_and_odd_ids_are_kept_apart(state: State) -> None:
    ids = ["a", "A", "a ", "a\0", "ä", "a\u0308", "'; --", "🛒"]
    state.apply(T, [output(user_id, 1, number) for number, user_id in enumerate(ids)], {}, 0)
    for number, user_id in enumerate(ids):
        assert state.get(T, user_id) == output(user_id, 1, number)
    assert state.get("interests", "a") is None


def test_a_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = Sqlite(tmp_path / "s")
    assert first.begin(T, "here", 0) == {}
    first.apply(T, [output("u", 1, 1)], {0: 10, 1: 20}, 5)
    first.apply(T, [], {0: 11}, 6)
    first.close()
    second = Sqlite(tmp_path / "s")
    assert second.begin(T, "here", KEPT_MS) == {0: 11, 1: 20}
    assert second.get(T, "u") == output("u", 1, 1)
    second.close()


@pytest.mark.parametrize(("source", "now_ms"), [("elsewhere", 7), ("here", KEPT_MS + 7)])
def test_a_file_of_another_topic_or_too_old_begins_anew(source: str, now_ms: int, tmp_path: Path) -> None:
    state = Sqlite(tmp_path / "s")
    for topic in (T, "interests"):
        state.begin(topic, "here", 0)
        state.apply(topic, [output("u", 1, 1)], {0: 10}, 6)
    assert state.begin(T, source, now_ms) == {}
    assert state.get(T, "u") is None
    assert state.get("interests", "u") is not None
    state.close()


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    state = Sqlite(tmp_path / "s")
    state.begin(T, "here", 0)
    with pytest.raises(OverflowError):
        state.apply(T, [output("u", 1, 1), output("v", 1, 1 << 63)], {0: 10}, 6)
    assert state.get(T, "u") is None
    assert state.begin(T, "here", 7) == {}
    state.close()


def test_what_is_no_state_is_named_with_the_remedy(tmp_path: Path) -> None:
    for told in ("disk", "sqlite", "sqlite:", "memory:x"):
        with pytest.raises(WrongUsage, match=rf"--state {told}; give `memory`, or `sqlite:`"):
            state_of(told)
    with pytest.raises(NotAllowed, match=r"--state sqlite:/nowhere/x: unable to open"):
        state_of("sqlite:/nowhere/x")
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(NotAllowed, match="not a database"):
        state_of(f"sqlite:{tmp_path / 'text'}")
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE customers (id)")
    other.close()
    with pytest.raises(NotAllowed, match=r"another program or version; .* delete it"):
        state_of(f"sqlite:{tmp_path / 'other'}")
