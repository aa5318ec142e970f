"""A bundle's encoder and its trained part, taken apart and put together: kept beside code, or in another precision.

Knows nothing of training. Towers fit the text vectors that they have learned from and no others: another encoder,
tokenizer or rendering is refused. So is another format of bundles: their graphs would take and give other arrays.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from model.bundle import (
    COOCCURRENCE,
    ENCODER,
    INTEREST,
    ITEMS,
    ITEMS_GRAPH,
    SCORER,
    SENTIMENT,
    TOKENIZER,
    Bundle,
    BundleError,
    Manifest,
)
from model.training.encoders import Precision, of_bundle
from model.training.folder import becoming, describe
from model.training.quantise import Parity, convert
from model.training.whitening import bare, followed_by, matrix_of

PARTS = (ITEMS_GRAPH, ITEMS, INTEREST, SCORER, COOCCURRENCE, SENTIMENT)
TABLES = (ITEMS, COOCCURRENCE)
TOWERS = "towers.json"
WHITENING = "whitening.npy"
"""Upper triangle of the map that the towers' encoder ends with (`whitening.py`), where it does."""
FORMAT = Manifest.model_fields["format"].default
AGAIN = "train them anew with `firstclick train`, those of the demo with `make demo-towers`"
BITS = 4
"""Of a number's fraction in small tables: each is off by 3 % at most, and a vector's direction by a degree."""


def take(bundle: Bundle, out: Path, *, small: bool = False) -> None:
    """Writes the bundle's trained part to the folder `out`; what lies there of another is replaced.

    Args:
        bundle: trained.
        out: the folder.
        small: whether tables are rounded to BITS and zipped, to keep beside code: another model, a third of the size.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        path = bundle.file(name)
        if path is None:
            (out / name).unlink(missing_ok=True)
        elif small and name in TABLES:
            _zip(path, out / name)
        else:
            shutil.copyfile(path, out / name)
    (out / WHITENING).unlink(missing_ok=True)
    if (matrix := matrix_of((bundle.path / ENCODER).read_bytes())) is not None:
        np.save(out / WHITENING, matrix[np.triu_indices(len(matrix))])
    told = bundle.manifest.model_dump(exclude={"files", "fingerprint"})
    if small:
        told["training"]["table_bits"] = BITS
    saved = orjson.dumps({"space": bundle.space, **told}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (out / TOWERS).write_bytes(saved + b"\n")


def graft(base: Bundle, towers: Path, out: Path) -> Bundle:
    """A bundle in `out` of the base's encoder and these towers.

    Raises:
        BundleError: the towers are of another format or space, or not there.
        FileExistsError: `out` is there and is no bundle.
    """
    try:
        told = orjson.loads((towers / TOWERS).read_bytes())
        space = told.pop("space")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{towers} holds no towers: {error}", "name a folder that `model take` has written"
        ) from error
    if (of := told.pop("format", "an earlier one")) != FORMAT:
        raise BundleError(
            f"{towers / TOWERS}: format is {of}, bundles of this version of firstclick are of format {FORMAT}", AGAIN
        )
    with becoming(out) as made:
        (made / ENCODER).write_bytes(_encoder(base, towers / WHITENING))
        shutil.copyfile(base.path / TOKENIZER, made / TOKENIZER)
        for name in PARTS:
            if (towers / name).is_file():
                shutil.copyfile(towers / name, made / name)
        try:
            describe(made, **told)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{towers / TOWERS} lacks {error}", "take the towers again") from error
        if (found := Bundle.load(made).space) != space:
            raise BundleError(
                f"{towers} has learned from text vectors of the space {space}, with {base.path} it would read those "
                f"of {found}",
                AGAIN,
            )
    return Bundle.load(out)


def _encoder(base: Bundle, whitening: Path) -> bytes:
    """The base's, with the map in the file `whitening` behind it, or with none if there is no such file."""
    found = of_bundle(base)
    if not whitening.is_file():
        return bare(found).graph
    try:
        half = np.load(whitening, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"{whitening} cannot be read", "take the towers again") from error
    dim = base.text_dim
    if half.shape != (dim * (dim + 1) // 2,):
        raise BundleError(f"{whitening} is of another length than the texts' vectors of {base.path}", AGAIN)
    matrix, (rows, columns) = np.zeros((dim, dim), np.float32), np.triu_indices(dim)
    matrix[rows, columns] = matrix[columns, rows] = half  # A sum would make 0 of -0, and another graph.
    return followed_by(found, matrix).graph


def rounded(numbers: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """The numbers, of the same type, with so many bits of their fractions."""
    fractions, exponents = np.frexp(numbers.astype(np.float64))  # A fraction's first bit is always set.
    steps = 2.0 ** (bits + 1)
    return np.ldexp(np.round(fractions * steps) / steps, exponents).astype(numbers.dtype)


def _zip(path: Path, out: Path) -> None:
    """Writes the table rounded and zipped; readers see no difference in form."""
    with np.load(path, allow_pickle=False) as arrays:
        told = {name: arrays[name] for name in arrays.files}
    floats = {name: rounded(array, BITS) for name, array in told.items() if array.dtype.kind == "f"}
    np.savez_compressed(out, **(told | floats))


def at_precision(bundle: Bundle, precision: Precision, out: Path, texts: Sequence[str] | None = None) -> Parity:
    """The bundle with its encoder in another precision, written to `out`; how near its vectors are.

    Args:
        bundle: whose encoder is fp32.
        precision: wanted.
        out: the new bundle's folder.
        texts: real ones to compare on, 100 or more; None: the built-in ones.

    Raises:
        EncoderError: the vectors drift too far, or the encoder cannot be converted.
        FileExistsError: `out` is there and is no bundle.
    """
    manifest = bundle.manifest
    converted, parity = convert(of_bundle(bundle), precision, texts)
    with becoming(out) as made:
        (made / ENCODER).write_bytes(converted.graph)
        (made / TOKENIZER).write_bytes(converted.tokenizer)
        for name in PARTS:
            path = bundle.file(name)
            if path is not None:
                shutil.copyfile(path, made / name)
        told = manifest.model_dump(exclude={"files", "fingerprint", "format", "output"})
        describe(made, **told, output=converted.output)
    return parity
