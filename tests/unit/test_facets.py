"""What a vector is about, on a shelf whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from model.facets import MEMBERS, facets
from tests.shop import Shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("facets"))


def test_the_vector_of_a_word_is_about_its_theme_and_its_products(shop: Shop) -> None:
    vector = shop.encoder.vectors(["red guitar"])[0]
    categories, products = facets(shop.catalogue, vector, 4)
    assert len(categories) == len(products) == 4
    assert categories[0].name == "music"
    assert products[0].name == "red guitar"
    assert products[0].cosine == pytest.approx(1.0, abs=1e-3)
    for found in (categories, products):
        assert [facet.cosine for facet in found] == sorted((facet.cosine for facet in found), reverse=True)


def test_a_categorys_cosine_is_that_of_its_products_mean(shop: Shop) -> None:
    vector = shop.encoder.vectors(["jam"])[0]
    food = [title for title, theme in shop.themes.items() if theme == "food"]
    mean = np.mean([shop.catalogue.vectors[shop.catalogue.row(title)] for title in food], axis=0)
    expected = float(mean @ vector / np.linalg.norm(mean))
    assert dict(facets(shop.catalogue, vector)[0])["food"] == pytest.approx(expected, abs=1e-6)


def test_what_is_off_the_shelf_or_nearly_alone_is_no_facet(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(*(f"red jam {number}" for number in range(MEMBERS - 1)), category="rare")
    shop.put(*(f"red jam {number}" for number in range(10, 20)), category="gone", available=False)
    categories, products = facets(shop.catalogue, shop.encoder.vectors(["red jam"])[0], 20)
    assert {facet.name for facet in categories} == {"food", "garden", "music", "shoes"}
    assert not {f"red jam {number}" for number in range(10, 20)} & {facet.name for facet in products}
