"""Step 6: what a line weighs, with and without the others. Expected numbers are worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model.event import Kind
from model.interest import KINDS, NUMBERS, Features, Interest, Interests, anything_wanted, features, variants
from model.text import Line
from model.training.graphs import AGES, Weights
from model.training.line_weights import AGAIN, FACTORS, KIND_FACTORS, PRIOR
from tests.shop import AT, line, make_bundle

N, D = 6, 5


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Interest:
    return Interest(make_bundle(tmp_path_factory.mktemp("bundle")))


def told(lines: Sequence[Line], n: int = N) -> Features:
    """Behaviour of one window; a line's item is told by its id."""
    ids = [line.item_id for line in lines]
    items = np.full((1, n), -1)
    items[0, : len(ids)] = [ids.index(item_id) if item_id else -1 for item_id in ids]
    return features([lines], items)


def weigh(tower: Interest, *lines: Line, keep: list[int] | None = None) -> list[float]:
    """Weights of these lines, oldest first; of those in `keep` alone if told."""
    present = np.zeros((1, N), bool)
    present[0, keep if keep is not None else range(len(lines))] = True
    vectors = np.random.default_rng(0).normal(size=(1, N, D)).astype(np.float32)
    found = tower(vectors, told(lines), variants(present))
    return [round(float(weight), 5) for weight in found.weights[0, 0, : len(lines)]]


def test_each_newer_line_halves_a_weight(tower: Interest) -> None:
    assert weigh(tower, line("click"), line("click"), line("click")) == [0.25, 0.5, 1.0]


def test_a_line_that_is_not_kept_weighs_nothing_and_ages_nothing(tower: Interest) -> None:
    assert weigh(tower, line("click"), line("click"), line("click"), keep=[0, 2]) == [0.5, 0.0, 1.0]


def test_an_impression_weighs_nothing_and_ages_nothing(tower: Interest) -> None:
    assert weigh(tower, line("click"), line("impression"), line("impression")) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_weight(tower: Interest, kind: Kind) -> None:
    assert weigh(tower, line(kind)) == [KIND_FACTORS[kind]]


@pytest.mark.parametrize(
    ("dwell_ms", "weight"),
    [(0, -0.8), (2_999, -0.8), (3_000, 0.5), (8_000, 0.75), (13_000, 1.0), (23_000, 1.5), (86_400_000, 1.5), (None, 1)],
)
def test_dwell_tells_a_mistake_from_a_long_look(tower: Interest, dwell_ms: int | None, weight: float) -> None:
    assert weigh(tower, line("browse", dwell_ms=dwell_ms)) == [pytest.approx(weight, abs=1e-4)]


@pytest.mark.parametrize(
    ("rating", "weight"), [(5.0, 1.5), (4.0, 1.05), (3.0, 0.6), (2.0, -0.825), (1.0, -1.2), (None, 1.5)]
)
def test_a_rating_tells_praise_from_a_warning(tower: Interest, rating: float | None, weight: float) -> None:
    assert weigh(tower, line("review", rating=rating)) == [pytest.approx(weight, abs=1e-4)]


def test_an_item_that_comes_again_weighs_what_was_learned(tmp_path: Path) -> None:
    lines = PRIOR._replace(numbers={**FACTORS, AGAIN: (1.0, 0.5, 0.25)})
    tower = Interest(make_bundle(tmp_path, weights=Weights(recency=(1.0,) * AGES, lines=lines)))
    same = [line("click", item_id=item_id) for item_id in ("a", "b", "a", "a", "", "")]
    assert weigh(tower, *same) == [1, 1, 0.5, 0.25, 1, 1]
    assert weigh(tower, *same, keep=[1, 2, 3]) == [0, 1, 1, 0.5, 0, 0]  # As if the first had never been.


def test_a_kind_that_training_never_saw_keeps_the_zero_shot_recency(tmp_path: Path) -> None:
    """Baskets without an order must not keep an old search as fresh as the newest."""
    weights = Weights(recency=(1.0,) * AGES, unheard=frozenset({Kind.SEARCH}))
    tower = Interest(make_bundle(tmp_path, weights=weights))
    (search,), (click,) = weigh(tower, line("search")), weigh(tower, line("click"))
    lines = line("search"), line("click"), line("search"), line("click")
    assert weigh(tower, *lines) == pytest.approx([search / 8, click, search / 2, click])
    assert weigh(tower, *lines, keep=[0, 2, 3]) == pytest.approx([search / 4, 0, search / 2, click])


def test_two_reasons_to_push_away_do_not_draw_near(tower: Interest) -> None:
    (weight,) = weigh(tower, line("return", rating=1.0, dwell_ms=100))
    assert weight < 0


