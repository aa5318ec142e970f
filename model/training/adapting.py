"""Before the towers: the text encoder learns from the shop's own pairs, and becomes the bundle that they build on.

Knows nothing of the towers. Pairs are of training rows alone: the title of what was had last and the title of what came
next, and a review with the title of what it is about.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from model.bundle import Bundle
from model.training.encoder_tuning import Step, TuningSettings, tune
from model.training.encoders import Precision
from model.training.lessons import Lessons
from model.training.logs.columns import Log, Rows
from model.training.zeroshot import init

PAIRS = 15_000
"""Measured on Beauty: half of 30,000 gives as much on hidden items, and takes half the time (7 minutes of one core)."""
REVIEWS = 0.25
"""Share of the pairs that are reviews with their items, where there are as many."""

WORDS_CHARS = 20
"""Shorter reviews ("Great!") say nothing of what they are about."""


def pairs_of(
    log: Log, rows: Rows, learning: Lessons, most: int = PAIRS, seed: int = 0, queries: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of texts that belong together, each once, in random order; of items that have no text, none.

    Args:
        log: whose titles and reviews.
        rows: of the log that may be learned from.
        learning: windows and targets of those rows.
        most: how many.
        seed: which ones.
        queries: texts of the windows' lines that name no item.
    """
    dice = np.random.default_rng(seed)
    titles = log.items.texts()
    told = np.concatenate([log.items.telling(titles), np.full(len(queries), True)])
    titles += queries
    long = np.asarray(pc.utf8_length(log.texts)) >= WORDS_CHARS
    reviews = dice.permutation(rows[(long & (log.item >= 0) & told[log.item])[rows]])[: int(most * REVIEWS)]
    found = {(log.texts[row].as_py(), titles[log.item[row]]): None for row in reviews.tolist()}
    for place in dice.permutation(len(learning.targets)).tolist():
        if len(found) >= most:
            break
        last, target = learning.items[place, 0], learning.targets[place]
        if told[last] and told[target] and titles[last] != titles[target]:
            found[titles[last], titles[target]] = None
    pairs = list(found)
    return [pairs[place] for place in dice.permutation(len(pairs)).tolist()]


def titles_of(log: Log, rows: Rows) -> list[str]:
    """Texts of the items in these rows that have some."""
    there = np.unique(log.item[rows])
    texts = log.items.texts()
    telling = log.items.telling(texts)
    return [texts[item] for item in there[there >= 0].tolist() if telling[item]]


def adapt(
    encoder: Path,
    pairs: list[tuple[str, str]],
    titles: Sequence[str],
    out: Path,
    settings: TuningSettings,
    precision: Precision,
    name: str,
    licence: str = "",
    watch: Callable[[Step], None] = lambda _: None,
) -> Bundle:
    """A zero-shot bundle in `out`/base of the encoder, tuned on the pairs and then whitened by the titles; the tuned
    weights stay in `out`/encoder.

    Args:
        encoder: folder with safetensors and tokenizer.json.
        pairs: of texts that belong together; none: the encoder is taken as it comes.
        titles: of the products of training.
        out: folder.
        settings: of the tuning.
        precision: of the bundle's encoder.
        name: beginning of the bundle's name.
        licence: of the encoder.
        watch: told of each step.

    Raises:
        EncoderError: the folder holds no encoder that can be tuned.
    """
    tuned = out / "encoder"
    if pairs:
        tune(encoder, pairs, tuned, settings, watch=watch)
    else:  # The same weights, and no graph of them that is in the folder, too: it may be int8 already.
        shutil.rmtree(tuned, ignore_errors=True)
        shutil.copytree(encoder, tuned, ignore=shutil.ignore_patterns("*.onnx*"))
    return init(str(tuned), out / "base", name=name, precision=precision, licence=licence, titles=titles)
