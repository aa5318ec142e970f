"""Before training: the lines of a log file, and the record that a form makes of one.

Knows nothing of what any form calls its fields, and judges nothing: what cannot be read as the form says is handed on
as it stands, so that `model.event` alone says what is wrong with it, as it would in the stream.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import orjson

from model.envelope import Headers
from model.fields import Fields
from model.formats import CONTRACT

LINE_BYTES = 1 << 24
"""Longest line that is read whole; of a longer one (no log of any form has it) the rest is passed over."""
NO_TIME_S = 1e15
"""Seconds since 1970 from which on a number is not made milliseconds: step 1 refuses far smaller ones as no time."""


class LogError(Exception):
    """The log cannot be used; the text names the file and why."""


class Told(NamedTuple):
    """One line as the record that Kafka would carry, and what a file may know beside it."""

    number: int
    """Of the line, from 1; of a record in a topic its offset."""
    value: bytes | None
    key: bytes | None
    headers: Headers | None = None
    split: int = -1
    """0 train, 1 valid, 2 test; -1: the file does not say."""
    order: int = -1
    """The file's own order of a user's events at one time; -1: their order in the file."""
    form: str = CONTRACT
    """Of `model.formats`: what the value is written in."""
    arrived_ms: int = 0
    """The record's time, where an event's own may be untold; 0: not known."""


Named = tuple[str, Told]
"""A record, and the name of what it was read from, which a fault tells with the record's number."""


class Form(Protocol):
    """What the module of each form offers."""

    def events(self, file: "File") -> Iterator[Told]:
        """The file's events in the contract's form."""

    def items(self, file: "File") -> Iterator[Told]:
        """The file's items in the contract's form."""

    def find(self, path: Path) -> tuple[list[Path], list[Path]]:
        """Files of events and of items at a path, which may be a folder."""


class File:
    """A file of a log, packed by gzip or zstd or not: its first bytes tell. Read once, never held whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = path.stat().st_size if path.is_file() else 0
        self._raw: BufferedReader | None = None
        self._read_bytes = 0

    @property
    def read_bytes(self) -> int:
        """How far into the file on disk, for a progress bar."""
        return self._raw.tell() if self._raw is not None and not self._raw.closed else self._read_bytes

    def _opened(self) -> BufferedReader:
        return self.path.open("rb")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(number from 1, line without its end); empty lines are passed over.

        Raises:
            LogError: the file cannot be read, or breaks off.
        """
        number = 0
        try:
            with self._opened() as self._raw:
                unpacked = _unpacked(self._raw)
                while line := unpacked.readline(LINE_BYTES):
                    number += 1
                    rest = line
                    while len(rest) == LINE_BYTES and rest[-1:] != b"\n":
                        rest = unpacked.readline(LINE_BYTES)
                    if number == 1:
                        line = line.removeprefix(b"\xef\xbb\xbf")  # Some editors begin a file with it.
                    if line := line.strip(b" \r\n"):
                        yield number, line
                self._read_bytes = self.read_bytes
        except (OSError, EOFError, zlib.error) as error:
            where = f" after line {number}" if number else ""
            said = getattr(error, "strerror", None) or error
            raise LogError(f"{self.path} cannot be read{where}: {said}") from error


def _unpacked(raw: BufferedReader) -> IO[bytes]:
    first = raw.peek(4)
    if first.startswith(b"\x1f\x8b"):
        return gzip.open(raw)  # type: ignore[return-value]
    if first.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            import pyarrow as pa
        except ImportError:
            raise OSError("zstd needs the extra [demo]; or `zstd -dc FILE | firstclick …`") from None
        return BufferedReader(pa.CompressedInputStream(raw, "zstd"))
    return raw


def json_lines(file: File, fields_of: Callable[[Fields], Fields], owner: str) -> Iterator[Told]:
    """A file of one JSON object a line, each translated by `fields_of`; see `translated`."""
    return translated(file, map(_row, file.lines()), fields_of, owner)


def _row(numbered: tuple[int, bytes]) -> tuple[int, Fields | bytes]:
    number, line = numbered
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return number, line
    return number, row if type(row) is dict else line


def translated(
    file: File, rows: Iterable[tuple[int, Fields | bytes]], fields_of: Callable[[Fields], Fields], owner: str
) -> Iterator[Told]:
    """Rows of any file as records; bytes are a line that is no row, and are handed on.

    Args:
        fields_of: a row in the contract's names and units; also the file's own `split` and `order`, if it knows them.
        owner: whose id is the key: `user_id` of events, `item_id` of items.
    """
    # Two files of one name are two, in whatever folders; a file and its packed twin are one.
    place = str(file.path.resolve()).removesuffix(".gz").removesuffix(".zst")
    stem = hashlib.blake2b(place.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    for number, row in rows:
        if type(row) is bytes:
            yield Told(number, row, b"")
            continue
        fields = fields_of(row)  # type: ignore[arg-type]
        split, order = fields.pop("split", -1), fields.pop("order", -1)
        fields["event_id"] = f"{stem}-{number}"
        named = fields.get(owner)
        try:
            value = orjson.dumps(fields)
        except orjson.JSONEncodeError as error:  # A number of more than 64 bits: then the parser may refuse the text.
            value = str(error).encode()
        yield Told(number, value, named.encode() if type(named) is str else b"", None, split, order)


def found(path: Path, events: tuple[str, ...], items: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """What lies in a folder by its file name; a file is a file of events, and brings no items.

    Args:
        events, items: patterns; a name that fits both is one of items.

    Raises:
        LogError: the folder has neither.
    """
    if not path.is_dir():
        return [path], []
    names = sorted(each for each in path.iterdir() if each.is_file())
    shelf = [each for each in names if any(each.match(pattern) for pattern in items)]
    behaviour = [each for each in names if each not in shelf and any(each.match(one) for one in events)]
    if not shelf and not behaviour:
        raise LogError(f"{path} holds no file of events of this form, by name one of: {', '.join(events)}")
    return behaviour, shelf


def packed(pattern: str) -> tuple[str, ...]:
    """The pattern of a file, and of the same packed by gzip or zstd."""
    return pattern, f"{pattern}.gz", f"{pattern}.zst"


def milliseconds(seconds: object) -> object:
    """Seconds since 1970 as the contract's whole milliseconds; what is no number, or no time, stays itself."""
    if type(seconds) is int or type(seconds) is float:
        return round(seconds * 1000) if abs(seconds) < NO_TIME_S else seconds
    return seconds


def number(value: object) -> object:
    """A number written as a string becomes one; anything else stays itself."""
    if not isinstance(value, str):
        return value
    try:
        read = float(value)
    except ValueError:
        return value
    return read if abs(read) < 1e300 else value  # NaN and infinities are no numbers in JSON.
