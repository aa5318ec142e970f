"""Steps 5 to 8: what a list may hold, what pushes towards and away, what the reasons mean."""

from pathlib import Path

import numpy as np
import pytest

from model.catalogue import Catalogue
from model.item_tower import AsTheyAre, item_tower
from model.training.graphs import AGES, Weights
from model.window import EMPTY, Window
from stream.recommender import COLD_EVENTS, Advice, Recommender
from tests.shop import AT, Shop, line, shelved, window


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def recommender(shop: Shop) -> Recommender:
    return shop.recommender()


def ids(advice: Advice) -> list[str]:
    return [item.item_id for item in advice.items]


def advise(recommender: Recommender, seen: Window) -> Advice:
    return recommender.recommend([seen])[0]


def test_one_click_brings_a_list_of_its_theme(shop: Shop, recommender: Recommender) -> None:
    advice = advise(recommender, window(line("click", "red boots")))
    assert {shop.themes[item_id] for item_id in ids(advice)} == {"shoes"}
    assert [item.rank for item in advice.items] == list(range(1, 11))
    assert advice.stage == "cold"
    assert np.linalg.norm(advice.vector) == pytest.approx(1, abs=1e-5)


def test_scores_fall_from_rank_to_rank(recommender: Recommender) -> None:
    scores = [item.score for item in advise(recommender, window(line("click", "red boots"))).items]
    assert scores == sorted(scores, reverse=True)


def test_a_search_by_someone_new_is_understood(shop: Shop, recommender: Recommender) -> None:
    advice = advise(recommender, window(line("search", text="black trumpet or violin")))
    assert {shop.themes[item_id] for item_id in ids(advice)} == {"music"}
    assert advice.stage == "cold"


def test_signup_interests_are_enough(shop: Shop, recommender: Recommender) -> None:
    advice = advise(recommender, window(line("signup", text="tulips, seeds")))
    assert {shop.themes[item_id] for item_id in ids(advice)} == {"garden"}


def test_an_item_that_the_catalogue_does_not_know_is_read_by_its_text(shop: Shop, recommender: Recommender) -> None:
    advice = advise(recommender, window(line("click", "never shelved", text="green honey")))
    assert {shop.themes[item_id] for item_id in ids(advice)} == {"food"}


def test_nobody_gets_what_was_just_seen(recommender: Recommender) -> None:
    assert "red boots" not in ids(advise(recommender, window(line("click", "blue boots"), line("click", "red boots"))))


def test_what_was_seen_before_may_come_back(recommender: Recommender) -> None:
    assert "blue boots" in ids(advise(recommender, window(line("click", "blue boots"), line("click", "red boots"))))


@pytest.mark.parametrize("kind", ["purchase", "review", "return", "dislike"])
def test_what_was_had_or_refused_does_not_come_back(recommender: Recommender, kind: str) -> None:
    advice = advise(recommender, window(line(kind, "blue boots"), line("click", "red boots")))
    assert "blue boots" not in ids(advice)


def test_what_was_had_long_ago_does_not_come_back_either(recommender: Recommender) -> None:
    seen = Window((line("click", "red boots"),), ((AT - 10**9, "blue boots"),), 40)
    assert "blue boots" not in ids(advise(recommender, seen))


def test_a_repeat_category_lets_bought_items_come_back_but_never_refused_ones(shop: Shop) -> None:
    repeating = shop.recommender(repeat_categories=["foo*"], items=150)
    seen = window(
        line("purchase", "red jam"),
        line("review", "blue jam", rating=5.0),
        line("return", "green jam"),
        line("dislike", "black jam"),
        line("review", "white jam", rating=1.0),
        line("purchase", "red boots"),
        line("click", "red honey"),
    )
    came = set(ids(advise(repeating, seen)))
    assert {"red jam", "blue jam"} <= came
    assert not {"green jam", "black jam", "white jam", "red boots", "red honey"} & came


def test_an_unavailable_item_leaves_every_list_at_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    recommender = shop.recommender()
    seen = window(line("click", "red boots"))
    first = ids(advise(recommender, seen))[0]
    shop.put(first, available=False)
    assert first not in ids(advise(recommender, seen))
    shop.put(first)
    assert first in ids(advise(recommender, seen))
    shop.catalogue.apply([(first, None)])
    assert first not in ids(advise(recommender, seen))


