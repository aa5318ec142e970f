"""Baselines that read the titles and learn nothing: the frozen encoder, one pass over the flat window, and BM25."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from model.session import Floats
from model.training.baselines.protocol import Asked, BaselineError, Choice, Known, Matrix, window_matrix


class Frozen:
    """Cosine with the decayed sum of the window's title vectors, by the encoder as it comes."""

    live = False
    relearns = False
    grid: Mapping[str, Sequence[float]]

    def __init__(self, how: str, decays: Sequence[float]) -> None:
        """`how` names it; `decays` to choose from: (1,) is the mean, (0,) the last title alone."""
        self.name = f"frozen titles, {how}"
        self.grid = {"decay": decays}

    def fit(self, known: Known, choice: Choice) -> None:
        self._vectors = vectors(known, self.name)
        self._decay = choice["decay"]

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, len(self._vectors), self._decay)
        return unit(weights @ self._vectors) @ self._vectors.T


class FlatWindow:
    """Cosine with one vector for the whole window: its titles, newest first, as one text. One BERT pass per request."""

    name = "one BERT over the window"
    live = False
    relearns = False
    grid: Mapping[str, Sequence[float]] = {}

    def fit(self, known: Known, choice: Choice) -> None:
        self._vectors = vectors(known, self.name)
        if known.encode is None:
            raise BaselineError(f"{self.name} needs an encoder: name a bundle")
        self._encode = known.encode
        self._texts = known.log.items.texts()

    def scores(self, asked: Asked) -> Floats:
        read = np.flatnonzero(asked.lengths)
        texts = [". ".join(self._texts[item] for item in row[row >= 0][::-1]) for row in asked.items[read]]
        interests = np.zeros((len(asked.targets), self._vectors.shape[1]), np.float32)
        if texts:
            interests[read] = self._encode(texts)
        return interests @ self._vectors.T


class Bm25:
    """The window's titles as the query (Robertson & Zaragoza 2009), each decayed; by the package `bm25s` (Lù 2024)."""

    name = "BM25 on titles"
    live = False
    relearns = False
    grid: Mapping[str, Sequence[float]] = {
        "decay": (0.5, 0.7, 0.3, 1.0, 0.0),
        "k1": (1.2, 0.6, 2.0),
        "b": (0.75, 0.3, 0.0),
    }

    def __init__(self) -> None:
        self._read: tuple[Known, Any] | None = None

    def fit(self, known: Known, choice: Choice) -> None:
        import bm25s

        if self._read is None or self._read[0] is not known:
            texts = known.log.items.texts()
            self._read = (known, bm25s.tokenize(texts, stopwords="en", show_progress=False))
        tokens = self._read[1]
        index = bm25s.BM25(k1=choice["k1"], b=choice["b"])
        index.index(tokens, show_progress=False)
        told, words = index.scores, len(tokens.vocab)
        # Columns are words and rows items; bm25s adds an empty word of its own, which nobody asks for.
        parts = (told["data"], told["indices"], told["indptr"])
        self._scores: Matrix = sparse.csr_array(sparse.csc_array(parts, shape=(known.size, len(parts[2]) - 1)).T)
        rows = np.repeat(np.arange(known.size), [len(ids) for ids in tokens.ids])
        ones = np.ones(len(rows), np.float32)
        columns = np.concatenate([np.asarray(ids, np.int64) for ids in tokens.ids])
        shape = (known.size, max(words, self._scores.shape[0]))
        self._words: Matrix = sparse.csr_array((ones, (rows, columns)), shape=shape)[:, : self._scores.shape[0]]
        self._decay = choice["decay"]

    def scores(self, asked: Asked) -> Floats:
        weights = window_matrix(asked, self._words.shape[0], self._decay)
        found: Floats = (weights @ self._words @ self._scores).toarray().astype(np.float32, copy=False)
        return found


def vectors(known: Known, name: str) -> Floats:
    """(M, D) the items' text vectors; raises BaselineError where there are none."""
    if known.vectors is None:
        raise BaselineError(f"{name} needs an encoder: name a bundle")
    return known.vectors


def unit(rows: Floats) -> Floats:
    """Each row at length 1; zeros stay zeros."""
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    divided: Floats = (rows / np.maximum(lengths, 1e-9)).astype(np.float32, copy=False)
    return divided
