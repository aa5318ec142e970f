"""Step 7 of 10: the items worth scoring, per user: nearest, what others had with the window's items, what sells.

Flat arrays throughout (one entry per pair, with its user beside it): a Python loop over users would cost more than the
scores. Knows nothing of Kafka, texts or how a score is made.

A *slot* is user * K + place: where a candidate stands when the (B, K) arrays are read flat.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.catalogue import Catalogue, Rows
from model.cooccurrence import Cooccurrence
from model.lending import Borrowers, lent_pairs
from model.live_index import LiveIndex
from model.session import Floats

LEAST_WEIGHT = 0.01
"""A line that has decayed below this brings no candidates of its own; its neighbours' scores still count it."""


MORE, FEW = 3.0, 8.0
"""Towers have learned what the pairs of training say, but nothing of an item that came later, and little of one with
FEW events: of them live pairs say MORE times as much again. Beauty split by time, validation, with clock: Recall@10
.143 with 0, .154 with 3 and with 6."""


BACK = 0.3
"""Share of a live pair that counts backwards, too, from what was had second to what was had first. Beauty split by
time, validation, with clock: NDCG@10 .0956 with 0, .0964 with .3, .0959 with .5; without ties .0565, .0593, .0586."""


class Limits(NamedTuple):
    """How many candidates come from where, per user."""

    nearest: int
    neighbours: int
    popular: int

    @property
    def k(self) -> int:
        """K: all together, each item once."""
        return self.nearest + self.neighbours + self.popular


class Counts(NamedTuple):
    """Where pairs come from."""

    counted: Cooccurrence
    """In training."""
    shelf_rows: Rows
    """(I,) of its items."""
    to: Borrowers
    """Who borrows from them."""
    live: LiveIndex
    """The shelf's."""
    touches: Floats
    """(M,) by `touches`."""
    taught: bool
    """Whether towers have learned from what was counted."""


class Pairs(NamedTuple):
    """Counted pairs of the windows' lines with items on the shelf."""

    users: Rows
    """(P,)"""
    lines: Rows
    """(P,) place of the line in its window."""
    rows: Rows
    """(P,) the neighbour's row."""
    values: Floats
    """(3, P) VALUES of `model.cooccurrence`."""
    ends: tuple[int, ...]
    """Where each source of pairs ends: none has a line's item with the same row twice, two of them may."""


class Candidates(NamedTuple):
    """K candidates of each user."""

    rows: Rows
    """(B, K) ascending, padded with -1."""
    pairs: Pairs
    slots: Rows
    """(P,) slot of each pair's neighbour, -1 if it is no candidate."""


def touches(counted: Cooccurrence, shelf_rows: Rows, size: int) -> Floats:
    """(M,) events of training of each row's item: `size` rows, of which (I,) `shelf_rows` hold what was counted."""
    found: Floats = np.zeros(size, np.float32)
    there = shelf_rows >= 0
    found[shelf_rows[there]] = counted.events[there]
    return found


