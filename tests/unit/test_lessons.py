"""What the network learns from: windows as numbers, and each line's strength as the serving graph says it."""

import numpy as np
import pytest

from model.interest import Interest, features, variants
from model.training.lessons import Read, again, codes_of, known_items, lessons, training_requests
from model.training.line_weights import PRIOR, strengths
from model.training.logs.columns import Log
from model.training.queries import queries
from tests.logs import log_of
from tests.shop import AT, MINUTE, make_bundle

LINES, AGE_MS = 4, 10**12


@pytest.fixture
def log() -> Log:
    told = [
        {"kind": "click", "item_id": "a"},
        {"kind": "impression", "item_id": "b"},
        {"kind": "search", "query": "boots"},
        {"kind": "browse", "item_id": "c", "dwell_ms": 1000},
        {"kind": "review", "item_id": "a", "rating": 1.0},
        {"kind": "purchase", "item_id": "d", "quantity": 2, "price": 3.5},
        {"kind": "dislike", "item_id": "e"},
        {"kind": "cart", "item_id": "f"},
    ]
    return log_of({"user_id": "u", "at": AT + place * MINUTE, **row} for place, row in enumerate(told))


def numbers(log: Log, *names: str) -> list[int]:
    return [log.items.numbers[name] for name in names]


def test_a_lesson_holds_what_speaks_newest_first(log: Log) -> None:
    rows = np.ones(len(log), np.bool_)
    requests = training_requests(log, rows, LINES, AGE_MS)
    found = lessons(log, requests, codes_of(log))
    assert [log.items.ids[item] for item in found.targets] == ["a", "c", "a", "d", "f"]
    # The last window: browse c, review a, purchase d, dislike e; the newest first.
    assert found.items[-1].tolist() == numbers(log, "e", "d", "a", "c")
    # Before the purchase: the impression has left the window, and the search says nothing of an item.
    assert found.items[3].tolist() == [*numbers(log, "a", "c", "a"), -1]
    assert found.items[0].tolist() == [-1] * LINES
    assert found.newest_ms.tolist() == [-1, AT + 2 * MINUTE, AT + 3 * MINUTE, AT + 4 * MINUTE, AT + 6 * MINUTE]


def test_strengths_are_those_of_the_graph_that_serves(log: Log, tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = make_bundle(tmp_path_factory.mktemp("bundle"))
    found = strengths(PRIOR.table(), codes_of(log))
    for row in range(len(log)):
        line = log.line(row)
        told = features([[line]], np.zeros((1, 1), np.int64))
        served = Interest(bundle)(np.ones((1, 1, bundle.dim), np.float32), told, variants(np.ones((1, 1), np.bool_)))
        assert found[row] == pytest.approx(float(served.weights[0, 0, 0]), abs=1e-6)
    by_kind = dict(zip([log.line(row).kind.value for row in range(len(log))], found.tolist(), strict=True))
    assert by_kind["impression"] == 0
    assert by_kind["dislike"] < 0 < by_kind["click"] < by_kind["purchase"]
    assert by_kind["browse"] < 0  # A second on the page was a mistake.
    assert by_kind["review"] < 0  # One star.


def test_items_that_were_only_refused_or_seen_are_not_known(log: Log) -> None:
    known = known_items(log, np.ones(len(log), np.bool_))
    assert sorted(log.items.ids[number] for number in np.flatnonzero(known)) == ["a", "c", "d", "f"]


def test_only_takes_the_same_places_of_every_column(log: Log) -> None:
    requests = training_requests(log, np.ones(len(log), np.bool_), LINES, AGE_MS)
    found = lessons(log, requests, codes_of(log))
    some = found.only(np.array([3, 1]))
    for mine, whole in zip(some, found, strict=True):
        assert np.array_equal(mine, whole[[3, 1]])


def test_an_item_says_again_what_older_lines_of_it_said() -> None:
    items = np.array([[4, 7, 4, 4, -1, -1], [2, 3, 5, 6, 7, 8]], np.int32)
    assert again(items).tolist() == [[2, 0, 1, 0, 0, 0], [0] * 6]


def test_what_was_typed_stands_behind_the_items_while_its_text_is_read(log: Log) -> None:
    rows = np.ones(len(log), np.bool_)
    requests = training_requests(log, rows, LINES, AGE_MS)
    typed = queries(log, rows)
    assert typed.texts == ["boots"]
    boots = len(log.items)
    # Before the purchase: click, search, browse, review. The search is the third newest.
    a, c = numbers(log, "a", "c")
    for text_lines, expected in ((4, [a, c, boots, a]), (2, [a, c, a, -1])):
        found = lessons(log, requests, codes_of(log), Read(text_lines, typed.of, codes_of(log)))
        assert found.items[3].tolist() == expected
    assert found.items[0].tolist() == [-1] * LINES