def test_a_new_item_is_recommended_by_its_text_alone(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    recommender = shop.recommender()
    shop.put("red red boots")
    assert ids(advise(recommender, window(line("click", "red boots"))))[0] == "red red boots"


def test_no_list_holds_an_item_twice(tmp_path: Path) -> None:
    """Near, bought together and popular at once: three sources for one item."""
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(
            f'{{"user_id":"{user}","item_id":"{item}","type":"click","timestamp":{1_600_000_000 + at}}}\n'
            for user in "abc"
            for at, item in enumerate(["red boots", "blue boots"])
        )
    )
    shop = Shop(tmp_path, log=log, log_format="common")
    shop.put("blue boots", counts={"purchase": (9.0, AT)})
    listed = ids(advise(shop.recommender(), window(line("click", "red boots"))))
    assert listed[0] == "blue boots"
    assert len(listed) == len(set(listed)) == 10


@pytest.mark.parametrize("remembered", [False, True])
def test_what_goes_with_an_older_item_is_wanted_for_as_long_as_pairs_are_remembered(
    tmp_path: Path, remembered: bool
) -> None:
    log = tmp_path / "log.jsonl"
    pairs = [(f"{user}{at}", item, at) for user in range(30) for at, item in enumerate(["red boots", "black violin"])]
    log.write_text(
        "".join(
            f'{{"user_id":"u{user[:-1]}","item_id":"{item}","type":"click","timestamp":{1_600_000_000 + at}}}\n'
            for user, item, at in pairs
        )
    )
    newest_alone = (1.0,) + (0.0,) * (AGES - 1)
    weights = Weights(recency=newest_alone, memory=(1.0,) * AGES if remembered else ())
    shop = Shop(tmp_path, log=log, log_format="common", weights=weights)
    seen = window(line("click", "red boots"), line("click", "red honey"))
    listed = advise(shop.recommender(), seen).items
    assert (listed[0].item_id == "black violin") == remembered
    if remembered:
        assert listed[0].because[0][0] == seen.lines[0].event_id


@pytest.mark.parametrize(
    "away",
    [
        [line("dislike", "red boots")],
        [line("return", "red boots")],
        [line("review", "red boots", rating=1.0)],
        [line("review", "red boots", rating=2.0)],
        [line("browse", "red boots", dwell_ms=900)],
    ],
    ids=lambda lines: f"{lines[-1].kind}-{lines[-1].rating}",
)
def test_a_negative_signal_outweighs_the_click_before_it(recommender: Recommender, shop: Shop, away: list) -> None:  # type: ignore[type-arg]
    click = line("click", "red boots", at_ms=away[0].at_ms - 1)
    towards = advise(recommender, window(click)).vector
    after = advise(recommender, window(click, *away))
    assert float(after.vector @ towards) < 0
    assert not {"shoes"} & {shop.themes[item_id] for item_id in ids(after)}


def test_a_long_look_draws_nearer_than_a_glance(recommender: Recommender, shop: Shop) -> None:
    def nearness(dwell_ms: int) -> float:
        seen = window(line("click", "red jam"), line("browse", "red boots", dwell_ms=dwell_ms))
        return float(advise(recommender, seen).vector @ shop.encoder.vectors(["red boots"])[0])

    assert nearness(2_900) < 0 < nearness(4_000) < nearness(40_000)


def test_someone_unknown_gets_what_sells_and_is_told_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("red drum", counts={"purchase": (5.0, AT)})
    shop.put("red jam", counts={"purchase": (50.0, AT)})
    advice = advise(shop.recommender(), window(line("click", "never shelved")))
    assert advice.stage == "fallback"
    assert ids(advice)[:2] == ["red jam", "red drum"]
    assert not advice.vector.any()
    assert all(item.because == () for item in advice.items)


def test_an_empty_window_is_no_error(recommender: Recommender) -> None:
    advice = advise(recommender, EMPTY)
    assert advice.stage == "fallback"
    assert len(advice.items) == 10


