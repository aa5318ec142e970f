"""Between steps 4 and 6: windows as arrays; of each line its vector, its behaviour and its item's number in the counts.

Knows nothing of Kafka, candidates or scores. Every array is padded to N lines, whatever the batch: shapes that follow
the company would let the company change the last bit of a score.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.bundle import Manifest
from model.catalogue import Catalogue, Rows
from model.event import TYPED
from model.interest import Features, features, variants
from model.sentiment import Stars, unrated
from model.session import Floats
from model.text import Line


class Gathered(NamedTuple):
    """B windows as arrays; lines oldest first, padded at the end."""

    vectors: Floats
    """(B, N, D) as context; all zeros where a line has none."""
    told: Features
    keep: Floats
    """(B, 1 + N, N)"""
    numbers: Rows
    """(B, N) the lines' items in the co-occurrence counts, -1 for none."""
    live_numbers: Rows
    """(B, N) the same in the catalogue's live pairs."""
    log_prices: Floats
    """(B, N) of the lines' items, NaN for none."""


def texts_of(
    windows: Sequence[Sequence[Line]], catalogue: Catalogue, manifest: Manifest, rating: bool = False
) -> list[str]:
    """The texts that the windows' vectors and stars need: of the newest lines, each once.

    A text beside a known item is left out where the bundle gives texts no share, but for a review whose stars it tells;
    and where it only describes the item, as an inline one does: the catalogue knows that already. Shops send a title
    with each click, and to encode them all took 20 times as long as the rest of a list.

    Args:
        windows: B windows' lines.
        catalogue: of known items.
        manifest: the text share, and how many lines are read.
        rating: whether the bundle reads stars from texts.
    """
    every = manifest.text_share > 0
    found = {
        line.text: None
        for lines in windows
        for line in lines[_first_read(lines, manifest) :]
        if line.text and (line.item_id not in catalogue or (every and line.kind in TYPED) or (rating and unrated(line)))
    }
    return list(found)


def rated(
    windows: Sequence[Sequence[Line]], texts: Mapping[str, Floats], stars: Stars, manifest: Manifest
) -> Sequence[Sequence[Line]]:
    """The windows as they weigh: of the newest lines, reviews without stars have those that their texts amount to.

    Not for deciding what is hidden: that takes stars that a user has given, never a guess.

    Args:
        windows: B windows' lines.
        texts: text -> (E,) vector, by the encoder, for those of `texts_of`.
        stars: the bundle's head. Not asked of a review whose stars are told.
        manifest: how many lines are read.
    """
    places = [
        (user, place)
        for user, lines in enumerate(windows)
        for place in range(_first_read(lines, manifest), len(lines))
        if unrated(lines[place])
    ]
    if not places:
        return windows
    told = [list(lines) for lines in windows]
    found = stars(np.stack([texts[told[user][place].text] for user, place in places]))
    for (user, place), rating in zip(places, found.tolist(), strict=True):
        told[user][place] = told[user][place]._replace(rating=rating)
    return told


def gather(
    windows: Sequence[Sequence[Line]],
    catalogue: Catalogue,
    texts: Mapping[str, Floats],
    numbers: Mapping[str, int],
    manifest: Manifest,
) -> Gathered:
    """Windows as arrays. A line's vector is its item's, its text's, or a mean of both by the bundle's text share.

    The mean is of what a user typed about a known item: an inline description says nothing new of it.

    Args:
        windows: B windows' lines, at most N each.
        catalogue: its lock is held by the caller.
        texts: text -> (D,) vector as context, for those of `texts_of`.
        numbers: item id -> its number in the co-occurrence counts.
        manifest: N, D and the text share.
    """
    rows = np.full((len(windows), manifest.lines), -1, np.int64)
    counted, live = np.full_like(rows, -1), np.full_like(rows, -1)
    for user, lines in enumerate(windows):
        ids = [line.item_id for line in lines]
        rows[user, : len(ids)] = [-1 if (row := catalogue.row(item_id)) is None else row for item_id in ids]
        counted[user, : len(ids)] = [numbers.get(item_id, -1) for item_id in ids]
        live[user, : len(ids)] = [catalogue.live.number(item_id) for item_id in ids]
    present = rows >= 0
    vectors: Floats = np.zeros((*rows.shape, manifest.dim), np.float32)
    vectors[present] = catalogue.contexts[rows[present]]
    for user, lines in enumerate(windows):
        for place in range(_first_read(lines, manifest), len(lines)):
            text = texts.get(lines[place].text)
            share = 1.0
            if present[user, place]:
                share = manifest.text_share if lines[place].kind in TYPED else 0.0
            if text is not None and share > 0:  # At 0 it was read for its stars, or for another line.
                vectors[user, place] = mixed(vectors[user, place], text, share)
                present[user, place] = True
    log_prices = np.where(rows >= 0, catalogue.log_prices[rows], np.float32(np.nan))
    return Gathered(vectors, features(windows, rows), variants(present), counted, live, log_prices)


def mixed(item: Floats, text: Floats, share: float) -> Floats:
    """(D,) vector between an item's and its text's, as long as the item's: what it weighs is the item's affair."""
    if share == 1.0:
        return text
    between: Floats = (1 - share) * item + share * text
    norm = float(np.sqrt(between @ between))
    return between * np.float32(np.sqrt(item @ item) / norm) if norm > 0 else between


def present_lines(keep: Floats) -> npt.NDArray[np.bool_]:
    """(B, N) which lines are there and have a vector."""
    there: npt.NDArray[np.bool_] = keep[:, 0] > 0
    return there


def _first_read(lines: Sequence[Line], manifest: Manifest) -> int:
    """Place of the oldest line whose text is read."""
    return max(0, len(lines) - manifest.text_lines)
