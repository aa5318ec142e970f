"""Step 5 of 10: texts become unit vectors; a text seen before costs nothing.

Knows nothing of events, items or users. A batch is budgeted in padded tokens, not rows: cost grows with what is padded.
A vector must not depend on its company, so that a replay gives the same bytes: see `tests/contract/test_batching.py`.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np

from model.bundle import ENCODER, TOKENIZER, Bundle, BundleError
from model.session import Array, Floats, Session, cpu_only
from model.tokenizer import open_tokenizer, token_ids

ROWS = 64  # Measured on two cores: 8 to 64 rows are equally fast (330-360 texts/s); more only delays the first.
FEEDS = {"input_ids", "attention_mask", "token_type_ids"}


def offline_device(bundle: Bundle, device: str) -> str:
    """Where the bundle's encoder runs beside a training or a judgement on `device`: on the CPU if it is int8.

    There the device is the networks' first of all, and int8, which `train` makes unless told otherwise, must not keep
    them from a GPU. A worker never asks this: it refuses.
    """
    return "cpu" if cpu_only((bundle.path / ENCODER).read_bytes()) else device


class Encoder:
    """The bundle's text encoder. Two threads may use one."""

    def __init__(
        self,
        bundle: Bundle,
        device: str = "cpu",
        threads: int = 2,
        padded_tokens: int = 8192,
        cached: int = 32_768,
    ) -> None:
        """Opens the encoder on `device`.

        Args:
            bundle: whose encoder and tokenizer.
            device: `cpu`, `cuda` or `cuda:N`.
            threads: cores for one batch on the CPU.
            padded_tokens: rows times longest row, per run of the graph. More: fuller GPU batches, more memory.
            cached: vectors kept, the longest unused leaves first. 32,768 of 384 floats are 50 MB.

        Raises:
            DeviceError: the device is not there.
            BundleError: the graph wants inputs that this code does not feed.
        """
        manifest = bundle.manifest
        self.dim: int = bundle.text_dim
        self._pooling = manifest.pooling
        self._output = manifest.output
        self._padded_tokens = padded_tokens
        self._cached = cached
        self._tokenizer = open_tokenizer(bundle.path / TOKENIZER, manifest.max_tokens)
        self._session = Session(bundle.path / ENCODER, device, threads)
        if not set(self._session.inputs) <= FEEDS or manifest.output not in self._session.outputs:
            raise BundleError(
                f"{bundle.path / ENCODER} has inputs {self._session.inputs} and outputs {self._session.outputs}; "
                f"needed are inputs among {sorted(FEEDS)} and the output {manifest.output!r}"
            )
        self._vectors: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()  # Guards the cache only: two threads may run the graph at once.
        self.texts_encoded = 0
        """Texts that the graph has read. The rest came from the cache."""
        self.texts_found = 0
        """Texts that came from the cache."""

    @property
    def provider(self) -> str:
        """Where the graph runs, as onnxruntime says after loading."""
        return self._session.provider

    @property
    def cached(self) -> int:
        """Vectors that the cache holds."""
        return len(self._vectors)

    def vectors(self, texts: Sequence[str]) -> Floats:
        """(T, D) unit vectors of the texts, in order. No text is empty.

        Each text is encoded once, however often it comes, as long as the cache holds it.
        """
        found: dict[str, Floats] = {}
        with self._lock:
            for text in texts:
                vector = self._vectors.get(text)
                if vector is not None:
                    self._vectors.move_to_end(text)
                    found[text] = vector
            self.texts_found += len(found)
        unseen = list(dict.fromkeys(text for text in texts if text not in found))
        if unseen:
            # Copies: a view in the cache would keep its whole batch alive.
            fresh = {text: row.copy() for text, row in zip(unseen, self._encode(unseen), strict=True)}
            found |= fresh
            with self._lock:
                self.texts_encoded += len(fresh)
                self._vectors |= fresh
                while len(self._vectors) > self._cached:
                    self._vectors.popitem(last=False)
        return np.array([found[text] for text in texts], np.float32).reshape(len(texts), self.dim)

    def _encode(self, texts: Sequence[str]) -> Floats:
        if not all(texts):
            raise ValueError("an empty text has no vector: the caller leaves such lines out")
        ids = token_ids(self._tokenizer, texts)
        vectors = np.empty((len(texts), self.dim), np.float32)
        for rows in batches([len(row) for row in ids], self._padded_tokens):
            vectors[rows] = self._run([ids[row] for row in rows])
        return vectors

    def _run(self, ids: Sequence[Sequence[int]]) -> Floats:
        """(T, D) unit vectors of token rows, padded to the longest."""
        longest = max(1, *(len(row) for row in ids))
        tokens = np.zeros((len(ids), longest), np.int64)
        mask = np.zeros_like(tokens)
        for number, row in enumerate(ids):
            tokens[number, : len(row)] = row
            mask[number, : len(row)] = 1
        feeds: dict[str, Array] = {
            "input_ids": tokens,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(tokens),
        }
        wanted = {name: feeds[name] for name in self._session.inputs}
        (hidden,) = self._session.run([self._output], wanted)
        if self._pooling == "cls":
            pooled = hidden[:, 0].astype(np.float32)
        else:
            # Row by row, without the padding: numpy sums pairwise, so padded zeros would change the last bit.
            pooled = np.stack([hidden[n, : max(1, len(row))].mean(0, dtype=np.float32) for n, row in enumerate(ids)])
        norms = np.sqrt((pooled * pooled).sum(1, keepdims=True))
        unit: Floats = pooled / np.maximum(norms, 1e-12)
        return unit


def batches(lengths: Sequence[int], padded_tokens: int, rows: int = ROWS) -> Iterator[list[int]]:
    """Row numbers in batches of like length, longest last; each within `padded_tokens` and `rows`, or a single row."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batch and (len(batch) == rows or (len(batch) + 1) * lengths[row] > padded_tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
