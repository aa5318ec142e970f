"""What an encoder loses and gains in another precision, on the titles and shoppers of Amazon Beauty.

    python -m tests.bench.precision --data ../shared/data/amazon_beauty_p5 --encoder FOLDER

For each precision: how near its vectors are to the encoder's own, texts a second on one core, and Recall@10 of the next
item on validation: the newest item counts 1, the one before a half and so on; cosine over all items, what the user had
is masked, ties in score against us. One JSON line on stdout. Two encoders can be compared with --to.
"""

import argparse
import gzip
import json
import platform
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from model.event import Item
from model.session import Floats
from model.text import item_text
from model.training.encoders import Found, find
from model.training.quantise import convert, parity, serving, vectors

PLACES = 10
TIMED = 2_000  # Titles; each precision takes 3 to 10 s with so many.
USERS = 512  # At once: 512 x 12,101 scores are 25 MB.
ALONE = 50


class History(NamedTuple):
    """What a user had, and what came next."""

    had: list[int]
    """Items, oldest first."""
    target: int
    tied: bool
    """The target's day is that of the item before it: such ties stand in ASIN order, which leaks."""


def main() -> None:
    options = _options()
    ids, texts = titles(options.data)
    users = histories(options.data, {item_id: number for number, item_id in enumerate(ids)}, options.split)
    found = find(options.encoder, options.tokenizer, options.pooling)
    own = vectors(found, texts)
    told = {"as it is": _measured(found, texts, own, own, users)}
    for precision in options.precision:
        made, _ = convert(found, precision, texts)
        told[precision] = _measured(made, texts, vectors(made, texts), own, users)
    if options.to:
        other = find(options.to, options.tokenizer, options.pooling)
        told[options.to] = _measured(other, texts, vectors(other, texts), own, users)
    bench = {"bench": "precision", "titles": len(texts), "users": len(users), "split": options.split}
    print(json.dumps(bench | told | {"machine": platform.processor() or platform.machine()}))


def _measured(found: Found, texts: list[str], reached: Floats, own: Floats, users: list[History]) -> dict[str, float]:
    steps = np.linspace(0, len(texts) - 1, ALONE).astype(int)
    with serving(found) as encoder:
        encoder.vectors(["warm"])
        some = texts[: len(texts) : max(1, len(texts) // TIMED)]
        started = time.perf_counter()
        encoder.vectors(some)
        seconds = time.perf_counter() - started
    with serving(found) as encoder:
        alone = np.concatenate([encoder.vectors([texts[step]]) for step in steps])
    near = parity(own, reached)
    hits = recall(reached, users)
    return {
        "megabytes": round(len(found.graph) / 1e6, 1),
        "cosine_min": round(near.cosine_min, 5),
        "cosine_mean": round(near.cosine_mean, 5),
        "overlap": round(near.overlap, 4),
        "texts_per_s": round(len(some) / seconds),
        "same_bits_alone": float(np.mean([np.array_equal(a, b) for a, b in zip(alone, reached[steps], strict=True)])),
        "r10": round(float(hits[:, 0].mean()), 5),
        "n10": round(float(hits[:, 1].mean()), 5),
    }


def recall(unit: Floats, histories: list[History]) -> Floats:
    """(users, 2) whether the target is among the first PLACES, and 1 / log2(1 + its place) if so."""
    rows = []
    for start in range(0, len(histories), USERS):
        part = histories[start : start + USERS]
        interests = np.zeros((len(part), unit.shape[1]), np.float32)
        for row, (had, _, _) in enumerate(part):
            for age, item in enumerate(reversed(had)):
                interests[row] += 0.5**age * unit[item]
        scores = interests @ unit.T
        for row, (had, target, _) in enumerate(part):
            mark = scores[row, target]
            scores[row, had] = -np.inf
            place = max(1, int((scores[row] >= mark).sum()))
            rows.append((place <= PLACES, 1 / np.log2(1 + place) if place <= PLACES else 0.0))
    return np.array(rows, np.float32)


def titles(data: Path) -> tuple[list[str], list[str]]:
    """Ids, and the texts that the encoder reads."""
    with (data / "items.jsonl").open() as file:
        rows = [orjson.loads(line) for line in file]
    texts = [
        item_text(Item(row["item_id"], row["title"], row["category"], row["brand"], None, row["description"], {}, True))
        for row in rows
    ]
    return [row["item_id"] for row in rows], texts


def histories(data: Path, numbers: dict[str, int], split: str) -> list[History]:
    """Each user's history up to the target in `split`."""
    touched: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    targets = {}
    with gzip.open(data / "events.jsonl.gz") as file:
        for line in file:
            row = orjson.loads(line)
            touch = row["seq"], row["timestamp"], numbers[row["item_id"]]
            if row["split"] == split:
                targets[row["user_id"]] = touch
            elif row["split"] == "train" or split == "test":
                touched[row["user_id"]].append(touch)
    before = {user: sorted(touched[user]) for user in targets}
    return [
        History([item for _, _, item in before[user]], target, before[user][-1][1] == at)
        for user, (_, at, target) in targets.items()
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with events.jsonl.gz and items.jsonl")
    parser.add_argument("--encoder", required=True, help="folder, package or hub name; fp32")
    parser.add_argument("--tokenizer", help="where the encoder brings none")
    parser.add_argument("--pooling", choices=["mean", "cls"])
    parser.add_argument("--precision", nargs="*", choices=["fp32", "fp16", "int8"], default=["fp32", "fp16", "int8"])
    parser.add_argument("--to", help="another encoder to compare, such as a tuned one")
    parser.add_argument("--split", choices=["valid", "test"], default="valid", help="choose on valid, judge on test")
    return parser.parse_args()


if __name__ == "__main__":
    main()
