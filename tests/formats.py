"""The golden examples of every format, as its public specification has them: a record, and the events that it is.

`tests/contract/golden/formats/NAME/*.json`: `from` says where the record stands or what it was written after, `record`
is a JSON object or a line of CSV, `events` are the contract's, `passed_over` what the format calls a record without
any, `item` the upsert of a record that is a product.
"""

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from model.fields import Fields
from model.formats import NAMES, columns, separator
from model.reading import row

FOLDER = Path(__file__).parent / "contract" / "golden" / "formats"
RECORD_ID = "r"
"""What the examples take for the id of a record whose format has none."""


class Example(NamedTuple):
    """One golden example."""

    form: str
    name: str
    record: Fields | str
    events: list[Fields]
    passed_over: str
    item: Fields | None

    @property
    def fields(self) -> Fields:
        """The record's fields, a copy that may be changed."""
        if isinstance(self.record, str):
            return row(self.record.encode(), columns(self.form), separator(self.form))
        copy: Fields = orjson.loads(orjson.dumps(self.record))
        return copy

    @property
    def value(self) -> bytes:
        """The record as it would come."""
        return self.record.encode() if isinstance(self.record, str) else orjson.dumps(self.record)


def _read(path: Path) -> Example:
    told: dict[str, Any] = orjson.loads(path.read_bytes())
    assert told["from"], path
    return Example(
        path.parent.name,
        path.stem,
        told["record"],
        told.get("events", []),
        told.get("passed_over", ""),
        told.get("item"),
    )


EXAMPLES = [_read(path) for name in NAMES for path in sorted((FOLDER / name).glob("*.json"))]
EXAMPLE_NAMES = [f"{example.form}-{example.name}" for example in EXAMPLES]
