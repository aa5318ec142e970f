"""Every form that we ever wrote, in frozen bytes: today's code writes the same and reads the same.

A file here is never edited. A new form is a new file, and the old one must still be read.
"""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from model.catalogue import Shelved
from model.event import Kind
from model.live_pairs import Before
from model.text import Line
from model.window import Window
from stream.messages import (
    Shelf,
    Touched,
    Trigger,
    catalogue_record,
    counts_record,
    interest,
    read_catalogue_record,
    read_counts_record,
    read_window_record,
    recommendation,
    version_of,
    window_record,
)
from stream.recommender import Advice, RankedItem

GOLDEN = Path(__file__).parent / "golden"

USER = "shopper/7 ü"
LINES = (
    Line(1_700_000_000_000, "e-1", Kind.SEARCH, "", 'red "shoes" [SEP] 靴', None, None, None, None),
    Line(1_700_000_060_000, "e-2", Kind.BROWSE, "B00/1", "", 12_500, None, None, None),
    Line(1_700_000_120_000, "e-3", Kind.PURCHASE, "B00/1", "", None, None, 59.9, 2.0),
    Line(1_700_000_180_000, "e-4", Kind.REVIEW, "B00/1", "too small", None, 2.0, None, None),
)
WINDOW = Window(LINES, ((1_700_000_180_000, "B00/1"),), 17)
OFFSETS = {"clicks": 41, "reviews": 6}
TOUCHED_MS = 1_700_000_181_234
ADVICE = Advice(
    "warm",
    (
        RankedItem("B00/2", 1, 0.7312345678, (("e-2", 0.25), ("e-1", 0.1234567891))),
        RankedItem("B00/3", 2, -0.5, ()),
    ),
    np.array([0.6, 0.0, -0.8], np.float32),
)
SHELF = Shelf(
    Shelved(
        "B00/1", "Red shoe", "Shoes", "Étoile", 59.9, True, np.array([0.6, 0.0, -0.8], np.float16),
        {"click": (3.25, 1_700_000_060_000), "purchase": (1.0, 1_700_000_120_000)},
    ),
    "0123456789abcdef0123456789abcdef",
    {"items": 5, "firstclick.counts": 99},
)  # fmt: skip
DATED = SHELF._replace(item=SHELF.item._replace(since_ms=1_690_000_000_000))
COUNTS: dict[str, tuple[float, int]] = {Kind.CLICK: (3.0, 1_700_000_060_000), Kind.PURCHASE: (1.0, 1_700_000_120_000)}
NEAR = Touched(COUNTS, {"B00/2": 1.5, "B00/3": 0.3333}, 3)
FOLLOWING = SHELF._replace(
    item=SHELF.item._replace(before=Before({"B00/2": 1.5, "B00/3": 0.3333}, 3.0, 1_700_000_060_000))
)

WRITTEN = {
    "recommendation": recommendation("m-1", USER, WINDOW, version_of(OFFSETS), Trigger("e-4", "reviews", 3, 6), ADVICE),
    "interest": interest("m-1", USER, WINDOW, version_of(OFFSETS), ADVICE),
    "window-1": window_record(USER, WINDOW, OFFSETS, TOUCHED_MS),
    "catalogue-1": catalogue_record(SHELF),
    "catalogue-1-dated": catalogue_record(DATED),
    "counts": counts_record(Touched(COUNTS)),
    "counts-near": counts_record(NEAR),
    "catalogue-1-before": catalogue_record(FOLLOWING),
}


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_state_is_written_in_the_same_bytes_as_ever(name: str) -> None:
    assert WRITTEN[name] == golden(name)


def test_every_golden_file_is_held_against_something() -> None:
    assert {path.stem for path in GOLDEN.iterdir() if path.is_file()} == WRITTEN.keys()


def test_a_window_of_the_first_form_is_read() -> None:
    assert read_window_record(golden("window-1")) == (USER, WINDOW, OFFSETS, TOUCHED_MS, None)


def test_a_catalogue_record_of_the_first_form_is_read() -> None:
    found = read_catalogue_record(golden("catalogue-1"))
    assert found.item.vector.dtype == np.float16
    assert found.item.vector.tolist() == SHELF.item.vector.tolist()
    assert found.item._replace(vector=SHELF.item.vector) == SHELF.item
    assert (found.text_hash, found.offsets) == (SHELF.text_hash, SHELF.offsets)
    assert read_catalogue_record(golden("catalogue-1-dated")).item.since_ms == DATED.item.since_ms
    assert read_catalogue_record(golden("catalogue-1-before")).item.before == FOLLOWING.item.before


def test_counts_are_read() -> None:
    assert read_counts_record(golden("counts")) == Touched(COUNTS)
    assert read_counts_record(golden("counts-near")) == NEAR


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "recommendation",
            {"rec_id", "user_id", "at", "model", "stage", "n_events", "trigger", "version", "items"},
        ),
        ("interest", {"user_id", "at", "model", "version", "dim", "vector", "n_events"}),
    ],
)
def test_consumers_find_every_field_of_the_contract(name: str, wanted: set[str]) -> None:
    value: dict[str, Any] = orjson.loads(golden(name))
    assert value.keys() == wanted
    assert value["user_id"] == USER
    assert value["version"] == 49  # (41 + 1) + (6 + 1)
    assert value["at"] == LINES[-1].at_ms


def test_a_recommendation_names_places_scores_and_reasons() -> None:
    value = orjson.loads(golden("recommendation"))
    assert value["trigger"] == {"event_id": "e-4", "topic": "reviews", "partition": 3, "offset": 6}
    assert value["items"] == [
        {
            "item_id": "B00/2",
            "rank": 1,
            "score": 0.731235,
            "because": [{"event_id": "e-2", "weight": 0.25}, {"event_id": "e-1", "weight": 0.123457}],
        },
        {"item_id": "B00/3", "rank": 2, "score": -0.5, "because": []},
    ]


def test_a_vector_travels_as_its_numbers() -> None:
    value = orjson.loads(golden("interest"))
    assert value["dim"] == 3
    assert value["vector"] == pytest.approx([0.6, 0.0, -0.8], abs=1e-6)
