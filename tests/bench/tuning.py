"""Whether an encoder that learned from a shop's pairs knows the next item better, on Amazon Beauty.

    python -m tests.bench.tuning --data ../shared/data/amazon_beauty_p5 --encoder FOLDER --out build/tuned --pairs 25000

Pairs are titles of items that a user had one after the other, from the train split alone. A tenth of the items is
hidden from them: what is learned must hold for products that nobody has touched; and users whose target is on a later
day than the item before it (`untied`): same-day items stand in ASIN order, which leaks. Recall@10 as in `precision.py`,
before and after, with a paired bootstrap interval of the difference. One JSON line on stdout.
"""

import argparse
import json
import platform
import random
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from model.training.encoder_tuning import TuningSettings, tune
from model.training.encoders import find
from model.training.quantise import vectors
from model.training.watching import watched
from tests.bench.precision import histories, recall, titles

HIDDEN = 0.1
RESAMPLED = 1_000


def main() -> None:
    options = _options()
    ids, texts = titles(options.data)
    users = histories(options.data, {item_id: number for number, item_id in enumerate(ids)}, options.split)
    dice = random.Random(options.seed)
    hidden = set(dice.sample(range(len(ids)), round(HIDDEN * len(ids))))
    whole = {
        pair
        for had, _, _ in histories(options.data, {item_id: number for number, item_id in enumerate(ids)}, "valid")
        for pair in pairwise(had)
        if not hidden & set(pair) and texts[pair[0]] != texts[pair[1]]
    }
    pairs = [(texts[a], texts[b]) for a, b in dice.sample(sorted(whole), min(options.pairs, len(whole)))]
    settings = replace(
        TuningSettings(),
        adapter=options.adapter,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        anchor=options.anchor,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        bf16=options.bf16,
        seed=options.seed,
        device=options.device,
    )
    started = time.monotonic()
    with watched(options.tensorboard) as watch:
        tune(Path(options.encoder), pairs, options.out, settings, watch=watch)
    seconds = time.monotonic() - started
    before, after = (recall(vectors(find(str(each)), texts), users) for each in (options.encoder, options.out))
    slices = {
        "all": np.full(len(users), True),
        "untied": np.array([not user.tied for user in users]),
        "hidden": np.array([user.target in hidden for user in users]),
    }
    slices["hidden_untied"] = slices["hidden"] & slices["untied"]
    told = {name: _compared(before[which], after[which]) for name, which in slices.items()}
    bench = {"bench": "tuning", "pairs": len(pairs), "of": len(whole), "seconds": round(seconds)}
    changed = {
        name: getattr(settings, name)
        for name in ("adapter", "epochs", "learning_rate", "anchor", "temperature", "bf16")
    }
    print(json.dumps(bench | changed | told | {"machine": platform.processor() or platform.machine()}))


def _compared(before: "np.ndarray", after: "np.ndarray") -> dict[str, object]:  # type: ignore[type-arg]
    """Means of (users, 2) hits and gains, and the 95 % interval of the difference in hits."""
    dice = np.random.default_rng(0)
    apart = after[:, 0] - before[:, 0]
    drawn = [float(apart[dice.integers(0, len(apart), len(apart))].mean()) for _ in range(RESAMPLED)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "users": len(before),
        "r10": [round(float(each[:, 0].mean()), 5) for each in (before, after)],
        "n10": [round(float(each[:, 1].mean()), 5) for each in (before, after)],
        "r10_gain": [round(float(low), 5), round(float(high), 5)],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = TuningSettings()
    parser.add_argument("--data", type=Path, required=True, help="folder with events.jsonl.gz and items.jsonl")
    parser.add_argument("--encoder", required=True, help="folder with safetensors")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="at most; drawn at random")
    parser.add_argument("--adapter", choices=["lora", "adalora", "full"], default=told.adapter)
    parser.add_argument("--epochs", type=int, default=told.epochs)
    parser.add_argument("--learning-rate", type=float, default=told.learning_rate)
    parser.add_argument("--anchor", type=float, default=told.anchor)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--temperature", type=float, help="[default: what suits the frozen vectors]")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default=told.device)
    parser.add_argument("--tensorboard", type=Path)
    parser.add_argument("--split", choices=["valid", "test"], default="valid", help="choose on valid, judge on test")
    return parser.parse_args()


if __name__ == "__main__":
    main()
