"""`firstclick model init`: a bundle that needs no training, from a pretrained encoder and, if there is one, a log.

Knows nothing of Kafka. The same encoder, tokenizer, log and weights give the same bytes and the same model name.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from model import cooccurrence
from model.bundle import COOCCURRENCE, ENCODER, INTEREST, SCORER, TOKENIZER, Bundle
from model.training.encoders import Precision, find
from model.training.folder import becoming, describe, replaceable
from model.training.graphs import Weights, interest_graph, scorer_graph
from model.training.logs.columns import read_log
from model.training.logs.forms import Format
from model.training.pairs import Counting, count

DAY_MS = 86_400_000


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
        log_format: of the log; see `model.training.logs.forms`.
        name: beginning of the model's name; a-z, 0-9 and '-'.
        pooling: None: as the encoder says, or mean.
        precision: fp32 and fp16 with fused attention, for GPUs; int8 for CPUs; None: as it is.
        licence: of the encoder, if its package does not say.
        reading: of windows and texts.
        weights: of the interest tower and the scorer.
        counting: how pairs are counted.

    Raises:
        EncoderError: nothing usable under this name.
        LogError: the log cannot be read, or has no event.
        FileExistsError: `out` is there and is no bundle.
    """
    replaceable(out)
    found = find(encoder, tokenizer, pooling, precision)
    with becoming(out) as made:
        (made / ENCODER).write_bytes(found.graph)
        (made / TOKENIZER).write_bytes(found.tokenizer)
        (made / INTEREST).write_bytes(interest_graph(weights))
        (made / SCORER).write_bytes(scorer_graph(weights))
        if log is not None:
            cooccurrence.save(made / COOCCURRENCE, count(read_log([log], log_format=log_format), counting))
        describe(
            made,
            name=name,
            dim=found.dim,
            text_dim=found.dim,
            pooling="cls" if found.pooling == "cls" else "mean",
            output=found.output,
            licence=licence or found.licence,
            created_by="firstclick model init",
            **asdict(reading),
        )
    return Bundle.load(out)
