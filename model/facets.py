"""Beside the line: what an interest vector is about, in words that people know: the categories and products near it.

Knows nothing of users or of what will be shown: a list is scored with more than the cosine, and hides what was had.
"""

from typing import NamedTuple

import numpy as np

from model.catalogue import Catalogue
from model.session import Floats

MEMBERS = 3
"""Products that a category needs. Below that its mean is one product's vector under another name."""


class Facet(NamedTuple):
    """A category's or a product's name, and the cosine."""

    name: str
    cosine: float


def facets(catalogue: Catalogue, vector: Floats, most: int = 6) -> tuple[list[Facet], list[Facet]]:
    """Categories (by the mean of their available products) and products nearest to an interest, best first.

    Args:
        catalogue: of the model that made the vector.
        vector: (D,), unit length.
        most: how many of each.
    """
    with catalogue.lock:
        vectors = catalogue.vectors  # (M, D)
        rows = [int(row) for row in catalogue.nearest(vector[None], most)[0] if row >= 0]
        products = [Facet(catalogue.at(row).title, float(vectors[row] @ vector)) for row in rows]
        members: dict[str, list[int]] = {}
        for row in np.flatnonzero(catalogue.available):
            members.setdefault(catalogue.at(int(row)).category, []).append(int(row))
        means = {name: vectors[of].mean(axis=0) for name, of in members.items() if name and len(of) >= MEMBERS}
    categories = [Facet(name, float(mean @ vector / max(np.linalg.norm(mean), 1e-9))) for name, mean in means.items()]
    return sorted(categories, key=lambda facet: -facet.cosine)[:most], products
