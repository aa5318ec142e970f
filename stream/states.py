"""Beside the line, for consumers: the newest output of every user, held in memory or in a file of SQLite.

Knows nothing of Kafka or HTTP. One law for both: of a user's outputs the newest counts, by event time and then by
version, in whatever order and however often they come; a tombstone forgets the user.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from stream.errors import NotAllowed, WrongUsage
from stream.outputs import Gone, Output

FORM = 1
KEPT_MS = 12 * 3_600_000
"""A file that has been left alone for longer begins anew: Kafka keeps tombstones for a day (delete.retention.ms), and
who has missed one would hold a forgotten user for ever."""


class State(Protocol):
    """Where outputs are held."""

    def begin(self, topic: str, source: str, now_ms: int) -> Mapping[int, int]:
        """Where to go on reading: partition -> offset; empty: from the beginning, and nothing is held of the topic.

        Args:
            topic: whose outputs.
            source: names the topic on its cluster: what was read from another is forgotten.
            now_ms: epoch.
        """

    def apply(self, topic: str, outputs: Sequence[Output | Gone], passed: Mapping[int, int], now_ms: int) -> None:
        """Takes outputs in, together with where to go on."""

    def get(self, topic: str, user_id: str) -> Output | None:
        """The newest of a user."""

    def users(self, topic: str) -> int:
        """How many are held."""

    def close(self) -> None:
        """Nothing is asked any more."""


class Memory:
    """In this process: gone with it, and read anew at the next start."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Output]] = {}

    def begin(self, topic: str, source: str, now_ms: int) -> Mapping[int, int]:
        """Always from the beginning."""
        self._held[topic] = {}
        return {}

    def apply(self, topic: str, outputs: Sequence[Output | Gone], passed: Mapping[int, int], now_ms: int) -> None:
        """See `State`."""
        held = self._held[topic]
        for output in outputs:
            if isinstance(output, Gone):
                held.pop(output.user_id, None)
                continue
            before = held.get(output.user_id)
            # By time first: versions begin anew where the event topics and windows were deleted and created anew.
            if before is None or (output.at_ms, output.version) >= (before.at_ms, before.version):
                held[output.user_id] = output

    def get(self, topic: str, user_id: str) -> Output | None:
        """See `State`."""
        return self._held.get(topic, {}).get(user_id)

    def users(self, topic: str) -> int:
        """See `State`."""
        return len(self._held.get(topic, {}))

    def close(self) -> None:
        """Nothing to do."""


