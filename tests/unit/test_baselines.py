"""All baselines by one contract, on a checkerboard whose right answer is known; and each one's own rule, by hand."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("implicit", reason="the baselines need the extra [train]")
pytest.importorskip("torch", reason="the baselines need the extra [train]")

from model.session import Floats
from model.training.answers import ndcg_at_10, of_scores
from model.training.baselines.cooccurrence import Cooccurrence, followed
from model.training.baselines.hybrid import Hybrid
from model.training.baselines.live import LiveCooccurrence
from model.training.baselines.menu import MENU, chosen
from model.training.baselines.networks import at_end, every_place, every_prefix
from model.training.baselines.popularity import Popularity, PopularityNow, RecentPopularity
from model.training.baselines.protocol import Asked, Baseline, BaselineError, Known, Sequences, asked, window_matrix
from model.training.baselines.tuning import tune
from model.training.examples import replay
from model.training.logs.columns import Log
from model.training.splits import leave_one_out
from tests.logs import log_of

DAY_MS = 86_400_000
MIDNIGHT = 1_699_920_000_000
USERS, ITEMS = 40, 24
READERS = [name for name in MENU if name not in ("popularity", "recent", "now")]
"""Baselines whose list depends on who asks."""


def checkerboard(seed: int = 0) -> Log:
    """Users of even number touch even items only, nine of the twelve, one a day; the odd ones the odd items."""
    dice = np.random.default_rng(seed)

    def events() -> Any:
        for user in range(USERS):
            mine = dice.permutation(np.arange(user % 2, ITEMS, 2))[:9]
            for day, item in enumerate(mine.tolist()):
                at = MIDNIGHT + day * DAY_MS + user
                yield {"user_id": f"u{user:02d}", "kind": "review", "item_id": f"i{item:02d}", "at": at}

    items = [{"item_id": f"i{n:02d}", "title": f"{'red boots' if n % 2 else 'sweet jam'} {n}"} for n in range(ITEMS)]
    return log_of(events(), items)


def vectors(texts: Sequence[str]) -> Floats:
    """Boots lie one way, jam the other; no two are alike."""
    noise = [np.random.default_rng(zlib.crc32(text.encode())).normal(0, 0.2, 8) for text in texts]
    told = np.array(noise, np.float32)
    told[:, 0] += [text.count("boots") for text in texts]
    told[:, 1] += [text.count("jam") for text in texts]
    return told / np.linalg.norm(told, axis=1, keepdims=True)


def known(log: Log) -> Known:
    split = leave_one_out(log)
    everything = np.ones(len(log), np.bool_)
    valid = asked(log, replay(log, split.valid, everything, 32, 10**12))
    texts = log.items.texts()
    return Known(log, split.train, valid, everything, vectors(texts), vectors, steps=40, threads=1)


def requests_of(log: Log) -> Asked:
    return asked(log, replay(log, leave_one_out(log).test, np.ones(len(log), np.bool_), 32, 10**12))


@pytest.fixture(scope="module")
def board() -> Log:
    return checkerboard()


@pytest.fixture(scope="module")
def fitted(board: Log) -> Callable[[str], Baseline]:
    made: dict[str, Baseline] = {}

    def get(name: str) -> Baseline:
        if name not in made:
            made[name] = defaults(name, known(board))
        return made[name]

    return get


def defaults(name: str, told: Known) -> Baseline:
    """The baseline, fitted with the first value of each of its grid's names."""
    baseline = MENU[name]()
    baseline.fit(told, {key: options[0] for key, options in baseline.grid.items()})
    return baseline


@pytest.mark.parametrize("name", MENU)
def test_scores_are_one_finite_number_per_request_and_item(
    name: str, board: Log, fitted: Callable[[str], Baseline]
) -> None:
    requests = requests_of(board)
    scores = fitted(name).scores(requests)
    assert scores.shape == (USERS, ITEMS)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores.flags.writeable


@pytest.mark.parametrize("name", MENU)
def test_a_request_gets_in_company_what_it_gets_alone(name: str, board: Log, fitted: Callable[[str], Baseline]) -> None:
    requests = requests_of(board)
    together = fitted(name).scores(requests)
    alone = np.concatenate([fitted(name).scores(requests.only(np.array([place]))) for place in range(5)])
    np.testing.assert_allclose(together[:5], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MENU)
def test_the_same_lessons_give_the_same_scores(name: str, board: Log, fitted: Callable[[str], Baseline]) -> None:
    requests = requests_of(board)
    again = defaults(name, known(board)).scores(requests)
    np.testing.assert_allclose(fitted(name).scores(requests), again, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "learned"), [("als", "alpha"), ("bpr", "iterations")])
