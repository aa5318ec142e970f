"""A form of logs: Amazon Reviews 2018 (Ni, Li & McAuley 2019), JSON lines of reviews and, as `meta_…`, of products.

Knows nothing of files. https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from model.event import TEXT_FIELD_CHARS
from model.fields import Fields
from model.training.logs.files import File, Told, found, json_lines, milliseconds, packed

_PRICE = re.compile(r"\s*\$?\s*(\d[\d,]*(?:\.\d+)?)", re.ASCII)


def events(file: File) -> Iterator[Told]:
    """The reviews of the file, in its order."""
    return json_lines(file, _review, "user_id")


def items(file: File) -> Iterator[Told]:
    """The products of the file."""
    return json_lines(file, _product, "item_id")


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """All JSON files; those named meta_… are products."""
    names = *packed("*.json"), *packed("*.jsonl")
    return found(path, names, tuple(f"meta_{name}" for name in names))


def _review(row: Fields) -> Fields:
    return {
        "user_id": row.get("reviewerID"),
        "item_id": row.get("asin"),
        "kind": "review",
        "at": milliseconds(row.get("unixReviewTime")),
        "rating": row.get("overall"),
        "text": review(row.get("summary"), row.get("reviewText")),
    }


def _product(row: Fields) -> Fields:
    return {
        "item_id": row.get("asin"),
        "title": prose(row.get("title")),
        "category": prose(row.get("category"), " > "),
        "brand": prose(row.get("brand")),
        "description": prose(row.get("description")),
        "price": price(row.get("price")),
    }


def review(heading: object, text: object) -> object:
    """A review's heading and text as one; a heading that the text begins with is said once."""
    first, rest = prose(heading), prose(text, cut=None)
    if not isinstance(first, str) or not isinstance(rest, str) or not first:
        return rest
    return rest if rest.startswith(first) else f"{first}. {rest}" if first[-1] not in ".!?…" else f"{first} {rest}"


def prose(told: object, between: str = " ", cut: int | None = TEXT_FIELD_CHARS) -> object:
    """A string, or strings in a list, as one without HTML's names of characters; null is "", others stay themselves.

    Cut, because hundreds of titles of this source are pages of JavaScript, and the contract takes none so long.
    """
    if told is None:
        return ""
    if isinstance(told, list) and all(isinstance(each, str) for each in told):
        told = between.join(told)
    if not isinstance(told, str):
        return told
    return (html.unescape(told) if "&" in told else told).strip()[:cut]


def price(told: object) -> float | None:
    """The price in "$12.99" or "1,299.00", the lower one of a range; None where there is none ("—", style sheets)."""
    if isinstance(told, int | float) and not isinstance(told, bool):
        return float(told) if told >= 0 else None
    read = _PRICE.match(told) if isinstance(told, str) else None
    return float(read[1].replace(",", "")) if read else None
