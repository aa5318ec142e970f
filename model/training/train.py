"""`firstclick train`: from a log to a bundle, in one line: replay, fit, calibrate, fit again on all, write, compare.

Everything is chosen on validation rows; test rows are never read. Knows nothing of Kafka or of how a log is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import Bundle
from model.encoder import Encoder
from model.session import Floats
from model.training import together
from model.training.baselines.protocol import Asked, asked
from model.training.calibrate import Worth, calibrate
from model.training.examples import Mask, replay
from model.training.export import Parity, export, learned_of, parity
from model.training.fit import FitSettings, Fitted, FitWatch, fit
from model.training.folder import replaceable
from model.training.graphs import Weights
from model.training.hidden import not_hidden
from model.training.lessons import Lessons, known_items, lessons, strengths_of, training_requests
from model.training.logs.columns import Log
from model.training.pairs import Counting, count
from model.training.splits import Split

SCORES = 100_000_000
"""Validation scores after each epoch, a few seconds: 8,000 requests over 12,000 items, NDCG@10 then known to .0025."""


SHOWN = 5000
"""Items in TensorBoard's projector: more than a browser turns smoothly help nobody."""


@dataclass(frozen=True)
class TrainSettings:
    """How a bundle is trained."""

    fit: FitSettings = field(default_factory=FitSettings)
    counting: Counting = field(default_factory=Counting)
    refit: bool = True
    """Whether the towers and the counts learn once more, from training and validation rows, as long as was best. What
    was chosen on validation stays. A shop wants its newest events in the model; published tables mostly do without."""
    name: str = "trained"
    threads: int = 2


@dataclass(frozen=True)
class Watch:
    """Who looks on."""

    say: Callable[[str], None] = lambda _: None
    fit: FitWatch = field(default_factory=FitWatch)
    on_shelf: Callable[[Sequence[str], Floats], None] = lambda *_: None
    """Told the titles of some items and their (P, D) vectors as candidates, at the end."""


@dataclass(frozen=True)
class Trained:
    """What came of it."""

    bundle: Bundle
    fitted: Fitted
    worth: Worth
    parity: Parity
    told: dict[str, Any] = field(default_factory=dict)


