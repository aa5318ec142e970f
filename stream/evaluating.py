"""Beside the line: a bundle behind the very recommender that serves it, for `firstclick evaluate`.

The shelf is the log's items, counted as `shelf.py` counts. Knows nothing of metrics, and nothing of what is asked next:
counts move forward with the requests' days, never back.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model.bundle import Bundle
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder, offline_device
from model.event import Kind
from model.item_tower import item_tower
from model.live_pairs import step
from model.session import Floats
from model.text import Line, refuses
from model.training.logs.columns import Log
from model.window import EMPTY, Window
from stream.messages import Touched
from stream.recommender import Recommender
from stream.shelf import touched

PLACES = 24
"""Of a list: twenty are judged, and the rest shows who shares a score with the twentieth."""
DAY_MS = 86_400_000

Rows = npt.NDArray[np.int64]


class Counted:
    """A catalogue of a log's items whose counts grow with the log's events."""

    def __init__(
        self, bundle: Bundle, log: Log, vectors: Floats, rows: Rows, threads: int = 2, *, dated: bool = True
    ) -> None:
        """Nothing is counted yet.

        Args:
            bundle: whose item tower and half life.
            log: whose items.
            vectors: (I, E) of the items' texts.
            rows: of the log, ascending: the events to count, in time order.
            threads: cores of a search.
            dated: whether it tells what only those may know who have a clock: when an item was touched first, and
                which items followed which until now.
        """
        self._dated, self._lines, self._age_ms = dated, bundle.manifest.lines, bundle.manifest.age_ms
        self._windows: dict[int, Window] = {}
        self.catalogue = Catalogue(item_tower(bundle, threads), bundle.half_life_ms, len(log.items.ids) + 1, threads)
        self._log, self._rows, self._next = log, rows, 0
        told = [log.items.item(number) for number in range(len(log.items.ids))]
        self._items = [
            Shelved(item.item_id, item.title, item.category, item.brand, item.price, True, vector, {})
            for item, vector in zip(told, vectors.astype(np.float16), strict=True)
        ]
        self.catalogue.apply([(item.item_id, item) for item in self._items])

    def count(self, before_ms: int | None = None) -> None:
        """Counts what is not counted yet of the events before this time; None: all of them."""
        end = len(self._rows)
        if before_ms is not None:
            end = int(np.searchsorted(self._log.at_ms[self._rows], before_ms))
        if end < self._next:
            raise ValueError("events cannot be uncounted: requests come in time order")
        changed: dict[int, Shelved] = {}
        for row in self._rows[self._next : end].tolist():
            number = int(self._log.item[row])
            if number < 0:
                continue
            line, item = self._log.line(row), changed.get(number, self._items[number])
            kind = Kind.DISLIKE if refuses(line) else line.kind
            near = self._step(row, line) if self._dated else None
            told = Touched({kind.value: (1.0, line.at_ms)}, near or {}, near is not None)
            item = touched(item, told, self.catalogue.half_life_ms)
            changed[number] = item if self._dated else item._replace(since_ms=0)
        self._next = end
        for number, item in changed.items():
            self._items[number] = item
        self.catalogue.apply([(item.item_id, item) for item in changed.values()])

    def item(self, number: int) -> Shelved:
        """An item of the log as it is counted now."""
        return self._items[number]

    def _step(self, row: int, line: Line) -> dict[str, float] | None:
        """What came before the line in its user's window, which takes it in."""
        user = int(self._log.user[row])
        self._windows[user] = window = self._windows.get(user, EMPTY).remember(line, self._lines, self._age_ms)
        return step(window.lines, line)


