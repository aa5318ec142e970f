"""A form of logs: MovieLens (Harper & Konstan 2015), `ratings` and beside it `movies`: `.dat` with `::` between (1m,
10m), `.csv` with a head (20m, 25m, 32m, latest), or `u.data` and `u.item` (100k).

Knows nothing of users and tags. Half a star counts as one: the contract has 1 to 5.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from model.fields import Fields
from model.training.logs.files import File, Told, found, milliseconds, number, translated

RATINGS = ("userId", "movieId", "rating", "timestamp")
MOVIES = ("movieId", "title", "genres")
NO_GENRES = "(no genres listed)"
BETWEEN = {"u.data": "\t", "u.item": "|", ".dat": "::"}
"""What stands between cells, by a part of the file's name; else they are CSV."""


def events(file: File) -> Iterator[Told]:
    """The ratings of the file, in its order."""
    return translated(file, _rows(file, RATINGS), _event, "user_id")


def items(file: File) -> Iterator[Told]:
    """The movies of the file."""
    return translated(file, _rows(file, MOVIES), _item, "item_id")


def find(path: Path) -> tuple[list[Path], list[Path]]:
    """ratings and movies of a folder; or a file of ratings and, if there is one, that of its movies."""
    if path.is_dir():
        return found(
            path, ("ratings.dat", "ratings.csv", "ratings.csv.gz", "u.data"), ("movies.dat", "movies.csv", "u.item")
        )
    beside = path.with_name(path.name.replace("ratings", "movies").replace("u.data", "u.item"))
    return [path], [beside] if beside != path and beside.is_file() else []


def _rows(file: File, names: tuple[str, ...]) -> Iterator[tuple[int, Fields | bytes]]:
    between = next((mark for name, mark in BETWEEN.items() if name in file.path.name), None)
    for at, line in file.lines():
        if between is not None:
            cells = _decoded(line).split(between)
            if file.path.name == "u.item":  # Two dates, an address and a flag per genre follow the title.
                cells = [*cells[:2], NO_GENRES]
        else:
            text = line.decode("utf-8", "replace")
            cells = next(csv.reader([text])) if '"' in text else text.split(",")
            if at == 1 and cells[0] == names[0]:
                continue
        yield at, dict(zip(names, cells, strict=True)) if len(cells) == len(names) else line


def _decoded(line: bytes) -> str:
    """ml-1m is Latin-1, ml-10m UTF-8; hardly a Latin-1 text is UTF-8 by chance."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _event(row: Fields) -> Fields:
    stars = number(row["rating"])
    return {
        "user_id": row["userId"],
        "item_id": row["movieId"],
        "kind": "review",
        "at": milliseconds(number(row["timestamp"])),
        "rating": max(stars, 1.0) if isinstance(stars, float) else stars,
    }


def _item(row: Fields) -> Fields:
    genres = row["genres"]
    category = "" if genres == NO_GENRES else genres.replace("|", ", ")
    return {"item_id": row["movieId"], "title": row["title"].strip(), "category": category}
