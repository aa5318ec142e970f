"""One of several processes that train together: `torchrun … -m tests.one_of_several OUT`; the first writes."""

import sys
from dataclasses import replace

import numpy as np

from model.training import together
from model.training.fit import fit
from tests.unit.test_fit import ITEMS, SETTINGS, chain, random_texts

LEARNED = replace(SETTINGS, epochs=2, dropout=0.0)


def learned() -> np.ndarray:  # type: ignore[type-arg]
    """(I, D) own vectors after two epochs; without dropout nothing is left to chance."""
    texts = random_texts()
    if together.rank():  # Another machine's encoder, far off: only the first one's count.
        texts = texts[::-1].copy()
    found = fit(texts, chain(640, 0), np.ones(ITEMS, np.bool_), LEARNED)
    own: np.ndarray = found.towers.own.detach().numpy()  # type: ignore[type-arg]
    return own


if __name__ == "__main__":
    together.join("cpu", 1)
    own = learned()
    if together.rank() == 0:
        np.save(sys.argv[1], own)
    together.leave()
    together.end(0)