def counted_pairs(numbers: Rows, live_numbers: Rows, counts: Counts) -> Pairs:
    """The pairs of (B, N) lines' items with what is on the shelf: counted in training, lent to new items, and live.

    With c(a, b) pairs and n(a) events of training and l(a, b) and m(a) of now, what share of a's events b came after is
    (c + l) / (n + m + shrink): both kinds of pairs are told as parts of it, and add up. Towers have learned what was
    counted, and more: to them live pairs tell nothing of an item to which nobody has come since.

    Args:
        numbers: (B, N) of the lines' items in `counts.counted`, -1 for none.
        live_numbers: (B, N) of the same in `counts.live`.
        counts: where pairs come from.
    """
    counted, live = counts.counted, counts.live
    asked, asked_live = numbers.reshape(-1), live_numbers.reshape(-1)
    events = np.full(len(asked), counted.shrink, np.float32)
    events[asked >= 0] += counted.events[asked[asked >= 0]]
    heard = counts.counted.until_ms if counts.taught else -1
    share = 1 / (events + live.steps(asked_live, np.where(asked >= 0, heard, -1)))
    pairs = counted.pairs(asked)
    pairs.values[:2] *= (events * share)[pairs.sources]
    rows = counts.shelf_rows[pairs.neighbours]
    on_shelf = np.flatnonzero(rows >= 0)
    lent = lent_pairs(asked, pairs, counts.to)
    after, before = live.after(asked_live), live.before(asked_live)
    live_rows = np.concatenate([after.rows, before.rows])
    told = np.zeros((3, len(live_rows)), np.float32)
    told[1] = np.concatenate([after.weights * share[after.sources], before.weights * share[before.sources]])
    if counts.taught and len(live_rows):
        told[1] *= _news(counts, live_rows)
    told[0] = told[1]
    told[0, len(after.rows) :] *= BACK if counts.taught else 0
    sources = np.concatenate([pairs.sources[on_shelf], lent.sources, after.sources, before.sources])
    users, lines = np.divmod(sources, numbers.shape[1])
    values = np.concatenate([pairs.values[:, on_shelf], lent.values, told], axis=1)
    ends = len(sources) - len(told[0]), len(sources) - len(before.rows), len(sources)
    found = np.concatenate([rows[on_shelf], lent.neighbours, live_rows])
    return Pairs(users, lines, found, values, ends)


def _news(counts: Counts, rows: Rows) -> Floats:
    """(P,) by how much a live pair with each row's item outweighs one of training: 1 where the towers know it well, 0
    where they know all of it."""
    touched = counts.touches[rows]
    heard = (touched > 0) & (counts.live.newest_ms[rows] <= counts.counted.until_ms)
    return np.where(heard, 0, 1 + MORE * FEW / (touched + FEW)).astype(np.float32)


def retrieve(
    interests: Floats,
    weights: Floats,
    pairs: Pairs,
    known: npt.NDArray[np.bool_],
    hidden: tuple[Rows, Rows],
    catalogue: Catalogue,
    limits: Limits,
) -> Candidates:
    """K candidates per user, none hidden, none unavailable, none twice.

    Args:
        interests: (B, D) of the whole windows.
        weights: (B, N) with which their lines' pairs count.
        pairs: counted pairs of the lines' items.
        known: (B,) whether anything speaks for anything. Without, only what sells comes.
        hidden: (users, rows), each (X,).
        catalogue: its lock is held by the caller.
        limits: how many from where.
    """
    users, shelf = len(interests), len(catalogue.vectors)
    known_users = np.flatnonzero(known)
    near = np.full((users, limits.nearest), -1, np.int64)
    if len(known_users):
        place = np.full(users, -1, np.int64)
        place[known_users] = np.arange(len(known_users))
        theirs = known[hidden[0]]
        mine = (place[hidden[0][theirs]], hidden[1][theirs])
        near[known_users] = catalogue.nearest(interests[known_users], limits.nearest, mine)
    hidden_keys = hidden[0] * shelf + hidden[1]
    selling = _popular(catalogue, hidden, users, limits.popular)
    near_users, near_places = np.nonzero(near >= 0)
    keys = np.unique(
        np.concatenate(
            [
                near_users * shelf + near[near_users, near_places],
                _neighbours(weights, pairs, hidden_keys, catalogue, limits.neighbours),
                selling,
            ]
        )
    )
    # Keys ascend by user, then row: a key's place within its user is its distance from the user's first.
    of_user = keys // shelf
    places = np.arange(len(keys)) - np.searchsorted(of_user, np.arange(users))[of_user]
    rows = np.full((users, limits.k), -1, np.int64)
    rows[of_user, places] = keys - of_user * shelf
    return Candidates(rows, pairs, _slots(keys, of_user * limits.k + places, pairs.users * shelf + pairs.rows))


