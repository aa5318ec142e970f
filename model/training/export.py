"""From learned towers to a bundle: graphs, tables, manifest; and the gate that compares them with torch.

Knows nothing of how the towers were trained.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from model import cooccurrence, item_tower
from model.bundle import COOCCURRENCE, ENCODER, INTEREST, ITEMS, ITEMS_GRAPH, SCORER, SENTIMENT, TOKENIZER, Bundle
from model.cooccurrence import Cooccurrence
from model.event import Kind
from model.interest import KINDS, Interest, variants
from model.scorer import FEATURES, Scorer
from model.session import Floats
from model.training.calibrate import Worth
from model.training.examples import Mask
from model.training.folder import becoming, describe
from model.training.graphs import AGES, Weights, interest_graph, item_graph, scorer_graph
from model.training.lessons import Lessons
from model.training.line_weights import KIND_FACTORS, examples, of_table, strengths
from model.training.network import Towers
from model.training.pairs import with_pairs
from model.training.scoring import Learned, remembering

WINDOWS = 256
"""Real windows that the gate compares."""
TOLERANCE = 2e-3
"""Largest difference of a component of unit vectors: tables are fp16, whose numbers near 1 lie 1e-3 apart."""
SAME = 0.98
"""Least share of the bundle's ten best items that must be among the network's: half precision moves the others."""
TIED = 1e-3
"""Of a score, which is a cosine times about 20: an item so near to the tenth is as good. A shop of a few products
without words has many that tie."""


class ExportError(Exception):
    """The bundle does not compute what the network does."""


class Parity(NamedTuple):
    """How far a bundle is from the network that it was made of."""

    items: float
    """Largest difference of a candidate's component."""
    interests: float
    """Largest difference of an interest's component."""
    top10: float
    """Share of the bundle's ten best items that are among the network's ten best, or as good as its tenth."""


def learned_of(towers: Towers) -> Learned:
    """What the towers learned, as arrays."""
    with torch.inference_mode():
        recency = torch.exp(towers.log_recency - towers.log_recency[0])
        told = (towers.texts, towers.projection, towers.own, towers.context, recency, towers.line_table())
        texts, projection, own, context, table, lines = (each.float().cpu().numpy() for each in told)
        queries, lenders = towers.queries.cpu().numpy(), towers.lenders.cpu().numpy()
        return Learned(texts, projection, own, context, table, float(towers.log_scale.exp()), lines, queries, lenders)


def settle(towers: Towers, learned: Learned) -> None:
    """Gives the towers these items' vectors."""
    with torch.no_grad():
        towers.own.copy_(torch.tensor(learned.own))
        towers.context.copy_(torch.tensor(learned.context))


LIVE = 2.0
"""Cosines that a live pair weighs at least: a quarter of what it weighs where nothing was trained, and all of that for
an item of which training knows nothing (`model.candidates.MORE`). Leaving one out, validation cannot choose it: towers
that have learned from events after the request know its pairs, and those of training weigh 0 beside them. Split by
time, as a shop lives, more is no better."""
UNHEARD = 1e-3
"""Share that pairs of training keep at least: next to nothing in a score, and still candidates."""


def weights_of(learned: Learned, worth: Worth, heard: Collection[Kind] = KINDS) -> Weights:
    """Every number of the graphs. Beyond the window's length a line weighs nothing: there is none.

    Args:
        learned: by the towers.
        worth: of the other parts of a score.
        heard: kinds of which training saw lines. The zero-shot recency is not for those that push away: who has said no
            means it for longer.
    """
    beyond = (0.0,) * (AGES - len(learned.recency))
    return Weights(
        recency=(*learned.recency.tolist(), *beyond),
        memory=(*remembering(learned, worth.memory).recency.tolist(), *beyond) if worth.memory else (),
        unheard=frozenset(kind for kind in KINDS if kind not in heard and KIND_FACTORS[kind] > 0),
        lines=of_table(learned.lines),
        scale=learned.scale,
        directed=max(worth.directed, LIVE * learned.scale),
        symmetric=worth.symmetric,
        kin=worth.kin,
        popularity=1.0,
        trend=worth.trend,
        borrowed=worth.borrowed,
        apart=worth.apart,
        fresh=worth.fresh,
    )


def told_pairs(
    counted: Cooccurrence, learned: Learned, worth: Worth, item_ids: Sequence[str], linear: sparse.csr_array | None
) -> Cooccurrence:
    """The pairs of training as the graphs weigh them: live ones have the graph's weight, these what validation gave.

    Linear weights have no place of their own: like the shares beside them they are lent to new items, and make room as
    live events come.

    Args:
        counted: pairs of the log.
        learned: by the towers.
        worth: of the parts of a score.
        item_ids: (I,)
        linear: (I, I) of `linear_pairs`; None: there are none.
    """
    weight = weights_of(learned, worth).directed
    values = counted.values.copy()
    values[0] *= max(worth.directed / weight, UNHEARD)
    told = counted._replace(values=values)
    if linear is None:
        return told
    return with_pairs(told, item_ids, "directed", linear * np.float32(worth.linear / weight))


