"""Stars from words: what teaches them, what does not, and that they weigh a line where none are told."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.bundle import ENCODER, SENTIMENT, TOKENIZER, Bundle
from model.encoder import Encoder
from model.gather import rated, texts_of
from model.interest import KINDS, NUMBERS, features
from model.sentiment import sentiment
from model.session import Floats, Session
from model.text import Line
from model.training.course import Course
from model.training.folder import becoming, describe
from model.training.grafting import graft, take
from model.training.line_weights import PRIOR, codes, strengths
from model.training.logs.columns import Log
from model.training.sentiment import LEAST, Head, Learned, figures, filled, fit, learn, predicted
from model.training.splits import Split
from tests.logs import log_of
from tests.shop import AT, COLOURS, DIM, MINUTE, THEMES, Shop, line, make_bundle, window

STARS = {"food": 1, "garden": 3, "music": 5}
"""What this town's shoppers think of what they write of."""
BAD, GOOD = "jam and bread", "a guitar or a flute"
REVIEWS = 400


def reviews(dice: np.random.Generator, most: int = REVIEWS) -> Iterator[dict[str, Any]]:
    """Reviews whose words tell their stars, but for one star up in every second garden's."""
    for number in range(most):
        theme = str(dice.choice(list(STARS), p=[0.15, 0.25, 0.6]))
        words = " ".join([str(dice.choice(COLOURS)), *dice.choice(THEMES[theme], 2)])
        stars = STARS[theme] + (number % 2 if theme == "garden" else 0)
        told = {"kind": "review", "text": words, "rating": stars, "at": AT + number * MINUTE}
        yield {"user_id": f"u{number % 40}", "item_id": "red boots", **told}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def encode(base: Bundle) -> Callable[..., Floats]:
    return Encoder(base).vectors


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(reviews(np.random.default_rng(0)))


@pytest.fixture(scope="module")
def learned(log: Log, encode: Callable[..., Floats]) -> Learned:
    return learn(log, everything(log), encode)


@pytest.fixture(scope="module")
def head(learned: Learned) -> Head:
    assert learned.head is not None
    return learned.head


def everything(log: Log) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.ones(len(log), np.bool_)


def with_head(base: Bundle, head: Head, out: Path, **told: Any) -> Bundle:
    """The bundle with this head, and with other words in its manifest."""
    with becoming(out) as made:
        for name in base.manifest.files:
            (made / name).write_bytes((base.path / name).read_bytes())
        (made / SENTIMENT).write_bytes(head.graph())
        describe(made, **(base.manifest.model_dump(exclude={"files", "fingerprint", "format"}) | told))
    return Bundle.load(out)


def test_words_that_tell_stars_are_learned(head: Head, encode: Callable[..., Floats]) -> None:
    bad, middling, good = predicted(head, encode([BAD, "rake and hose", GOOD]).astype(np.float64))
    assert 1 <= bad <= 2 < middling < 4.5 < good <= 5


def test_the_manifest_is_told_how_much_better_than_the_mean(learned: Learned) -> None:
    told = learned.told
    assert told["reviews"] == REVIEWS
    assert told["rmse"] < 0.5 * told["mean_rmse"]
    assert min(told["auc"], told["balanced_accuracy"], told["recall"], told["precision"]) > 0.95


def test_the_graph_computes_what_was_learned(head: Head, encode: Callable[..., Floats]) -> None:
    vectors = encode([f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS])
    (found,) = Session(head.graph()).run(["stars"], {"texts": vectors})
    assert np.allclose(found, predicted(head, vectors.astype(np.float64)), atol=1e-5)


def test_a_texts_stars_have_the_same_bits_in_any_company(base: Bundle, head: Head, tmp_path: Path) -> None:
    stars = sentiment(with_head(base, head, tmp_path / "bundle"))
    assert stars is not None
    vectors = np.random.default_rng(0).normal(0, 1, (70, DIM)).astype(np.float32)
    together = stars(vectors)
    assert all(stars(vectors[place : place + 1])[0] == together[place] for place in range(len(vectors)))


def test_what_is_more_likely_bad_than_not_is_bad_whatever_the_mean() -> None:
    """Chances .45 of more than 2, of more than 4: a mean of 2.8, of which nobody would say that it is good."""
    cut = float(np.log(0.55 / 0.45))
    found = predicted(Head(np.zeros(3), np.array([cut, cut, cut, cut])), np.zeros((1, 3)))
    assert found.tolist() == [2.0]
    assert predicted(Head(np.zeros(3), -np.array([cut, cut, cut, cut])), np.zeros((1, 3))) == pytest.approx(3.2)


