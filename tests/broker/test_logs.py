"""The first events of real shops' logs, through `firstclick replay` and a worker; `make bench` takes the whole logs.

What was taken in is worked out anew by tests/bench/answers.py, which shares no code with the worker.
"""

import gzip
import os
from pathlib import Path

import orjson
import pytest

from tests.bench.fleet import Fleet
from tests.bench.replaying import FOLDERS, replaying
from tests.brokers import ApacheKafka

pytestmark = pytest.mark.kafka

EVENTS = 600  # Of about 150 users and 400 items: ten seconds a log.
DATA = Path(os.environ.get("FIRSTCLICK_DATA", "../shared/data"))


def begin(folder: Path, events: int, to: Path) -> Path:
    """A log of this folder's first events and their items."""
    to.mkdir()
    with gzip.open(folder / "events.jsonl.gz", "rb") as log:
        lines = [line for line, _ in zip(log, range(events), strict=False)]
    wanted = {orjson.loads(line)["item_id"] for line in lines}
    with gzip.open(to / "events.jsonl.gz", "wb") as log:
        log.writelines(lines)
    with (folder / "items.jsonl").open("rb") as items, (to / "items.jsonl").open("wb") as kept:
        kept.writelines(line for line in items if orjson.loads(line)["item_id"] in wanted)
    return to


@pytest.mark.parametrize("name", FOLDERS)
def test_all_that_was_produced_is_accepted_and_every_user_has_a_window_a_list_and_a_vector(
    name: str, kafka_empty: ApacheKafka, tmp_path: Path
) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {DATA / name}: name the folder of real logs with FIRSTCLICK_DATA")
    told = replaying(Fleet(kafka_empty), begin(DATA / name, EVENTS, tmp_path / name), model=True)
    assert told["accepted"] == EVENTS
    assert told["users"] > 10
    assert told["lines_checked"] > 0
