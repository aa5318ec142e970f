"""Which events are learned from and which are asked for."""

from typing import Any

import numpy as np
import pytest

from model.training.logs.columns import Log
from model.training.splits import by_time, leave_one_out, touches
from tests.logs import log_of
from tests.shop import AT

HOUR = 3_600_000


def a_log(*told: tuple[str, str, str], **more: Any) -> Log:
    """(user, kind, item) an hour; an item of "" is none."""
    return log_of(
        {"user_id": user, "kind": kind, "at": AT + hour * HOUR, "query": "q"} | ({"item_id": item} if item else {})
        for hour, (user, kind, item) in enumerate(told)
    )


def test_the_last_two_touches_of_a_user_are_valid_and_test() -> None:
    log = a_log(
        ("u", "click", "a"),  # 0 train
        ("v", "click", "a"),  # 1 train: v has two touches
        ("u", "search", ""),  # 2 train: before u's valid
        ("u", "cart", "b"),  # 3 valid
        ("u", "search", ""),  # 4 in no part: after valid, and no touch
        ("u", "impression", "z"),  # 5 in no part
        ("v", "click", "b"),  # 6 train
        ("u", "purchase", "b"),  # 7 test
        ("u", "dislike", "b"),  # 8 in no part
    )
    split = leave_one_out(log)
    assert np.flatnonzero(split.train).tolist() == [0, 1, 2, 6]
    assert split.valid.tolist() == [3]
    assert split.test.tolist() == [7]


def test_refusals_impressions_and_what_names_no_item_are_no_touches() -> None:
    kinds = ("click", "search", "impression", "return", "dislike", "review", "favourite", "browse")
    log = a_log(*(("u", kind, "" if kind == "search" else "a") for kind in kinds))
    assert touches(log).tolist() == [True, False, False, False, False, True, True, True]


def test_the_split_of_the_file_is_taken_as_it_is() -> None:
    parts = {"a": 0, "b": 2, "c": 1, "d": 0}
    log = log_of({"user_id": "u", "kind": "click", "item_id": i, "at": AT, "split": s} for i, s in parts.items())
    split = leave_one_out(log)
    assert split.train.tolist() == [True, False, False, True]
    assert (split.valid.tolist(), split.test.tolist()) == ([2], [1])


def test_random_logs_are_split_as_a_loop_over_users_splits_them() -> None:
    dice = np.random.default_rng(0)
    kinds = ("click", "search", "purchase", "dislike")
    told = [(f"u{dice.integers(9)}", kinds[dice.integers(4)], f"i{dice.integers(5)}") for _ in range(60)]
    log = a_log(*((user, kind, "" if kind == "search" else item) for user, kind, item in told))
    split, wanted = leave_one_out(log), touches(log)
    for user in range(len(log.users)):
        mine = [row for row in range(len(log)) if log.user[row] == user]
        mine_touched = [row for row in mine if wanted[row]]
        asked = mine_touched[-2:] if len(mine_touched) >= 3 else []
        assert [row for row in mine if row in split.valid or row in split.test] == asked
        assert [row for row in mine if split.train[row]] == [row for row in mine if not asked or row < asked[0]]


def test_a_split_by_time_has_no_future_in_its_past() -> None:
    log = a_log(
        *(("uv"[hour % 2], "search" if hour % 5 == 4 else "click", "" if hour % 5 == 4 else "a") for hour in range(20))
    )
    split = by_time(log, AT + 10 * HOUR, AT + 16 * HOUR)
    assert np.flatnonzero(split.train).tolist() == list(range(10))
    assert split.valid.tolist() == [10, 11, 12, 13, 15]
    assert split.test.tolist() == [16, 17, 18]
    shares = by_time(log)
    assert (shares.train.sum(), shares.valid.tolist(), shares.test.tolist()) == (16, [16, 17], [18])
    with pytest.raises(ValueError, match="before valid"):
        by_time(log, AT + 9 * HOUR, AT + 3 * HOUR)
