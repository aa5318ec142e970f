"""How new an item is to shoppers, by hand, and the same in training as on the shelf."""

import numpy as np
import pytest

from model.catalogue import Catalogue
from model.freshness import HALF_MS, earliest, freshness
from model.item_tower import AsTheyAre
from model.training.examples import DAY_MS
from model.training.scoring import freshness_at
from tests.logs import log_of
from tests.shop import shelved

BIRTH = 1_700_006_400_000


def test_half_is_gone_after_a_season_and_half_is_there_a_season_after_the_first_event_of_all() -> None:
    since = np.array([BIRTH + HALF_MS, BIRTH + HALF_MS, BIRTH + 3 * HALF_MS, BIRTH, 0, BIRTH + 9 * HALF_MS])
    at = np.array([BIRTH + HALF_MS, BIRTH + 2 * HALF_MS, BIRTH + 3 * HALF_MS, BIRTH + HALF_MS, BIRTH, BIRTH])
    assert freshness(since, at, BIRTH).tolist() == pytest.approx([0.5, 0.25, 0.75, 0, 0, 0])


def test_the_earliest_event_counts_and_none_is_no_time() -> None:
    assert earliest(0, []) == 0
    assert earliest(0, [7, 5, 0]) == 5
    assert earliest(3, [7, 5]) == 3


def test_training_sees_what_the_shelf_knew_that_morning() -> None:
    dice = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{n}", "kind": "click", "item_id": f"i{dice.integers(12)}", "at": BIRTH + int(at)}
        for n, at in enumerate(np.sort(dice.integers(0, 300 * DAY_MS, 40)))
    ]
    log = log_of(rows)
    asked = np.array([BIRTH + 5_000, BIRTH + 100 * DAY_MS + 77, BIRTH + 299 * DAY_MS])
    found = freshness_at(log, asked, len(log.items))
    for place, at_ms in enumerate(asked.tolist()):
        catalogue = Catalogue(AsTheyAre(2))
        for number, item_id in enumerate(log.items.ids):
            told = [int(at) for at in log.at_ms[log.item == number] if at < at_ms // DAY_MS * DAY_MS]
            catalogue.apply([(item_id, shelved(item_id, [1.0, 0.0], since_ms=earliest(0, told)))])
        rows_of = np.array([catalogue.row(item_id) for item_id in log.items.ids])
        # The first event of all is known from the first day on; before it nothing is.
        birth_ms = catalogue.birth_ms or BIRTH
        assert found[place] == pytest.approx(
            freshness(catalogue.since_ms[rows_of], np.int64(at_ms), birth_ms), abs=1e-6
        )
    assert 0 < (found > 0).sum() < found.size


def test_an_item_that_leaves_the_shelf_takes_its_time_with_it() -> None:
    catalogue = Catalogue(AsTheyAre(2), capacity=1)
    assert catalogue.birth_ms == 0
    catalogue.apply(
        [(name, shelved(name, [1.0, 0.0], since_ms=since)) for name, since in (("a", 5), ("b", 9), ("c", 0))]
    )
    assert catalogue.birth_ms == 5
    catalogue.apply([("a", None)])
    assert catalogue.birth_ms == 9
    catalogue.apply([("d", shelved("d", [1.0, 0.0]))])
    assert sorted(catalogue.since_ms.tolist()) == [0, 0, 0, 9]