def test_what_is_kept_of_an_earlier_fit_is_what_the_choice_does_not_touch(name: str, learned: str, board: Log) -> None:
    told, requests, baseline = known(board), requests_of(board), MENU[name]()
    choice = {key: options[0] for key, options in baseline.grid.items()}
    found = []
    for changed in ({}, {"decay": baseline.grid["decay"][1]}, {learned: baseline.grid[learned][1]}):
        fresh = MENU[name]()
        for each in (baseline, fresh):
            each.fit(told, choice | changed)
        found.append(baseline.scores(requests))
        np.testing.assert_allclose(found[-1], fresh.scores(requests), rtol=1e-4, atol=1e-5)
    assert all(np.abs(other - found[0]).max() > 1e-3 for other in found[1:])


@pytest.mark.parametrize("name", READERS)
def test_users_get_items_of_their_own_colour(name: str, board: Log, fitted: Callable[[str], Baseline]) -> None:
    """Chance is a half of the places, and what a user has not had yet is a fifth of the items: three of fifteen."""
    requests = requests_of(board)
    answers = of_scores(fitted(name), requests, np.ones(ITEMS, np.int64), whole=True)
    assert answers.shown is not None
    same = answers.shown[:, :3] % 2 == requests.users[:, None] % 2
    assert same.mean() > 0.9


@pytest.mark.parametrize("name", MENU)
def test_a_window_without_an_item_gets_finite_scores(name: str, board: Log, fitted: Callable[[str], Baseline]) -> None:
    nobody = requests_of(board).only(np.arange(2))
    nobody = nobody._replace(items=np.full_like(nobody.items, -1))
    assert np.isfinite(fitted(name).scores(nobody)).all()


def test_bpr_gives_a_window_without_an_item_what_the_items_are_worth_to_anyone(
    board: Log, fitted: Callable[[str], Baseline]
) -> None:
    nobody = requests_of(board).only(np.arange(2))
    one, other = fitted("bpr").scores(nobody._replace(items=np.full_like(nobody.items, -1)))
    assert (one == other).all()
    assert len(np.unique(one)) == ITEMS


@pytest.mark.parametrize("name", ["frozen-mean", "flat", "frozen+cooccurrence"])
def test_who_reads_titles_says_that_there_is_no_encoder(name: str, board: Log) -> None:
    with pytest.raises(BaselineError, match="needs an encoder"):
        defaults(name, replace(known(board), vectors=None, encode=None))


def test_popularity_wins_where_everybody_wants_the_same() -> None:
    """Everybody's last two are the same two items, after three of one's own that nobody else has."""
    events = [
        {"user_id": f"u{user}", "kind": "review", "item_id": item, "at": MIDNIGHT + day * DAY_MS}
        for user in range(30)
        for day, item in enumerate([f"own{user}-{place}" for place in range(3)] + ["hit", f"end{user % 2}"])
    ]
    told = known(log_of(events))
    told = replace(told, rows=np.ones(len(told.log), np.bool_))
    requests = requests_of(told.log)
    reached = {name: ndcg_at_10(defaults(name, told), requests) for name in ("popularity", "frozen-mean", "bm25")}
    assert reached["popularity"] > 0.5 > max(reached["frozen-mean"], reached["bm25"])


def test_recent_touches_count_more_and_by_the_half_life() -> None:
    days = {"old": 0, "new": 10}
    events = [
        {"user_id": f"u{item}", "kind": "review", "item_id": item, "at": MIDNIGHT + day * DAY_MS}
        for item, day in days.items()
    ]
    log = log_of(events)
    told = replace(_empty(log), rows=np.ones(2, np.bool_))
    recent = RecentPopularity()
    recent.fit(told, {"half_life_days": 10})
    scores = recent.scores(told.valid._replace(targets=np.zeros(1, np.int32)))
    assert scores[0].tolist() == [0.5, 1.0]


def test_what_sells_now_ends_where_the_day_of_the_request_begins() -> None:
    """Two touches a day before, one two days before; one on the day itself, and one in the future, say nothing."""
    days = [-1, -1, -2, 0, 3]
    events = [
        {"user_id": f"u{n}", "kind": "review", "item_id": "a", "at": MIDNIGHT + day * DAY_MS}
        for n, day in enumerate(days)
    ]
    log = log_of(events)
    now = PopularityNow()
    request = _empty(log).valid._replace(
        targets=np.zeros(2, np.int32), at_ms=np.array([MIDNIGHT + 5, MIDNIGHT + 5]), tied=np.array([False, True])
    )
    now.fit(replace(_empty(log), live=np.ones(5, np.bool_)), {"half_life_days": 1, "gate": 0})
    assert now.scores(request)[:, 0].tolist() == pytest.approx([np.log1p(2 / 2 + 1 / 4)] * 2)
    now.fit(replace(_empty(log), live=np.ones(5, np.bool_)), {"half_life_days": 1, "gate": 1})
    assert now.scores(request)[:, 0].tolist() == pytest.approx([np.log1p(2 / 2 + 1 / 4), 0])


def test_what_followed_counts_by_distance_within_a_user() -> None:
    told = Sequences(np.array([0, 0, 0, 1], np.int32), np.array([0, 1, 2, 0], np.int32), np.zeros(4, np.int64))
    assert followed(told, 3, 1.0).toarray().tolist() == [[0, 1, 0.5], [0, 0, 1], [0, 0, 0]]