def test_the_fit_is_where_no_small_step_is_better(log: Log, encode: Callable[..., Floats]) -> None:
    """The loss as it is written in the paper, and its slope by differences."""
    vectors, stars = encode(log.texts.to_pylist()).astype(np.float64), log.rating.astype(np.float64)
    found = fit(vectors, stars, 3.0)
    best = np.concatenate([found.direction, found.cuts])

    def loss(point: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        total = 3.0 * float(point[:DIM] @ point[:DIM]) / 2
        for place, level in enumerate((1, 2, 3, 4)):
            signs = np.where(stars > level, 1, -1)
            total += float(np.log1p(np.exp(-signs * (vectors @ point[:DIM] - point[DIM + place]))).sum())
        return total

    for axis in range(len(best)):
        step = np.zeros(len(best))
        step[axis] = 1e-4
        slope = (loss(best + step) - loss(best - step)) / 2e-4
        assert abs(slope) < 0.02, axis  # The cuts' own small penalty is not in this loss.


def test_figures_are_those_counted_by_hand() -> None:
    found = figures(np.array([1.5, 3.0, 2.0, 5.0, 3.0]), np.array([1.0, 2.0, 3.0, 5.0, 5.0]), np.full(5, 3.2))
    # Pairs of a bad and another: 1.5 is below all three; 3.0 below one, and as high as one.
    assert found["auc"] == pytest.approx((3 + 1.5) / 6)
    assert (found["recall"], found["precision"]) == (0.5, 0.5)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["rmse"] == pytest.approx(np.sqrt((0.25 + 1 + 1 + 0 + 4) / 5))


def test_words_that_tell_nothing_teach_no_head(log: Log, encode: Callable[..., Floats]) -> None:
    mixed = replace(log, rating=np.random.default_rng(0).permutation(log.rating))
    found = learn(mixed, everything(log), encode)
    assert found.head is None
    assert "mean" in found.told["left_out"]


@pytest.mark.parametrize("lacking", ["text", "rating", "kind"])
def test_a_log_without_reviews_to_read_teaches_no_head(lacking: str) -> None:
    told = list(reviews(np.random.default_rng(0)))
    less = [{**row, lacking: "cart"} if lacking == "kind" else row for row in told]
    log = log_of({name: value for name, value in row.items() if name != lacking or lacking == "kind"} for row in less)
    assert len(log) == REVIEWS
    assert learn(log, everything(log), unread).head is None


def unread(texts: Any) -> Floats:
    raise AssertionError("these texts must not cost the encoder anything")


def test_too_few_reviews_or_too_few_authors_teach_no_head(log: Log) -> None:
    few = everything(log)
    few[LEAST - 1 :] = False
    assert learn(log, few, unread).head is None
    assert learn(replace(log, user=np.minimum(log.user, 3)), everything(log), unread).head is None
    assert learn(replace(log, rating=np.full(len(log), 5, np.float32)), everything(log), unread).head is None


def test_rows_that_may_not_be_read_teach_nothing(log: Log, encode: Callable[..., Floats]) -> None:
    rows = np.arange(len(log)) < 300
    other = log.rating.copy()
    other[300:] = 1
    one, two = (learn(each, rows, encode).head for each in (log, replace(log, rating=other)))
    assert one is not None
    assert two is not None
    assert one.graph() == two.graph()


def test_a_log_is_filled_where_stars_are_lacking_and_nowhere_else(
    log: Log, head: Head, encode: Callable[..., Floats]
) -> None:
    lacking = log.rating.copy()
    lacking[::2] = np.nan
    may = np.arange(len(log)) < 300
    found = filled(replace(log, rating=lacking), may, head, encode)
    assert np.array_equal(found[1::2], log.rating[1::2])
    assert np.all(np.isnan(found[300::2]))
    assert np.array_equal(found[:300:2] <= 2, log.rating[:300:2] <= 2)


def test_training_weighs_an_unrated_review_as_serving_does(base: Bundle, head: Head, tmp_path: Path) -> None:
    """Of the newest lines alone, whose texts are read: what is said of jam pushes away, of a guitar draws near."""
    told = [
        {"item_id": "red jam", "kind": "review", "text": BAD},
        {"item_id": "a flute", "kind": "review", "text": GOOD},
    ]
    told += [{"item_id": f"click {number}", "kind": "click"} for number in range(12)]
    at = AT + REVIEWS * MINUTE
    rows = [{"user_id": "new", "at": at + place * MINUTE, **row} for place, row in enumerate(told)]
    log = log_of([*reviews(np.random.default_rng(0)), *rows])
    nobody = np.zeros(0, np.int64)
    course = Course(log, Split(everything(log), nobody, nobody), base)
    learning, _ = course.learning(course.rows)
    bundle = with_head(base, head, tmp_path / "bundle")
    stars = sentiment(bundle)
    assert stars is not None
    texts = dict(zip([BAD, GOOD], Encoder(base).vectors([BAD, GOOD]), strict=True))
    signs = set()
    for clicks in range(1, 11):
        target = log.items.numbers[f"click {clicks}"]
        (mine,) = np.flatnonzero(learning.targets == target)
        lines = [log.line(REVIEWS + place) for place in range(2 + clicks)]
        (served,) = rated([lines], texts, stars, base.manifest)
        numbers = features([served], np.zeros((1, len(served)), np.int64)).numbers[0, ::-1]
        expected = codes(
            np.array([KINDS.index(each.kind) for each in served[::-1]]), dict(zip(NUMBERS, numbers.T, strict=True))
        )
        found = strengths(PRIOR.table(), learning.lines[mine][: len(served)])
        assert found == pytest.approx(strengths(PRIOR.table(), expected))
        signs.add(bool(found[-1] < 0))
    assert signs == {True, False}


def test_stars_are_not_read_for_whoever_does_not_ask_what_lines_weigh(base: Bundle) -> None:
    log = log_of({**row, "rating": None} for row in reviews(np.random.default_rng(0)))
    course = Course(log, Split(everything(log), *[np.zeros(0, np.int64)] * 2), base)
    course.learning(course.rows, stars=False)
    assert "stars" not in vars(course)
    course.learning(course.rows)
    assert "stars" in vars(course)


# Serving


@pytest.fixture(scope="module")
def shop(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return sentimental(head, tmp_path_factory.mktemp("shop"))


def sentimental(head: Head, folder: Path, **told: Any) -> Shop:
    """A shop whose bundle reads stars from words."""
    made = Shop(folder)
    made.bundle = with_head(made.bundle, head, folder / "with-head", **told)
    return made


def themes(shop: Shop, *lines: Line) -> set[str]:
    (advice,) = shop.recommender().recommend([window(*lines)])
    return {shop.themes[item.item_id] for item in advice.items}


def review(item_id: str, text: str, **told: Any) -> Line:
    return line("review", item_id, text=text, **told)


@pytest.mark.parametrize("text_share", [0.2, 0.0])
def test_an_unrated_bad_review_pushes_away_and_a_good_one_draws_near(
    head: Head, tmp_path: Path, text_share: float
) -> None:
    shop = sentimental(head, tmp_path, text_share=text_share)
    assert themes(shop, line("click", "red spade"), review("red boots", GOOD)) == {"shoes"}
    assert "shoes" not in themes(shop, line("click", "red spade"), review("red boots", BAD))


def test_without_the_head_a_bad_review_in_words_draws_near(tmp_path: Path) -> None:
    assert themes(Shop(tmp_path), line("click", "red spade"), review("red boots", BAD)) == {"shoes"}


def test_stars_that_are_told_are_believed(shop: Shop) -> None:
    assert themes(shop, line("click", "red spade"), review("red boots", BAD, rating=5.0)) == {"shoes"}
    assert "shoes" not in themes(shop, line("click", "red spade"), review("red boots", GOOD, rating=1.0))


def test_a_guess_hides_nothing(head: Head, tmp_path: Path) -> None:
    """In a category of repeat purchases a reviewed item may come back, unless its stars refuse it."""
    shop = sentimental(head, tmp_path)
    recommender = shop.recommender(repeat_categories=["*"], items=200)
    for stars, comes in ((None, True), (1.0, False)):
        seen = window(review("red jam", BAD, rating=stars), line("click", "red honey"))
        (advice,) = recommender.recommend([seen])
        assert ("red jam" in {item.item_id for item in advice.items}) is comes


def test_the_head_is_asked_of_unrated_reviews_among_the_newest_lines_alone(base: Bundle) -> None:
    asked: list[Floats] = []

    def stars(vectors: Floats) -> Floats:
        asked.append(vectors)
        return np.full(len(vectors), 1.5, np.float32)

    manifest = base.manifest.model_copy(update={"text_lines": 4})
    lines = [
        review("red boots", "too old"),
        review("red boots", "rated", rating=4.0),
        line("search", text="jam"),
        review("red boots", ""),
        review("red boots", BAD),
    ]
    (told,) = rated([lines], {BAD: np.ones(DIM, np.float32)}, stars, manifest)
    assert [each.rating for each in told] == [None, 4.0, None, None, 1.5]
    assert [len(vectors) for vectors in asked] == [1]
    assert [each._replace(rating=None) for each in told] == [each._replace(rating=None) for each in lines]
    rated([lines[1:4]], {}, stars, manifest)
    assert len(asked) == 1


def test_a_text_is_encoded_for_its_stars_only_where_a_bundle_has_the_head(shop: Shop) -> None:
    manifest = shop.bundle.manifest.model_copy(update={"text_share": 0.0})
    lines = [line("click", "red jam", text="a click"), review("red boots", BAD), review("red boots", GOOD, rating=5.0)]
    assert texts_of([lines], shop.catalogue, manifest) == []
    assert texts_of([lines], shop.catalogue, manifest, rating=True) == [BAD]
    assert texts_of([[*lines, *[line("click", "red jam")] * 8]], shop.catalogue, manifest, rating=True) == []


def test_the_head_goes_with_the_towers(base: Bundle, head: Head, tmp_path: Path) -> None:
    bundle = with_head(base, head, tmp_path / "bundle")
    assert bundle.space == base.space
    assert bundle.model != base.model
    take(bundle, tmp_path / "towers")
    again = graft(base, tmp_path / "towers", tmp_path / "again")
    assert again.manifest == bundle.manifest
    assert {ENCODER, TOKENIZER, SENTIMENT} <= set(again.manifest.files)
