"""Co-occurrence: counted from a log, stored in a bundle, read back."""

import random
from collections import Counter
from itertools import combinations, groupby
from pathlib import Path

import numpy as np
import orjson
import pytest
from scipy import sparse

from model import cooccurrence
from model.bundle import COOCCURRENCE, Bundle, BundleError, sha256, write_manifest
from model.cooccurrence import Cooccurrence
from model.event import Kind
from model.training.logs.columns import Log
from model.training.pairs import Counting, count, with_pairs
from tests.logs import log_of
from tests.shop import AT, make_bundle


def touches(*walks: str, kind: Kind = Kind.CLICK) -> Log:
    """One user per walk, one item per letter; one user after the other."""
    return log_of(
        {"user_id": f"u{user}", "item_id": item, "at": AT + user * 1000 + place, "kind": kind}
        for user, walk in enumerate(walks)
        for place, item in enumerate(walk)
    )


def told(counted: Cooccurrence) -> dict[str, tuple[float, float]]:
    """ "ab" -> (directed, symmetric) as CSR tells it."""
    names = counted.item_ids
    return {
        names[a] + names[int(counted.indices[place])]: (
            round(float(counted.values[0, place]), 6),
            round(float(counted.values[1, place]), 6),
        )
        for a in range(len(names))
        for place in range(counted.indptr[a], counted.indptr[a + 1])
    }


def test_counts_worked_out_by_hand() -> None:
    """ab twice, ba once; a 3 times, b 3 times, c once; c comes two steps after a, one after b."""
    counted = count(touches("abc", "ab", "ba"), Counting(lag_power=1.0, shrink=1.0))
    assert told(counted) == {
        "ab": (2 / 4, 3 / 4),
        "ba": (1 / 4, 3 / 4),
        "ac": (0.5 / 4, 0.5 / 4),
        "ca": (0.0, 0.5 / 2),
        "bc": (1 / 4, 1 / 4),
        "cb": (0.0, 1 / 2),
    }


def test_shrinking_makes_one_coincidence_small() -> None:
    free, shrunk = (count(touches("ab"), Counting(shrink=shrink)) for shrink in (0.0, 9.0))
    assert told(free)["ab"][0] == 1.0
    assert told(shrunk)["ab"][0] == pytest.approx(0.1)


def test_a_click_and_a_purchase_of_one_item_are_one_step() -> None:
    assert told(count(touches("aab"), Counting())) == told(count(touches("ab"), Counting()))


def test_refusals_and_impressions_pair_nothing() -> None:
    for kind in (Kind.RETURN, Kind.DISLIKE, Kind.IMPRESSION):
        assert told(count(touches("ab", kind=kind), Counting())) == {}


@pytest.mark.parametrize("fair", [0.0, 0.25])
def test_counts_are_what_a_loop_over_each_pair_finds(fair: float) -> None:
    """The definition, pair by pair: random walks, every pair of steps of a user at most `reach` apart."""
    dice = random.Random(5)
    walks = ["".join(dice.choices("abcdefg", k=dice.randrange(30))) for _ in range(20)]
    counting = Counting(reach=6, lag_power=0.7, shrink=2.0, fair=fair)
    events: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for walk in walks:
        steps = [item for item, _ in groupby(walk)]
        events.update(steps)
        for (i, a), (j, b) in combinations(enumerate(steps), 2):
            if a != b and j - i <= counting.reach:
                after[a + b] += (j - i) ** -counting.lag_power  # type: ignore[assignment]
    mean = sum(times**fair for times in events.values()) / len(events)
    expected = {}
    for pair in {*after, *(pair[::-1] for pair in after)}:
        a, b = pair
        share = mean / events[b] ** fair / (events[a] + 2.0)
        expected[pair] = (after[pair] * share, (after[pair] + after[b + a]) * share)
    found = told(count(touches(*walks), counting))
    assert found.keys() == expected.keys()
    for pair, values in expected.items():
        assert found[pair] == pytest.approx(values, abs=1e-5)


def test_only_the_rows_that_may_be_counted_are_counted() -> None:
    log = touches("abc", "ab")
    first = np.array([log.users[user] == "u0" for user in log.user])
    assert told(count(log, Counting(), first)) == told(count(touches("abc"), Counting()))
    assert len(count(log, Counting(), np.zeros(len(log), np.bool_)).item_ids) == 0


