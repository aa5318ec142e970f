"""(g) What a trained bundle's towers cost: windows to interests, candidates to scores; checked against numpy first.

python -m tests.bench.towers BUNDLE
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model import item_tower
from model.bundle import ITEMS, Bundle
from model.event import Kind
from model.interest import KINDS, NUMBERS, Features, Interest, twins, variants
from model.scorer import FEATURES, Scorer
from model.session import Floats
from tests.bench.machine import machine

USERS, LINES, CANDIDATES = 64, 20, 200
ROUNDS = 200


def main() -> None:
    bundle = Bundle.load(Path(sys.argv[1]))
    table = bundle.file(ITEMS)
    if table is None:
        sys.exit(f"{bundle.path} has no item tower: it is not a trained bundle")
    learned = item_tower.load(table)
    shelf = item_tower.item_tower(bundle)(learned.item_ids, learned.texts.astype(np.float32))
    dice = np.random.default_rng(0)
    rows = dice.integers(0, len(shelf.contexts), (USERS, bundle.lines))
    there = np.broadcast_to(np.arange(bundle.lines) < LINES, rows.shape)
    vectors = shelf.contexts[rows] * there[..., None]
    numbers = np.full((*rows.shape, len(NUMBERS)), -1.0, np.float32)
    told = Features(np.full(rows.shape, KINDS.index(Kind.CLICK)), numbers, twins(rows))
    keep = variants(there)[:, :1]
    interest, scorer = Interest(bundle), Scorer(bundle)
    found = interest(vectors, told, keep)
    _check(found.vectors[:, 0], found.weights[:, 0], vectors)
    candidates = dice.integers(0, len(shelf.candidates), (USERS, CANDIDATES))
    features = np.zeros((USERS, 1, CANDIDATES, len(FEATURES)), np.float32)
    to_interest = _ms_per_user(lambda: interest(vectors, told, keep))
    to_scores = _ms_per_user(lambda: scorer(found.vectors, shelf.candidates, candidates, features))
    print(
        json.dumps(
            {
                "bench": "towers",
                "model": bundle.model,
                "dim": bundle.dim,
                "interest_ms_per_user": to_interest,
                "scores_ms_per_user": to_scores,
                **machine(),
            }
        )
    )


def _check(interests: Floats, weights: Floats, vectors: Floats) -> None:
    sums = (weights[..., None] * vectors).sum(1)
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    if not np.allclose(interests, expected, atol=1e-4):
        sys.exit("the interest tower does not compute the weighted sum of its lines")


def _ms_per_user(call: Callable[[], object]) -> dict[str, float]:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000 / USERS)
    return {f"p{share}": round(float(np.percentile(took, share)), 4) for share in (50, 95, 99)}


if __name__ == "__main__":
    main()