def co_features(candidates: Candidates, weights: Floats, chosen: Rows | None = None) -> Floats:
    """VALUES of `model.cooccurrence` of candidates with the lines, by R variants of the lines' weights.

    Args:
        candidates: of B users.
        weights: (B, R, N) with which their pairs count.
        chosen: (B, T) places among the candidates; None: all K, and R must be 1.

    Returns:
        (3, B, R, T)
    """
    pairs, (users, k) = candidates.pairs, candidates.rows.shape
    if chosen is None:
        found = np.flatnonzero(candidates.slots >= 0)
        slots, share = candidates.slots[found], weights[pairs.users[found], 0, pairs.lines[found]]
        sums = [_summed(slots, share * value[found], users * k) for value in pairs.values]
        return np.stack(sums).reshape(-1, users, 1, k)
    place_of = np.full(users * k + 1, -1, np.int64)  # The last one answers for slot -1.
    t = chosen.shape[1]
    place_of[(np.arange(users)[:, None] * k + chosen).reshape(-1)] = np.tile(np.arange(t), users)
    places = place_of[candidates.slots]
    found = np.flatnonzero(places >= 0)
    where = (pairs.users[found], pairs.lines[found], places[found])
    told: Floats = np.zeros((len(pairs.values), users, weights.shape[2], t), np.float32)
    first = 0
    for end in np.searchsorted(found, pairs.ends):  # Within each no place comes twice, so that += misses none.
        told[:, *(each[first:end] for each in where)] += pairs.values[:, found[first:end]]
        first = end
    return weights @ told


def pairs_of_ids(ids: Sequence[set[int]]) -> tuple[Rows, Rows]:
    """(users, rows) of each user's rows."""
    users = np.repeat(np.arange(len(ids)), [len(rows) for rows in ids])
    return users, np.array([row for rows in ids for row in sorted(rows)], np.int64)


def _neighbours(weights: Floats, pairs: Pairs, hidden: Rows, catalogue: Catalogue, limit: int) -> Rows:
    """Keys of the `limit` items per user that others had most with the window's."""
    share = weights[pairs.users, pairs.lines]
    strong = np.flatnonzero((np.abs(share) >= LEAST_WEIGHT) & catalogue.available[pairs.rows])
    keys, place = np.unique(pairs.users[strong] * len(catalogue.vectors) + pairs.rows[strong], return_inverse=True)
    sums = _summed(place, share[strong] * pairs.values[:, strong].sum(0), len(keys))
    wanted = np.flatnonzero((sums > 0) & ~np.isin(keys, hidden))
    keys, sums = keys[wanted], sums[wanted]
    users = keys // len(catalogue.vectors)
    order = np.lexsort((keys, -sums, users))
    rank = np.arange(len(keys)) - np.searchsorted(users[order], users[order])
    best: Rows = keys[order[rank < limit]]
    return best


def _popular(catalogue: Catalogue, hidden: tuple[Rows, Rows], users: int, limit: int) -> Rows:
    """Keys of the `limit` best selling items that each user has not hidden."""
    shelf = len(catalogue.vectors)
    spare = int(np.bincount(hidden[0], minlength=1).max()) if len(hidden[0]) else 0
    pool = catalogue.popular(limit + -(-spare // 64) * 64)  # In steps of 64, so that the catalogue can remember it.
    place_of = np.full(shelf, -1, np.int64)
    place_of[pool] = np.arange(len(pool))
    shown = np.ones((users, len(pool)), np.bool_)
    places = place_of[hidden[1]]
    shown[hidden[0][places >= 0], places[places >= 0]] = False
    shown &= np.cumsum(shown, axis=1) <= limit
    of_user, place = np.nonzero(shown)
    keys: Rows = of_user * shelf + pool[place]
    return keys


def _slots(keys: Rows, slots: Rows, wanted: Rows) -> Rows:
    """Slot of each wanted key, -1 where it is not among the sorted keys."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, slots[place], -1)


def _summed(places: Rows, values: Floats, length: int) -> Floats:
    """(length,) sums of the values that fall on each place; in the order given, so the company changes no bit."""
    return np.bincount(places, weights=values, minlength=length).astype(np.float32)