def test_reach_and_neighbours_bound_what_is_kept() -> None:
    walk = "abcdefghij"
    assert "ac" not in told(count(touches(walk), Counting(reach=1)))
    kept = told(count(touches(walk), Counting(neighbours=2)))
    assert max(sum(pair[0] == item for pair in kept) for item in walk) == 2
    assert {"ab", "ac"} <= kept.keys()


def test_flat_pairs_are_what_a_loop_finds() -> None:
    counted = count(touches("abcabd", "acd", "dba"), Counting())
    numbers = np.array([2, -1, 0, 0, 3])
    pairs = counted.pairs(numbers)
    expected = [
        (place, int(counted.indices[at]), *counted.values[:, at])
        for place, number in enumerate(numbers)
        if number >= 0
        for at in range(counted.indptr[number], counted.indptr[number + 1])
    ]
    found = (pairs.sources, pairs.neighbours, *pairs.values)
    assert list(zip(*(array.tolist() for array in found), strict=True)) == expected
    assert len(cooccurrence.NONE.pairs(np.array([-1, -1])).sources) == 0


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    log = tmp_path / "log.jsonl"
    rows = [
        {"user_id": f"u{user}", "item_id": f"{item}-é", "type": "view", "timestamp": AT // 1000 + user * 10 + place}
        for user, walk in enumerate(("abc", "ab"))
        for place, item in enumerate(walk)
    ]
    log.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return make_bundle(tmp_path, log=log, log_format="common")


def test_a_bundle_brings_its_counts_back(bundle: Bundle) -> None:
    counted, found = count(touches("abc", "ab"), Counting()), cooccurrence.load(bundle)
    assert found.item_ids == ("a-é", "b-é", "c-é")
    assert found.numbers["b-é"] == 1
    assert found.until_ms == AT + 11_000
    for one, other in zip(counted[2:-1], found[2:-1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bundle_without_counts_has_none(tmp_path: Path) -> None:
    assert cooccurrence.load(make_bundle(tmp_path)) is cooccurrence.NONE


def test_the_same_counts_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        cooccurrence.save(tmp_path / f"{name}.npz", count(touches("abc", "ab"), Counting()))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_arrays_that_do_not_fit_each_other_are_refused(bundle: Bundle) -> None:
    path = bundle.path / COOCCURRENCE
    counted = cooccurrence.load(bundle)
    for spoilt in (counted._replace(indices=counted.indices + 7), counted._replace(indices=counted.indices[1:])):
        cooccurrence.save(path, spoilt)
        with pytest.raises(BundleError, match="contradicts"):
            cooccurrence.load(renewed(bundle))
    path.write_bytes(b"PK no archive")
    with pytest.raises(BundleError, match=COOCCURRENCE):
        cooccurrence.load(renewed(bundle))


def renewed(bundle: Bundle) -> Bundle:
    """The bundle with a manifest that agrees with the files as they are now."""
    files = {name: sha256(bundle.path / name) for name in bundle.manifest.files}
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    return Bundle.load(bundle.path)


def test_kin_stands_beside_what_was_counted() -> None:
    log = touches("abc", "ab")
    counted = count(log, Counting())
    kin = np.zeros((3, 3), np.float32)
    kin[log.items.numbers["c"], log.items.numbers["a"]] = 0.25  # A pair that was counted.
    kin[log.items.numbers["a"], log.items.numbers["a"]] = 0.5  # One that was not.
    found = with_pairs(counted, log.items.ids, "kin", sparse.csr_array(kin))
    assert {pair: values for pair, values in told(found).items() if pair != "aa"} == told(counted)
    told_kin = {
        found.item_ids[a] + found.item_ids[found.indices[place]]: float(found.values[2, place])
        for a in range(3)
        for place in range(found.indptr[a], found.indptr[a + 1])
    }
    assert {pair: value for pair, value in told_kin.items() if value} == {"ca": 0.25, "aa": 0.5}
    assert all(np.all(np.diff(found.indices[found.indptr[a] : found.indptr[a + 1]]) > 0) for a in range(3))
