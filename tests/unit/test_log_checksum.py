"""A log's checksum: the same for the same events and items in any form, another for any other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from model.training.logs.checksum import COLUMNS, checksum
from model.training.logs.columns import Log, read_log
from tests.logs import log_of
from tests.shop import AT, MINUTE

ROWS: list[dict[str, Any]] = [
    {"kind": "review", "item_id": "boots", "text": "They fit", "rating": 4.0},
    {"kind": "purchase", "item_id": "jam", "price": 3.5, "quantity": 2},
    {"kind": "browse", "item_id": "boots", "dwell_ms": 1200},
    {"kind": "search", "query": "tea"},
]
ITEMS = [{"item_id": "boots", "title": "Red boots", "price": 20.0}, {"item_id": "jam", "title": "Jam"}]


def rows() -> list[dict[str, Any]]:
    return [{"user_id": f"u{place % 2}", "at": AT + place * MINUTE, **row} for place, row in enumerate(ROWS)]


@pytest.fixture
def log() -> Log:
    return log_of(rows(), ITEMS)


def test_the_same_events_have_the_same_checksum_from_files_in_pieces_and_from_records(log: Log, tmp_path: Path) -> None:
    told = [orjson.dumps({"event_id": f"e-{place}", **row}) for place, row in enumerate(rows())]
    (tmp_path / "one.jsonl").write_bytes(b"\n".join([*told[:2], b"no event"]))
    (tmp_path / "two.jsonl").write_bytes(b"\n".join(told[2:]))
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(map(orjson.dumps, ITEMS)))
    read = read_log([tmp_path / "one.jsonl", tmp_path / "two.jsonl"], [tmp_path / "items.jsonl"])
    assert checksum(read) == checksum(log)
    pieces = pa.Table.from_batches(list(log.items.table.to_batches(max_chunksize=1)))
    assert checksum(replace(log, items=replace(log.items, table=pieces))) == checksum(log)


def test_another_event_or_item_is_another_log(log: Log) -> None:
    others = [replace(log, **{name: getattr(log, name).copy()}) for name in COLUMNS]
    for name, other in zip(COLUMNS, others, strict=True):
        getattr(other, name)[1] = 7
    others.append(replace(log, split=np.zeros(len(log), np.int8)))
    others.append(replace(log, users=["u0", "u9"]))
    others.append(replace(log, texts=pa.array(["They", " fit", "", "tea"])))
    changes = {"title": "Blue boots"}, {"price": 21.0}, {"brand": "b"}, {"item_id": "bootees"}
    others += [log_of(rows(), [{**ITEMS[0], **change}, ITEMS[1]]) for change in changes]
    others.append(log_of(rows()[:3], ITEMS))
    found = [checksum(each) for each in (log, *others)]
    assert len(set(found)) == len(found)
