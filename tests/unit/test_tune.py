"""A search tries the defaults first, is never worse, gives hopeless trials up, and goes on where it was."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from model.training.fit import Epoch, FitSettings, FitWatch
from model.training.tune import SPACE, search

START = FitSettings(epochs=5, text_scale=1.0)


def score(settings: FitSettings, watch: FitWatch) -> float:
    """As if a text of half its length and the lowest dropout were best."""
    found = 1 - abs(settings.text_scale - 0.5) - settings.dropout / 10
    watch.on_epoch(Epoch(1, 0.0, found, True))
    return found


def test_the_defaults_come_first_and_what_is_found_is_not_worse() -> None:
    tried: list[FitSettings] = []

    def noted(settings: FitSettings, watch: FitWatch) -> float:
        tried.append(settings)
        return score(settings, watch)

    best, value = search(noted, START, trials=12)
    assert tried[0] == START
    assert value >= score(START, FitWatch())
    assert value == score(best, FitWatch())
    assert replace(best, **{name: getattr(START, name) for name in SPACE}) == START


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    said: list[str] = []
    search(score, START, trials=3, storage=tmp_path / "trials.db", say=said.append)
    search(lambda *_: 2.0, START, trials=1, storage=tmp_path / "trials.db", study="of another shop")
    _, value = search(score, START, trials=5, storage=tmp_path / "trials.db", say=said.append)
    assert value <= 1
    assert [line.split(":")[0] for line in said] == [f"trial {number}" for number in range(1, 6)]


def test_who_goes_on_tries_nothing_twice_and_a_broken_trial_is_none(tmp_path: Path) -> None:
    tried: list[FitSettings] = []

    def noted(settings: FitSettings, watch: FitWatch) -> float:
        tried.append(settings)
        return score(settings, watch)

    def interrupted(settings: FitSettings, watch: FitWatch) -> float:
        raise KeyboardInterrupt

    for trials in (2, 4, 6):
        with pytest.raises(KeyboardInterrupt):
            search(interrupted, START, trials, tmp_path / "trials.db")
        search(noted, START, trials, tmp_path / "trials.db")
    assert len(tried) == len(set(map(str, tried))) == 6
    assert tried[0] == START


def test_a_hopeless_trial_is_given_up() -> None:
    said: list[str] = []
    ended: list[bool] = []

    def slow(settings: FitSettings, watch: FitWatch) -> float:
        value = 1.0 if len(ended) < 5 else 0.0
        ended.append(False)
        for number in range(1, 4):
            watch.on_epoch(Epoch(number, math.nan, value, True))
        ended[-1] = True
        return value

    search(slow, START, trials=7, say=said.append)
    assert ended == [True] * 5 + [False] * 2
    assert "given up" in said[-1]
