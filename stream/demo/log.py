"""Before the line: the demo's shop as a log, to learn the demo's model from: `python -m stream.demo.log FOLDER`.

The households that shop in the demo are left out: what it shows is for people whom the model has never seen.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as parquet

from stream.demo import shoppers
from stream.demo.shop import load_purchases, load_shop, source

AT_ONCE = 200  # Households whose purchases are in memory as rows: 150 MB.


def write(out: Path) -> tuple[int, int]:
    """Writes items.jsonl and events.jsonl in the contract's form; how many of each."""
    folder = source()
    shop = load_shop(folder)
    out.mkdir(parents=True, exist_ok=True)
    watched = {*shoppers.WATCHED, *shoppers.CROWD}
    told = parquet.read_table(folder / "transactions.parquet", columns=["household_id"]).column(0).unique().to_pylist()
    households = sorted(set(told) - watched)

    def events() -> Iterator[dict[str, Any]]:
        for start in range(0, len(households), AT_ONCE):
            for purchase in load_purchases(folder, shop, households[start : start + AT_ONCE]):
                yield shoppers.event_of(purchase)

    items = _write(out / "items.jsonl", (product.upsert() for product in shop.products.values()))
    return items, _write(out / "events.jsonl", events())


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    written = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")
            written += 1
    return written


if __name__ == "__main__":
    written = write(Path(sys.argv[1]))
    print(f"{written[0]} items, {written[1]} events in {sys.argv[1]}")
