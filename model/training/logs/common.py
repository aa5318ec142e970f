"""A form of logs: flat JSON lines of user_id, item_id, type, rating, timestamp in seconds; perhaps qty, price, text,
order, and of a prepared data set seq and split. Items: item_id, title, category, brand, price, description.

Knows nothing of files.
"""

from collections.abc import Iterator
from pathlib import Path

from model.fields import Fields
from model.training.logs.files import File, Told, found, json_lines, milliseconds, packed

KINDS = {"view": "click", "rating": "review"}
"""Names of kinds that the contract calls otherwise."""
SPLITS = {"train": 0, "valid": 1, "test": 2}


def events(file: File) -> Iterator[Told]:
    """The events of the file, in its order."""
    return json_lines(file, _placed, "user_id")


def items(file: File) -> Iterator[Told]:
    """The items of the file."""
    return json_lines(file, item, "item_id")


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """events.jsonl and items.jsonl, perhaps packed."""
    return found(path, packed("events*.jsonl"), packed("items*.jsonl"))


def event(row: Fields) -> Fields:
    """A line's event in the contract's names; what the line does not tell is None."""
    get = row.get
    kind = get("type")
    return {
        "user_id": get("user_id"),
        "kind": KINDS.get(kind, kind) if type(kind) is str else kind,
        "at": milliseconds(get("timestamp")),
        "item_id": get("item_id"),
        "rating": get("rating"),
        "text": get("text"),
        "quantity": get("qty"),
        "price": get("price"),
        "session_id": get("order"),
    }


def _placed(row: Fields) -> Fields:
    """The event, with what a prepared data set says of its part and its place."""
    fields, split, seq = event(row), row.get("split"), row.get("seq")
    if split is not None:
        fields["split"] = SPLITS.get(split, -1) if type(split) is str else -1
    if type(seq) is int and 0 <= seq < 1 << 63:
        fields["order"] = seq
    return fields


def item(row: Fields) -> Fields:
    """A line's item, without what is null or ""."""
    return {name: told for name, told in row.items() if told is not None and told != ""}
