"""Logs for tests, of events written as dicts: through the parser, as any log is."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from model.training.logs import columns
from model.training.logs.columns import Log
from model.training.logs.files import Named, Told


def log_of(events: Iterable[Mapping[str, Any]], items: Iterable[Mapping[str, Any]] = ()) -> Log:
    """A log of events in the contract's form; `event_id` may be missing, `split` and `order` are as a file has them."""

    def records(rows: Iterable[Mapping[str, Any]], owner: str) -> Iterable[Named]:
        for number, row in enumerate(rows, 1):
            value = orjson.dumps({"event_id": f"e-{number}", **row})
            told = Told(number, value, row[owner].encode(), None, row.get("split", -1), row.get("order", -1))
            yield "events" if owner == "user_id" else "items", told

    return columns.log_of(records(events, "user_id"), records(items, "item_id"))
