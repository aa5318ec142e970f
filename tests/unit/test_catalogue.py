"""Step 7: the shelf. What is on it, what is nearest, what sells."""

import threading
import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from model.catalogue import Catalogue, Shelved
from model.item_tower import LENDERS, AsTheyAre, ItemVectors
from model.session import Floats
from tests.shop import AT, shelved

D = 8
DAY = 86_400_000


def unit(seed: int, count: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float16]]":
    vectors = np.random.default_rng(seed).normal(size=(count, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def filled(count: int, **told: object) -> Catalogue:
    catalogue = Catalogue(AsTheyAre(D), capacity=4)
    catalogue.apply([(f"i{n:04d}", shelved(f"i{n:04d}", vector, **told)) for n, vector in enumerate(unit(1, count))])
    return catalogue


def names(catalogue: Catalogue, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[str]:
    return [catalogue.item_id(int(row)) for row in rows]


def test_nearest_is_what_sorting_all_cosines_gives() -> None:
    catalogue, interests = filled(300), unit(2, 20).astype(np.float32)
    found = catalogue.nearest(interests, 15)
    for interest, rows in zip(interests, found, strict=True):
        told = {f"i{n:04d}": float(interest @ vector) for n, vector in enumerate(unit(1, 300).astype(np.float32))}
        assert names(catalogue, rows) == sorted(told, key=lambda item_id: -told[item_id])[:15]


def test_equal_cosines_go_to_the_lower_row() -> None:
    catalogue = Catalogue(AsTheyAre(D))
    same = unit(1, 1)[0]
    catalogue.apply([(name, shelved(name, same)) for name in "dcba"])
    assert names(catalogue, catalogue.nearest(same.astype(np.float32)[None], 3)[0]) == ["d", "c", "b"]


def test_hidden_items_do_not_come_and_leave_their_places_to_others() -> None:
    catalogue, interests = filled(50), unit(2, 2).astype(np.float32)
    first, second = catalogue.nearest(interests, 5)
    hidden = catalogue.nearest(interests, 5, (np.array([0, 0]), first[:2]))
    assert list(hidden[0][:3]) == list(first[2:])
    assert list(hidden[1]) == list(second)


def test_where_there_are_fewer_items_than_asked_for_the_rest_is_minus_one() -> None:
    catalogue = filled(3)
    catalogue.apply([("i0001", shelved("i0001", unit(1, 3)[1], available=False))])
    assert (catalogue.nearest(unit(2, 1).astype(np.float32), 5)[0] >= 0).tolist() == [True, True, False, False, False]
    assert Catalogue(AsTheyAre(D)).nearest(unit(2, 1).astype(np.float32), 2).tolist() == [[-1, -1]]


def test_a_tombstone_takes_off_and_its_row_is_used_again() -> None:
    catalogue = filled(5)
    row = catalogue.row("i0002")
    catalogue.apply([("i0002", None), ("never there", None)])
    assert catalogue.row("i0002") is None
    assert "i0002" not in catalogue
    assert len(catalogue) == 4
    assert catalogue.popular(10).tolist().count(row) == 0
    catalogue.apply([("new", shelved("new", unit(3, 1)[0]))])
    assert catalogue.row("new") == row


def test_an_item_comes_back_as_it_was_applied() -> None:
    catalogue = Catalogue(AsTheyAre(D))
    told = shelved("a", unit(1, 1)[0], title="A", category="c", price=3.5, counts={"click": (2.0, AT)})
    catalogue.apply([("a", told)])
    found = catalogue.get("a")
    assert found is not None
    assert found._replace(vector=None) == told._replace(vector=None)  # type: ignore[arg-type]
    row = catalogue.row("a")
    assert row is not None
    assert catalogue.vectors[row].astype(np.float16).tobytes() == told.vector.tobytes()
    assert catalogue.get("b") is None


@pytest.mark.parametrize("vector", [[0.5] * (D + 1), [float("nan")] * D, [float("inf")] * D])
def test_a_vector_of_another_space_or_without_a_value_is_refused(vector: list[float]) -> None:
    with pytest.raises(ValueError, match="'a'"):
        Catalogue(AsTheyAre(D)).apply([("a", shelved("a", vector))])


def test_the_last_word_on_an_item_counts() -> None:
    catalogue = filled(2)
    catalogue.apply([("a", shelved("a", unit(4, 1)[0])), ("a", None), ("a", shelved("a", unit(5, 1)[0], price=2.0))])
    found = catalogue.get("a")
    assert found is not None
    assert found.price == 2.0
    assert len(catalogue) == 3


def test_what_sells_comes_best_first_and_the_same_whatever_the_order_of_arrival() -> None:
    items = [shelved(f"i{n}", unit(1, 1)[0], counts={"click": (float(n // 10), AT)}) for n in range(60)]
    one, other = Catalogue(AsTheyAre(D)), Catalogue(AsTheyAre(D))
    one.apply([(item.item_id, item) for item in items])
    other.apply([(item.item_id, item) for item in reversed(items)])
    assert names(one, one.popular(25)) == names(other, other.popular(25))
    assert {name[1] for name in names(one, one.popular(10))} == {"5"}


def test_popularity_halves_with_event_time_and_knows_no_clock() -> None:
    catalogue = Catalogue(AsTheyAre(D), half_life_ms=DAY)
    vector = unit(1, 1)[0]
    catalogue.apply(
        [
            ("old", shelved("old", vector, counts={"click": (800.0, AT - 3 * DAY)})),
            ("new", shelved("new", vector, counts={"click": (100.0, AT)})),
            ("hot", shelved("hot", vector, counts={"click": (300.0, AT)})),
            ("none", shelved("none", vector)),
        ]
    )
    told = {name: float(catalogue.popularity[catalogue.row(name)]) for name in ("old", "new", "hot", "none")}
    assert told["old"] == pytest.approx(told["new"], rel=1e-5)
    assert told["hot"] == 1.0
    assert told["new"] == pytest.approx(np.log(101) / np.log(301), rel=1e-5)
    assert told["none"] == 0.0


def test_returns_take_purchases_back() -> None:
    catalogue = Catalogue(AsTheyAre(D))
    counts = {"purchase": (2.0, AT), "return": (2.0, AT)}
    catalogue.apply([("a", shelved("a", unit(1, 1)[0], counts=counts))])
    assert catalogue.popularity[catalogue.row("a")] == 0.0


def test_a_watched_array_follows_the_shelf() -> None:
    catalogue = filled(2)
    rows = catalogue.watch(["i0001", "later", "never"])
    assert rows.tolist() == [catalogue.row("i0001"), -1, -1]
    catalogue.apply([("later", shelved("later", unit(1, 1)[0])), ("i0001", None)])
    assert rows.tolist() == [-1, catalogue.row("later"), -1]


def test_a_follower_may_apply_while_another_thread_searches() -> None:
    catalogue = filled(50)
    faults: list[BaseException] = []

    def follow() -> None:
        try:
            for seed in range(40):
                catalogue.apply([(f"n{seed}-{n}", shelved(f"n{seed}-{n}", v)) for n, v in enumerate(unit(seed, 20))])
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    while thread.is_alive():
        with catalogue.lock:
            rows = catalogue.nearest(unit(2, 3).astype(np.float32), 10)
            assert all(catalogue.item_id(int(row)) for row in rows.reshape(-1))
    thread.join()
    assert not faults
    assert len(catalogue) == 850


def test_a_large_batch_is_searched_in_parts_with_each_users_own_hidden_items() -> None:
    catalogue = filled(40)
    users = 2 * Catalogue.USERS + 5
    interests = np.concatenate([unit(7, 1)] * users).astype(np.float32)
    best = catalogue.nearest(interests[:1], 40)[0]
    hidden = np.arange(users), best[np.arange(users) % 40]
    found = catalogue.nearest(interests, 39, hidden)
    for user in range(users):
        assert found[user].tolist() == [row for row in best.tolist() if row != best[user % 40]]


class Telling:
    """A tower whose vectors tell of which item and text they were made; it remembers what it was asked."""

    dim = text_dim = D
    item_ids: Sequence[str] = ()

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, item_ids: Sequence[str], texts: Floats) -> ItemVectors:
        self.asked += item_ids
        numbers = np.array([zlib.crc32(item_id.encode()) % 97 for item_id in item_ids], np.float32)
        lenders = np.where(numbers > 48, numbers, -1).astype(np.int64)
        return ItemVectors(texts + numbers[:, None], texts - numbers[:, None], np.tile(lenders[:, None], LENDERS))


def test_the_tower_runs_for_new_and_changed_texts_alone() -> None:
    tower, texts = Telling(), unit(1, 3)
    catalogue = Catalogue(tower, capacity=2)
    catalogue.apply([(name, shelved(name, text)) for name, text in zip("abc", texts, strict=True)])
    before = catalogue.vectors.copy(), catalogue.contexts.copy()
    tower.asked.clear()
    catalogue.apply(
        [(name, shelved(name, text, counts={"click": (2.0, AT)})) for name, text in zip("abc", texts, strict=True)]
    )
    assert tower.asked == []
    assert (catalogue.vectors == before[0]).all()
    assert (catalogue.contexts == before[1]).all()
    assert catalogue.at(catalogue.row("a") or 0).counts == {"click": (2.0, AT)}
    catalogue.apply([("a", shelved("a", texts[0])), ("b", shelved("b", texts[2])), ("d", shelved("d", texts[0]))])
    assert tower.asked == ["b", "d"]


def test_an_item_that_is_off_and_on_the_shelf_in_one_batch_keeps_its_vectors() -> None:
    tower, (text,) = Telling(), unit(1, 1)
    catalogue = Catalogue(tower)
    catalogue.apply([("a", shelved("a", text))])
    before = catalogue.vectors.copy()
    catalogue.apply([("a", None), ("a", shelved("a", text))])
    assert (catalogue.vectors == before).all()
    catalogue.apply([("a", None)])
    catalogue.apply([("a", shelved("a", text))])
    assert (catalogue.vectors == before).all()


@pytest.mark.parametrize("seed", range(8))
def test_after_any_changes_every_item_has_the_vectors_of_its_last_text(seed: int) -> None:
    """Against a shelf that is filled once: items go and come, rows are used again, one text has several items."""
    dice, texts = np.random.default_rng(seed), unit(9, 4)
    catalogue, last = Catalogue(Telling(), capacity=2), dict[str, Shelved | None]()
    for _ in range(40):
        batch: list[tuple[str, Shelved | None]] = []
        for name in dice.choice(list("abcdef"), dice.integers(0, 6)):
            gone = dice.random() < 0.3
            batch.append((str(name), None if gone else shelved(str(name), texts[dice.integers(4)])))
        catalogue.apply(batch)
        last.update(batch)
        anew = Catalogue(Telling())
        anew.apply([(name, item) for name, item in last.items() if item is not None])
        assert len(catalogue) == len(anew)
        for name in "abcdef":
            row, expected = catalogue.row(name), anew.row(name)
            assert (row is None) == (expected is None)
            if row is not None and expected is not None:
                assert (catalogue.vectors[row] == anew.vectors[expected]).all()
                assert (catalogue.contexts[row] == anew.contexts[expected]).all()
                assert (catalogue.lenders[row] == anew.lenders[expected]).all()
