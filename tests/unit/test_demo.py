"""The demo without a broker: the shop's words, the shoppers' acts, the board's sums and the lines it prints."""

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from model.event import Kind, parse_event, parse_item
from model.training.logs.shorthand import spell, title
from stream.demo import shop as shops
from stream.demo import shoppers
from stream.demo.board import Board, Row
from stream.demo.bundle import ready
from stream.demo.screen import Screen, plain_lines
from stream.demo.shop import Purchase
from stream.errors import WrongUsage
from tests.shop import make_bundle

NOW_MS = 1_700_000_000_000
TITLES = {"1": "Milk", "2": "Bread", "3": "Tea"}


def bought(number: int, household: int = 7, item_id: str = "1") -> Purchase:
    return Purchase(household, f"b{number}", 1_500_000_000_000 + number, item_id, 2, 0.5)


def listed_value(event_id: str, items: list[str], user_id: str = "household-7") -> dict[str, object]:
    because = [{"event_id": event_id, "weight": 0.5}]
    ranked = [{"item_id": item, "rank": rank, "score": 1.0, "because": because} for rank, item in enumerate(items, 1)]
    return {"user_id": user_id, "stage": "cold", "trigger": {"event_id": event_id}, "items": ranked}


@pytest.mark.parametrize(
    ("kind", "category", "store_brand", "told"),
    [
        ("BANANAS", "TROPICAL FRUIT", False, "Bananas"),
        ("SHREDDED CHEESE", "CHEESE", True, "Shredded cheese, store brand"),
        ("PREMIUM", "ICE CREAM/MILK/SHERBTS", False, "Premium ice cream/milk/sherbets"),
        ("FRZN BAGGED VEGETABLES - PLAIN", "FRZN VEGETABLE/VEG DSH", False, "Frozen bagged vegetables, plain"),
        ("SFT DRNK 2 LITER BTL CARB INCL", "SOFT DRINKS", False, "Soft drink, 2 litre bottle"),
        ("BUTTER (STICKS, TUBS AND WHI", "BUTTER", False, "Butter"),
    ],
)
def test_till_shorthand_becomes_a_title(kind: str, category: str, store_brand: bool, told: str) -> None:
    assert title(kind, category, store_brand) == told


def test_spelling_twice_changes_nothing_more() -> None:
    assert spell(spell("FRZN VEGETABLE/VEG DSH").upper()) == spell("FRZN VEGETABLE/VEG DSH")


def test_what_the_shoppers_do_are_events_of_the_contract() -> None:
    acts = list(shoppers.acts([bought(number) for number in range(400)], TITLES))
    events = [parse_event(orjson.dumps(act.event), act.user_id.encode(), None, NOW_MS) for act in acts]
    assert len({event.event_id for event in events}) == len(events)
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    typed = [event for event in events if event.user_id == shoppers.NEW_USER]
    assert [event.kind for event in typed] == [Kind.SIGNUP] + [Kind.SEARCH] * (len(shoppers.TYPED) - 1)
    assert sum(event.kind is Kind.PURCHASE for event in events) == 400


def test_the_board_counts_and_times_what_comes_back() -> None:
    board = Board({"household-7": "seven"}, TITLES)
    first, second = list(shoppers.acts([bought(1), bought(2, item_id="2")], TITLES))
    board.sent(first, 1_000)
    listed = board.listed(listed_value(first.event_id, ["2", "3"]), 1_040.0)
    assert (listed.label, listed.told, listed.stage, listed.ms) == ("seven", "bought Milk", "cold", 40.0)
    assert listed.rows == (Row(1, "Bread", "you bought Milk", None), Row(2, "Tea", "you bought Milk", None))
    board.sent(second, 2_000)
    moved = board.listed(listed_value(second.event_id, ["3"]), 2_100.0)
    assert moved.rows == (Row(1, "Tea", "you bought Bread", 2),)
    strange = board.listed(listed_value("not ours", ["3"], "somebody"), 9_999.0)
    assert strange.ms is None
    assert board.summary(2.0) == {
        "events": 2, "lists": 3, "users": 1, "rejected": 0, "p50_ms": 100.0, "p99_ms": 100.0, "events_per_s": 1.0,
    }  # fmt: skip


