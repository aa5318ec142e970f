"""The benchmarks' own checks: each planted fault is found. A benchmark whose check cannot fail proves nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from model.item_tower import item_tower
from tests.bench.answers import WrongAnswer, check_lists, check_windows
from tests.bench.fleet import Sent, spread
from tests.bench.towers import DIM, SHELF, check_interests, check_scores, random_towers
from tests.shop import make_bundle

LINES, AGE_MS = 3, 1_000


def sent(*events: tuple[str, int]) -> list[Sent]:
    """Clicks of one user: (event id, time)."""
    told = [{"event_id": name, "user_id": "u", "kind": "click", "at": at, "item_id": "i"} for name, at in events]
    return [Sent("u", orjson.dumps(event)) for event in told]


def window(n: int, *events: tuple[str, int]) -> dict[str, dict[str, Any]]:
    return {"u": {"n": n, "lines": [[at, name, "click", "i", "", None, None, None, None] for name, at in events]}}


def advice(*items: str, norm: float = 1.0, stage: str = "warm") -> tuple[dict[str, Any], dict[str, Any]]:
    return {"u": {"stage": stage, "items": [{"item_id": each} for each in items]}}, {"u": {"vector": [norm, 0.0]}}


def test_the_right_window_passes() -> None:
    assert check_windows(sent(("a", 1), ("b", 2)), window(2, ("a", 1), ("b", 2)), LINES, AGE_MS) == 2


def test_what_is_too_much_or_too_old_need_not_be_there() -> None:
    assert check_windows(sent(("a", 1), ("b", 2_000)), window(2, ("b", 2_000)), LINES, AGE_MS) == 1
    many = [(name, at) for at, name in enumerate("abcd")]
    assert check_windows(sent(*many), window(4, *many[1:]), LINES, AGE_MS) == 3


def test_what_came_too_old_is_not_counted() -> None:
    assert check_windows(sent(("b", 2_000), ("a", 1)), window(1, ("b", 2_000)), LINES, AGE_MS) == 1


@pytest.mark.parametrize(
    "found",
    [
        {},
        window(2, ("a", 1)),
        window(2, ("b", 2), ("a", 1)),
        window(2, ("a", 1), ("b", 3)),
        window(3, ("a", 1), ("b", 2)),
        window(2, ("a", 1), ("a", 1), ("b", 2)),
    ],
    ids=["no window", "a line lost", "out of order", "another time", "counted twice", "a line twice"],
)
def test_a_wrong_window_is_found(found: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(WrongAnswer):
        check_windows(sent(("a", 1), ("b", 2)), found, LINES, AGE_MS)


def test_the_right_list_passes() -> None:
    check_lists(["u"], *advice("i", "j"), {"i", "j", "k"}, length=2)
    check_lists(["u"], *advice("i", "j", norm=0.0, stage="fallback"), {"i", "j"}, length=2)


@pytest.mark.parametrize(
    ("users", "found"),
    [
        (["u", "v"], advice("i", "j")),
        (["u"], advice("i")),
        (["u"], advice("i", "i")),
        (["u"], advice("i", "unknown")),
        (["u"], advice("i", "j", norm=0.5)),
        (["u"], advice("i", "j", norm=0.0)),
    ],
    ids=["no list", "too short", "an item twice", "an unknown item", "no unit vector", "zeros in a warm list"],
)
def test_a_wrong_list_is_found(users: list[str], found: tuple[dict[str, Any], dict[str, Any]]) -> None:
    with pytest.raises(WrongAnswer):
        check_lists(users, *found, {"i", "j"}, length=2)


def test_percentiles_are_samples_of_their_rank() -> None:
    told = spread(number / 1000 for number in range(1, 101))
    assert (told["p50_ms"], told["p95_ms"], told["p99_ms"], told["n"]) == (50, 95, 99, 100)


def test_towers_that_compute_something_else_are_found() -> None:
    dice = np.random.default_rng(0)
    vectors, weights = dice.normal(size=(3, 5, 8)).astype(np.float32), dice.random((3, 5)).astype(np.float32)
    sums = np.array([sum(w * v for w, v in zip(*each, strict=True)) for each in zip(weights, vectors, strict=True)])
    interests = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    check_interests(interests, weights, vectors)
    with pytest.raises(WrongAnswer, match="weighted sum"):
        check_interests(interests, weights[:, ::-1], vectors)
    scores = np.array([each @ interest for each, interest in zip(vectors, interests, strict=True)]) * 7
    check_scores(scores, interests, vectors)
    for wrong in (-scores, scores[:, ::-1], scores + 0.1):
        with pytest.raises(WrongAnswer, match="cosines"):
            check_scores(wrong, interests, vectors)


def test_random_towers_are_a_bundle_of_a_trained_ones_size(tmp_path: Path) -> None:
    base = make_bundle(tmp_path / "base")
    made = random_towers(base, tmp_path / "random")
    assert (made.dim, made.space) == (DIM, base.space)
    found = item_tower(made)([f"item {SHELF - 1}", f"item {SHELF}"], np.eye(2, made.text_dim, dtype=np.float32))
    assert (found.lenders[:, 0] >= 0).tolist() == [False, True]
    assert np.linalg.norm(found.candidates, axis=1) == pytest.approx(1, abs=1e-5)
