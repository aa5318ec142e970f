"""Beside the line: where a command may write a folder, asked before any work: a training takes hours.

Knows nothing of what is written.
"""

import tempfile
from pathlib import Path
from typing import Any

import click


class OutFolder(click.ParamType):
    """A folder to write to, which may be there or not."""

    name = "FOLDER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The folder, once something can be written where it is, or will be."""
        folder = Path(value)
        if folder.exists() and not folder.is_dir():
            self.fail(f"{folder} is a file; name a folder", param, ctx)
        try:
            self._free(folder)
        except FileExistsError as error:
            self.fail(f"{error}; name another folder", param, ctx)
        there = self._written(folder)
        while not there.exists():
            there = there.parent
        try:
            with tempfile.TemporaryDirectory(dir=there, prefix=".firstclick-"):
                pass
        except OSError as error:
            why = f"{there} takes no folder ({error.strerror})"
            self.fail(f"{folder} cannot be written: {why}; name one where you may write", param, ctx)
        return folder

    def _free(self, folder: Path) -> None:
        """Raises FileExistsError where somebody else's files are: a bundle gives way to a bundle with all it holds."""
        if (folder / "manifest.json").is_file():
            raise FileExistsError(f"{folder} is a bundle's")

    def _written(self, folder: Path) -> Path:
        """What is written first."""
        return folder


class OutBundle(OutFolder):
    """A folder for a bundle: made beside its place, and moved there whole; no other folder gives way to it."""

    def _free(self, folder: Path) -> None:
        from model.training.folder import replaceable

        replaceable(folder)

    def _written(self, folder: Path) -> Path:
        return folder.parent


def tell_replaced(out: Path) -> None:
    """Says on stderr which bundle will give way to the one that is made in `out`."""
    from model.bundle import MANIFEST, Bundle, BundleError

    if not (out / MANIFEST).is_file():
        return
    try:
        there = f"the bundle {Bundle.load(out).model}"
    except BundleError:
        there = "a bundle that this version cannot load"
    click.echo(f"{there} in {out} will be replaced", err=True)
