"""`firstclick train`: from a log to a bundle, in one line: replay, fit, calibrate, fit again on all, write, compare.

Everything is chosen on validation rows; test rows are never read. Knows nothing of Kafka or of how a log is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.bundle import Bundle
from model.cooccurrence import Cooccurrence
from model.interest import KINDS
from model.session import Floats
from model.training import together
from model.training.calibrate import Worth, calibrate
from model.training.course import Course
from model.training.examples import Mask
from model.training.export import Parity, export, learned_of, parity, settle, told_pairs
from model.training.fit import FitSettings, Fitted, FitWatch, fit
from model.training.folder import replaceable
from model.training.lessons import Lessons, touched
from model.training.linear import L2S, linear_pairs, user_items
from model.training.logs.columns import Log
from model.training.new_items import COST
from model.training.pairs import COUNTINGS, Counting, count, with_pairs
from model.training.scoring import kin_matrix, neighbours, shrunk
from model.training.splits import Split

SHOWN = 5000
"""Items in TensorBoard's projector: more than a browser turns smoothly help nobody."""


@dataclass(frozen=True)
class TrainSettings:
    """How a bundle is trained."""

    fit: FitSettings = field(default_factory=FitSettings)
    countings: tuple[Counting, ...] = COUNTINGS
    """Ways to count pairs, of which the best on validation is taken."""
    l2s: tuple[float, ...] = L2S
    """Of the linear weights, of which the best on validation is taken; none: there are no such weights."""
    refit: bool = True
    """Whether the towers and the counts learn once more, from training and validation rows, as long as was best. What
    was chosen on validation stays. A shop wants its newest events in the model; published tables mostly do without."""
    new_items: float = COST
    """Share of NDCG@10 on validation that may be given up for new items: more, and they stand higher in more lists."""
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
    course = Course(log, split, base, hidden, device=settings.fit.device, threads=settings.threads)
    found = _learned(course, settings, folder, watch)
    if together.rank() != 0:
        return None
    watch.say("reading reviews for what their words say of stars")
    fitted, worth, sentiment = found.fitted, found.worth, course.sentiment
    told = _told(course, settings, fitted, worth, about or {})
    learned, ids = learned_of(fitted.towers), log.items.ids
    graph = None if sentiment.head is None else sentiment.head.graph()
    heard = [KINDS[number] for number in np.unique(log.kind[course.all_rows])]
    bundle = export(base, out, settings.name, ids, found.known, learned, worth, found.pairs, told, graph, heard)
    same = parity(bundle, fitted.towers, ids, found.known, found.lessons)
    shown = np.flatnonzero(found.known)[:SHOWN]
    titles = log.items.table.column("title").take(shown).to_pylist()
    watch.on_shelf(titles, learned.texts[shown] @ learned.projection + learned.own[shown])
    return Trained(bundle, fitted, worth, same, told)


class _Learned(NamedTuple):
    """What the last rows that were learned from came to, and what validation said before."""

    fitted: Fitted
    worth: Worth
    pairs: Cooccurrence
    """Of `told_pairs`."""
    lessons: Lessons
    known: Mask
    """(I,) items that these rows touch."""


def _learned(course: Course, settings: TrainSettings, folder: Path | None, watch: Watch) -> _Learned:
    """Fits and calibrates; with `refit` fits again on training and validation rows, as long as was best."""
    log = course.log
    watch.say(f"reading {len(log.items):,} titles and {len(course.queries.texts):,} queries")
    texts, queries = course.texts, course.query_vectors
    watch.say("replaying windows")
    blind = course.sample is None
    rows = course.all_rows if blind and settings.refit else course.rows
    lessons, known = course.learning(rows)
    watch.say(f"learning from {len(lessons.targets):,} windows of {known.sum():,} items")
    first, again = (None if folder is None else folder / name for name in ("fit", "refit"))
    learn = partial(fit, texts, settings=settings.fit, queries=queries, watch=watch.fit)
    fitted = learn(lessons, known, valid=course.sample, folder=first)
    counted, worth = [count(log, each, rows) for each in settings.countings], USUAL
    if blind:
        watch.say("nothing to choose by: validation asks for no item that was learned; pairs count as they often do")
    elif together.rank() == 0:
        watch.say("choosing what co-occurrence, what sells and new items are worth")
        counts = touched(log, rows)
        tried = {l2: linear_pairs(user_items(log, rows), l2) for l2 in settings.l2s}
        worth = calibrate(log, learned_of(fitted.towers), counts, counted, *course.valid, settings.new_items, tried)
    pairs = counted[worth.counting]
    if settings.refit and not blind:
        rows = course.all_rows
        lessons, known = course.learning(rows)
        watch.say(f"learning once more, from {len(lessons.targets):,} windows, validation's among them")
        last = learn(lessons, known, until=fitted.epochs, folder=again)
        fitted = fitted._replace(towers=last.towers)  # What validation said is said of the first.
        pairs = count(log, settings.countings[worth.counting], rows)
    learned = learned_of(fitted.towers)
    beside = neighbours(learned.texts, touched(log, rows))
    settle(fitted.towers, shrunk(learned, beside, worth.shrink))
    if worth.known_kin:  # The graph's weight is that of new items.
        kin = kin_matrix(beside, worth.kin_shrink) * np.float32(worth.known_kin / worth.kin)
        pairs = with_pairs(pairs, log.items.ids, "kin", kin)
    linear = linear_pairs(user_items(log, rows), worth.l2) if worth.linear else None
    told = told_pairs(pairs, learned_of(fitted.towers), worth, log.items.ids, linear)
    return _Learned(fitted, worth, told, lessons, known)


USUAL = Worth(
    counting=0,
    memory=0.85,
    shrink=0.0,
    directed=10.0,
    symmetric=0.0,
    linear=0.0,
    l2=0.0,
    kin=4.0,
    known_kin=0.0,
    kin_shrink=0.0,
    trend=0.0,
    borrowed=0.0,
    apart=0.0,
    fresh=0.0,
    steps={},
    new_items={},
)
"""Where there is no validation to choose by: what most logs choose, or less. NDCG@10 on validation by towers alone, and
so: Amazon Office .155, .160, Industrial .106, .107, MovieLens 100K .123, .124, the 45 requests of 354 reviewers .192,
.186."""


def _told(
    course: Course, settings: TrainSettings, fitted: Fitted, worth: Worth, about: dict[str, Any]
) -> dict[str, Any]:
    """What the manifest says of the training."""
    return _plain(
        {
            **about,
            "settings": {
                **asdict(settings.fit),
                "counting": {**asdict(settings.countings[worth.counting]), "l2": worth.l2},
                "refit": settings.refit,
                "new_items": settings.new_items,
            },
            "epochs": fitted.epochs,
            "valid_ndcg@10": {"after_epochs": fitted.ndcg, **worth.steps},
            "valid_recall@10_new_items": worth.new_items,
            "sentiment": course.sentiment.told,
            "queries": {"read": len(course.queries.texts), "lines_left_out": course.queries.left_out},
            "encoder": course.base.model,
        }
    )


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