def test_of_whom_only_a_dislike_is_known_gets_what_sells_but_nothing_like_that(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    selling = [
        "blue jam",
        "red drum",
        "red boots",
        "blue rake",
        "green bread",
        "white hose",
        "black flute",
        "red seeds",
    ]
    for item_id in selling:
        shop.put(item_id, counts={"purchase": (5.0, AT)})
    for seen in (
        window(line("dislike", "red jam")),
        window(line("click", "red jam"), line("browse", "red jam", dwell_ms=100)),
    ):
        advice = advise(shop.recommender(items=4, candidates=8), seen)
        assert advice.stage == "fallback"
        assert set(ids(advice)) < set(selling)
        assert "food" not in {shop.themes[item_id] for item_id in ids(advice)}


def test_a_dislike_does_not_hide_what_is_wanted(shop: Shop, recommender: Recommender) -> None:
    advice = advise(recommender, window(line("click", "red boots"), line("dislike", "red jam")))
    assert advice.stage == "cold"
    assert "shoes" in {shop.themes[item_id] for item_id in ids(advice)}


def test_the_prior_fades_as_events_grow(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    seen = window(line("click", "red boots"))
    before = {item.item_id: item.score for item in advise(shop.recommender(items=100), seen).items}
    shop.put("blue boots", counts={"purchase": (50.0, AT)})
    lifts = []
    for n_events in (1, 10, 100):
        advice = advise(shop.recommender(items=100), seen._replace(n_events=n_events))
        lifts.append(next(item.score for item in advice.items if item.item_id == "blue boots") - before["blue boots"])
    assert lifts[0] > lifts[1] > lifts[2] > 0
    assert lifts[0] == pytest.approx(0.5 / 2, abs=1e-5)


@pytest.mark.parametrize(("n_events", "stage"), [(1, "cold"), (COLD_EVENTS - 1, "cold"), (COLD_EVENTS, "warm")])
def test_the_stage_follows_the_number_of_events(recommender: Recommender, n_events: int, stage: str) -> None:
    seen = window(line("click", "red boots"))._replace(n_events=n_events)
    assert advise(recommender, seen).stage == stage


def test_an_impression_neither_counts_as_seen_nor_ages_the_clicks(recommender: Recommender) -> None:
    click = line("click", "red boots")
    alone = advise(recommender, window(click))
    shown = advise(recommender, window(click, line("impression", "blue jam"), line("impression", "red jam")))
    np.testing.assert_array_equal(alone.vector, shown.vector)
    assert "red boots" not in ids(shown)


def test_a_tie_goes_to_the_lower_item_id(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    vector = shop.encoder.vectors(["red boots"])[0]
    shop.catalogue.apply([(name, shelved(name, vector)) for name in ("twin c", "twin a", "twin b")])
    assert ids(advise(shop.recommender(), window(line("click", "red boots"))))[:3] == ["twin a", "twin b", "twin c"]


def test_an_empty_shelf_gives_an_empty_list(shop: Shop) -> None:
    recommender = Recommender(shop.bundle, Catalogue(item_tower(shop.bundle)), shop.encoder)
    advice = advise(recommender, window(line("search", text="boots"), line("click", "red boots")))
    assert advice.items == ()
    assert advice.stage == "cold"
    assert recommender.recommend([]) == []


def test_a_shelf_smaller_than_the_list_gives_all_of_it(shop: Shop) -> None:
    catalogue = Catalogue(item_tower(shop.bundle))
    names = ("red boots", "blue boots", "red jam")
    vectors = shop.encoder.vectors(names)
    catalogue.apply([(name, shelved(name, vector)) for name, vector in zip(names, vectors, strict=True)])
    advice = advise(Recommender(shop.bundle, catalogue, shop.encoder), window(line("click", "red boots")))
    assert ids(advice) == ["blue boots", "red jam"]


def test_another_bundles_catalogue_is_refused(shop: Shop) -> None:
    with pytest.raises(ValueError, match="17"):
        Recommender(shop.bundle, Catalogue(AsTheyAre(17)), shop.encoder)


def test_a_bought_item_with_a_review_text_is_understood_by_both(shop: Shop, recommender: Recommender) -> None:
    """The text's share moves the vector towards it, and no further."""
    boots, jam = shop.encoder.vectors(["red boots", "jam honey bread"])
    plain = advise(recommender, window(line("review", "red boots", rating=5.0))).vector
    told = advise(recommender, window(line("review", "red boots", rating=5.0, text="jam honey bread"))).vector
    assert plain @ jam < told @ jam < 0.9
    assert told @ boots > 0.8


def test_a_reason_that_rounds_to_nothing_is_none(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(scores: np.ndarray, weights: np.ndarray, k: int) -> list[list[list[tuple[int, float]]]]:  # type: ignore[type-arg]
        return [[[(1, 0.5), (0, 4e-7)]] * scores.shape[2]] * len(scores)

    monkeypatch.setattr("stream.recommender.biggest_losses", losses)
    seen = window(line("click", "red boots"), line("click", "blue boots"))
    assert {item.because for item in advise(recommender, seen).items} == {((seen.lines[1].event_id, 0.5),)}
