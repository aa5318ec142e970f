"""The model folder: a manifest, ONNX files and arrays; loaded whole, or refused.

    manifest.json        what is in it and how to run it; sha256 of every other file; the fingerprint
    encoder.onnx         step 5: token ids -> hidden states
    tokenizer.json       step 5: text -> token ids
    items.onnx           a text's vector -> an item's vectors, as candidate and as context; only in a trained bundle
    items.npz            what training learned of each item; with items.onnx
    interest.onnx        step 6
    scorer.onnx          step 8
    cooccurrence.npz     step 8's counts; optional
    sentiment.onnx       a review's text vector -> stars, for reviews that tell none; optional

Knows nothing of how a bundle is made (`model/training`) or run. A worker whose own code or tokenizer would say
something else than the bundle was made with refuses to start: see `model/fingerprint.py`.

    BundleError
    ├── a file is missing, cannot be read, or is not what the manifest's sha256 says
    ├── the manifest is not JSON, or not of this format
    └── the fingerprint is another: made by other code than this
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model.fingerprint import fingerprint
from model.tokenizer import open_tokenizer

DEFAULT_BUNDLE = Path(sys.prefix) / "share" / "firstclick" / "zero-shot"
"""Where `make install` leaves the ready zero-shot bundle: inside the virtual environment, so it goes with it."""

MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
TOKENIZER = "tokenizer.json"
INTEREST = "interest.onnx"
SCORER = "scorer.onnx"
COOCCURRENCE = "cooccurrence.npz"
ITEMS_GRAPH = "items.onnx"
ITEMS = "items.npz"
SENTIMENT = "sentiment.onnx"
REQUIRED = (ENCODER, TOKENIZER, INTEREST, SCORER)
OPTIONAL = (COOCCURRENCE, ITEMS_GRAPH, ITEMS, SENTIMENT)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
REMEDY = "make it anew by `firstclick model init` or `train`, or name another"


class BundleError(Exception):
    """This folder is not a bundle that this worker may run. The text names the file and the remedy."""

    def __init__(self, reason: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class Manifest(BaseModel):
    """What manifest.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal[5] = 5
    """1 had no item tower, and a scorer of four features; 2 knew neither repeated lines nor prices; 3 no kin."""
    name: str
    """Chosen by whoever made it; the model's name is this and eight digits of the content."""
    dim: int = Field(ge=1, le=8192)
    """D: of interests, and of items as candidates and as context."""
    text_dim: int = Field(ge=1, le=8192)
    """E: of texts, as the encoder gives them. Without an item tower it is D."""
    lines: int = Field(ge=1, le=256)
    """N: lines of a window. More: a longer memory, more bytes per user in Kafka."""
    age_ms: int = Field(ge=1)
    """Lines older than this before the newest leave the window."""
    pooling: Literal["mean", "cls"] = "mean"
    output: str = "last_hidden_state"
    """The encoder's output to be pooled, (T, L, D)."""
    max_tokens: int = Field(default=64, ge=4, le=8192)
    text_share: float = Field(default=0.2, ge=0, le=1)
    """Share of a line's own text in its vector when its item's vector is known. 0: the text has none, and is then read
    only where a sentiment head tells an unrated review's stars from it."""
    text_lines: int = Field(default=8, ge=0)
    """Only the newest so many lines' texts are read. More: after a restart every line of a long window may cost the
    encoder a text, for a weight that has decayed to a hundredth."""
    half_life_ms: int = Field(default=7 * 86_400_000, ge=1)
    """Half life of popularity counts, event time."""
    licence: str = ""
    created_by: str = ""
    training: dict[str, Any] = Field(default_factory=dict)
    """What a trained bundle came from: log, split, seed, settings, metrics. For people."""
    fingerprint: str
    files: dict[str, str]
    """Name -> sha256 of every other file of the bundle."""

    @field_validator("name")
    @classmethod
    def _fits_a_topic_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("must be 1 to 64 of a-z, 0-9 and '-': it becomes part of a topic's name")
        return name

    @field_validator("files")
    @classmethod
    def _all_there_and_inside(cls, files: dict[str, str]) -> dict[str, str]:
        missing = [name for name in REQUIRED if name not in files]
        strange = [name for name in files if name not in (*REQUIRED, *OPTIONAL)]
        if missing or strange:
            raise ValueError(f"missing {missing}, not of this format {strange}")
        if (ITEMS_GRAPH in files) != (ITEMS in files):
            raise ValueError(f"{ITEMS_GRAPH} and {ITEMS} come together or not at all")
        return files

    @model_validator(mode="after")
    def _one_length_without_an_item_tower(self) -> "Manifest":
        if ITEMS_GRAPH not in self.files and self.dim != self.text_dim:
            raise ValueError(
                f"dim {self.dim} is not text_dim {self.text_dim}, and there is no {ITEMS_GRAPH} between them"
            )
        return self

    @property
    def model(self) -> str:
        """The name on every output: other weights, other parameters or other rendering are another model."""
        return f"{self.name}-{_digits(self.model_dump(exclude={'licence', 'created_by', 'training'}))}"

    @property
    def space(self) -> str:
        """Of the texts' vectors: models of one encoder and rendering share it, and with it the encoded catalogue."""
        told = self.model_dump(include={"text_dim", "pooling", "output", "max_tokens", "half_life_ms", "fingerprint"})
        return _digits(told | {name: self.files[name] for name in (ENCODER, TOKENIZER)})


