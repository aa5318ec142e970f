"""Between a log and the training of the towers: what is learned from, and by what it is chosen.

Knows nothing of torch. Test rows are not read.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from model.bundle import Bundle
from model.encoder import Encoder, offline_device
from model.session import Floats
from model.training.baselines.protocol import Asked, asked
from model.training.examples import Mask, Requests, replay
from model.training.hidden import with_valid
from model.training.lessons import Lessons, Read, codes_of, known_items, lessons, training_requests
from model.training.line_weights import Codes
from model.training.logs.columns import Log
from model.training.queries import Queries, queries
from model.training.sentiment import Learned, filled, learn, unrated
from model.training.splits import Split

SCORES = 100_000_000
"""Validation scores after each epoch, a few seconds: 8,000 requests over 12,000 items, NDCG@10 then known to .0025."""


class Course:
    """A log with a split, as a bundle's encoder and windows see it."""

    def __init__(
        self,
        log: Log,
        split: Split,
        base: Bundle,
        hidden: Mask | None = None,
        *,
        device: str = "cpu",
        threads: int = 2,
    ) -> None:
        """Nothing is computed before it is asked for.

        Args:
            log: events and items.
            split: of the log.
            base: whose encoder and window.
            hidden: (I,) items of which nothing may be learned; their events are out of the split's train already.
            device: of the encoder, unless it is int8.
            threads: cores.
        """
        self.log, self.base = log, base
        self._split, self._hidden, self._device, self._threads = split, hidden, device, threads

    @cached_property
    def texts(self) -> Floats:
        """(I, E) vectors of the items' texts, in half precision as the catalogue topic carries them."""
        found: Floats = self._encoder().vectors(self.log.items.texts()).astype(np.float16).astype(np.float32)
        return found

    @cached_property
    def lines(self) -> Codes:
        """(X,) what the log's lines tell."""
        return codes_of(self.log)

    @cached_property
    def read_lines(self) -> Codes:
        """(X,) what they tell where their texts are read."""
        return codes_of(replace(self.log, rating=self.stars))

    @cached_property
    def queries(self) -> Queries:
        """What was typed in rows that may be read."""
        return queries(self.log, self._read)

    @cached_property
    def query_vectors(self) -> Floats:
        """(S, E) of the queries' texts."""
        found: Floats = self._encoder().vectors(self.queries.texts)
        return found

    @cached_property
    def stars(self) -> Floats:
        """(X,) of the log's lines, NaN untold; as the bundle will serve, a text's own where a review tells none."""
        if not len(unrated(self.log, self._read)) or self.sentiment.head is None:
            return self.log.rating
        return filled(self.log, self._read, self.sentiment.head, self._encoder().vectors)

    @cached_property
    def sentiment(self) -> Learned:
        """What training's own reviews teach of stars."""
        return learn(self.log, self.rows, self._encoder().vectors)

    @property
    def rows(self) -> Mask:
        """(X,) training's own."""
        return self._split.train

    @property
    def all_rows(self) -> Mask:
        """(X,) training's and validation's."""
        return with_valid(self.log, self._split, self._hidden)

    def learning(self, rows: Mask, *, stars: bool = True) -> tuple[Lessons, Mask]:
        """Every touch of these rows with what stood before it, and (I,) the items touched.

        A user's first touch teaches nothing, and what a user has already no list shows: both are left out.

        Args:
            rows: (X,) that may be learned from.
            stars: whether reviews that tell none have them from their words, for whoever asks what lines weigh.
        """
        requests = training_requests(self.log, rows, self.base.lines, self.base.age_ms)
        found = self._lessons(requests, stars)
        teaching = (found.items >= 0).any(axis=1) & ~had_already(requests)
        return found.only(np.flatnonzero(teaching)), known_items(self.log, rows)

    @cached_property
    def valid(self) -> tuple[Asked, Lessons]:
        """Validation requests for items that are not hidden and the user has not had, whose windows hold something."""
        among = self.rows | self._rows(self._split.valid)
        requests = replay(self.log, self._split.valid, among, self.base.lines, self.base.age_ms)
        put = self._lessons(requests)
        wanted = (put.items >= 0).any(axis=1) & ~had_already(requests)
        if self._hidden is not None:
            wanted &= ~self._hidden[put.targets]
        some = np.flatnonzero(wanted)
        return asked(self.log, requests.only(some)), put.only(some)

    @cached_property
    def sample(self) -> tuple[Asked, Lessons] | None:
        """Those of them that are asked after each epoch: for items that training sees. None where there are none."""
        valid, put = self.valid
        known = np.flatnonzero(known_items(self.log, self.rows)[put.targets])
        if not len(known):
            return None
        most = max(SCORES // max(len(self.log.items), 1), 1)
        chosen = known[np.sort(np.random.default_rng(0).permutation(len(known))[:most])]
        return valid.only(chosen), put.only(chosen)

    @property
    def _read(self) -> Mask:
        """(X,) rows whose words may be read: all but test's."""
        return self.rows | self._rows(self._split.valid)

    def _lessons(self, requests: Requests, stars: bool = True) -> Lessons:
        told = self.read_lines if stars else self.lines
        return lessons(self.log, requests, self.lines, Read(self.base.manifest.text_lines, self.queries.of, told))

    def _encoder(self) -> Encoder:
        device = offline_device(self.base, self._device)
        return Encoder(self.base, device, self._threads, cached=1)  # Each text comes once.

    def _rows(self, rows: npt.NDArray[np.int64]) -> Mask:
        found = np.zeros(len(self.log), np.bool_)
        found[rows] = True
        return found


def had_already(requests: Requests) -> Mask:
    """(Q,) whether serving masks the target: the user had it, refused it, or has just looked at it."""
    of = np.repeat(np.arange(len(requests.target)), np.diff(requests.had.indptr))
    again = requests.had.indices == requests.target[of]
    found: Mask = np.bincount(of[again], minlength=len(requests.target)) > 0
    return found
