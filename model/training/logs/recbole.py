"""A form of logs: RecBole's atomic files (Zhao et al. 2021), `.inter` and beside it `.item`: columns between tabs,
under a head of `name:type`.

Knows nothing of what a data set means by its numbers: a rating is taken where it is one of 1 to 5 stars, and a time
too large for seconds is milliseconds. https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from collections.abc import Iterator
from pathlib import Path

from model.fields import LATEST_MS, Fields
from model.training.logs.amazon2018 import price, prose
from model.training.logs.files import File, Told, found, milliseconds, number, packed, translated

TITLES = ("title", "movie_title", "item_name", "name", "product_name", "artist_name", "news_title")
CATEGORIES = ("categories", "category", "class", "genre", "genres", "tags")
BRANDS = ("brand", "store", "author", "artist", "publisher", "developer")


def events(file: File) -> Iterator[Told]:
    """The interactions of the file, in its order."""
    return translated(file, _rows(file), _event, "user_id")


def items(file: File) -> Iterator[Told]:
    """The items of the file."""
    return translated(file, _rows(file), _item, "item_id")


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """All of a folder; or a file of interactions and, if there is one, that of its items."""
    if path.is_dir():
        return found(path, packed("*.inter"), packed("*.item"))
    beside = path.with_name(path.name.replace(".inter", ".item"))
    return [path], [beside] if beside != path and beside.is_file() else []


def _rows(file: File) -> Iterator[tuple[int, Fields | bytes]]:
    names: list[str] = []
    for at, line in file.lines():
        cells = line.decode("utf-8", "replace").split("\t")
        if not names:
            names = [cell.partition(":")[0] for cell in cells]
        elif len(cells) > len(names):
            yield at, line
        else:  # Empty cells at the end may be missing.
            yield at, dict(zip(names, cells, strict=False))


def _event(row: Fields) -> Fields:
    at, rating = number(row.get("timestamp")), number(row.get("rating"))
    starred = isinstance(rating, float) and 1 <= rating <= 5
    return {
        "user_id": row.get("user_id") or row.get("session_id"),
        "item_id": row.get("item_id"),
        "kind": "review" if "rating" in row else "click",
        "at": at if not isinstance(at, float) else round(at) if at > LATEST_MS / 1000 else milliseconds(at),
        "rating": rating if starred else None,
        "text": row.get("review") or row.get("review_text"),
    }


def _item(row: Fields) -> Fields:
    return {
        "item_id": row.get("item_id"),
        "title": prose(_first(row, TITLES)),
        "category": prose(_first(row, CATEGORIES)),
        "brand": prose(_first(row, BRANDS)),
        "description": prose(row.get("description")),
        "price": price(row.get("price")),
    }


def _first(row: Fields, names: tuple[str, ...]) -> object:
    return next((row[name] for name in names if row.get(name)), None)
