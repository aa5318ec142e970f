"""Where a bundle is written: beside its place, and moved there whole or not at all.

Knows nothing of what is in it.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.bundle import MANIFEST, TOKENIZER, Manifest, sha256, write_manifest
from model.fingerprint import fingerprint
from model.tokenizer import open_tokenizer


def replaceable(out: Path) -> None:
    """Refuses, before any work, a place where something else is.

    Raises:
        FileExistsError: `out` is there and is no bundle, or holds what is not the bundle's.
    """
    if not out.exists():
        return
    there = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    files = _files(out / MANIFEST)
    if there and files is None:
        raise FileExistsError(f"{out} is there and is no bundle: it will not be replaced")
    others = sorted(there - {MANIFEST, *(files or ())})
    if others:
        raise FileExistsError(f"{out} holds more than a bundle, {others[0]}: it will not be replaced")


def _files(manifest: Path) -> set[str] | None:
    """Names that a manifest tells of, be it of a version that cannot be loaded; None: it is no bundle's."""
    try:
        files = json.loads(manifest.read_bytes())["files"]
        return set(files) if isinstance(files, dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def becoming(out: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `out` when the block has ended well.

    Raises:
        FileExistsError: by `replaceable`.
    """
    replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        made = Path(beside) / out.name
        made.mkdir()
        yield made
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)


def describe(made: Path, **told: Any) -> None:
    """Writes the manifest of the files that lie in `made`: what is told, their sums and the fingerprint."""
    print_of = fingerprint(open_tokenizer(made / TOKENIZER, told["max_tokens"]), told["lines"], told["age_ms"])
    files = {path.name: sha256(path) for path in sorted(made.iterdir())}
    write_manifest(made, Manifest(**told, fingerprint=print_of, files=files))
