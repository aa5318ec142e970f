"""Steps 5 to 8 of 10: windows become advice: a list, its reasons and an interest vector per user.

No I/O and no clock: the same windows, catalogue and bundle give the same advice, alone or in company. Knows nothing of
Kafka, and does no arithmetic that `model/` could do.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from model import cooccurrence
from model.bundle import Bundle
from model.candidates import Candidates, Counts, Limits, co_features, counted_pairs, pairs_of_ids, retrieve, touches
from model.catalogue import Catalogue, Lent, Rows
from model.encoder import Encoder
from model.freshness import freshness
from model.gather import gather, rated, texts_of
from model.interest import Interest, Interests, anything_wanted
from model.lending import Borrowers, borrowers, counted_as
from model.prices import apart
from model.scorer import FEATURES, Scorer, biggest_losses
from model.sentiment import sentiment
from model.session import Floats
from model.text import Line
from model.window import OWNING, Window, unwanted

REASONS = 3
"""Lines named per item. The fourth has decayed to an eighth: it explains nothing that a shopper would recognise."""
COLD_EVENTS = 5
"""From this many events on a user is called warm."""
SPARE = 6
"""Runners-up that are scored again with the list. Its scores are made in another product than the first ones, and may
differ from them in the last bit: they order the list, so that it and the scores that it shows never disagree."""
HOUR_MS = 3_600_000
DECIMALS = 6
"""Of scores and weights: float32 knows no more, and the last bit differs between CPU and GPU."""


class RankedItem(NamedTuple):
    """One place of a list."""

    item_id: str
    rank: int
    """From 1."""
    score: float
    """Raw: it compares across lists of one model."""
    because: tuple[tuple[str, float], ...]
    """(event id, what the score would lose without that event), biggest first, at most REASONS, all above 0."""


class Advice(NamedTuple):
    """What one user gets."""

    stage: str
    """fallback: nothing known is wanted, the list is what sells. cold: fewer than COLD_EVENTS events. Else warm."""
    items: tuple[RankedItem, ...]
    vector: Floats
    """(D,) unit length, or all zeros when nothing is known."""
    bare: bool = False
    """Whether nothing at all was on the shelf that might be shown."""


class Recommender:
    """Advice for windows, by one bundle over one catalogue."""

    def __init__(
        self,
        bundle: Bundle,
        catalogue: Catalogue,
        encoder: Encoder,
        *,
        items: int = 10,
        candidates: int = 200,
        repeat_categories: Sequence[str] = (),
        device: str = "cpu",
        threads: int = 2,
        timed: Callable[[str], AbstractContextManager[None]] = lambda step: nullcontext(),
    ) -> None:
        """Joins the parts.

        Args:
            bundle: whose interest tower, scorer and counts.
            catalogue: the shelf; another thread may change it between batches.
            encoder: the same bundle's.
            items: places of a list.
            candidates: nearest items scored per user; half as many neighbours of the window's items and a quarter as
                many popular ones join them (twice the list at least: they are all that someone unknown gets).
                More: nothing good is missed. Fewer: faster.
            repeat_categories: patterns (`grocery*`) of categories in which a bought or reviewed item may come back.
            device: of the interest tower and the scorer: `cpu`, `cuda` or `cuda:N`.
            threads: cores for one call of either on the CPU.
            timed: entered around step 5, `encode`: of the four alone it can take a hundred times as long as the others.

        Raises:
            DeviceError: the device is not there.
            ValueError: catalogue or encoder have vectors of another length than the bundle.
        """
        if bundle.dim != catalogue.dim or bundle.text_dim != encoder.dim:
            raise ValueError(
                f"the bundle's vectors are {bundle.dim} long and its texts' {bundle.text_dim}, the catalogue's "
                f"{catalogue.dim} and the encoder's {encoder.dim}"
            )
        self._manifest = bundle.manifest
        self._catalogue = catalogue
        self._encoder, self._timed = encoder, timed
        self._items = items
        self._limits = Limits(max(candidates, items), candidates // 2, max(candidates // 4, 2 * items))
        self._repeat_categories = tuple(repeat_categories)
        self._interest = Interest(bundle, device, threads)
        self._scorer = Scorer(bundle, device, threads)
        self._stars = sentiment(bundle)
        self._counted = cooccurrence.load(bundle)
        self._counted_rows = catalogue.watch(self._counted.item_ids)
        self._counted_numbers = counted_as(catalogue.tower.item_ids, self._counted)
        self._shelf: tuple[Lent, Borrowers, Floats] | None = None  # As it stood when it last took or lost an item.

    def recommend(self, windows: Sequence[Window], at_ms: Sequence[int] | None = None) -> list[Advice]:
        """Advice for each of B windows, in order.

        Args:
            windows: B.
            at_ms: when each of them asks; None: at its newest line, as a worker answers.
        """
        if not windows:
            return []
        lines = [window.lines[-self._manifest.lines :] for window in windows]
        texts = texts_of(lines, self._catalogue, self._manifest, self._stars is not None)
        with self._timed("encode"):
            vectors = self._encoder.vectors(texts)  # Not under the lock: texts take long.
        contexts = self._catalogue.tower([""] * len(texts), vectors).contexts
        read = dict(zip(texts, contexts, strict=True))
        told: Sequence[Sequence[Line]] = lines
        if self._stars is not None:
            told = rated(lines, dict(zip(texts, vectors, strict=True)), self._stars, self._manifest)
        with self._catalogue.lock:
            gathered = gather(told, self._catalogue, read, self._counted.numbers, self._manifest)
            interests = self._interest(gathered.vectors, gathered.told, gathered.keep)
            whole = interests.whole()
            known = anything_wanted(whole.weights[:, 0], gathered.vectors)
            candidates = retrieve(
                whole.vectors[:, 0],
                whole.remembered[:, 0],
                counted_pairs(gathered.numbers, gathered.live_numbers, self._counts()),
                known,
                pairs_of_ids([self._hidden(*user) for user in zip(windows, lines, strict=True)]),
                self._catalogue,
                self._limits,
            )
            events = np.array([[window.n_events] for window in windows], np.float32)
            asked_ms = _asked_ms(lines, at_ms)
            prices = gathered.log_prices
            scores = self._scores(whole, candidates, events, asked_ms, prices)[:, 0]
            best = np.argsort(-scores, axis=1, kind="stable")[:, : self._items + SPARE]  # (B, T) places of candidates
            n_without = np.maximum(events - (np.arange(gathered.keep.shape[1]) > 0), 0)
            scores = self._scores(
                interests, candidates, n_without, asked_ms, prices, best
            )  # (B, 1 + N, T): what each line brought
            best_rows = np.take_along_axis(candidates.rows, best, axis=1)
            reasons = biggest_losses(scores, whole.remembered[:, 0], REASONS)
            bare = not self._catalogue.available.any()
            return [
                Advice(
                    "fallback" if not known[user] else "cold" if window.n_events < COLD_EVENTS else "warm",
                    self._ranked(best_rows[user], scores[user, 0], reasons[user], lines[user]),
                    whole.vectors[user, 0].copy(),
                    bare,
                )
                for user, window in enumerate(windows)
            ]

    def _scores(
        self,
        interests: Interests,
        candidates: Candidates,
        events: Floats,
        asked_ms: tuple[Rows, Rows],
        log_prices: Floats,
        chosen: Rows | None = None,
    ) -> Floats:
        """(B, R, K) scores of the candidates, or (B, R, T) of the chosen places; -inf where there is none.

        Args:
            interests: of R variants.
            candidates: of the same users.
            events: (B, R) how many events the variant has seen.
            asked_ms: (B,) time of the request, and of the newest line before it.
            log_prices: (B, N) of the lines' items.
            chosen: (B, T) places among the candidates; None: all.
        """
        at_ms, newest_ms = asked_ms
        rows = candidates.rows if chosen is None else np.take_along_axis(candidates.rows, chosen, axis=1)
        together = co_features(candidates, interests.remembered, chosen)
        told = np.empty((*together.shape[1:], len(FEATURES)), np.float32)
        told[..., :3] = np.moveaxis(together, 0, -1)
        told[..., 3] = self._catalogue.popularity[rows][:, None, :]
        told[..., 4] = events[:, :, None]
        told[..., 5] = ((at_ms - newest_ms) / HOUR_MS)[:, None, None]
        told[..., 6] = (self._catalogue.lenders[rows, 0] >= 0)[:, None, :]
        told[..., 7] = apart(interests.weights, log_prices, self._catalogue.log_prices[rows])
        fresh = freshness(self._catalogue.since_ms[rows], at_ms[:, None], self._catalogue.birth_ms)
        told[..., 8] = fresh[:, None, :]
        scores = self._scorer(interests.vectors, self._catalogue.vectors, rows, told)
        scores[np.broadcast_to(rows[:, None, :] < 0, scores.shape)] = -np.inf
        return scores

    def _ranked(
        self, rows: Rows, scores: Floats, reasons: Sequence[Sequence[tuple[int, float]]], lines: Sequence[Line]
    ) -> tuple[RankedItem, ...]:
        """The list of one user, from (T,) rows, their scores and their reasons; ties to the lower item id."""
        told = [
            (-round(score, DECIMALS), self._catalogue.item_id(row), because)
            for row, score, because in zip(rows.tolist(), scores.tolist(), reasons, strict=True)
            if row >= 0
        ]
        told.sort(key=itemgetter(0, 1))
        return tuple(
            RankedItem(
                item_id,
                rank,
                -score,
                # What rounds to nothing is no reason.
                tuple(
                    (lines[place].event_id, brought)
                    for place, weight in because
                    if (brought := round(weight, DECIMALS)) > 0
                ),
            )
            for rank, (score, item_id, because) in enumerate(told[: self._items], 1)
        )

    def _counts(self) -> Counts:
        """Where pairs come from, as the catalogue stands."""
        lent = self._catalogue.lent
        if self._shelf is None or self._shelf[0] is not lent:
            to = borrowers(lent, self._counted_numbers, len(self._counted.item_ids))
            self._shelf = lent, to, touches(self._counted, self._counted_rows, len(self._catalogue.vectors))
        _, to, touched = self._shelf
        taught = len(self._counted_numbers) > 0
        return Counts(self._counted, self._counted_rows, to, self._catalogue.live, touched, taught)

    def _hidden(self, window: Window, lines: Sequence[Line]) -> set[int]:
        """Rows of the items that this user must not get: had, refused, or seen just now."""
        had = {item_id for _, item_id in window.owned}
        had.update(line.item_id for line in lines if line.kind in OWNING)
        if self._repeat_categories:
            had = {item_id for item_id in had if not self._repeats(item_id)}
        return {row for item_id in had | unwanted(lines) if (row := self._catalogue.row(item_id)) is not None}

    def _repeats(self, item_id: str) -> bool:
        row = self._catalogue.row(item_id)
        category = "" if row is None else self._catalogue.at(row).category
        return any(fnmatchcase(category, pattern) for pattern in self._repeat_categories)


def _asked_ms(windows: Sequence[Sequence[Line]], at_ms: Sequence[int] | None) -> tuple[Rows, Rows]:
    """(B,) when each asks, and (B,) time of its newest line: the same where nobody told, and without lines."""
    newest_ms = [lines[-1].at_ms if lines else None for lines in windows]
    told = newest_ms if at_ms is None else at_ms
    asked = np.array([0 if each is None else each for each in told], np.int64)
    newest = np.array([at if each is None else min(each, at) for each, at in zip(newest_ms, asked, strict=True)])
    return asked, newest.astype(np.int64)
