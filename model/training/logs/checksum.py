"""Beside a log: sixteen digits of all that was read, so that two bundles can be told to have learned from one log.

Knows nothing of files: the same events in another form, or under another name, are the same log where they come in the
same order.
"""

import hashlib
from collections.abc import Iterator

import orjson

from model.training.logs.columns import Log

COLUMNS = ("user", "item", "at_ms", "kind", "rating", "price", "quantity", "dwell_ms")
STEP = 100_000
"""Texts that are objects at a time."""


def checksum(log: Log) -> str:
    """Of events, items and split, as they stand; what was rejected does not count."""
    found = hashlib.blake2b(digest_size=8)
    for part in _parts(log):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def _parts(log: Log) -> Iterator[bytes]:
    for name in COLUMNS:
        column = getattr(log, name)
        yield column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
    yield b"" if log.split is None else log.split.tobytes()
    yield orjson.dumps([log.users, log.items.ids, log.items.table.column_names])
    for texts in (log.texts, *log.items.table.columns):
        for start in range(0, len(texts), STEP):
            yield orjson.dumps(texts.slice(start, STEP).to_pylist())
