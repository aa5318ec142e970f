"""A form of logs: Amazon Reviews 2023 (Hou et al. 2024), JSON lines of reviews and, as `meta_…`, of products.

Knows nothing of files. An item is the `parent_asin`, which products are listed under: colours and sizes are one item.
https://amazon-reviews-2023.github.io/
"""

from collections.abc import Iterator
from pathlib import Path

from model.fields import Fields
from model.training.logs import amazon2018
from model.training.logs.amazon2018 import price, prose, review
from model.training.logs.files import File, Told, json_lines


def events(file: File) -> Iterator[Told]:
    """The reviews of the file, in its order."""
    return json_lines(file, _review, "user_id")


def items(file: File) -> Iterator[Told]:
    """The products of the file."""
    return json_lines(file, _product, "item_id")


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """All JSON files; those named meta_… are products."""
    return amazon2018.find(path)


def _review(row: Fields) -> Fields:
    return {
        "user_id": row.get("user_id"),
        "item_id": row.get("parent_asin") or row.get("asin"),
        "kind": "review",
        "at": row.get("timestamp"),
        "rating": row.get("rating"),
        "text": review(row.get("title"), row.get("text")),
    }


def _product(row: Fields) -> Fields:
    return {
        "item_id": row.get("parent_asin") or row.get("asin"),
        "title": prose(row.get("title")),
        "category": prose(row.get("categories") or row.get("main_category"), " > "),
        "brand": prose(row.get("store")),
        "description": prose(row.get("description")),
        "price": price(row.get("price")),
    }