def train(
    log: Log,
    split: Split,
    base: Bundle,
    out: Path,
    settings: TrainSettings = TrainSettings(),
    *,
    folder: Path | None = None,
    about: dict[str, Any] | None = None,
    hidden: Mask | None = None,
    watch: Watch = Watch(),
) -> Trained | None:
    """Trains a bundle with the encoder of another; None in all processes of several but the first, which writes it.

    Args:
        log: events and items.
        split: of the log; its test rows are not read.
        base: whose encoder, tokenizer and window.
        out: the bundle's folder. It appears whole or not at all.
        settings: how.
        folder: where checkpoints are kept, and resumed from; None: nowhere.
        about: the log, for the manifest.
        hidden: (I,) items of which nothing may be learned, to see how new items fare; their events are out of the
            split's train already.
        watch: who looks on.

    Raises:
        ValueError: there is nothing to learn from, or `folder` is of another training.
        ExportError: the bundle does not compute what the network does.
        FileExistsError: `out` is there and is no bundle.
    """
    replaceable(out)
    watch.say(f"reading {len(log.items):,} titles")
    texts = item_texts(log, base, settings.fit.device, settings.threads)
    strengths = strengths_of(log, Weights())
    watch.say("replaying windows")
    rows = split.train
    known = known_items(log, rows)
    valid, put = _valid(log, split, base, strengths, known)
    learning = _lessons(log, rows, base, strengths)
    watch.say(f"learning from {len(learning.targets):,} windows of {known.sum():,} items")
    first = None if folder is None else folder / "fit"
    asked_for = _sample(valid, put, SCORES // max(int(known.sum()), 1)) if len(put.targets) else None
    fitted = fit(texts, learning, known, settings.fit, valid=asked_for, folder=first, watch=watch.fit)
    watch.say("choosing what co-occurrence, what sells and new items are worth")
    counted = count(log, settings.counting, rows)
    learned = learned_of(fitted.towers)
    chief = together.rank() == 0
    worth = calibrate(log, learned, counted, valid, put, known) if len(put.targets) and chief else NOTHING
    if settings.refit and len(put.targets):
        rows = rows | (_rows(log, split.valid) & (True if hidden is None else not_hidden(log, hidden)))
        known, learning = known_items(log, rows), _lessons(log, rows, base, strengths)
        watch.say(f"learning once more, from {len(learning.targets):,} windows, validation's among them")
        again = None if folder is None else folder / "refit"
        last = fit(texts, learning, known, settings.fit, until=fitted.epochs, folder=again, watch=watch.fit)
        fitted = replace_towers(fitted, last)
        counted, learned = count(log, settings.counting, rows), learned_of(fitted.towers)
    told = {
        **(about or {}),
        "settings": {**asdict(settings.fit), "counting": asdict(settings.counting), "refit": settings.refit},
        "epochs": fitted.epochs,
        "valid_ndcg@10": {"towers": fitted.ndcg, **worth.steps},
        "encoder": base.model,
    }
    if not chief:
        return None
    bundle = export(base, out, settings.name, log.items.ids, known, learned, worth, counted, _plain(told))
    same = parity(bundle, fitted.towers, log.items.ids, known, learning)
    shown = np.flatnonzero(known)[:SHOWN]
    titles = log.items.table.column("title").take(shown).to_pylist()
    watch.on_shelf(titles, learned.texts[shown] @ learned.projection + learned.own[shown])
    return Trained(bundle, fitted, worth, same, told)


NOTHING = Worth(0.0, 0.0, 0.0, 0.0, {})
"""Where there is no validation to choose by."""


def item_texts(log: Log, base: Bundle, device: str = "cpu", threads: int = 2) -> Floats:
    """(I, E) vectors of the items' texts, in half precision as the catalogue topic carries them."""
    encoder = Encoder(base, device, threads, cached=1)
    found: Floats = encoder.vectors(log.items.texts()).astype(np.float16).astype(np.float32)
    return found


def replace_towers(fitted: Fitted, last: Fitted) -> Fitted:
    """The towers of the last training, with what validation said of the first."""
    return fitted._replace(towers=last.towers)


def _lessons(log: Log, rows: Mask, base: Bundle, strengths: Floats) -> Lessons:
    """Every touch of these rows with what stood before it; a user's first touch teaches nothing."""
    found = lessons(log, training_requests(log, rows, base.lines, base.age_ms), strengths)
    return found.only(np.flatnonzero((found.items >= 0).any(axis=1)))


def _valid(log: Log, split: Split, base: Bundle, strengths: Floats, known: Mask) -> tuple[Asked, Lessons]:
    """Validation requests of known items whose windows hold something, in order of their rows."""
    requests = replay(log, split.valid, split.train | _rows(log, split.valid), base.lines, base.age_ms)
    put = lessons(log, requests, strengths)
    some = np.flatnonzero((put.items >= 0).any(axis=1) & known[put.targets])
    return asked(log, requests.only(some)), put.only(some)


def _sample(valid: Asked, put: Lessons, most: int) -> tuple[Asked, Lessons]:
    chosen = np.sort(np.random.default_rng(0).permutation(len(put.targets))[: max(most, 1)])
    return valid.only(chosen), put.only(chosen)


def _rows(log: Log, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Mask:
    found = np.zeros(len(log), np.bool_)
    found[rows] = True
    return found


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """Numbers rounded, NaN left out: a manifest is JSON."""
    plain: dict[str, Any] = {}
    for name, value in told.items():
        if isinstance(value, dict):
            plain[name] = _plain(value)
        elif isinstance(value, float):
            if value == value:
                plain[name] = round(value, 6)
        else:
            plain[name] = value
    return plain
