"""Offline, beside the line: what a ranking is worth, per request, and how sure a difference is.

Numpy only. Knows nothing of logs, bundles or baselines: scores or lists come in, numbers go out. Ties in score count
against the ranking: whoever gives every item the same score has found nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.session import Floats

Ranks = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.integer]

CUTS = (1, 5, 10, 20)
SHOWN = 10
"""Places of a list that a person sees: coverage, novelty and the share of new items are of these."""
MISSED = int(np.iinfo(np.int32).max)
"""The rank of a target that is not in the list, or has no score."""
DRAWS = 2000
"""Resamplings of the users: the ends of a 95 % interval then rest on 50 draws each."""
AT_ONCE = 2**22
"""Numbers that the bootstrap holds at a time: 32 MB."""


def ranks(scores: Floats, targets: Numbers) -> Ranks:
    """Rank of each target among all items, from 1; of items with one score the target comes last.

    Args:
        scores: (B, M); -inf for what may not be shown. A score that is not a number ranks above the target.
        targets: (B,) item numbers.

    Returns:
        (B,) ranks; MISSED where the target itself has no finite score.
    """
    marks = np.take_along_axis(scores, np.asarray(targets, np.int64)[:, None], axis=1)
    places = scores.shape[1] - (scores < marks).sum(axis=1)
    return np.where(np.isfinite(marks[:, 0]), places, MISSED).astype(np.int32)


def ranks_in_lists(lists: Sequence[Sequence[tuple[str, float]]], targets: Sequence[str], places: int) -> Ranks:
    """Rank of each target in its list, from 1, ties against us.

    A target whose score is the last of a full list is MISSED: what was cut off may have had the same score.

    Args:
        lists: (item id, score) of each of B users.
        targets: B item ids.
        places: of a full list.
    """
    found = np.full(len(lists), MISSED, np.int32)
    for user, (told, target) in enumerate(zip(lists, targets, strict=True)):
        scores = [score for _, score in told]
        mark = next((score for item_id, score in told if item_id == target), None)
        if mark is not None and not (len(told) >= places and mark == min(scores)):
            found[user] = sum(not score < mark for score in scores)
    return found


def hide(scores: Floats, starts: Numbers, items: Numbers) -> None:
    """Sets the scores of each user's seen items to -inf, in place.

    Args:
        scores: (B, M).
        starts: (B + 1,) where each user's items begin.
        items: item numbers, user after user.
    """
    users = np.repeat(np.arange(len(scores)), np.diff(starts))
    scores[users, items] = -np.inf


def top(scores: Floats, k: int) -> npt.NDArray[np.int32]:
    """(B, k) the items with the highest scores, best first, -1 where fewer are above -inf.

    Of equals the lower number comes first; which of them fall off the end is left open.
    """
    width = min(k, scores.shape[1])
    places = np.sort(np.argpartition(-scores, width - 1, axis=1)[:, :width], axis=1)
    values = np.take_along_axis(scores, places, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.where(np.isneginf(values), -1, places)
    found = np.full((len(scores), k), -1, np.int32)
    found[:, :width] = np.take_along_axis(best, order, axis=1)
    return found


def values(found: Ranks) -> dict[str, Floats]:
    """Name -> (B,) per request: recall, ndcg and mrr at each of CUTS. One target per request: recall is a hit."""
    told: dict[str, Floats] = {}
    for cut in CUTS:
        within = found <= cut
        place = np.where(within, found, 1)
        told[f"recall@{cut}"] = within.astype(np.float32)
        told[f"ndcg@{cut}"] = np.where(within, 1 / np.log2(place + 1.0), 0).astype(np.float32)
        told[f"mrr@{cut}"] = np.where(within, 1 / place, 0).astype(np.float32)
    return told


def means(found: Ranks) -> dict[str, float]:
    """Name -> mean over the requests; empty where there are none."""
    return {name: float(each.mean(dtype=np.float64)) for name, each in values(found).items()} if len(found) else {}


def shelf_use(shown: npt.NDArray[np.int32], targets: Numbers, counts: Numbers) -> dict[str, float]:
    """What the lists show of the shelf, whatever the targets got.

    coverage: share of all items that anybody was shown. popularity_bias: mean log(1 + training count) of what is shown
    less that of the targets; above 0: more popular than what people took. novelty: mean -log2 of an item's share of
    the training events, (count + 1) / (events + items), in bits. new: share of places given to items without any.

    Args:
        shown: (B, K) item numbers, -1 for an empty place.
        targets: (B,) item numbers.
        counts: (M,) training events of each item.
    """
    given = shown[shown >= 0]
    if not len(given):
        return {"coverage": 0.0, "popularity_bias": 0.0, "novelty": 0.0, "new": 0.0}
    logs = np.log1p(counts)
    bits = -np.log2((counts + 1) / (counts.sum() + len(counts)))
    return {
        "coverage": len(np.unique(given)) / len(counts),
        "popularity_bias": float(logs[given].mean() - logs[targets].mean()),
        "novelty": float(bits[given].mean()),
        "new": float((counts[given] == 0).mean()),
    }


class Difference(NamedTuple):
    """How much better one system is than another, with the 95 % interval of that."""

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def differences(ours: Doubles, theirs: Mapping[str, Doubles], users: Numbers, seed: int = 0) -> dict[str, Difference]:
    """The paired bootstrap (Efron & Tibshirani 1993, chapter 16): users are drawn with replacement, both systems with
    them, and the ends of the interval are the 2.5 and 97.5 percentiles of the mean difference.

    Users and not requests are drawn: two requests of one user are not two opinions.

    Args:
        ours: (B,) a value per request, or (S, B) of S seeds, whose mean per request is taken first.
        theirs: system -> the same.
        users: (B,) user of each request.
        seed: of the draws.
    """
    names = list(theirs)
    if not names or not len(users):
        return {}
    mine = _over_seeds(ours)
    apart = np.stack([mine - _over_seeds(theirs[name]) for name in names], axis=1)  # (B, systems)
    _, person = np.unique(users, return_inverse=True)
    persons = int(person.max()) + 1
    requests = np.bincount(person, minlength=persons).astype(np.float64)
    sums = np.stack([np.bincount(person, weights=column, minlength=persons) for column in apart.T], axis=1)
    dice = np.random.default_rng(seed)
    drawn = np.empty((DRAWS, len(names)))
    step = max(1, AT_ONCE // persons)
    for start in range(0, DRAWS, step):
        draws = min(step, DRAWS - start)
        chosen = dice.integers(0, persons, (draws, persons)) + np.arange(draws)[:, None] * persons
        times = np.bincount(chosen.reshape(-1), minlength=draws * persons).reshape(draws, persons).astype(np.float64)
        drawn[start : start + draws] = (times @ sums) / (times @ requests)[:, None]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    middle = apart.mean(axis=0)
    return {name: Difference(float(middle[at]), float(low[at]), float(high[at])) for at, name in enumerate(names)}


def _over_seeds(told: Doubles) -> Doubles:
    mean: Doubles = np.atleast_2d(np.asarray(told, np.float64)).mean(axis=0)
    return mean
