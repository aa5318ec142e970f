"""Beside `evaluate.py`: what baselines answered in an earlier judgement, for bundles judged on the same requests.

Baselines take longer than the bundle that is judged beside them; a second bundle need not wait for them again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import orjson

from model.training.answers import Answers

JSON, ARRAYS = "evaluation.json", "ranks.npz"
FREE = ("bundles", "seed")
"""What two judgements may differ in."""
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


def load(folder: Path, about: Mapping[str, Any]) -> Earlier:
    """The baselines' answers of a judgement that wrote to `folder`.

    Args:
        folder: of `firstclick evaluate --out`.
        about: of the judgement that is to use them.

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
    mine = orjson.loads(orjson.dumps(dict(about), default=str))
    for name, value in mine.items():
        if name not in FREE and told["about"].get(name) != value:
            raise EarlierError(f"{folder} was judged with {name} = {told['about'].get(name)!r}, this run has {value!r}")
    order = dict.fromkeys(key.rsplit("|", 2)[0] for key in held)  # As judged; JSON's keys are sorted.
    systems = {name: told["systems"][name] for name in order if told["systems"][name]["kind"] == "baseline"}
    answers: dict[str, dict[str, list[Answers]]] = {name: {} for name in systems}
    for key, ranks in held.items():
        name, condition, part = key.rsplit("|", 2)
        if name in answers and part == "ranks":
            of = f"{name}|{condition}|"
            others = zip(*(held.get(of + each, [None] * len(ranks)) for each in PARTS[1:]), strict=True)
            answers[name][condition] = [Answers(mine, *more) for mine, more in zip(ranks, others, strict=True)]
    return Earlier(systems, answers)