def test_before_the_first_list_there_is_no_latency() -> None:
    assert Board({}, {}).summary(0.0)["p50_ms"] is None


def test_a_list_in_words_names_reason_and_time() -> None:
    board = Board({"household-7": "seven"}, TITLES)
    (act,) = shoppers.acts([bought(1)], TITLES)
    board.sent(act, 1_000)
    lines = plain_lines(board.listed(listed_value(act.event_id, ["2"]), 1_040.0))
    assert lines == ["seven bought Milk -> 40 ms, cold:", "    1. Bread, because you bought Milk"]


def test_a_plain_screen_says_a_list_now_and_then_and_nothing_of_the_crowd() -> None:
    said: list[str] = []
    board = Board({"household-7": "seven"}, TITLES)
    screen = Screen(board, "host:1", "http://page", plain=True, say=said.append)
    watched, other = (board.listed(listed_value("e", ["2"], user), 0.0) for user in ("household-7", "household-8"))
    for now_s in (0.0, 0.1, 10.0):
        screen.listed(watched, now_s)
        screen.listed(other, now_s)
    assert sum(line.startswith("seven") for line in said) == 2
    assert not any("household-8" in line for line in said)


def test_the_frame_shows_lists_reasons_and_where_to_attach() -> None:
    board = Board({"household-7": "seven", "new-user": "a new user (typed by us)"}, TITLES)
    (act,) = shoppers.acts([bought(1)], TITLES)
    board.sent(act, 1_000)
    board.listed(listed_value(act.event_id, ["2"]), 1_040.0)
    console = Console(width=160)
    with console.capture() as shown:
        console.print(Screen(board, "host:1", "http://page", plain=True, console=console).frame(0.0))
    for text in (
        "seven",
        "a new user (typed by us)",
        "Bread",
        "because you bought Milk",
        "cold, 40 ms",
        "http://page",
        "firstclick watch --bootstrap host:1",
    ):
        assert text in shown.get()


@pytest.fixture(scope="module")
def shop() -> shops.Shop:
    try:
        folder = shops.source()
    except WrongUsage as error:
        pytest.skip(str(error))
    return shops.load_shop(folder)


def test_the_shop_has_distinct_titles_and_every_item_is_one_of_the_contract(shop: shops.Shop) -> None:
    assert len(shop.products) == shops.ITEMS
    assert len({product.title for product in shop.products.values()}) == shops.ITEMS
    for product in shop.products.values():
        item = parse_item(orjson.dumps(product.upsert()), product.item_id.encode(), None)
        assert item is not None
        assert item.available
    assert not any("igarette" in product.title for product in shop.products.values())


def test_the_households_purchases_are_in_time_order_each_item_once_a_basket(shop: shops.Shop) -> None:
    purchases = shops.load_purchases(shops.source(), shop, {*shoppers.WATCHED, *shoppers.CROWD})
    assert len(purchases) > 20_000
    assert [purchase.at_ms for purchase in purchases] == sorted(purchase.at_ms for purchase in purchases)
    assert len({(purchase.basket, purchase.item_id) for purchase in purchases}) == len(purchases)
    assert {purchase.household for purchase in purchases} == {*shoppers.WATCHED, *shoppers.CROWD}
    assert all(purchase.item_id in shop.products and purchase.quantity > 0 for purchase in purchases)


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


def _half(folder: Path) -> None:
    (folder / "scorer.onnx").unlink()


def _of_another_format(folder: Path) -> None:
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(orjson.dumps({**manifest, "format": 1}))


@pytest.mark.parametrize(
    ("broken", "why"), [(_gone, "there is no"), (_half, "scorer.onnx"), (_of_another_format, "format")]
)
def test_the_demo_goes_on_untrained_and_says_why_where_its_bundle_is_not_whole(
    broken: Callable[[Path], None], why: str, tmp_path: Path
) -> None:
    trained, other, said = make_bundle(tmp_path).path, tmp_path / "other", list[str]()
    assert ready(said.append, trained, other) == trained
    assert said == []
    broken(trained)
    assert ready(said.append, trained, other) == other
    (line,) = said
    assert str(trained) in line
    assert why in line
    assert "`make install`" in line
    assert ("`rm -r" in line) == trained.exists(), "make does not make again what lies there"
