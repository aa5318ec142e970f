"""(g) What a trained bundle's towers cost: windows to interests, candidates to scores; checked against numpy first.

python -m tests.bench.towers [BUNDLE]

Without a BUNDLE: towers of random numbers in the size of Amazon Beauty's, on the encoder of FIRSTCLICK_BUNDLE. What
towers cost does not depend on what they learned, so neither training nor data is needed.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model import item_tower
from model.bundle import ENCODER, INTEREST, ITEMS, ITEMS_GRAPH, SCORER, TOKENIZER, Bundle
from model.event import Kind
from model.interest import KINDS, NUMBERS, Features, Interest, twins, variants
from model.scorer import FEATURES, Scorer
from model.session import Floats
from model.training.folder import becoming, describe
from model.training.graphs import Weights, interest_graph, item_graph, scorer_graph
from stream.settings import Settings
from tests.bench.answers import WrongAnswer
from tests.bench.machine import machine

USERS, LINES, CANDIDATES = 64, 20, 200
ROUNDS = 200
SHELF, DIM = 12_101, 256  # Amazon Beauty's items; what `firstclick train` makes of their 384 components.


def main() -> None:
    told = measured(Bundle.load(Path(sys.argv[1]))) if len(sys.argv) > 1 else of_random_numbers()
    print(json.dumps({"bench": "g: a trained bundle's towers", **told, "machine": machine()}))


def of_random_numbers() -> dict[str, object]:
    """What towers of Beauty's size cost, on the encoder that the worker would take."""
    with tempfile.TemporaryDirectory() as folder:
        return measured(random_towers(Bundle.load(Settings.load().bundle), Path(folder) / "random"))


def random_towers(base: Bundle, out: Path) -> Bundle:
    """A bundle in `out` of the base's encoder, as `firstclick train` would write it, but of random numbers."""
    dice, weights = np.random.default_rng(0), Weights()
    texts = dice.normal(size=(SHELF, base.text_dim))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    own, context = dice.normal(0, DIM**-0.5, (2, SHELF, DIM)).astype(np.float16)
    learned = item_tower.Learned(tuple(f"item {n}" for n in range(SHELF)), texts.astype(np.float16), own, context)
    with becoming(out) as made:
        for name in (ENCODER, TOKENIZER):
            shutil.copyfile(base.path / name, made / name)
        projection = dice.normal(0, DIM**-0.5, (base.text_dim, DIM)).astype(np.float32)
        (made / ITEMS_GRAPH).write_bytes(item_graph(projection, weights.heads))
        (made / INTEREST).write_bytes(interest_graph(weights))
        (made / SCORER).write_bytes(scorer_graph(weights))
        item_tower.save(made / ITEMS, learned)
        kept = base.manifest.model_dump(exclude={"files", "fingerprint", "format", "name", "dim"})
        describe(made, **kept, name="random", dim=DIM)
    return Bundle.load(out)


def measured(bundle: Bundle) -> dict[str, object]:
    """What the bundle's towers cost for each of USERS users at once.

    Raises:
        WrongAnswer: they do not compute what they should.
    """
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
    check_interests(found.vectors[:, 0], found.weights[:, 0], vectors)
    candidates = dice.integers(0, len(shelf.candidates), (USERS, CANDIDATES))
    features = np.zeros((USERS, 1, CANDIDATES, len(FEATURES)), np.float32)
    scores = scorer(found.vectors, shelf.candidates, candidates, features)
    check_scores(scores[:, 0], found.vectors[:, 0], shelf.candidates[candidates])
    to_interest = _ms_per_user(lambda: interest(vectors, told, keep))
    to_scores = _ms_per_user(lambda: scorer(found.vectors, shelf.candidates, candidates, features))
    return {
        "model": bundle.model,
        "dim": bundle.dim,
        "items": len(shelf.candidates),
        "interest_ms_per_user": to_interest,
        "scores_ms_per_user": to_scores,
    }


def check_interests(interests: Floats, weights: Floats, vectors: Floats) -> None:
    """(B, D) interests are the sum of their (B, N, D) lines by (B, N) weights, of unit length."""
    sums = (weights[..., None] * vectors).sum(1)
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    if not np.allclose(interests, expected, atol=1e-4):
        raise WrongAnswer("the interest tower does not compute the weighted sum of its lines")


def check_scores(scores: Floats, interests: Floats, candidates: Floats) -> None:
    """(B, K) scores of candidates (B, K, D) of which nothing else is known are their cosines, at one scale."""
    cosines = np.einsum("bd,bkd->bk", interests, candidates)
    scale = (scores * cosines).sum() / (cosines**2).sum()
    if not (scale > 0 and np.allclose(scores, scale * cosines, atol=1e-4 * scale)):
        raise WrongAnswer("the scorer does not compute cosines where there is nothing else to score by")


def _ms_per_user(call: Callable[[], object]) -> dict[str, float]:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000 / USERS)
    return {f"p{share}": round(float(np.percentile(took, share)), 4) for share in (50, 95, 99)}


if __name__ == "__main__":
    main()