class Serving:
    """Lists of a bundle for windows: what `model.training.evaluate` calls `Served`."""

    places = PLACES

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        log: Log,
        vectors: Floats,
        learned: Rows,
        live: Rows,
        *,
        name: str = "",
        device: str = "cpu",
        threads: int = 2,
    ) -> None:
        """Puts the log's items on shelves.

        Args:
            name: of its row; those of one name are seeds of one recipe. Else the bundle's own.
            bundle: to be judged.
            encoder: the bundle's, or one of the same encoder.
            log: whose items.
            vectors: (I, E) of the items' texts, by the encoder.
            learned: rows of the log that are counted before any request.
            live: rows that are counted once their day is over, where the clock runs.
            device: of the interest tower and the scorer.
            threads: cores.
        """
        self.name = name or bundle.manifest.name
        still = Counted(bundle, log, vectors, learned, threads, dated=False)
        still.count()
        self._now = Counted(bundle, log, vectors, live, threads)

        def over(counted: Counted, *repeat_categories: str) -> Recommender:
            return Recommender(
                bundle,
                counted.catalogue,
                encoder,
                items=PLACES,
                repeat_categories=repeat_categories,
                device=device,
                threads=threads,
            )

        self._recommenders: Mapping[tuple[bool, bool], Recommender] = {
            (False, True): over(still),
            (False, False): over(still, "*"),  # The worker's own knob for shops whose customers buy the same again.
            (True, True): over(self._now),
            (True, False): over(self._now, "*"),
        }

    def recommend(
        self, windows: Sequence[Window], at_ms: Sequence[int] | None, seen_masked: bool
    ) -> list[list[tuple[str, float]]]:
        """(item id, score) of each window's list, best first.

        Args:
            windows: of B users.
            at_ms: None: each asks at its newest line, and counts are as training left them. Else when each asks, all
                on one day, not before the day asked last; counts are as they stood when it began.
            seen_masked: whether what the user had is left out. What was seen last, or refused, always is.
        """
        if at_ms is not None:
            self._now.count(min(at_ms) // DAY_MS * DAY_MS)
        advice = self._recommenders[at_ms is not None, seen_masked].recommend(windows, at_ms)
        return [[(item.item_id, item.score) for item in each.items] for each in advice]


def row_names(bundles: Sequence[Bundle]) -> list[str]:
    """Of each bundle: its name, where all of that name are seeds of one recipe; else its model, a row for each.

    A recipe is what a manifest tells of the training but for its seed, for what came of it, and for the encoder, which
    each seed tunes. Two of one seed are two precisions, or two of anything else.
    """
    same: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        same.setdefault(bundle.manifest.name, []).append(bundle)

    def seeds(those: Sequence[Bundle]) -> bool:
        told = [_recipe(each) for each in those]
        return all(recipe == told[0][1] for _, recipe in told) and len({seed for seed, _ in told}) == len(those)

    lone = {name for name, those in same.items() if len(those) > 1 and not seeds(those)}
    return [bundle.model if (name := bundle.manifest.name) in lone else name for bundle in bundles]


RECIPE = ("checksum", "split", "hide", "hide_seed", "shuffle_ties", "whiten", "tuned")


def _recipe(bundle: Bundle) -> tuple[object, dict[str, object]]:
    """The seed, and how the bundle was made beside it."""
    told = bundle.manifest.training
    settings = {name: value for name, value in told.get("settings", {}).items() if name not in ("seed", "counting")}
    return told.get("settings", {}).get("seed"), {name: told.get(name) for name in RECIPE} | settings


def serving(
    bundles: Sequence[Bundle], log: Log, learned: Rows, live: Rows, *, device: str = "cpu", threads: int = 2
) -> tuple[list[Serving], Floats]:
    """Each bundle served, and (I, E) the text vectors by the first one's encoder. One encoder reads the items once."""
    read: dict[str, tuple[Encoder, Floats]] = {}
    texts = log.items.texts()
    made = []
    for bundle, name in zip(bundles, row_names(bundles), strict=True):
        if bundle.space not in read:
            encoder = Encoder(bundle, offline_device(bundle, device), threads)
            read[bundle.space] = (encoder, encoder.vectors(texts))
        encoder, vectors = read[bundle.space]
        made.append(Serving(bundle, encoder, log, vectors, learned, live, name=name, device=device, threads=threads))
    return made, read[bundles[0].space][1]
