"""`firstclick model init`: a bundle that needs no training, from a pretrained encoder and, if there is one, a log.

Knows nothing of Kafka. The same encoder, tokenizer, log, products and weights give the same bytes and the same model
name, on one kind of CPU: made once, it is copied to all workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from model import cooccurrence
from model.bundle import COOCCURRENCE, ENCODER, INTEREST, SCORER, TOKENIZER, Bundle
from model.training.encoders import Found, Precision, find, of_bundle
from model.training.folder import becoming, describe, replaceable
from model.training.graphs import Weights, interest_graph, scorer_graph
from model.training.logs.columns import Items, read_items, read_log
from model.training.logs.forms import Format
from model.training.pairs import Counting, count
from model.training.quantise import vectors
from model.training.whitening import bare, followed_by, matrix_of, whitening

DAY_MS = 86_400_000
FEWEST = 50
"""Distinct texts by which an encoder is whitened; fewer say little of a shop's directions."""
MOST = 8_000
"""Of more, so many are read, evenly: 1,000 of Beauty's say as much as 12,000, and reading takes half a minute."""


@dataclass(frozen=True)
class Reading:
    """How a worker with the bundle reads events: fields of the manifest."""

    lines: int = 32
    """N of a window."""
    age_ms: int = 3650 * DAY_MS
    """How far before its newest line a window reaches. Ten years: rank, not age, is what decays."""
    max_tokens: int = 64
    """Of a text. 64 tokens hold 97 % of Beauty's titles whole; more: slower, for the rest."""
    text_share: float = 0.2
    """Of a line's text in its vector where its item is known. On 3,098 next reviews of Amazon 2023 (354 users)
    Recall@10 is .124 with 0, .128 with .2 and .3, .127 with .5 and .074 with the text alone."""
    half_life_ms: int = 7 * DAY_MS
    """Of popularity counts."""


def init(
    encoder: str,
    out: Path,
    tokenizer: str | None = None,
    log: Path | None = None,
    log_format: Format = "firstclick",
    name: str = "zero-shot",
    *,
    items: Sequence[Path] = (),
    titles: Sequence[str] = (),
    whiten: bool = True,
    pooling: Literal["mean", "cls"] | None = None,
    precision: Precision | None = None,
    licence: str = "",
    reading: Reading = Reading(),
    weights: Weights = Weights(),  # noqa: B008 - frozen
    counting: Counting = Counting(),  # noqa: B008 - frozen
) -> Bundle:
    """Makes the bundle in the folder `out`, replacing a bundle there, and loads it as a worker would.

    Args:
        encoder: folder, installed package or hub name; see `model.training.encoders.find`.
        out: the bundle's folder. It appears whole or not at all.
        tokenizer: a tokenizer.json or a folder with one, where the encoder brings none.
        log: events from which co-occurrence is counted, a file or folder, gzipped or not; None: none is.
        log_format: of the log and the items; see `model.training.logs.forms`.
        name: beginning of the model's name; a-z, 0-9 and '-'.
        items: files of products, by whose texts the encoder is whitened, with those of the log; see `whitening.py`.
        titles: more such texts.
        whiten: whether it is at all.
        pooling: None: as the encoder says, or mean.
        precision: fp32 and fp16 with fused attention, for GPUs; int8 for CPUs; None: as it is.
        licence: of the encoder, if its package does not say.
        reading: of windows and texts.
        weights: of the interest tower and the scorer.
        counting: how pairs are counted.

    Raises:
        EncoderError: nothing usable under this name.
        LogError: the log or the items cannot be read, or there is no event or no item in them.
        FileExistsError: `out` is there and is no bundle.
    """
    replaceable(out)
    found = find(encoder, tokenizer, pooling, precision)
    read = None if log is None else read_log([log], items, log_format)
    if shelf := read.items if read is not None else read_items(items, log_format):
        titles = [*titles, *_texts(shelf)]
    with becoming(out) as made:
        if read is not None:
            cooccurrence.save(made / COOCCURRENCE, count(read, counting))
        found = whitened(found, titles) if whiten else found
        told = {"name": name, "licence": licence or found.licence, "created_by": "firstclick model init"}
        _write(made, found, weights, told | asdict(reading))
    return Bundle.load(out)


def whitened(found: Found, texts: Sequence[str]) -> Found:
    """The encoder spread over these texts and no others; as it is where they are fewer than FEWEST, or do not differ.

    Args:
        found: in the precision in which it will serve: the map knows its noise.
        texts: of a shop's products.
    """
    distinct = list(dict.fromkeys(texts))
    if len(distinct) < FEWEST:
        return found
    read = np.linspace(0, len(distinct) - 1, min(len(distinct), MOST)).astype(int)
    try:
        matrix = whitening(vectors(bare(found), [distinct[place] for place in read]))
    except ValueError:  # In a tongue, perhaps, of which the tokenizer knows no word.
        return found
    return followed_by(found, matrix)


def _texts(items: Items) -> list[str]:
    """Of items that have some."""
    texts = items.texts()
    return [text for text, tells in zip(texts, items.telling(texts), strict=True) if tells]


def _write(made: Path, found: Found, weights: Weights, told: Mapping[str, Any]) -> None:
    """The encoder with these weights; `told` is the rest of the manifest."""
    (made / ENCODER).write_bytes(found.graph)
    (made / TOKENIZER).write_bytes(found.tokenizer)
    (made / INTEREST).write_bytes(interest_graph(weights))
    (made / SCORER).write_bytes(scorer_graph(weights))
    pooling = "cls" if found.pooling == "cls" else "mean"
    describe(made, **told, dim=found.dim, text_dim=found.dim, pooling=pooling, output=found.output)


def whitened_bundle(base: Bundle, titles: Sequence[str], out: Path) -> Bundle:
    """A zero-shot bundle in `out` of a bundle's encoder, whitened by the titles; the bundle itself where it has been
    whitened, so that a fleet keeps its catalogue, or where the titles do not suffice.

    Raises:
        FileExistsError: `out` is there and is no bundle.
    """
    found = of_bundle(base)
    spread = found if matrix_of(found.graph) is not None else whitened(found, titles)
    if spread is found:
        return base
    own = {"files", "fingerprint", "format", "dim", "text_dim", "pooling", "output", "training"}
    with becoming(out) as made:
        _write(made, spread, Weights(), base.manifest.model_dump(exclude=own))
    return Bundle.load(out)
