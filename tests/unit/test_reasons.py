"""Why an item is on the list: what its score would lose without a line, computed in the same batch."""

import random
from pathlib import Path

import numpy as np
import pytest

from model.window import Window
from stream.recommender import REASONS, Recommender
from tests.shop import COLOURS, THEMES, Shop, line, window

USERS = 120


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with counts, so that every part of a score takes part."""
    folder = tmp_path_factory.mktemp("shop")
    log = folder / "log.jsonl"
    dice = random.Random(1)
    rows = []
    for user in range(200):
        at = 1_600_000_000 + user * 86_400
        for place, item_id in enumerate(_walk(dice, 6)):
            rows.append(f'{{"user_id":"{user}","item_id":"{item_id}","type":"click","timestamp":{at + place * 60}}}\n')
    log.write_text("".join(rows))
    return Shop(folder, log=log, log_format="common", whiten=False)  # Themes are to weigh more than colours.


@pytest.fixture(scope="module")
def shoppers() -> list[Window]:
    """Shoppers who change their mind: two themes, several kinds, one of them the recent one."""
    dice = random.Random(2)
    kinds = ["click", "click", "browse", "favourite", "purchase", "review"]
    made = []
    for _ in range(USERS):
        lines = []
        for item_id in _walk(dice, 4) + _walk(dice, 5):
            kind = dice.choice(kinds)
            told = {"rating": float(dice.randint(1, 5))} if kind == "review" else {}
            told |= {"dwell_ms": dice.choice([1_000, 8_000, 60_000])} if kind == "browse" else {}
            lines.append(line(kind, item_id, **told))
        made.append(window(*lines))
    return made


def _walk(dice: random.Random, steps: int) -> list[str]:
    theme = THEMES[dice.choice(list(THEMES))]
    return [f"{dice.choice(COLOURS)} {dice.choice(theme)}" for _ in range(steps)]


def without(seen: Window, *event_ids: str) -> Window:
    """The window as if these events had never been."""
    lines = tuple(each for each in seen.lines if each.event_id not in event_ids)
    return Window(lines, seen.owned, seen.n_events - len(seen.lines) + len(lines))


def scores(recommender: Recommender, windows: list[Window], item_ids: list[str]) -> list[float]:
    """The score of one item in each window's list, which must be long enough to hold it."""
    advice = recommender.recommend(windows)
    found = [{item.item_id: item.score for item in each.items} for each in advice]
    return [mine[item_id] for mine, item_id in zip(found, item_ids, strict=True)]


def test_without_a_reasons_line_the_score_is_lower_by_its_weight(shop: Shop, shoppers: list[Window]) -> None:
    short, long = shop.recommender(), shop.recommender(items=120)
    tried = 0
    cases = [
        (seen, item, event_id, weight)
        for seen, advice in zip(shoppers, short.recommend(shoppers), strict=True)
        for item in advice.items
        for event_id, weight in item.because[:1]
        if event_id != seen.lines[-1].event_id  # Without the last line another item was just seen, and may be this one.
    ]
    now = scores(long, [without(seen, event_id) for seen, _, event_id, _ in cases], [case[1].item_id for case in cases])
    for (_, item, _, weight), score in zip(cases, now, strict=True):
        assert weight > 0
        assert item.score - score == pytest.approx(weight, abs=2e-5)
        tried += 1
    assert tried > USERS


def test_reasons_are_few_positive_and_biggest_first(shop: Shop, shoppers: list[Window]) -> None:
    for seen, advice in zip(shoppers, shop.recommender().recommend(shoppers), strict=True):
        for item in advice.items:
            weights = [weight for _, weight in item.because]
            assert len(weights) <= REASONS
            assert weights == sorted(weights, reverse=True)
            assert all(weight > 0 for weight in weights)
            assert {event_id for event_id, _ in item.because} <= {each.event_id for each in seen.lines}


def test_a_line_that_pushes_away_is_no_reason(shop: Shop) -> None:
    liked, hated = line("click", "red boots"), line("dislike", "red jam")
    (advice,) = shop.recommender(items=100).recommend([window(liked, hated)])
    assert {event_id for item in advice.items for event_id, _ in item.because} == {liked.event_id}


def test_the_reason_is_the_line_of_the_items_theme_not_the_newest(shop: Shop) -> None:
    boots, jam = line("click", "red boots"), line("click", "red jam")
    (advice,) = shop.recommender(items=60).recommend([window(boots, jam)])
    for item in advice.items:
        if item.because and shop.themes[item.item_id] in ("shoes", "food"):
            expected = boots if shop.themes[item.item_id] == "shoes" else jam
            assert item.because[0][0] == expected.event_id


def test_deleting_by_reason_lowers_the_score_faster_than_deleting_by_recency(
    shop: Shop, shoppers: list[Window]
) -> None:
    """The deletion curve, over the first item of every shopper: area under the score as lines go, one after another.

    Reasons are named for three lines at most, so three are deleted. `random` shows that the test can fail.
    """
    short, long = shop.recommender(), shop.recommender(items=120)
    firsts = [
        (seen, advice.items[0])
        for seen, advice in zip(shoppers, short.recommend(shoppers), strict=True)
        if len(advice.items[0].because) == REASONS
    ]
    assert len(firsts) > USERS / 2
    dice = random.Random(3)
    orders = {
        "reason": [[event_id for event_id, _ in item.because] for _, item in firsts],
        "recency": [[each.event_id for each in seen.lines[::-1]][:REASONS] for seen, _ in firsts],
        "random": [dice.sample([each.event_id for each in seen.lines], REASONS) for seen, _ in firsts],
    }
    areas = {}
    for name, gone in orders.items():
        curve = [
            _curve(long, [(seen, item.item_id, ids[:n]) for (seen, item), ids in zip(firsts, gone, strict=True)])
            for n in range(1, REASONS + 1)
        ]
        areas[name] = np.mean([[item.score for _, item in firsts], *curve], axis=0)
    lower = np.mean(areas["reason"] < areas["recency"])
    assert areas["reason"].mean() < areas["recency"].mean() - 0.05 < areas["random"].mean()
    assert lower > 0.6


def _curve(recommender: Recommender, cases: list[tuple[Window, str, list[str]]]) -> list[float]:
    """Scores of the items in the windows without these events; an item that became the one just seen scores 0."""
    advice = recommender.recommend([without(seen, *ids) for seen, _, ids in cases])
    found = [{item.item_id: item.score for item in each.items} for each in advice]
    return [mine.get(item_id, 0.0) for mine, (_, item_id, _) in zip(found, cases, strict=True)]


def test_reasons_take_no_second_pass_over_texts(shop: Shop, tmp_path: Path) -> None:
    """All variants of a window are computed in the batch: nothing is encoded again for them."""
    seen = window(line("search", text="red boots"), line("search", text="blue jam"), line("search", text="drum"))
    before = shop.encoder.texts_encoded
    shop.recommender().recommend([seen])
    assert shop.encoder.texts_encoded - before <= 3