def test_a_short_look_after_a_click_outweighs_the_click(tower: Interest) -> None:
    assert sum(weigh(tower, line("click"), line("browse", dwell_ms=800))) < 0


def test_interests_are_weighted_sums_of_unit_length(tower: Interest) -> None:
    lines = [line("click"), line("dislike"), line("purchase")]
    vectors = np.random.default_rng(1).normal(size=(1, N, D)).astype(np.float32)
    present = np.array([[True, True, True, False, False, False]])
    found = tower(vectors, told(lines), variants(present))
    expected = 0.25 * vectors[0, 0] - 0.5 * vectors[0, 1] + 1.5 * vectors[0, 2]
    np.testing.assert_allclose(found.vectors[0, 0], expected / np.linalg.norm(expected), rtol=1e-5)


def test_row_one_and_n_is_the_interest_as_if_line_n_had_never_been(tower: Interest) -> None:
    lines = [line("click"), line("browse", dwell_ms=900), line("purchase"), line("review", rating=2.0)]
    vectors = np.random.default_rng(1).normal(size=(1, N, D)).astype(np.float32)
    whole = run(tower, vectors, lines)
    for n in range(len(lines)):
        rest = lines[:n] + lines[n + 1 :]
        without = run(tower, np.delete(vectors, n, axis=1)[:, [*range(N - 1), 0]], rest)
        np.testing.assert_allclose(whole.vectors[0, 1 + n], without.vectors[0, 0], atol=1e-6)


@pytest.mark.parametrize("memory", [(), tuple(0.9**age for age in range(AGES))])
def test_pairs_fade_as_interests_do_or_by_a_memory_of_their_own(tmp_path: Path, memory: tuple[float, ...]) -> None:
    bundle = make_bundle(tmp_path, weights=Weights(memory=memory))
    vectors = np.random.default_rng(0).normal(size=(1, N, D)).astype(np.float32)
    found = run(Interest(bundle), vectors, [line("click"), line("dislike"), line("click"), line("impression")])
    assert found.weights[0, 0].tolist() == pytest.approx([0.25, -0.5, 1, 0, 0, 0])
    left = 0.9 if memory else 0.5
    assert found.remembered[0, 0].tolist() == pytest.approx([left**2, -left, 1, 0, 0, 0])
    assert found.remembered[0, 3].tolist() == pytest.approx([left, -1, 0, 0, 0, 0])  # Without the newer click.
    assert [each.shape[1] for each in found.whole()] == [1, 1, 1]


def test_nothing_known_is_all_zeros(tower: Interest) -> None:
    vectors = np.zeros((1, N, D), np.float32)
    found = tower(vectors, told([]), variants(np.zeros((1, N), bool)))
    assert not found.vectors.any()
    assert not found.weights.any()


def test_what_cancels_out_is_nothing(tower: Interest, tmp_path: Path) -> None:
    vectors = np.zeros((1, N, D), np.float32)
    vectors[0, 0, 0], vectors[0, 1, 0] = 1.0, 0.5  # .5 * 1 - 1 * .5
    found = run(tower, vectors, [line("click"), line("dislike")])
    assert not found.vectors[0, 0].any()


def test_features_are_told_in_the_units_of_their_names() -> None:
    lines = [line("browse", at_ms=AT, dwell_ms=1_500), line("review", at_ms=AT + 7_200_000, rating=4.0, price=9.5)]
    found = told(lines, 3)
    assert NUMBERS == ("dwell_s", "rating", "price", "quantity")
    assert found.numbers[0].tolist() == [[1.5, -1, -1, -1], [-1, 4, 9.5, -1], [-1] * 4]
    assert found.kinds[0].tolist() == [KINDS.index(Kind.BROWSE), KINDS.index(Kind.REVIEW), 0]


def test_variants_leave_out_one_line_each() -> None:
    told = variants(np.array([[True, False, True]]))
    assert told[0].tolist() == [[1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [([0.5, 0, 0], True), ([0.5, -1.0, 0], False), ([0.5, 0, -1.0], True), ([0, -1, -1], False), ([0, 0, 0], False)],
)
def test_something_is_wanted_unless_refusals_of_the_like_outweigh_it(weights: list[float], wanted: bool) -> None:
    vectors = np.array([[[1, 0], [1, 0], [0.6, 0.8]]], np.float32)  # The third is somewhat like the first.
    assert anything_wanted(np.array([weights], np.float32), vectors).tolist() == [wanted]


def run(
    tower: Interest, vectors: "np.ndarray[tuple[int, int, int], np.dtype[np.float32]]", lines: list[Line]
) -> Interests:
    present = np.arange(N)[None] < len(lines)
    return tower(vectors, told(lines), variants(present))
