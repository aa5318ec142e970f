"""Beside the line: the shelf as the shop page looks through it: by popularity, by words, by category, by a vector.

Knows nothing of visitors, Kafka or HTTP. The vectors are those that a worker ranks by, made of the same records.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model.catalogue import Catalogue, Shelved
from model.session import Floats

FACETS = 6
FACET_ITEMS = 3  # Below that a category's mean is one product's vector under another name.

_WORD = re.compile(r"[^\W_]+")


class Facet(NamedTuple):
    """What lies near a vector: a category's or a product's name, and the cosine."""

    name: str
    cosine: float


class Found(NamedTuple):
    """Products of one page, and how many there are in all."""

    products: list[Shelved]
    total: int


class Products:
    """What can be bought."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __len__(self) -> int:
        return len(self._catalogue)

    def apply(self, changes: Sequence[tuple[str, Shelved | None]]) -> None:
        """Takes in what the catalogue topic says."""
        self._catalogue.apply(changes)

    def get(self, item_id: str) -> Shelved | None:
        """The product, None if it is not on the shelf."""
        return self._catalogue.get(item_id)

    def title(self, item_id: str) -> str:
        """Its title, or its id where the shelf does not know it."""
        item = self.get(item_id)
        return (item.title or item.category or item_id) if item is not None else item_id

    def categories(self) -> list[tuple[str, int]]:
        """Category and how many products; that of what sells best first."""
        return list(Counter(item.category for item in self._ordered() if item.category).items())

    def find(self, words: str = "", category: str = "", first: int = 0, most: int = 24) -> Found:
        """Products in order of demand; with words, those that match all of them, or else any of them.

        A word of the search stands for every word that it begins ("choc": chocolate); a plural's s counts for nothing.
        """
        there = [item for item in self._ordered() if not category or item.category == category]
        wanted = [_stem(word) for word in _WORD.findall(words.casefold())]
        if words.strip():
            matches = [(item, _matching(item, wanted)) for item in there]
            most_matched = max((len(both) for _, both in matches), default=0)
            hits = [(item, both) for item, both in matches if both and len(both) == most_matched]
            hits.sort(key=lambda hit: -sum(hit[1]))  # A title counts for more than a category. Stable: then by demand.
            there = [item for item, _ in hits]
        return Found(there[first : first + most], len(there))

    def popular(self, most: int) -> list[Shelved]:
        """What sells best."""
        with self._catalogue.lock:
            return [self._catalogue.at(int(row)) for row in self._catalogue.popular(most)]

    def nearest(self, vector: Floats, most: int = FACETS) -> tuple[list[Facet], list[Facet]]:
        """Categories and products nearest to an interest, best first.

        Args:
            vector: (D,), unit length.
        """
        with self._catalogue.lock:
            cosines = self._catalogue.vectors @ vector
            rows = [int(row) for row in self._catalogue.nearest(vector[None], most)[0] if row >= 0]
            products = [Facet(self._catalogue.at(row).title, float(cosines[row])) for row in rows]
            means = self._category_means()
        categories = [Facet(name, float(mean @ vector)) for name, mean in means.items()]
        return sorted(categories, key=lambda facet: -facet.cosine)[:most], products

    def _category_means(self) -> dict[str, Floats]:
        """Category -> (D,) unit vector of its products' mean."""
        members: dict[str, list[int]] = {}
        for row in np.flatnonzero(self._catalogue.available):
            members.setdefault(self._catalogue.at(int(row)).category, []).append(int(row))
        means = {
            name: self._catalogue.vectors[rows].mean(axis=0)
            for name, rows in members.items()
            if name and len(rows) >= FACET_ITEMS
        }
        return {name: mean / max(float(np.linalg.norm(mean)), 1e-9) for name, mean in means.items()}

    def _ordered(self) -> list[Shelved]:
        return self.popular(len(self._catalogue))


def _matching(item: Shelved, wanted: Sequence[str]) -> list[int]:
    """For each wanted word that the product has: 2 in its title, 1 elsewhere."""
    title = [_stem(word) for word in _WORD.findall(item.title.casefold())]
    other = [_stem(word) for word in _WORD.findall(f"{item.category} {item.brand}".casefold())]
    found = []
    for word in wanted:
        if any(each.startswith(word) for each in title):
            found.append(2)
        elif any(each.startswith(word) for each in other):
            found.append(1)
    return found


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