@dataclass(frozen=True)
class Bundle:
    """A loaded and checked bundle."""

    path: Path
    manifest: Manifest

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        """The bundle in the folder `path`.

        Raises:
            BundleError: anything is missing, changed, of another format, or made by other code.
        """
        path = Path(path)
        if not path.is_dir():
            raise BundleError(f"there is no bundle folder {path}")
        manifest = _manifest(path / MANIFEST)
        for name, expected in sorted(manifest.files.items()):
            if sha256(path / name) != expected:
                raise BundleError(f"{path / name} is not the file that {MANIFEST} describes (its sha256 differs)")
        try:
            tokenizer = open_tokenizer(path / TOKENIZER, manifest.max_tokens)
        except Exception as error:  # tokenizers raises bare Exception
            raise BundleError(f"{path / TOKENIZER} cannot be read: {error}") from error
        mine = fingerprint(tokenizer, manifest.lines, manifest.age_ms)
        if mine != manifest.fingerprint:
            raise BundleError(
                f"{path}: its fingerprint is {manifest.fingerprint[:12]}, this version of firstclick computes "
                f"{mine[:12]}: events would be told in other words than the model was made with"
            )
        return cls(path, manifest)

    @property
    def model(self) -> str:
        """The model's name, fit for a topic's name: `zero-shot-minilm-1a2b3c4d`."""
        return self.manifest.model

    @property
    def space(self) -> str:
        """Of the texts' vectors, eight digits: the catalogue topic's name ends with it."""
        return self.manifest.space

    @property
    def dim(self) -> int:
        """D."""
        return self.manifest.dim

    @property
    def text_dim(self) -> int:
        """E."""
        return self.manifest.text_dim

    @property
    def lines(self) -> int:
        """N."""
        return self.manifest.lines

    @property
    def age_ms(self) -> int:
        """Lines older than this before the newest leave the window."""
        return self.manifest.age_ms

    @property
    def half_life_ms(self) -> int:
        """Half life of the popularity counts."""
        return self.manifest.half_life_ms

    def file(self, name: str) -> Path | None:
        """Path of a file of the bundle, None where this bundle has none such."""
        return self.path / name if name in self.manifest.files else None


def sha256(path: Path) -> str:
    """Hex digest of a file.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json, the last file of a bundle; the same manifest is the same bytes."""
    told = orjson.dumps(manifest.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (folder / MANIFEST).write_bytes(told + b"\n")


def _digits(told: object) -> str:
    """Eight hexadecimal digits of what is told."""
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]


def _manifest(path: Path) -> Manifest:
    try:
        told: Mapping[str, object] = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{path} is not JSON: {error}") from error
    try:
        return Manifest.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{path} is not a manifest of format 5: {where}: {first['msg']}") from error
