"""What is chosen beside the towers: worked out again without sparse products, and found where it must be found."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from model.catalogue import Catalogue
from model.item_tower import LENDERS, AsTheyAre
from model.popularity import HALF_LIFE_MS, add_counts
from model.prices import FARTHEST
from model.session import Floats
from model.training import calibrate as chosen
from model.training.baselines.protocol import Asked, asked
from model.training.calibrate import calibrate
from model.training.examples import DAY_MS, replay
from model.training.lessons import Lessons, codes_of, lessons, touched
from model.training.line_weights import PRIOR
from model.training.logs.columns import Items, Log
from model.training.new_items import NewItems
from model.training.pairs import Counting, count
from model.training.scoring import (
    Learned,
    kin_matrix,
    neighbours,
    pair_matrices,
    popularity_at,
    prices_apart,
    shrunk,
    tower_scores,
)
from model.training.splits import leave_one_out
from tests.logs import log_of
from tests.shop import shelved

MIDNIGHT = 1_699_920_000_000
LINES, AGE_MS = 8, 10**13
ITEMS, DIM = 20, 12


@pytest.fixture(scope="module")
def log() -> Log:
    """Every user walks i, i + 1, i + 2 ... from a random start: the next item is the one after the last."""
    dice = np.random.default_rng(0)
    rows = []
    for user in range(120):
        start = int(dice.integers(ITEMS))
        for step in range(4):
            at = MIDNIGHT + (user % 30 + 2 * step) * DAY_MS + user
            rows.append({"user_id": f"u{user}", "kind": "click", "item_id": f"i{(start + step) % ITEMS:02d}", "at": at})
    return log_of(rows)


@pytest.fixture(scope="module")
def learned() -> Learned:
    """Towers that have learned nothing of use."""
    dice = np.random.default_rng(1)
    texts = dice.normal(size=(ITEMS, DIM)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    zero = np.zeros((ITEMS, DIM), np.float32)
    halving = np.float32(0.5) ** np.arange(LINES)
    nobody = np.zeros((0, DIM), np.float32), np.zeros((0, 1), np.int64)
    return Learned(texts, np.eye(DIM, dtype=np.float32), zero, zero, halving, 20.0, PRIOR.table(), *nobody)


@pytest.fixture(scope="module")
def put(log: Log) -> tuple[Asked, Lessons]:
    split = leave_one_out(log)
    requests = replay(log, split.valid, split.train, LINES, AGE_MS)
    return asked(log, requests), lessons(log, requests, codes_of(log))


def test_scores_are_cosines_of_the_weighted_sum(learned: Learned, put: tuple[Asked, Lessons]) -> None:
    scores = tower_scores(learned, put[1])
    for place in (0, 17, 119):
        items = [item for item in put[1].items[place].tolist() if item >= 0]
        interest = sum(0.5**age * learned.texts[item] for age, item in enumerate(items))
        expected = 20 * learned.texts @ (interest / np.linalg.norm(interest))
        assert scores[place] == pytest.approx(expected, abs=1e-3)


def test_co_occurrence_is_found_where_it_tells_the_next_item(
    log: Log, learned: Learned, put: tuple[Asked, Lessons]
) -> None:
    split = leave_one_out(log)
    counted = count(log, Counting(shrink=1.0), split.train)
    worth = calibrate(log, learned, touched(log, split.train), [counted], *put)
    assert worth.directed + worth.symmetric > 0
    assert worth.steps["directed"] > worth.steps["towers"] + 0.2
    # Ties go to the first of the grid: what brings nothing is left out.
    assert worth.steps["trend"] >= worth.steps["symmetric"] >= worth.steps["directed"]


def test_of_the_ways_to_count_the_best_is_taken(log: Log, learned: Learned, put: tuple[Asked, Lessons]) -> None:
    train = leave_one_out(log).train
    nothing, told = count(log, Counting(), np.zeros_like(train)), count(log, Counting(shrink=1.0), train)
    ways = [nothing._replace(item_ids=told.item_ids, indptr=told.indptr * 0, numbers=told.numbers), told]
    for number, given in ((1, ways), (0, ways[::-1])):
        assert calibrate(log, learned, touched(log, train), given, *put).counting == number


def test_linear_pairs_are_found_where_they_tell_more_than_counts(
    log: Log, learned: Learned, put: tuple[Asked, Lessons]
) -> None:
    train = leave_one_out(log).train
    nothing, told = count(log, Counting(), np.zeros_like(train)), count(log, Counting(shrink=1.0), train)
    none = nothing._replace(item_ids=told.item_ids, indptr=told.indptr * 0, numbers=told.numbers)
    given = log, learned, touched(log, train)
    following = sparse.csr_array(np.roll(np.eye(ITEMS, dtype=np.float32), 1, axis=1))
    tried = {1.0: following * np.float32(0), 2.0: following, 3.0: -following}
    worth = calibrate(*given, [none], *put, linear=tried)
    assert worth.l2 == 2.0
    assert worth.linear > 0
    assert worth.steps["linear"] > worth.steps["symmetric"] + 0.2
    # What knows all needs no counts beside it, which had been weighed before it came.
    noisy = told._replace(values=told.values * noise(told.values.shape))
    both = calibrate(*given, [noisy], *put, linear={2.0: following})
    assert both.steps["linear"] >= both.steps["symmetric"]
    assert both.steps["linear"] == pytest.approx(1, abs=1e-3)
    useless = calibrate(*given, [told], *put, linear={1.0: following * np.float32(0)})
    assert useless.linear == 0
    assert useless.l2 == 0
    assert useless.steps["linear"] == useless.steps["symmetric"]


def noise(shape: tuple[int, ...]) -> Floats:
    """Numbers between 0 and 2."""
    return np.random.default_rng(3).uniform(0, 2, shape).astype(np.float32)


def test_pairs_are_remembered_for_as_long_as_they_tell_what_comes(learned: Learned) -> None:
    # Two things that go with what will be wanted, then two that go with nothing and differ from user to user.
    dice = np.random.default_rng(2)
    rows = []
    for user in range(150):
        what = int(dice.integers(4))
        walked = [what, what + 4, *(12 + dice.permutation(8)[:2]), what + 8]
        for step, item in enumerate(walked):
            at = MIDNIGHT + user * DAY_MS + step
            rows.append({"user_id": f"u{user}", "kind": "click", "item_id": f"i{item:02d}", "at": at})
    log = log_of(rows)
    every = np.ones(len(log), np.bool_)
    requests = replay(log, leave_one_out(log).test, every, LINES, AGE_MS)
    put = asked(log, requests), lessons(log, requests, codes_of(log))
    short = learned._replace(recency=np.float32(0.01) ** np.arange(LINES))
    worth = calibrate(log, short, touched(log, every), [count(log, Counting(lag_power=0.0, shrink=1.0))], *put)
    assert worth.memory > 0.3
    assert worth.steps["directed"] > worth.steps["towers"] + 0.2


def test_memories_are_compared_by_all_that_is_scored_in_the_end(
    learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    # People who walk at random: with .7 directed pairs bring most, and with none all together.
    dice = np.random.default_rng(0)
    rows = []
    for user in range(60):
        for step in range(6):
            at = MIDNIGHT + (user % 30 + step) * DAY_MS + user
            rows.append({"user_id": f"u{user}", "kind": "click", "item_id": f"i{dice.integers(ITEMS):02d}", "at": at})
    log = log_of(rows)
    split = leave_one_out(log)
    requests = replay(log, split.valid, split.train, LINES, AGE_MS)
    put = asked(log, requests), lessons(log, requests, codes_of(log))
    monkeypatch.setattr(chosen, "new_items", lambda *_: NewItems(0.0, 0.0, {}))
    given = log, learned, touched(log, split.train), [count(log, Counting(shrink=1.0), split.train)], *put
    alone = {}
    for memory in chosen.MEMORIES:
        with monkeypatch.context() as only:
            only.setattr(chosen, "MEMORIES", (memory,))
            alone[memory] = calibrate(*given).steps
    worth = calibrate(*given)
    assert worth.steps == alone[worth.memory]
    assert worth.steps["fresh"] == max(steps["fresh"] for steps in alone.values())
    assert max(alone, key=lambda memory: alone[memory]["directed"]) != worth.memory


def test_pairs_stand_at_their_items_numbers(log: Log) -> None:
    counted = count(log, Counting(), leave_one_out(log).train)
    directed, symmetric = (matrix.toarray() for matrix in pair_matrices(counted, log.items))
    for place, item_id in enumerate(counted.item_ids):
        row = log.items.numbers[item_id]
        start, end = counted.indptr[place : place + 2]
        for pair in range(start, end):
            column = log.items.numbers[counted.item_ids[counted.indices[pair]]]
            assert directed[row, column] == counted.values[0, pair]
            assert symmetric[row, column] == counted.values[1, pair]


def test_what_sells_is_what_the_catalogue_says_on_that_morning(log: Log) -> None:
    asked_ms = MIDNIGHT + 12 * DAY_MS + 5_000_000
    (found,) = popularity_at(log, np.array([asked_ms]), ITEMS)
    morning = asked_ms // DAY_MS * DAY_MS
    catalogue = Catalogue(AsTheyAre(2), HALF_LIFE_MS)
    for number, item_id in enumerate(log.items.ids):
        counts: dict[str, tuple[float, int]] = {}
        for row in np.flatnonzero((log.item == number) & (log.at_ms < morning)):
            counts = add_counts(counts, {"click": (1.0, int(log.at_ms[row]))})
        catalogue.apply([(item_id, shelved(item_id, [1.0, 0.0], counts=counts))])
    # The catalogue's clock is its newest event, ours the morning after: only the floor of ENOUGH may tell them apart.
    served = catalogue.popularity[[catalogue.row(item_id) for item_id in log.items.ids]]
    assert np.argsort(-found, kind="stable").tolist() == np.argsort(-served, kind="stable").tolist()
    assert found == pytest.approx(served, abs=0.1)


def test_prices_apart_are_those_that_are_served(log: Log, learned: Learned, put: tuple[Asked, Lessons]) -> None:
    lessons = put[1].only(np.arange(5))
    prices = pa.array([None if number % 4 == 0 else 2.0**number for number in range(ITEMS)], pa.float64())
    items = log.items.table.set_column(log.items.table.column_names.index("price"), "price", prices)
    found = prices_apart(Items(log.items.ids, items), learned, lessons)
    for place, lines in enumerate(lessons.items.tolist()):
        told = [(0.5**age, item) for age, item in enumerate(lines) if item >= 0 and item % 4]
        mean = sum(weight * item for weight, item in told) / sum(weight for weight, _ in told)
        expected = [0.0 if item % 4 == 0 else min(abs(item - mean), FARTHEST) for item in range(ITEMS)]
        assert found[place] == pytest.approx(expected, abs=1e-4)


def test_few_events_are_mixed_with_the_neighbours_and_many_are_not(learned: Learned) -> None:
    own, context = np.random.default_rng(3).normal(size=(2, ITEMS, DIM)).astype(np.float32)
    told, counts = learned._replace(own=own, context=context), np.arange(ITEMS)
    beside = neighbours(told.texts, counts)
    found = shrunk(told, beside, 4.0)
    for item in (1, 4, ITEMS - 1):
        alike = learned.texts @ learned.texts[item]
        alike[[0, item]] = -2  # It lends itself nothing, nor does an item without an event.
        near = np.argsort(-alike)[:LENDERS]
        for mine, before in ((found.own, own), (found.context, context)):
            expected = (item * before[item] + 4 * before[near].mean(0)) / (item + 4)
            assert mine[item] == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(found.own[0], own[0])
    assert shrunk(told, beside, 0.0).own == pytest.approx(own, rel=1e-5)


def test_who_is_hardly_known_is_known_by_kin(learned: Learned) -> None:
    counts = np.arange(ITEMS)
    beside = neighbours(learned.texts, counts)
    found = kin_matrix(beside, 2.0).toarray()
    assert found[:, 0].sum() == 0  # Without an event it is new, and borrows where it is served.
    for item in (1, 4, ITEMS - 1):
        expected = np.zeros(ITEMS)
        expected[beside.lenders[item]] = 2 / (item + 2) / LENDERS
        assert found[:, item] == pytest.approx(expected, abs=1e-6)
    assert kin_matrix(neighbours(learned.texts, np.where(counts < 3, 1, 0)), 2.0).nnz == 0  # Too few to lend.


def test_a_bad_review_counts_against_its_item_as_it_does_on_the_shelf() -> None:
    rows = [
        {"user_id": f"{item_id}-{number}", "kind": "review", "item_id": item_id, "rating": stars, "at": MIDNIGHT}
        for item_id, stars in (("bad", 1), ("good", 5))
        for number in range(50)
    ]
    log = log_of(rows)
    (found,) = popularity_at(log, np.array([MIDNIGHT + DAY_MS]), 2)
    assert found[log.items.numbers["bad"]] == 0
    assert found[log.items.numbers["good"]] == pytest.approx(1.0, abs=0.1)
