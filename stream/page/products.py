"""Beside the line: the shelf as the shop page looks through it: by demand, by words, by category, by a vector.

Knows nothing of visitors, Kafka or HTTP. The vectors are those that a worker ranks by, made of the same records.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from model.catalogue import Catalogue, Shelved
from model.facets import Facet, facets
from model.session import Floats

_WORD = re.compile(r"[^\W_]+")


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
        with self._catalogue.lock:
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

    def facets(self, vector: Floats) -> tuple[list[Facet], list[Facet]]:
        """Categories and products nearest to a (D,) interest, best first."""
        return facets(self._catalogue, vector)

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
