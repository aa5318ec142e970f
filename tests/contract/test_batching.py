"""Advice and vectors have the same bits alone and in company; on a GPU they agree with the CPU within a tolerance.

The real encoder is used where `make install` has left its bundle: the small one of the tests only looks words up.
"""

import random

import numpy as np
import pytest

from model.bundle import DEFAULT_BUNDLE, Bundle
from model.catalogue import Catalogue
from model.encoder import Encoder
from model.item_tower import item_tower
from model.session import DeviceError
from model.text import Line
from model.window import Window
from stream.recommender import Advice, Recommender
from tests.shop import COLOURS, THEMES, Shop, line, shelved, window

GPU_TOLERANCE = 1e-3
"""Largest difference of a unit vector's component between CPU and GPU, which sum in another order."""

TEXT = "red leather running shoe for women with a very soft sole, size 39; ships today ✓ 保温杯 très léger"


@pytest.fixture(scope="module")
def real() -> Bundle:
    if not (DEFAULT_BUNDLE / "manifest.json").is_file():
        pytest.skip(f"no bundle in {DEFAULT_BUNDLE}: make install leaves it there")
    return Bundle.load(DEFAULT_BUNDLE)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    dice = random.Random(0)
    return [" ".join(dice.choices(TEXT.split(), k=dice.randint(1, 70))) for _ in range(60)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def shoppers() -> list[Window]:
    """100 windows of 0 to 40 lines of all sorts: more than a tower takes at once."""
    dice = random.Random(0)
    return [window(*(_line(dice) for _ in range(dice.randint(0, 40)))) for _ in range(100)]


def _line(dice: random.Random) -> Line:
    kind = dice.choice(["click", "browse", "purchase", "review", "search", "dislike", "cart", "impression"])
    item_id = "" if kind == "search" else f"{dice.choice(COLOURS)} {dice.choice(THEMES[dice.choice(list(THEMES))])}"
    text = dice.choice(["trumpet", "soft bread", "seeds"]) if kind in ("search", "review") else ""
    rating = float(dice.randint(1, 5)) if kind == "review" else None
    return line(kind, item_id, text=text, rating=rating, dwell_ms=dice.choice([None, 500, 20_000]))


def same(one: Advice, other: Advice) -> bool:
    return one[:2] == other[:2] and one.vector.tobytes() == other.vector.tobytes()


def test_a_texts_vector_does_not_depend_on_its_company(real: Bundle, texts: list[str]) -> None:
    together = Encoder(real).vectors(texts)
    alone = Encoder(real)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(alone.vectors([text])[0], vector)


def test_a_texts_vector_does_not_depend_on_the_number_of_cores(real: Bundle, texts: list[str]) -> None:
    np.testing.assert_array_equal(Encoder(real, threads=1).vectors(texts), Encoder(real, threads=2).vectors(texts))


def test_a_users_advice_does_not_depend_on_company_or_cores(shop: Shop, shoppers: list[Window]) -> None:
    recommender = shop.recommender(threads=2)
    together = recommender.recommend(shoppers)
    single = shop.recommender(threads=1)
    backwards = recommender.recommend(shoppers[::-1])[::-1]
    for seen, advice, again in zip(shoppers, together, backwards, strict=True):
        assert same(single.recommend([seen])[0], advice)
        assert same(again, advice)


def test_a_users_advice_in_a_real_space_does_not_depend_on_company(
    real: Bundle, shop: Shop, shoppers: list[Window]
) -> None:
    """384 dimensions: sums long enough for their order to matter."""
    encoder, catalogue = Encoder(real), Catalogue(item_tower(real))
    titles = list(shop.themes)
    vectors = encoder.vectors(titles)
    catalogue.apply([(title, shelved(title, vector)) for title, vector in zip(titles, vectors, strict=True)])
    recommender = Recommender(real, catalogue, encoder)
    single = Recommender(real, catalogue, encoder, threads=1)
    for seen, advice in zip(shoppers, recommender.recommend(shoppers), strict=True):
        assert same(single.recommend([seen])[0], advice)


def test_a_gpu_agrees_with_the_cpu(real: Bundle, texts: list[str], shop: Shop, shoppers: list[Window]) -> None:
    try:
        encoder = Encoder(real, "cuda")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error}")
    np.testing.assert_allclose(encoder.vectors(texts), Encoder(real).vectors(texts), atol=GPU_TOLERANCE)
    for gpu, cpu in zip(
        shop.recommender(device="cuda").recommend(shoppers), shop.recommender().recommend(shoppers), strict=True
    ):
        assert gpu.stage == cpu.stage
        np.testing.assert_allclose(gpu.vector, cpu.vector, atol=GPU_TOLERANCE)
        told = {item.item_id: item.score for item in cpu.items}
        common = [item for item in gpu.items if item.item_id in told]
        assert len(common) >= len(cpu.items) - 2
        for item in common:
            assert item.score == pytest.approx(told[item.item_id], abs=5 * GPU_TOLERANCE)
