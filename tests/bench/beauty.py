"""Accuracy of the zero-shot bundle on Amazon Beauty, leave one out, through the worker's own recommender.

    python -m tests.bench.beauty --data ../shared/data/amazon_beauty_p5            # what the README quotes
    python -m tests.bench.beauty --data ... --split valid --users 6000 --set directed=8   # how a weight is chosen

Protocol: full ranking over all items, what the user had is masked, ties in score count against us; co-occurrence is
counted from the log up to the target (train for valid; train and valid for test). A gain on "all" without one on
"untied" (the day of the target differs from the day before it) is ASIN order: same-day events stand in ASIN order. One
JSON line on stdout.
"""

import argparse
import gzip
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import orjson

from model.bundle import DEFAULT_BUNDLE, Bundle
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from model.event import Item, Kind
from model.item_tower import item_tower
from model.popularity import add_counts
from model.text import Line, item_text
from model.training.graphs import Weights
from model.training.pairs import Counting
from model.training.zeroshot import init
from model.window import EMPTY, Window
from stream.recommender import Recommender

LIST = 16  # Ten places are judged; the rest shows who shares the target's score.
BATCH = 256
Changed = TypeVar("Changed", Weights, Counting)


class Touch(NamedTuple):
    """One event of a user."""

    at_ms: int
    item_id: str
    split: str


def main() -> None:
    options = _options()
    started = time.monotonic()
    users = histories(options.data / "events.jsonl.gz", options.split, options.shuffle_ties)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        _write_log(log, users)
        weights, counting = _changed(Weights(), options.set), _changed(Counting(), options.set)
        base = Bundle.load(options.bundle)
        bundle = init(
            str(options.bundle),
            Path(folder) / "bundle",
            log=log,
            log_format="common",
            items=[] if options.raw else [options.data / "items.jsonl"],
            pooling=base.manifest.pooling,
            weights=weights,
            counting=counting,
        )
        recommender = _recommender(bundle, options, users)
        asked = dict(users)
        if options.users:
            asked = {user: users[user] for user in random.Random(0).sample(sorted(users), options.users)}
        told = {
            "bench": "beauty",
            "split": options.split,
            "ties": "shuffled" if options.shuffle_ties else "as published",
            "users": len(asked),
            "whole": judge(recommender, bundle, asked, None),
            "last_1": judge(recommender, bundle, asked, 1),
            "popularity": options.popularity,
            "whitened": not options.raw,
            "set": options.set,
            "seconds": round(time.monotonic() - started),
            "machine": platform.processor() or platform.machine(),
            "commit": _commit(),
        }
    print(json.dumps(told))


def histories(path: Path, split: str, shuffle_ties: bool) -> dict[str, list[Touch]]:
    """User -> events up to and with the target, which is the last one.

    Args:
        path: events.jsonl.gz with seq and split.
        split: `valid` or `test`.
        shuffle_ties: whether events of one day are put in random order.
    """
    rows: defaultdict[str, list[tuple[int, Touch]]] = defaultdict(list)
    with gzip.open(path) as file:
        for line in file:
            row = orjson.loads(line)
            if split == "test" or row["split"] != "test":
                touch = Touch(row["timestamp"] * 1000, row["item_id"], row["split"])
                rows[row["user_id"]].append((row["seq"], touch))
    users = {user: [touch for _, touch in sorted(told)] for user, told in rows.items()}
    if shuffle_ties:
        dice = random.Random(0)
        for touches in users.values():
            touches[:-1] = sorted(touches[:-1], key=lambda touch: (touch.at_ms, dice.random()))
    wrong = [user for user, touches in users.items() if touches[-1].split != split]
    if wrong:
        sys.exit(f"{len(wrong)} users have no {split} event last, for instance {wrong[0]}")
    return users


def window(touches: list[Touch], bundle: Bundle) -> Window:
    """The window of these events, one by one as a worker takes them in."""
    made = EMPTY
    for number, touch in enumerate(touches):
        line = Line(touch.at_ms, f"{number:06d}", Kind.REVIEW, touch.item_id, "", None, None, None, None)
        made = made.remember(line, bundle.lines, bundle.age_ms)
    return made


