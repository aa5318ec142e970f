"""Windows as arrays: a line tells what its item is, and a line without one tells nothing of any other."""

from pathlib import Path

import numpy as np

from model.catalogue import Catalogue
from model.gather import gather, texts_of
from model.item_tower import AsTheyAre
from tests.shop import line, make_bundle, shelved


def test_what_was_typed_has_no_price_and_no_item(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path).manifest
    catalogue, unit = Catalogue(AsTheyAre(manifest.dim)), np.eye(manifest.dim, dtype=np.float32)
    catalogue.apply([("cheap", shelved("cheap", unit[0], price=2.0)), ("dear", shelved("dear", unit[1], price=4096.0))])
    lines = [line("search", text="boots"), line("click", "cheap"), line("click", "unknown"), line("click", "dear")]
    found = gather([lines], catalogue, {"boots": unit[2]}, {"cheap": 7}, manifest)
    assert found.log_prices[0, 1] == 1.0
    assert found.log_prices[0, 3] == 12.0
    assert np.isnan(np.delete(found.log_prices[0], [1, 3])).all()
    assert found.numbers[0, :4].tolist() == [-1, 7, -1, -1]
    assert found.keep[0, 0, :4].tolist() == [1, 1, 0, 1]
    assert np.array_equal(found.vectors[0, 0], unit[2])


def test_an_inline_description_is_read_of_an_unknown_item_alone(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path).manifest
    catalogue, unit = Catalogue(AsTheyAre(manifest.dim)), np.eye(manifest.dim, dtype=np.float32)
    catalogue.apply([("known", shelved("known", unit[0]))])
    lines = [line("click", "known", text="boots"), line("click", "unknown", text="boots")]
    assert texts_of([lines], catalogue, manifest) == ["boots"]
    assert texts_of([lines[:1]], catalogue, manifest) == []
    found = gather([lines], catalogue, {"boots": unit[2]}, {}, manifest)
    assert np.array_equal(found.vectors[0, 0], unit[0])  # Whatever else is read: company must not change a list.
    assert np.array_equal(found.vectors[0, 1], unit[2])


def test_what_was_typed_about_a_known_item_is_read(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path).manifest
    catalogue, unit = Catalogue(AsTheyAre(manifest.dim)), np.eye(manifest.dim, dtype=np.float32)
    catalogue.apply([("known", shelved("known", unit[0]))])
    lines = [line("review", "known", text="boots")]
    assert texts_of([lines], catalogue, manifest) == ["boots"]
    vector = gather([lines], catalogue, {"boots": unit[2]}, {}, manifest).vectors[0, 0]
    assert vector[0] > vector[2] > 0