class Sqlite:
    """In a file: for more users than memory holds. The next start goes on where this one ended.

    One process per file. Writers are the followers' threads, one at a time; the one reader is the thread that made
    this object (another would have to wait for it). A read of a page that the system has not cached costs a disk's.

    Args:
        path: of the file, made where it is missing.

    Raises:
        NotAllowed: it cannot be opened, or is another program's.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._users: dict[str, int] = {}  # Counted once, at the start: SQLite would go through all of them.
        with self._told():
            self._writer = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            (form,) = self._writer.execute("PRAGMA user_version").fetchone()
            (tables,) = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if form != FORM and tables:
                raise NotAllowed(
                    f"--state sqlite:{path} is a database of another program or version",
                    "name another file, or delete it: all of it comes from Kafka again",
                )
            # WAL: readers do not wait for the writer. NORMAL: a power cut may cost the last batches, never the file.
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = NORMAL")
            self._writer.executescript(
                f"""
                CREATE TABLE IF NOT EXISTS outputs (
                    topic TEXT, user_id TEXT, at_ms INTEGER, version INTEGER, model TEXT, body BLOB,
                    PRIMARY KEY (topic, user_id)
                );
                CREATE TABLE IF NOT EXISTS sources (topic TEXT PRIMARY KEY, source TEXT, read_ms INTEGER);
                CREATE TABLE IF NOT EXISTS places (
                    topic TEXT, partition INTEGER, next INTEGER, PRIMARY KEY (topic, partition)
                );
                PRAGMA user_version = {FORM};
                """
            )
            self._reader = sqlite3.connect(path, isolation_level=None)

    def begin(self, topic: str, source: str, now_ms: int) -> Mapping[int, int]:
        """Where the file ended, unless it is of another source or too old."""
        with self._writing() as file:
            known = file.execute("SELECT source, read_ms FROM sources WHERE topic = ?", (topic,)).fetchone()
            (self._users[topic],) = file.execute("SELECT count(*) FROM outputs WHERE topic = ?", (topic,)).fetchone()
            if known is not None and known[0] == source and now_ms - known[1] <= KEPT_MS:
                return dict(file.execute("SELECT partition, next FROM places WHERE topic = ?", (topic,)))
            file.execute("DELETE FROM outputs WHERE topic = ?", (topic,))
            file.execute("DELETE FROM places WHERE topic = ?", (topic,))
            file.execute("REPLACE INTO sources VALUES (?, ?, ?)", (topic, source, now_ms))
            self._users[topic] = 0
            return {}

    def apply(self, topic: str, outputs: Sequence[Output | Gone], passed: Mapping[int, int], now_ms: int) -> None:
        """One transaction: outputs and the places to go on from are never apart."""
        with self._writing() as file:
            for output in outputs:
                self._users[topic] += (
                    _gone(file, topic, output) if isinstance(output, Gone) else _put(file, topic, output)
                )
            places = [(topic, partition, offset) for partition, offset in passed.items()]
            file.executemany("REPLACE INTO places VALUES (?, ?, ?)", places)
            file.execute("UPDATE sources SET read_ms = ? WHERE topic = ?", (now_ms, topic))

    def get(self, topic: str, user_id: str) -> Output | None:
        """See `State`."""
        asked = "SELECT user_id, at_ms, version, model, body FROM outputs WHERE topic = ? AND user_id = ?"
        found = self._reader.execute(asked, (topic, user_id)).fetchone()
        return None if found is None else Output(*found)

    def users(self, topic: str) -> int:
        """See `State`."""
        return self._users.get(topic, 0)

    def close(self) -> None:
        """Gives the file back."""
        self._reader.close()
        with self._lock:
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told(), self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            yield self._writer

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = "name a file of its own in a folder that can be written, with room on its disk"
            raise NotAllowed(f"--state sqlite:{self._path}: {error}", remedy) from error


def _put(file: sqlite3.Connection, topic: str, output: Output) -> int:
    """Holds it unless what is held is newer. Returns how many users more that makes."""
    user_id, at_ms, version, model, body = output
    # One statement where the user is new: that is nearly everybody while a topic is read for the first time.
    if file.execute("INSERT OR IGNORE INTO outputs VALUES (?, ?, ?, ?, ?, ?)", (topic, *output)).rowcount:
        return 1
    file.execute(
        """
        UPDATE outputs SET at_ms = ?, version = ?, model = ?, body = ?
        WHERE topic = ? AND user_id = ? AND (?, ?) >= (at_ms, version)
        """,
        (at_ms, version, model, body, topic, user_id, at_ms, version),
    )
    return 0


def _gone(file: sqlite3.Connection, topic: str, gone: Gone) -> int:
    """Forgets the user. Returns how many users more that makes: -1 or 0."""
    return -file.execute("DELETE FROM outputs WHERE topic = ? AND user_id = ?", (topic, gone.user_id)).rowcount


def state_of(told: str) -> State:
    """The state that `--state` names: `memory` or `sqlite:PATH`.

    Raises:
        WrongUsage: neither.
        NotAllowed: the file cannot be had.
    """
    form, _, path = told.partition(":")
    if told == "memory":
        return Memory()
    if form == "sqlite" and path:
        return Sqlite(Path(path))
    raise WrongUsage(f"--state {told}", "give `memory`, or `sqlite:` and a file's path")