def judge(
    recommender: Recommender, bundle: Bundle, users: dict[str, list[Touch]], last: int | None
) -> dict[str, object]:
    """Recall and NDCG at 10 for all users, and for those whose target is on a later day than the event before it."""
    hits, gains, untied = [], [], []
    names = sorted(users)
    for start in range(0, len(names), BATCH):
        touches = [users[name] for name in names[start : start + BATCH]]
        windows = [window(mine[:-1][-last:] if last else mine[:-1], bundle) for mine in touches]
        for mine, advice in zip(touches, recommender.recommend(windows), strict=True):
            scores = {item.item_id: item.score for item in advice.items}
            mark = scores.get(mine[-1].item_id)
            place = sum(score >= mark for score in scores.values()) if mark is not None else LIST
            hits.append(place <= 10)
            gains.append(1 / np.log2(place + 1) if place <= 10 else 0.0)
            untied.append(mine[-1].at_ms != mine[-2].at_ms)
    return {
        f"{name}_{group}": round(float(np.mean(np.array(values, float)[chosen])), 4)
        for name, values in (("r10", hits), ("n10", gains))
        for group, chosen in (("all", np.ones(len(hits), bool)), ("untied", np.array(untied)))
    }


def _recommender(bundle: Bundle, options: argparse.Namespace, users: dict[str, list[Touch]]) -> Recommender:
    counts: defaultdict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
    if options.popularity:
        for touches in users.values():
            for touch in touches[:-1]:
                more = {Kind.REVIEW.value: (1.0, touch.at_ms)}
                counts[touch.item_id] = add_counts(counts[touch.item_id], more, bundle.half_life_ms)
    encoder = Encoder(bundle, options.device)
    catalogue = Catalogue(item_tower(bundle), bundle.half_life_ms)
    with (options.data / "items.jsonl").open() as file:
        rows = [json.loads(line) for line in file]
    texts = [
        item_text(Item(row["item_id"], row["title"], row["category"], row["brand"], None, row["description"], {}, True))
        for row in rows
    ]
    vectors = encoder.vectors(texts).astype(np.float16)
    catalogue.apply(
        [
            (
                row["item_id"],
                Shelved(
                    row["item_id"],
                    row["title"],
                    row["category"],
                    row["brand"],
                    None,
                    True,
                    vector,
                    counts[row["item_id"]],
                ),
            )
            for row, vector in zip(rows, vectors, strict=True)
        ]
    )
    return Recommender(bundle, catalogue, encoder, items=LIST, candidates=options.candidates, device=options.device)


def _write_log(path: Path, users: dict[str, list[Touch]]) -> None:
    """All events but the targets, in the common form."""
    with path.open("wb") as file:
        for user, touches in users.items():
            for touch in touches[:-1]:
                row = {"user_id": user, "item_id": touch.item_id, "type": "review", "timestamp": touch.at_ms // 1000}
                file.write(orjson.dumps(row) + b"\n")


def _changed(told: Changed, changes: list[str]) -> Changed:
    """`told` with each NAME=VALUE that it has a field for."""
    names = {field.name: field.type for field in fields(told)}
    values = dict(change.split("=", 1) for change in changes)
    return replace(told, **{k: (int if names[k] is int else float)(v) for k, v in values.items() if k in names})


def _commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with events.jsonl.gz and items.jsonl")
    parser.add_argument("--split", choices=["valid", "test"], default="test", help="choose on valid, judge on test")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="whose encoder and tokenizer")
    parser.add_argument("--users", type=int, default=0, help="a random sample of so many; 0: all")
    parser.add_argument("--candidates", type=int, default=200, help="nearest items scored per user")
    parser.add_argument(
        "--popularity", action="store_true", help="with counts decayed to the log's end: another protocol"
    )
    parser.add_argument("--shuffle-ties", action="store_true", help="events of one day in random order")
    parser.add_argument("--raw", action="store_true", help="not whitened by the titles")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another weight, for choosing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