def export(
    base: Bundle,
    out: Path,
    name: str,
    item_ids: list[str],
    known: Mask,
    learned: Learned,
    worth: Worth,
    pairs: Cooccurrence,
    training: Mapping[str, Any],
    sentiment: bytes | None = None,
    heard: Collection[Kind] = KINDS,
) -> Bundle:
    """Writes the bundle to `out`, replacing a bundle there.

    Args:
        base: whose encoder, tokenizer and window; the text vectors are its.
        out: the bundle's folder. It appears whole or not at all.
        name: beginning of the model's name.
        item_ids: (I,)
        known: (I,) items that training saw; the others will borrow.
        learned: by the towers.
        worth: of the other parts of a score.
        pairs: of `told_pairs`.
        training: what it came from, for the manifest.
        sentiment: graph of the head that reads stars from texts; None: the bundle has none.
        heard: kinds of which training saw lines.

    Raises:
        FileExistsError: `out` is there and is no bundle.
    """
    weights, manifest = weights_of(learned, worth, heard), base.manifest
    seen = np.flatnonzero(known)
    with becoming(out) as made:
        for file in (ENCODER, TOKENIZER):
            shutil.copyfile(base.path / file, made / file)
        (made / ITEMS_GRAPH).write_bytes(item_graph(learned.projection, weights.heads))
        (made / INTEREST).write_bytes(interest_graph(weights))
        (made / SCORER).write_bytes(scorer_graph(weights))
        cooccurrence.save(made / COOCCURRENCE, pairs)
        if sentiment is not None:
            (made / SENTIMENT).write_bytes(sentiment)
        half = (array[seen].astype(np.float16) for array in (learned.texts, learned.own, learned.context))
        item_tower.save(made / ITEMS, item_tower.Learned(tuple(item_ids[number] for number in seen), *half))
        kept = manifest.model_dump(include={"lines", "age_ms", "pooling", "output", "max_tokens", "text_dim"})
        kept |= manifest.model_dump(include={"text_share", "text_lines", "half_life_ms", "licence"})
        told = {"name": name, "dim": learned.own.shape[1], "created_by": "firstclick train", "training": dict(training)}
        describe(made, **kept, **told)
    return Bundle.load(out)


def parity(bundle: Bundle, towers: Towers, item_ids: list[str], known: Mask, lessons: Lessons) -> Parity:
    """Compares the bundle with the network on real windows, if any can be compared, and all items that training saw.

    Raises:
        ExportError: they differ by more than half precision explains.
    """
    some = lessons.only(_comparable(lessons, known, learned_of(towers).lines)[:WINDOWS])
    seen = np.flatnonzero(known)
    towers = towers.eval().cpu()
    with torch.inference_mode():
        candidates, contexts = towers.items()
        candidates = torch.nn.functional.normalize(candidates, dim=1)
    tower = item_tower.item_tower(bundle)
    vectors = tower([item_ids[number] for number in seen], towers.texts.numpy()[seen])
    words = tower([""] * len(towers.queries), towers.queries.numpy())
    shelf, context = np.zeros((2, len(item_ids), bundle.dim), np.float32)
    shelf[seen], context[seen] = vectors.candidates, vectors.contexts
    apart = float(np.abs(candidates.numpy()[seen] - vectors.candidates).max())
    found = Parity(apart, 0.0, 1.0)
    if len(some.targets):  # Where each window speaks for and against, there is none to compare.
        served = _interests(bundle, np.concatenate([context, words.contexts]), some)
        told = np.zeros((len(served), 1, len(seen), len(FEATURES)), np.float32)
        mine = Scorer(bundle)(served[:, None], shelf, np.broadcast_to(seen, (len(served), len(seen))), told)[:, 0]
        with torch.inference_mode():
            items, lines = torch.tensor(some.items.astype(np.int64)), torch.tensor(some.lines.astype(np.int64))
            interests = towers.interests(items, lines, contexts)
            scores = towers.scores(interests, candidates[seen]).numpy()
        found = Parity(apart, float(np.abs(interests.numpy() - served).max()), _same(scores, mine))
    if not (found.items <= TOLERANCE and found.interests <= TOLERANCE and found.top10 >= SAME):
        raise ExportError(
            f"{bundle.path} drifts from the network: candidates by {found.items:.1g}, interests by "
            f"{found.interests:.1g} (at most {TOLERANCE}), and {found.top10:.1%} of the ten best items are the same "
            f"(at least {SAME:.0%})"
        )
    return found


def _same(scores: Floats, mine: Floats) -> float:
    """Share of the ten items that are best in (B, I) `mine` and are, or tie with, one of the ten best of `scores`."""
    best, theirs = (np.argsort(-each, axis=1, kind="stable")[:, :10] for each in (scores, mine))
    tenth = np.take_along_axis(scores, best[:, -1:], axis=1)
    return float(np.mean(np.take_along_axis(scores, theirs, axis=1) >= tenth - TIED))


def _comparable(lessons: Lessons, known: Mask, table: Floats) -> npt.NDArray[np.int64]:
    """Windows of known items and texts alone, in which all speaks for something.

    Other items borrow in the bundle and do not in the network; what is left of opposites has no direction to compare.
    """
    there = lessons.items >= 0
    learned = ~np.isin(lessons.items, np.flatnonzero(~known)) | ~there
    return np.flatnonzero((learned & (strengths(table, lessons.lines) >= 0)).all(axis=1))


def _interests(bundle: Bundle, contexts: Floats, lessons: Lessons) -> Floats:
    """(B, D) by the bundle's graph."""
    items, lines = lessons.items[:, ::-1], lessons.lines[:, ::-1]
    there = items >= 0
    vectors = contexts[np.where(there, items, 0)] * there[..., None]
    found = Interest(bundle)(vectors.astype(np.float32), examples(lines, items), variants(there)[:, :1])
    interests: Floats = found.vectors[:, 0]
    return interests
