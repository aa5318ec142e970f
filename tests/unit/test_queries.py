"""What was typed: the most frequent texts first, each once, and the items that lend to it."""

import numpy as np
import pytest

from model.item_tower import LENDERS
from model.training.logs.columns import Log
from model.training.queries import lenders, queries
from tests.logs import log_of
from tests.shop import AT, MINUTE

TYPED = ["boots", "jam", "boots", "a guitar", "jam", "boots"]


@pytest.fixture
def log() -> Log:
    rows = [{"kind": "search", "query": text} for text in TYPED]
    rows += [{"kind": "click", "item_id": "a"}, {"kind": "signup", "interests": ["tea", "jam"]}]
    return log_of({"user_id": "u", "at": AT + place * MINUTE, **row} for place, row in enumerate(rows))


def test_texts_are_numbered_by_how_often_they_were_typed(log: Log) -> None:
    found = queries(log, np.ones(len(log), np.bool_))
    assert found.texts == ["boots", "jam", "a guitar", "tea, jam"]
    assert found.of.tolist() == [0, 1, 0, 2, 1, 0, -1, 3]


def test_rows_that_may_not_be_read_are_not(log: Log) -> None:
    found = queries(log, np.arange(len(log)) < 2)
    assert found.texts == ["boots", "jam"]
    assert found.of.tolist() == [0, 1, -1, -1, -1, -1, -1, -1]


def test_what_is_typed_too_rarely_is_left_out_and_counted(log: Log) -> None:
    found = queries(log, np.ones(len(log), np.bool_), most=1)
    assert found.texts == ["boots"]
    assert found.of.tolist() == [0, -1, 0, -1, -1, 0, -1, -1]
    assert found.left_out == 4
    assert queries(log, np.ones(len(log), np.bool_)).left_out == 0


def test_a_text_borrows_from_the_nearest_known_items() -> None:
    dice = np.random.default_rng(0)
    texts, typed = (dice.normal(size=(size, 6)).astype(np.float32) for size in (30, 5))
    known = np.arange(30) % 2 == 0
    found = lenders(typed, texts, known)
    for mine, vector in zip(found, typed, strict=True):
        nearest = [item for item in np.argsort(-(texts @ vector)) if known[item]][:LENDERS]
        assert sorted(mine.tolist()) == sorted(nearest)
    assert lenders(typed[:0], texts, known).shape == (0, 1)
