"""Beside `evaluate.py`: what baselines answered in an earlier judgement, for bundles judged on the same requests.

Baselines take longer than the bundle that is judged beside them; a second bundle need not wait for them again. Ranks
are joined request by request: so whatever decides which requests there are, and in which order, must be the same.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import orjson

from model.training.answers import Answers
from model.training.logs.columns import Log
from model.training.slices import CLOCK, WHOLE

JSON, ARRAYS = "evaluation.json", "ranks.npz"
FREE = ("bundles", "seed")
"""What two judgements may differ in. The seed is of the networks; where ties are shuffled, it is theirs, too."""
PARTS = Answers._fields


class EarlierError(Exception):
    """The folder holds no judgement of the same requests."""


class Earlier(NamedTuple):
    """Baselines of an earlier judgement."""

    systems: Mapping[str, dict[str, Any]]
    """Name -> what was told of it."""
    answers: Mapping[str, dict[str, list[Answers]]]
    """Name -> condition -> answers by seed."""


def save(path: Path, answers: Mapping[str, Mapping[str, list[Answers]]]) -> None:
    """Writes ranks.npz: `system|condition|ranks` (S, Q) and so on, by the fields of `Answers`."""
    arrays = {
        f"{name}|{condition}|{part}": np.stack([getattr(each, part) for each in seeds])
        for name, mine in answers.items()
        for condition, seeds in mine.items()
        for part in PARTS
        if getattr(seeds[0], part) is not None
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def digest(log: Log) -> str:
    """Eight hexadecimal digits of who did what when, with which item: a file of one name may be another log."""
    found = hashlib.sha256()
    for column in (log.at_ms, log.user, log.kind, log.item):
        found.update(column.tobytes())
    return found.hexdigest()[:8]


def load(folder: Path, about: Mapping[str, Any], conditions: Collection[str]) -> Earlier:
    """The baselines' answers of a judgement that wrote to `folder`.

    Args:
        folder: of `firstclick evaluate --out`.
        about: of the judgement that is to use them.
        conditions: those under which it judges; baselines that were judged under none of them are left out.

    Raises:
        EarlierError: there is none, or it was on other requests.
    """
    try:
        told = orjson.loads((folder / JSON).read_bytes())
        with np.load(folder / ARRAYS) as arrays:
            held = {name: arrays[name] for name in arrays.files}
        if not all(key.count("|") == 2 for key in held) or not {"about", "systems"} <= told.keys():
            raise ValueError("it was written by another version")
    except (OSError, ValueError, BadZipFile) as error:
        raise EarlierError(f"{folder} holds no judgement: {error}") from error
    _same(folder, told["about"], orjson.loads(orjson.dumps(dict(about), default=str)))
    answers: dict[str, dict[str, list[Answers]]] = {}
    for key, ranks in held.items():  # As judged; JSON's keys are sorted.
        name, condition, part = key.rsplit("|", 2)
        if part == "ranks" and told["systems"][name]["kind"] == "baseline":
            of = f"{name}|{condition}|"
            others = zip(*(held.get(of + each, [None] * len(ranks)) for each in PARTS[1:]), strict=True)
            seeds = [Answers(mine, *more) for mine, more in zip(ranks, others, strict=True)]
            answers.setdefault(name, {})[condition] = seeds
    for mine in answers.values():
        if WHOLE in mine:  # Judged without the clock: the same requests, and it reads none.
            mine.setdefault(CLOCK, mine[WHOLE])
    kept = {name: {put: mine[put] for put in conditions if put in mine} for name, mine in answers.items()}
    kept = {name: mine for name, mine in kept.items() if mine}
    return Earlier({name: told["systems"][name] for name in kept}, kept)


def _same(folder: Path, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    free = ("bundles",) if mine.get("shuffle_ties") else FREE
    for name in mine.keys() - free:
        if name not in theirs:
            raise EarlierError(f"{folder} does not tell its {name}: it was judged by another version; judge it anew")
    for name, value in mine.items():
        if name == "space" and None in (value, theirs[name]):
            continue  # Without a bundle there is no encoder, and no baseline that reads its vectors.
        if name not in free and theirs[name] != value:
            raise EarlierError(
                f"{folder} was judged with {name} = {theirs[name]!r}, this run has {value!r}; "
                "judge with the same, or without --beside"
            )