def test_live_co_occurrence_counts_what_stood_when_the_day_of_each_request_began(board: Log) -> None:
    told, choice = known(board), {"decay": 0.5, "shrink": 10, "symmetric": 0.3, "lag_power": 1.0, "fair": 0.0}
    live = LiveCooccurrence()
    live.fit(told, choice)
    valid = told.valid
    for day in range(2, 9):
        then = valid._replace(at_ms=np.full_like(valid.at_ms, MIDNIGHT + day * DAY_MS + 7))
        counted = Cooccurrence()
        counted.fit(replace(told, rows=board.at_ms < MIDNIGHT + day * DAY_MS), choice)
        np.testing.assert_allclose(live.scores(then), counted.scores(then), rtol=1e-4, atol=1e-6)


def test_window_weights_decay_from_the_newest_item() -> None:
    request = _asked([[3, 1, 2], [4, -1, -1]])
    assert window_matrix(request, 5, 0.5).toarray().tolist() == [[0, 0.5, 1, 0.25, 0], [0, 0, 0, 0, 1]]
    assert window_matrix(request, 5, 0.0).toarray().tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert window_matrix(request, 5, 1.0).toarray()[0].tolist() == [0, 1, 1, 1, 0]


def test_networks_see_the_newest_items_at_the_end() -> None:
    items = np.array([[5, 6, 7], [8, -1, -1]], np.int32)
    assert at_end(items, np.array([3, 1], np.int32), 2).tolist() == [[7, 8], [0, 9]]


def test_every_place_of_a_sequence_is_asked_for_the_next() -> None:
    told = Sequences(np.array([0, 0, 0, 1], np.int32), np.array([4, 5, 6, 9], np.int32), np.zeros(4, np.int64))
    ((windows, targets),) = every_place(told, 3, np.random.default_rng(0))
    assert windows.tolist() == [[0, 5, 6]]
    assert targets.tolist() == [[0, 6, 7]]


def test_every_prefix_is_asked_at_its_end() -> None:
    told = Sequences(np.array([0, 0, 0, 1], np.int32), np.array([4, 5, 6, 9], np.int32), np.zeros(4, np.int64))
    ((windows, targets),) = every_prefix(told, 3, np.random.default_rng(0))
    rows = sorted(zip(windows.tolist(), targets.tolist(), strict=True))
    assert rows == [([0, 0, 5], [0, 0, 6]), ([0, 5, 6], [0, 0, 7])]


def test_tuning_takes_the_best_of_each_name_and_leaves_it_fitted(board: Log) -> None:
    """Scores say the target's item only with a = 3 and b = 2; b is tried with the a that was best."""

    class Guess:
        name, live, relearns = "guess", False, False
        grid: Mapping[str, Sequence[float]] = {"a": (1, 3, 2), "b": (5, 2)}

        def fit(self, known: Known, choice: Any) -> None:
            self.at = dict(choice)

        def scores(self, asked: Asked) -> Floats:
            found = np.random.default_rng(0).random((len(asked.targets), ITEMS)).astype(np.float32)
            found[np.arange(len(asked.targets)), asked.targets] += 0.3 * (self.at["a"] == 3) + 0.3 * (self.at["b"] == 2)
            return found

    guess = Guess()
    told = tune(guess, known(board))
    assert told.choice == guess.at == {"a": 3, "b": 2}
    assert told.ndcg == ndcg_at_10(guess, known(board).valid) > 0.9
    assert told.tried == 4


def test_a_hybrid_of_nothing_and_a_baseline_ranks_as_the_baseline(board: Log) -> None:
    told, requests = known(board), requests_of(board)
    alone = defaults("frozen-recency", told).scores(requests)
    mixed = Hybrid("mixed", MENU["frozen-recency"](), Popularity(), shares=(1e-6,))
    mixed.fit(told, {key: options[0] for key, options in mixed.grid.items()})
    assert np.array_equal(np.argsort(-mixed.scores(requests)), np.argsort(-alone))


def test_names_are_chosen_in_the_menus_order() -> None:
    assert chosen("none") == []
    assert chosen("all") == list(MENU)
    assert chosen("ease, popularity") == ["popularity", "ease"]
    with pytest.raises(BaselineError, match="no baseline magic"):
        chosen("popularity,magic")


def _asked(items: list[list[int]]) -> Asked:
    size = len(items)
    return Asked(
        np.array(items, np.int32).reshape(size, -1),
        np.zeros(size + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(size, np.int32),
        np.arange(size, dtype=np.int32),
        np.zeros(size, np.int64),
        np.zeros(size, np.bool_),
        np.ones(size, np.int32),
    )


def _empty(log: Log) -> Known:
    """Nothing to learn from, one request."""
    nothing = np.zeros(len(log), np.bool_)
    return Known(log, nothing, _asked([[-1]]), nothing)
